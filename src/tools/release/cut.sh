# cut.sh: a release from its number to its tag. Sourced by release.sh and its two sisters, after lib.sh.
#
# Order: number, gates, [a dry run ends here] release commit, build of exactly that commit, tag object, the
# commit that opens the next version and holds the witness row, journal, refs. See the invariants in lib.sh.
# What it works with: family verb for_kind local_only dry push waive key (set by the callers' arguments).
# shellcheck shell=sh disable=SC2154,SC2034

# ---- the number (product) ---------------------------------------------------------------------------

# cut_refuse TEXT: a rule says no. All of them are told; the run ends with 3 after the last.
cut_refuse() { cut_refused=1; rel_say "refused: $*"; }

# Sets new kind branch. VERSION has `X.Y.Z-dev` of what comes next on this branch.
cut_number() {
    branch=$(rel_branch)
    first=$(rel_version_at HEAD product)
    case $first in *-dev) base=${first%-dev} ;; *) rel_die 4 "VERSION says $first and not X.Y.Z-dev: HEAD is itself a release" ;; esac
    kind=$(rel_kind "$base")
    case $verb in
    patch | minor | major | stable) cut_number_stable ;;
    alpha | beta | rc) cut_number_label "$verb" ;;
    v[0-9]*) cut_number_named ;;
    esac
    rel_valid "$new" || rel_die 2 "$new is no version: X.Y.Z, X.Y.Z-alpha.N, -beta.N or -rc.N (and -beta.N-local)"
    cut_number_rules
}
cut_number_stable() {
    new=$base
    case $verb:$kind in
    stable:* | patch:patch | minor:minor | major:major) ;;
    major:*) kind=major; new=$(($(rel_part 1 "$base") + 1)).0.0 ;;
    patch:*) cut_refuse "a patch comes from a branch release-X.Y.x; $branch is on its way to $base (a $kind release)" ;;
    *) cut_refuse "$branch is on its way to $base, a $kind release, and not to a $verb one" ;;
    esac
}
# The next number under a label: 2.0.0-beta.3 after -beta.2. `--for major` names the major after this one.
cut_number_label() {
    if [ "$for_kind" = major ] && [ "$kind" != major ]; then base=$(($(rel_part 1 "$base") + 1)).0.0; kind=major; fi
    cut_n=$(rel_versions product | awk -v p="$base-$1." 'index($0, p) == 1 { n = substr($0, length(p) + 1) + 0; if (n > most) most = n }
        END { print most + 1 }')
    new=$base-$1.$cut_n
    if [ "$local_only" = 1 ]; then new=$new-local; fi
    if [ "$kind" = patch ]; then cut_refuse "$base is a patch: only minor and major releases have $1 versions"; fi
}
# A number that was given by name must be one of those that come next.
cut_number_named() {
    new=$(rel_canonical "$verb")
    rel_valid "$new" || rel_die 2 "$verb is no version: vX.Y.Z, vX.Y.Z-rc.N and so on"
    case $new in *-local) [ "$local_only" = 1 ] ||
        cut_refuse "v$new is for this machine only and is never published: ./release.sh beta --local makes such a tag" ;; esac
    named=$new
    kind=$(rel_kind "${new%%-*}")
    base=${first%-dev}
    if [ "${named%%-*}" != "$base" ]; then
        if [ "$kind" = major ] && [ "${named%%-*}" = "$(($(rel_part 1 "$base") + 1)).0.0" ]; then base=${named%%-*}
        else cut_refuse "v$named is not what comes after this: VERSION is on its way to $base"; base=${named%%-*}; fi
    fi
    case $named in
    *-*) cut_label=${named#*-}; cut_number_label "${cut_label%%.*}"
        case $named in *-local) new=${new%-local}-local ;; esac
        [ "$named" = "$new" ] || { cut_refuse "the next ${cut_label%%.*} version of $base is $new"; new=$named; } ;;
    esac
}
cut_number_rules() {
    case $new:$branch in
    *-local:*) ;;
    *:main) if [ "$(rel_kind "${new%%-*}")" = patch ]; then cut_refuse "$new is a patch: it comes from release-${base%.*}.x"; fi ;;
    *:release-"${base%.*}".x) if [ "$kind" != patch ]; then cut_refuse "$new is a $kind release: it comes from main"; fi ;;
    *) cut_refuse "releases come from main or from release-X.Y.x, not from $branch" ;;
    esac
    if rel_versions product | grep -qx "$new" || git rev-parse -q --verify "refs/tags/v$new" >/dev/null; then
        cut_refuse "v$new exists; a tag never moves, the next number is free"
    fi
    cut_above=$(rel_versions product | grep -F "${new%%-*}" | grep -E "^${new%%-*}(-|\$)" | tail -n 1)
    if [ -n "$cut_above" ] && ! rel_less "$cut_above" "$new"; then cut_refuse "$new is not above $cut_above, which is out"; fi
}

