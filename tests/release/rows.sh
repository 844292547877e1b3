#!/bin/sh
# Rows of the release requirements that one look at this tree or this program answers; each name begins with its row.
# (Which row is answered where: tests/release/rows.tsv.)
. tests/tap.sh
. tests/release/scratch
root=$PWD
export HF_HOME="$T/hf"
# of FILE EXPRESSION: a Python expression over the JSON document d.
of() { python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); x = eval(sys.argv[2]); print(x if isinstance(x, str) else json.dumps(x))' "$1" "$2"; }

# ---- A: stages and names -----------------------------------------------------------------------------
head -n 5 docs/VERSIONING.md | grep -q "$(head -n 1 VERSION)"; ok $? A1/living_document
"$MLXK" help --json > "$T/help"; "$MLXK" help > "$T/text"
same A4/labelled_in_help_and_json "$(of "$T/help" 'sum(c["experimental"] for c in d["data"]["commands"])')" \
    "$({ awk '/^experimental/ { on = 1; next } /^$/ { on = 0 } on { print $1 }' "$T/text"; grep '(experimental)' "$T/text" | awk '{ print $1 }'; } | sort -u | wc -l)"
run env -i "$MLXK" embed x y; exits 1 A4/closed_unless_asked_for; says A4/names_the_switch err 'MLXK'
grep -q '^| alpha ' docs/VERSIONING.md; ok $? A5/stage_table; grep -q '^| beta ' docs/VERSIONING.md; ok $? A9/stage_table
awk -F '\t' '/^#/ { next } NF < 4 || $4 == "" { bad = 1 } END { exit bad }' docs/PARITY.tsv; ok $? A8/parity_rows_are_whole
run env -i HF_HOME="$HF_HOME" "$MLXK" list --json; json A14/models_path '[m["name"] for m in x["models"]] == []'
run env -i HF_HOME="$HF_HOME" "$MLXK" health --json; json A14/summary_path '"total" in x["summary"]'
for name in mlxk mlxk-json mlxk2; do ln -s "$MLXK" "$T/$name"; done
{ "$T/mlxk" version; "$T/mlxk2" version; } | cut -d' ' -f2 | sort -u | wc -l | grep -qx 1; ok $? A15/same_number
same A15/json_name "$(head -n 1 VERSION)" "$("$T/mlxk-json" version > "$T/v"; of "$T/v" 'd["data"]["cli_version"]')"
run sh docs/gates/check.sh nonsense; exits 2 A18/stages_are_known
case $("$MLXK" version --stage) in dev | alpha | beta | rc | stable) true ;; *) false ;; esac; ok $? A18/stage_of_the_program
! grep -qiE 'january|february|20[2-9][0-9]|weeks' docs/ROADMAP.md; ok $? A23/conditions_and_not_dates
tiny "$T/m"; "$MLXK" import "$T/m" --name o/m --quiet > /dev/null
look() { find "$HF_HOME" -printf '%p %s %T@ %i\n' | sort; }
before=$(look)
for command in list "list --health" health "show o/m" "health --deep" du; do
    # shellcheck disable=SC2086
    "$MLXK" $command > /dev/null 2>&1 &
done; wait
same A25/readers_change_nothing "$before" "$(look)"
mkdir "$T/other"; ln -s "$MLXK" "$T/other/mlxk"; printf '#!/bin/sh\n' > "$T/mlxk.other"; mkdir "$T/first"; cp "$T/mlxk.other" "$T/first/mlxk"; chmod +x "$T/first/mlxk"
PATH="$T/first:$T/other:$PATH" run "$MLXK" doctor --json
json A26/another_one_in_path 'any(c["state"] != "ok" and "mlxk" in json.dumps(c) for c in x["checks"])'
grep -qi 'breaking' docs/GOVERNANCE.md && grep -q 'new major' docs/GOVERNANCE.md; ok $? A28/who_decides
same A29/json_api "$(sed -n 's/^json-api //p' VERSION)" "$("$MLXK" --version --json > "$T/v"; of "$T/v" 'd["data"]["json_api_spec_version"]')"
! grep -qE 'skip|bypass|getenv|MLXK_' src/tools/release/api_check.sh src/tools/release/api_diff.py; ok $? A29/no_way_around