# ---- the number (client, engine, json) -----------------------------------------------------------------

cut_number_part() {
    branch=$(rel_branch)
    kind=$verb
    old=$(rel_version_at HEAD "$family"); rel_valid "$old" || rel_die 4 "VERSION: the line of $family says $old"
    first=$(rel_version_at HEAD product)
    case $verb in
    patch) new=$(rel_part 1 "$old").$(rel_part 2 "$old").$(($(rel_part 3 "$old") + 1)) ;;
    minor) new=$(rel_part 1 "$old").$(($(rel_part 2 "$old") + 1)).0 ;;
    major) new=$(($(rel_part 1 "$old") + 1)).0.0 ;;
    esac
    case $branch in main | release-*.x) ;; *) cut_refuse "releases come from main or from release-X.Y.x, not from $branch" ;; esac
    if rel_versions "$family" | grep -qx "$new"; then cut_refuse "$(rel_prefix "$family")$new exists"; fi
    if [ "$family" != json ]; then
        if rel_less "$(rel_part 1 "$first").$(rel_part 2 "$first").0" "$(rel_part 1 "$new").$(rel_part 2 "$new").0"; then
            cut_refuse "$family $new is a higher line than VERSION's $first: ./release.sh minor or major opens that one"
        fi
    fi
}

# ---- gates ------------------------------------------------------------------------------------------------

# gate NAME COMMAND...: its last words on one line; what it said stays in build/gates/NAME.log.
gate() {
    cut_gate=$1; shift
    mkdir -p build/gates
    if ("$@") > "build/gates/$cut_gate.log" 2>&1; then rel_say "gate $cut_gate ok"
    else
        cut_refused=1
        rel_say "gate $cut_gate refused"
        grep -E '^(missing|not ok|refused|release[a-z.-]*:)|: ' "build/gates/$cut_gate.log" | head -n 30 | sed 's/^/    /'
    fi
}