# ---- B, C ---------------------------------------------------------------------------------------------
test -s docs/ROADMAP.md; ok $? B9/plan
run sh src/tools/release/notes_lint.sh docs/releases/TEMPLATE.md; exits 0 B11/template
head -n 1 VERSION | grep -Eq '^[0-9]+\.[0-9]+\.[0-9]+'; ok $? C1/line_one
"$MLXK" version --json > "$T/version"
for pair in client:client_version engine:engine_version min-engine:min_engine_version min-client:min_client_version; do
    same "C6/${pair%:*}" "$(sed -n "s/^${pair%:*} //p" VERSION)" "$(of "$T/version" "d['data']['${pair#*:}']")"
done
sed -n 's/^\(client\|engine\) //p' VERSION | while read -r v; do
    awk -v a="$(head -n 1 VERSION)" -v b="$v" 'BEGIN { split(a, x, "."); split(b, y, "."); exit !(x[1] > y[1] || (x[1] == y[1] && x[2] >= y[2])) }' || echo "$v"
done > "$T/above"
[ ! -s "$T/above" ]; ok $? C2/no_half_above_the_product
# Nobody asks an engine for its number while this program is none. The day `serve` serves these fail, until one call of
# the status a process is counted here (C7) and a status without a number, or with a garbled one, is exit 76 (C9).
run "$MLXK" serve --json; exits 1 C7/no_engine_to_ask; same C7/says_so not_implemented "$(of "$T/out" 'd["error"]["type"]')"
! strings -a "$MLXK" | grep -F '/api/v1/'; ok $? C9/no_status_to_misread
! strings -a "$MLXK" | grep -iE 'skip[-_ ]?(version|compat)'; ok $? C8/no_way_to_skip_the_check

# What a release hands out beside programs: the same bytes twice, valid, and with the hashes of the programs.
for n in 1 2; do mkdir "$T/extras$n"; echo program > "$T/extras$n/mlxk-0.0.0-x86_64-linux"
    printf 'client-0.0.0 sha256:%064d\nengine-0.0.0 sha256:%064d\n' 1 2 > "$T/extras$n/image.digest"; sh src/tools/release/extras.sh "$T/extras$n" "$MLXK"; done
diff -r "$T/extras1" "$T/extras2" > /dev/null; ok $? B10/extras_are_the_same_twice
same B10/extras_are_there 'SUPPORT.tsv apptainer.def compose.yaml image.digest install.sh kubernetes-mirror.yaml kubernetes.yaml mlxk-0.0.0-x86_64-linux mlxk.1 mlxk.bash mlxk.cdx.json mlxk.fish mlxk.spdx.json mlxk.zsh provenance.intoto.json releases.tsv ' "$(find "$T/extras1" -type f | sed 's|.*/||' | LC_ALL=C sort | tr '\n' ' ')"
program=$(sha256sum < "$T/extras1/mlxk-0.0.0-x86_64-linux" | cut -d' ' -f1)
same B10/cyclonedx "CycloneDX 1.6 $program" "$(of "$T/extras1/mlxk.cdx.json" '" ".join([d["bomFormat"], d["specVersion"]] + [c["hashes"][0]["content"] for c in d["components"] if c["type"] == "file"])')"
same B10/spdx "SPDX-2.3 $program" "$(of "$T/extras1/mlxk.spdx.json" 'd["spdxVersion"] + " " + d["files"][0]["checksums"][0]["checksumValue"]')"
same B10/every_library_is_listed "$(awk '$1 == "library" && $2 != "bearssl" { print $2, $3 }' vendor/lock | sort)" \
    "$(of "$T/extras1/mlxk.spdx.json" '"\n".join(p["name"] + " " + p["versionInfo"] for p in d["packages"][1:])' | sort)"
same B10/relations_name_what_is_there '[]' "$(of "$T/extras1/mlxk.spdx.json" '[r for r in d["relationships"] if not {r["spdxElementId"], r["relatedSpdxElement"]} <= {e["SPDXID"] for e in d["packages"] + d["files"] + [d]}]')"
[ "$(grep -c '^\.SS ' "$T/extras1/mlxk.1")" = "$(of "$T/help" 'len(d["data"]["commands"])')" ]; ok $? B10/manual_page_has_every_command

same B10/provenance "https://in-toto.io/Statement/v1 https://slsa.dev/provenance/v1 $program" \
    "$(of "$T/extras1/provenance.intoto.json" '" ".join([d["_type"], d["predicateType"]] + [s["digest"]["sha256"] for s in d["subject"] if s["name"].endswith("-linux")])')"
! grep -hE '^ *image:|^From:' "$T"/extras1/compose.yaml "$T"/extras1/kubernetes*.yaml "$T"/extras1/apptainer.def | grep -vE ':(client|engine)-0\.0\.0@sha256:[0-9a-f]{64}$'; ok $? C10/examples_name_images_by_digest
same C10/examples_are_four 4 "$(grep -lE '@sha256:' "$T"/extras1/compose.yaml "$T"/extras1/kubernetes*.yaml "$T"/extras1/apptainer.def | wc -l)"
python3 tests/cli/release_bundle.py "$T/image" > /dev/null
run "$MLXK" image build "oci:$T/l" --flavour engine --program "$T/image/mlxk-1.2.3-x86_64-linux"; says C12/tag out ':engine-1\.2\.3$'
python3 tests/cli/image_judge.py "$T/l" engine-1.2.3 - > "$T/judge"; same C12/digest "$(tail -n 1 "$T/out") amd64" "$(cat "$T/judge")"
find "$T/extras1" -type f | sed 's|.*/||; s/0\.0\.0/VERSION/' | sort > "$T/there"
grep -v '^#' docs/artefacts.tsv | cut -f2 | sort > "$T/named"; same D15/all_are_named '' "$(comm -23 "$T/there" "$T/named")"