# The stage script whose rows this release must pass; what passed for a tree is remembered by the tree's hash.
gate_tests() {
    cut_seen=build/gates/$(git rev-parse 'HEAD^{tree}')-$cut_stage
    if [ -f "$cut_seen" ]; then cat "$cut_seen"; return 0; fi
    sh "docs/gates/$cut_stage.sh" > "$cut_seen.new" 2>&1 || { cat "$cut_seen.new"; rm -f "$cut_seen.new"; return 3; }
    mv "$cut_seen.new" "$cut_seen"
}
gate_docs() { sh src/tools/release/docs_check.sh release && sh src/tools/release/api_check.sh "$family" "$new"; }
gate_notes() { sh src/tools/release/notes_lint.sh "$cut_over/docs/releases/$tag.md"; }
# Feedback is in: milestones are done or moved with a reason, and people had the time that the kind promises.
gate_feedback() {
    cut_wrong=0
    if [ "$family" = product ]; then
        case $new in *-*) ;; *) cut_milestone; cut_soak ;; esac
    fi
    grep -qE "(^|[[:space:]])@?$(printf '%s' "$rel_owner" | sed 's/[.[\*^$]/\\&/g')([[:space:]]|\$)" docs/CODEOWNERS 2>/dev/null ||
        { echo "missing: $rel_owner is not in docs/CODEOWNERS (MLXK_RELEASE_OWNER names the one who releases)"; cut_wrong=1; }
    [ "$cut_wrong" = 0 ]
}
cut_milestone() {
    [ "$kind" != patch ] || return 0
    cut_file=docs/milestones/$new.tsv
    [ -f "$cut_file" ] || { echo "missing: $cut_file (work, state, moved-to, reason)"; cut_wrong=1; return 0; }
    awk -F '\t' -v file="$cut_file" '/^#/ || !NF { next }
        $2 == "done" || ($2 == "moved" && $3 != "" && $4 != "") { n++; next }
        { print "missing: " file ": \"" $1 "\" is " ($2 == "" ? "nothing" : $2) ", neither done nor moved with a reason"; bad = 1 }
        END { exit bad }' "$cut_file" || cut_wrong=1
}
# days_of PATTERN first|last: whole days since that release of this base, nothing when there is none.
cut_days() {
    rel_versions product | grep -E "^${new%%-*}-$1\.[0-9]+\$" | if [ "$2" = first ]; then head -n 1; else tail -n 1; fi |
        while read -r cut_v; do
            cut_when=$(git log -1 --format=%ct "$(rel_field "v$cut_v" 4)")
            echo $(((rel_now - cut_when) / 86400))
        done
}
cut_soak() {
    [ "$kind" != patch ] || return 0
    cut_want=7 cut_least=1
    if [ "$kind" = major ]; then cut_want=14 cut_least=2; fi
    cut_count=$(rel_versions product | grep -cE "^$new-rc\.[0-9]+\$" || true)
    cut_age=$(cut_days rc last)
    cut_rule=
    if [ "$cut_count" -lt "$cut_least" ]; then cut_rule="$new has $cut_count release candidates; a $kind release needs $cut_least"
    elif [ "$cut_age" -lt "$cut_want" ]; then
        cut_rule="the newest candidate of $new is $cut_age days old; a $kind release waits $cut_want days"
    fi
    cut_soak_says "candidate" "$cut_rule" "candidates $cut_count, the newest ${cut_age:-0} days old: at least $cut_least and $cut_want days"
    if [ "$kind" = major ]; then
        cut_beta=$(cut_days beta first)
        cut_rule=
        if [ "${cut_beta:-0}" -lt 180 ]; then cut_rule="the first public beta of $new is ${cut_beta:-no} days old; a stable major waits 180 days"; fi
        cut_soak_says "beta" "$cut_rule" "the first beta is ${cut_beta:-0} days old: at least 180"
    fi
}
# A waiting time can be waived, by a recorded file only; nothing else can.
cut_soak_says() {
    if [ -z "$2" ]; then echo "$1: $3"
    elif [ -n "$waive" ]; then echo "waived: $2"
    else echo "missing: $2 (--waive FILE records why not)"; cut_wrong=1; fi
}
# A waiver says by whom and why, and stays in the tree and in the tag.
cut_waiver() {
    [ -n "$waive" ] || return 0
    [ -f "$waive" ] || rel_die 2 "--waive $waive: no such file"
    cut_by=$(sed -n 's/^by: *//p' "$waive" | head -n 1); cut_why=$(sed -n 's/^reason: *//p' "$waive" | head -n 1)
    if [ -z "$cut_by" ] || [ "${#cut_why}" -lt 20 ]; then
        rel_die 2 "--waive $waive: needs a line 'by: NAME' and a line 'reason: ...' of at least 20 letters"
    fi
    grep -qF "$cut_by" docs/CODEOWNERS || rel_die 3 "--waive $waive: $cut_by is not in docs/CODEOWNERS"
}

# ---- what a release commit changes --------------------------------------------------------------------------