# ---- D -----------------------------------------------------------------------------------------------------
grep -q 'one a month' docs/RELEASING.md && grep -q '7 days' docs/RELEASING.md; ok $? D1/streams_are_ceilings
awk -F '\t' '/^#/ { next } $2 != "done" && ($2 != "moved" || $3 == "" || length($4) < 10) { bad = 1 } END { exit bad }' docs/milestones/*.tsv; ok $? D5/milestones
[ "$(grep -c '^patch	' docs/gates.tsv)" -ge 2 ]; ok $? D9/patch_has_a_gate
# One repository: nothing here is another one's working tree, and what is fetched has a fixed number and hash.
! find . -path ./build -prune -o -name .gitmodules -print | grep .; ok $? D25/no_repository_inside
awk '$1 == "library" { n++; if ($3 !~ /^[0-9]/) bad = 1 } $1 == "way" && $5 !~ /^[0-9a-f]+$/ { bad = 1 } END { exit bad || !n }' vendor/lock; ok $? D25/others_have_fixed_numbers
scratch "$T/r"; cd "$T/r" || exit 1
base=$(git rev-parse HEAD)
edit src/cli/a.c 'int a1;' "Silent"; run sh src/tools/release/notes_needed.sh "$base"; exits 3 B16/silent_change; says B16/named out 'Silent'
git reset -q --hard "$base"; edit src/cli/a.c 'int a1;' "Silent

No-Notes: nothing that a user sees"; run sh src/tools/release/notes_needed.sh "$base"; exits 0 B16/with_a_reason
git reset -q --hard "$base"; echo '- More.' >> CHANGELOG.md; git add -A; edit src/cli/a.c 'int a1;' "Told"; run sh src/tools/release/notes_needed.sh "$base"; exits 0 B16/told
cd "$root" || exit 1

# Numbers between releases, from a clone, one without tags, a shallow one, an archive, and a tree with changes.
mkdir -p "$T/n/src/tools"; cp build.sh "$T/n"; cp src/tools/archive.txt src/tools/.gitattributes "$T/n/src/tools"; cp .gitignore "$T/n"
cd "$T/n" || exit 1
git init -q -b main . && git config user.name a && git config user.email a@b
number() { printf '%s\nclient 0.4.3\n' "$1" > VERSION; git add -A; git commit -q -m "$1"; }
number 0.4.3-dev; git commit -q --allow-empty -m work; same D23/on_the_way "0.4.3.dev2+g$(git rev-parse --short=12 HEAD)" "$(./build.sh version)"
number 0.4.3-rc.1; number 0.4.3-dev; same D23/grows_over_a_candidate "0.4.3.dev4+g$(git rev-parse --short=12 HEAD)" "$(./build.sh version)"
number 0.4.3; git tag -a v0.4.3 -m x -m y; same D23/release 0.4.3 "$(./build.sh version)"
number 0.4.4-dev; git commit -q --allow-empty -m two; git commit -q --allow-empty -m three
hash=$(git rev-parse --short=12 HEAD)
same D23/three_after_the_tag "0.4.4.dev3+g$hash" "$(./build.sh version)"
same D23/a_half 0.4.3 "$(./build.sh version client)"
git clone -q --no-tags . "$T/n2"; same D23/no_tags "0.4.4.dev3+g$hash" "$(cd "$T/n2" && ./build.sh version)"
git clone -q --depth 1 "file://$T/n" "$T/n3"; same D23/shallow "0.4.4.dev0+g$hash" "$(cd "$T/n3" && ./build.sh version)"
mkdir "$T/n4"; git archive HEAD | tar -x -C "$T/n4"; same D23/archive "0.4.4.dev0+g$hash" "$(cd "$T/n4" && ./build.sh version)"
echo x > other; same D23/changed "0.4.4.dev3+g$hash.dirty" "$(./build.sh version)"; rm other
same D19/number 0.4.4.dev20260102 "$(MLXK_NIGHTLY=20260102 ./build.sh version)"
cd "$root" || exit 1
# The program's own history is the witness of its tree; what a row may hold arrives whole.
run "$MLXK" version --history --json
json B6/history "[(h['tag'], h['commit'], h['event']) for h in x['history']] == [(r[1], r[3], r[0]) for r in (l.rstrip('\\n').split('\\t') for l in open('docs/releases.tsv') if l[0] != '#')]"
run "$MLXK" version --history; exits 0 B6/history_for_people; says B6/history_says out '^(no release was out|Tag )'
cp -R build.sh "$T/n/"; mkdir -p "$T/n/docs"
printf '# head\nrelease\tv1.0.0\tobject\tcommit\ttree\tday\tsigned\tf=1\ta "quoted" \\ note\nbroken row\n' > "$T/n/docs/releases.tsv"
# shellcheck disable=SC1091
(cd "$T/n" && sed -n '/^release_history() {/,/^}/p' build.sh > "$T/part" && . "$T/part" && release_history) > "$T/made"
printf '%s\n' '#include <stdio.h>' "$(cat "$T/made")" '#define ROW(a, b, c, d, e, f) puts(a); puts(b); puts(c); puts(d); puts(e); puts(f);' 'int main(void) { MLXK_HISTORY(ROW) return 0; }' > "$T/row.c"
if command -v cc > /dev/null; then cc -o "$T/row" "$T/row.c" && same B6/history_of_a_row 'release v1.0.0 day commit signed a "quoted" \ note ' "$("$T/row" | tr '\n' ' ')"; fi