# cut_compose: files of the release commit below $cut_over.
cut_compose() {
    cut_over=$rel_work/release
    mkdir -p "$cut_over/docs/releases"
    cut_stage_words
    cut_record="Release-Owner: $rel_owner"
    if [ -n "$waive" ]; then
        cp "$waive" "$cut_over/docs/releases/$tag.waiver"
        cut_record="$cut_record
Waiver: $cut_why ($cut_by)"
    fi
    if [ -z "$key" ]; then cut_record="$cut_record
Signature: none"; fi
    git ls-files > "$rel_work/files"
    cut_counts="$(wc -l < "$rel_work/files" | tr -d ' ') files, $(grep -c '\.[ch]$' "$rel_work/files" || true) of them C sources, \
$(grep -c '^tests/.*\.\(sh\|c\|py\)$' "$rel_work/files" || true) test files."
    awk -v title="mlxk $(rel_title)" -v ready="$cut_ready" -v counts="$cut_counts" -v record="$cut_record" \
        -v upgrade="sh install.sh --version $new (and back with sh install.sh --rollback)." \
        -f src/tools/release/notes.awk CHANGELOG.md > "$cut_over/docs/releases/$tag.md"
    git show HEAD:VERSION > "$rel_work/VERSION"
    rel_set_line "$family" "$new" < "$rel_work/VERSION" > "$cut_over/VERSION"
    if [ "$family" = product ]; then cut_compose_product; fi
}
rel_title() { case $family in product) echo "$new" ;; *) echo "$family $new" ;; esac; }
cut_stage_words() {
    case $new in
    *-alpha.*) cut_ready="No: an alpha version, for those who automate and report." ;;
    *-beta.*) cut_ready="For trials: a beta version." ;;
    *-rc.*) cut_ready="For rehearsals: a candidate; it becomes the release when nothing is found." ;;
    0.*) cut_ready="For the commands that docs/gates.tsv lists under alpha; below 1.0 no long-term promise is made." ;;
    *) cut_ready="Yes; docs/SUPPORT.md says for how long." ;;
    esac
}
# The parts that changed since they were last released take the product's number (never one below their own).
cut_compose_product() {
    case $new in
    *-*) ;;
    *)  for part in client engine; do
            cut_has=$(rel_line $part < "$rel_work/VERSION")
            if cut_part_changed $part && rel_less "$cut_has" "$new"; then
                rel_set_line $part "$new" < "$cut_over/VERSION" > "$rel_work/v"; cp "$rel_work/v" "$cut_over/VERSION"
            fi
        done
        awk -v head="## $new" '/^## Unreleased/ && !done { print "## Unreleased\n"; print head; done = 1; next } { print }' \
            CHANGELOG.md > "$cut_over/CHANGELOG.md" ;;
    esac
    cut_status_line "$new" > "$cut_over/docs/VERSIONING.md"
}
# docs/VERSIONING.md tells for which VERSION it was last looked at.
cut_status_line() {
    git show "${2:-HEAD}:docs/VERSIONING.md" | sed -E "s/(Checked against VERSION )[0-9][^ ]*\.\$/\1$1./"
}

# cut_part_paths PART: changed paths since the part was last released that belong to it or to both.
cut_part_paths() {
    cut_since=$(rel_rows | awk -F '\t' -v part="$1" '$1 == "release" && ($2 ~ "^" part "-v" || $2 ~ /^v[0-9.]+$/) { c = $4 } END { print c }')
    if [ -z "$cut_since" ]; then return 0; fi
    git diff --name-only "$cut_since" HEAD | awk -v part="$1" '
        FNR == NR { if ($0 !~ /^#/ && NF == 2) { glob[++n] = $1; whose[n] = $2 } next }
        { for (i = 1; i <= n; i++) if (index($0, glob[i]) == 1) { if (whose[i] == part || whose[i] == "both") print; next } }' \
        src/tools/release/components.tsv -
}
# True also when nothing was released yet.
cut_part_changed() {
    [ -n "$(cut_part_paths "$1")" ] ||
        ! rel_rows | awk -F '\t' '$1 == "release" && $2 ~ /^(v|client-v|engine-v)[0-9.]+$/ { found = 1 } END { exit !found }'
}

# ---- building exactly that commit ------------------------------------------------------------------------------

# cut_tree COMMIT VERB: what that commit's `build.sh VERB` puts into build/dist, as $rel_work/bundle. It is built in a
# folder of its own, so nothing that lies about in this tree gets in; fetched archives and the compiler are shared.
cut_tree() {
    git worktree add -q --detach "$rel_work/tree" "$1" 2> "$rel_work/worktree.log" || rel_die 1 "$(tail -n 1 "$rel_work/worktree.log")"
    mkdir -p "$rel_work/tree/build"
    for cut_shared in toolchain vendor-cache zig-global-cache; do
        if [ -d "build/$cut_shared" ]; then ln -s "$PWD/build/$cut_shared" "$rel_work/tree/build/$cut_shared"; fi
    done
    rel_say "building $2 of $(git rev-parse --short=12 "$1"): some minutes; build/release/build.log tells how far it is"
    (cd "$rel_work/tree" && MLXK_SIGNING_KEY='' ./build.sh "$2") > "build/release/build.log" 2>&1 ||
        rel_die 1 "./build.sh $2 of that commit failed: $(tail -n 2 build/release/build.log | tr '\n' ' ')(build/release/build.log)"
    [ -z "$(git -C "$rel_work/tree" status --porcelain)" ] || rel_die 4 "the build changed files of the tree"
    mv "$rel_work/tree/build/dist" "$rel_work/bundle"
    (cd "$rel_work/bundle" && sha256sum -c --quiet SHA256SUMS) || rel_die 1 "the build's SHA256SUMS does not hold"
    if [ -f "$rel_work/tree/build/mlxk" ]; then cp "$rel_work/tree/build/mlxk" "$rel_work/mlxk"; fi    # what signs
    rm -rf "$rel_work/tree"; git worktree prune
}
cut_verb() { case $family in product) echo dist ;; *) echo "dist-$family" ;; esac; }
cut_unsigned() { echo "This bundle is UNSIGNED: install.sh wants --sha256 with a hash that you trust." > "$rel_work/bundle/UNSIGNED"; }
cut_sums() { (cd "$rel_work/bundle" && rm SHA256SUMS && find . -type f | sed 's|^\./||' | sort | xargs sha256sum > ../SHA256SUMS && mv ../SHA256SUMS .); }

# cut_build COMMIT: $rel_work/bundle, the files that the family hands out, with notes and SHA256SUMS.
cut_build() {
    cut_tree "$1" "$(cut_verb)"
    cp "$cut_over/docs/releases/$tag.md" "$rel_work/bundle/RELEASE_NOTES.md"
    sh src/tools/release/seal.sh "$rel_work/bundle" "$rel_work/mlxk" "$key" > "$rel_work/seal.log" 2>&1 ||
        rel_die 1 "$(tail -n 1 "$rel_work/seal.log")"
}

# ---- the commit after it ------------------------------------------------------------------------------------------

# cut_row EVENT COMMIT OBJECT FILES NOTE
cut_row() {
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$tag" "$3" "$2" "$(git rev-parse "$2^{tree}")" \
        "$(TZ=UTC0 git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd "$2")" \
        "$(if [ -n "$key" ]; then echo signed; else echo unsigned; fi)" "$4" "$5"
}
# cut_witness PARENT FOLDER: docs/releases.tsv of PARENT and this row, with the pages made of it.
cut_witness() {
    mkdir -p "$2/docs/releases"
    git show "$1:docs/releases.tsv" > "$2/docs/releases.tsv"
    cat "$rel_work/row" >> "$2/docs/releases.tsv"
    sh src/tools/release/support.sh "$2/docs/releases.tsv" md > "$2/docs/SUPPORT.md"
    sh src/tools/release/support.sh "$2/docs/releases.tsv" tsv > "$2/docs/SUPPORT.tsv"
    if [ -f "$rel_work/tag.sig" ]; then cp "$rel_work/tag.sig" "$2/docs/releases/$tag.sig"; fi
}
# cut_open PARENT FOLDER VERSION: opens VERSION on top of PARENT; prints the commit. VERSION '' leaves the number alone.
cut_open() {
    cut_witness "$1" "$2"
    if [ -n "$3" ]; then
        git show "$1:VERSION" | rel_set_line product "$3" > "$2/VERSION"
        cut_status_line "$3" "$1" > "$2/docs/VERSIONING.md"
        rel_commit "$1" "$2" "Open $3; $tag in the witness"
    else rel_commit "$1" "$2" "$tag in the witness"; fi
}
cut_minor_of() { echo "$(rel_part 1 "$1").$(rel_part 2 "$1")"; }

# cut_next COMMIT: sets the commits that follow, as lines of the journal in $rel_work/journal.
cut_next() {
    : > "$rel_work/journal"
    cut_zero=0000000000000000000000000000000000000000
    cut_head=$(git rev-parse HEAD)
    case $family:$new:$kind in
    product:*-*:*)  cut_main=$(cut_open "$1" "$rel_work/next" "$base-dev") ;;
    product:*:patch) cut_main=$(cut_open "$1" "$rel_work/next" "$(cut_minor_of "$new").$(($(rel_part 3 "$new") + 1))-dev")
        # main keeps the whole witness, too.
        if [ "$branch" != main ] && cut_other=$(git rev-parse -q --verify refs/heads/main); then
            echo "ref refs/heads/main $(cut_open "$cut_other" "$rel_work/other" '') $cut_other"
        fi >> "$rel_work/journal" ;;
    product:*) cut_main=$(cut_open "$1" "$rel_work/next" "$(rel_part 1 "$new").$(($(rel_part 2 "$new") + 1)).0-dev")
        echo "ref refs/heads/release-$(cut_minor_of "$new").x $(cut_open "$1" "$rel_work/other" "$(cut_minor_of "$new").1-dev") $cut_zero" \
            >> "$rel_work/journal" ;;
    *) cut_main=$(cut_open "$1" "$rel_work/next" '') ;;
    esac
    { echo "tag $tag"
      echo "ref refs/tags/$tag $cut_object $cut_zero"
      echo "ref refs/heads/$branch $cut_main $cut_head"
      echo "move $rel_work/bundle $PWD/build/dist/$tag"
      echo "tree $cut_head $cut_main"; } >> "$rel_work/journal"
}

# ---- all of it ------------------------------------------------------------------------------------------------------

cut_gates() {
    case $new in
    *-alpha.*) cut_stage=alpha ;;
    *-beta.*) cut_stage=beta ;;
    *-rc.*) cut_stage=rc ;;
    *) case $kind:$new in patch:*) cut_stage="patch" ;; *:0.*) cut_stage=alpha ;; *) cut_stage=stable ;; esac ;;
    esac
    case $family in product) ;; *) cut_stage="patch" ;; esac
    gate tests gate_tests
    gate docs gate_docs
    gate notes gate_notes
    gate feedback gate_feedback
    if [ -n "$(sed -n 's/^\(candidate\|beta\|waived\): //p' build/gates/feedback.log)" ]; then
        grep -E '^(candidate|beta|waived): ' build/gates/feedback.log | sed 's/^/    /'
    fi
    if sh src/tools/release/tag_lint.sh > build/gates/tags.log 2>&1; then rel_say "check tags ok"
    else cut_refused=1; rel_say "check tags refused"; grep -v '^ok' build/gates/tags.log | head -n 10 | sed 's/^/    /'; fi
}

cut_plan() {
    rel_say "plan: $tag from $branch at $(git rev-parse --short=12 HEAD) ($kind)"
    rel_say "  commit   VERSION $(git show HEAD:VERSION | rel_line "$family") -> $new, docs/releases/$tag.md"
    rel_say "  tag      $tag, annotated, $(if [ -n "$key" ]; then echo "signed by $key"; else echo "unsigned (MLXK_SIGNING_KEY names a key)"; fi)"
    case $family:$new in *-local) rel_say "  publish  never" ;; json:*) ;; *) rel_say "  bundle   build/dist/$tag" ;; esac
    if [ "$push" = 1 ]; then rel_say "  push     $branch and $tag to origin"; else rel_say "  push     no (--push does)"; fi
}

cut_run() {
    cut_refused=0
    if [ "$family" = product ]; then cut_number; else cut_number_part; fi
    tag=$(rel_prefix "$family")$new
    if [ "$push" = 1 ]; then case $new in *-local) cut_refuse "$tag is for this machine only and is never pushed" ;; esac; fi
    cut_waiver
    cut_plan
    cut_compose
    cut_gates
    if [ "$family" = client ] || [ "$family" = engine ]; then cut_other_part; fi
    [ "$cut_refused" = 0 ] || rel_die 3 "$tag is not released"
    if [ "$dry" = 1 ]; then rel_say "dry run: nothing was written"; return 0; fi
    cut_commit=$(rel_commit HEAD "$cut_over" "mlxk $(rel_title)")
    cut_files=- cut_event=local
    case $family:$new in
    *-local) ;;
    json:*) cut_event=release ;;         # documents: nothing to build
    *) cut_event=release; cut_build "$cut_commit"
       cut_files=$(awk '{ printf "%s%s=%s", sep, $2, $1; sep = "," }' "$rel_work/bundle/SHA256SUMS") ;;
    esac
    rel_tag_text "$cut_commit" "$tag" > "$rel_work/tag"
    if [ -n "$key" ]; then rel_signature "$key" < "$rel_work/tag" > "$rel_work/tag.sig"; cat "$rel_work/tag.sig" >> "$rel_work/tag"; fi
    cut_object=$(rel_tag_object "$rel_work/tag")
    cut_row "$cut_event" "$cut_commit" "$cut_object" "$cut_files" "${cut_why:--}" > "$rel_work/row"
    cut_next "$cut_commit"
    # The bundle outlives this run's scratch, so that a later run can finish.
    if [ -d "$rel_work/bundle" ]; then
        rm -rf "build/release/$tag"; mv "$rel_work/bundle" "build/release/$tag"
        sed "s|^move .*|move $PWD/build/release/$tag $PWD/build/dist/$tag|" "$rel_work/journal" > "$rel_work/j"
    else grep -v '^move ' "$rel_work/journal" > "$rel_work/j"; fi
    cp "$rel_work/j" "$(rel_journal).new"; mv "$(rel_journal).new" "$(rel_journal)"
    rel_apply
    rel_say "released $tag: $(git rev-parse --short=12 "$tag^{commit}"), tag object $(printf '%.12s' "$cut_object")"
    if [ "$push" = 1 ]; then cut_push; fi
}

# A release of one part must not carry changes of the other that are out nowhere.
cut_other_part() {
    case $family in client) cut_o=engine ;; *) cut_o=client ;; esac
    cut_part_paths $cut_o > "$rel_work/others"
    [ -s "$rel_work/others" ] || return 0
    cut_base=$(rel_rows | awk -F '\t' -v part="$cut_o" '$1 == "release" && ($2 ~ "^" part "-v" || $2 ~ /^v[0-9.]+$/) { c = $4 } END { print c }')
    [ "$(rel_version_at "$cut_base" $cut_o)" = "$(rel_version_at HEAD $cut_o)" ] || return 0
    rel_die 4 "$(wc -l < "$rel_work/others" | tr -d ' ') files of the $cut_o changed since it was last released \
($(head -n 2 "$rel_work/others" | tr '\n' ' ')): ./release-$cut_o.sh first"
}

# One transaction at the other end, too; a local tag never travels.
cut_push() {
    set -- "$branch" "refs/tags/$tag"
    sed -n 's|^ref refs/heads/\([^ ]*\) .*|\1|p' "$rel_work/j" > "$rel_work/heads"
    while read -r cut_ref; do
        [ "$cut_ref" = "$branch" ] || set -- "$@" "$cut_ref"
    done < "$rel_work/heads"
    git push --atomic origin "$@" || rel_die 1 "the push failed and nothing arrived; here $tag stands: push it later by git push --atomic origin $*"
}
