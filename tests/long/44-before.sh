#!/bin/sh
# 44-before.sh: this program beside the one before it, over one cache: the previous release, built again from its tag, or, when
# none is out yet, the state of this tree that is some commits old (BEFORE=COMMIT names another). What one wrote the other
# reads: caches, bundles, layouts; and what the old one told in its documents the new one tells, too.
set -u
. tests/tap.sh
root=$PWD
export HF_HOME="$T/hf" GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="*"
if ! git rev-parse --git-dir > /dev/null 2>&1; then echo "ok before/built # SKIP the sources came without their history"; exit 0; fi
before=${BEFORE:-$(awk -F '\t' '$1 == "release" && $2 ~ /^v[0-9.]+$/ { c = $4 } END { print c }' docs/releases.tsv)}
kind=release
if [ -z "$before" ]; then kind=commit; before=$(git rev-parse -q --verify HEAD~100 || git rev-list --max-parents=0 HEAD | tail -n 1); fi
echo "# before: $kind $(git log -1 --format='%h %cs' "$before")"
mkdir "$T/old" && git archive "$before" | tar -x -C "$T/old" && mkdir -p "$T/old/build"
for shared in toolchain vendor-cache zig-global-cache; do [ ! -e "build/$shared" ] || ln -s "$root/build/$shared" "$T/old/build/$shared"; done
(cd "$T/old" && env -u MLXK ./build.sh) > "$T/build.log" 2>&1; ok $? before/built
old=$T/old/build/mlxk new=$MLXK
[ -x "$old" ] || { tail -n 5 "$T/build.log" | sed 's/^/# /'; exit 1; }
! cmp -s "$old" "$new"; ok $? before/is_another_program

# One cache, written by either, read by the other.
for kind in llama-bfloat16 llama-q4-g64; do tiny "$T/$kind" $kind; done
run "$old" import "$T/llama-q4-g64" --name o/old --quiet; exits 0 before/old_writes
run "$new" import "$T/llama-bfloat16" --name o/new --quiet; exits 0 before/new_writes
for pair in old:new new:old; do
    reads=$old; if [ "${pair#*:}" = new ]; then reads=$new; fi
    model=o/${pair%:*}
    run "$reads" health "$model" --deep; exits 0 "before/${pair#*:}_reads_${pair%:*}"
    run "$reads" verify "$model"; exits 0 "before/${pair#*:}_verifies_${pair%:*}"
    run "$reads" tokenize "$model" "some words"; exits 0 "before/${pair#*:}_tokenizes_${pair%:*}"
done
names() { "$1" list --json --no-runtime 2> /dev/null > "$T/list" || "$1" list --json > "$T/list"; python3 -c 'import json, sys; print(sorted((m["name"], m["hash"]) for m in json.load(open(sys.argv[1]))["data"]["models"]))' "$T/list"; }
same before/both_list_the_same "$(names "$old")" "$(names "$new")"
# The same tokens and the same words.
for model in o/old o/new; do
    same "before/same_tokens_$model" "$("$old" tokenize $model "One two, drei vier." --json)" "$("$new" tokenize $model "One two, drei vier." --json)"
    same "before/same_answer_$model" "$("$old" run $model "Hello" --temperature 0 --max-tokens 8 2>&1)" "$("$new" run $model "Hello" --temperature 0 --max-tokens 8 2>&1)"
done

# Bundles and layouts.
for pair in old:new new:old; do
    writes=$old reads=$new; if [ "${pair%:*}" = new ]; then writes=$new reads=$old; fi
    run "$writes" export o/old -o "$T/$pair.tar"; exits 0 "before/${pair%:*}_exports"
    rm -rf "$T/other"; HF_HOME=$T/other run "$reads" import "$T/$pair.tar"; exits 0 "before/${pair#*:}_imports_${pair%:*}s_bundle"
    HF_HOME=$T/other run "$reads" health o/old --deep; exits 0 "before/${pair#*:}_trusts_${pair%:*}s_bundle"
    run "$writes" release "$T/llama-q4-g64" "oci:$T/layout-${pair%:*}"; exits 0 "before/${pair%:*}_releases"
    run "$reads" releases "oci:$T/layout-${pair%:*}"; exits 0 "before/${pair#*:}_lists_${pair%:*}s_releases"; says "before/${pair#*:}_knows_${pair%:*}s_number" out 'v0\.1\.0'
    run "$reads" release "$T/llama-bfloat16" "oci:$T/layout-${pair%:*}"; exits 0 "before/${pair#*:}_goes_on_from_${pair%:*}"
done
same before/same_digests "$("$new" releases "oci:$T/layout-old" --json | grep -o 'sha256:[0-9a-f]*' | sort -u)" "$("$new" releases "oci:$T/layout-new" --json | grep -o 'sha256:[0-9a-f]*' | sort -u)"

# Documents: every member that the old one printed is there, and of the same kind, unless json-api moved.
if [ "$(git show "$before:VERSION" | awk '$1 == "json-api" { print $2 }')" = "$(awk '$1 == "json-api" { print $2 }' VERSION)" ]; then
    for words in list health "show o/old" version du "releases oci:$T/layout-old" "tokenize o/old some" "list --nonsense"; do
        # shellcheck disable=SC2086
        { "$old" $words --json > "$T/old.json" 2> /dev/null; "$new" $words --json > "$T/new.json" 2> /dev/null; }
        python3 - "$T/old.json" "$T/new.json" > "$T/gone" 2>&1 <<'PY'
import json, sys
old, new = (json.load(open(p)) for p in sys.argv[1:])
gone = []
def look(a, b, at):
    if type(a) is not type(b) and None not in (a, b) and not {type(a), type(b)} <= {int, float}:
        gone.append(f"{at} is {type(b).__name__}, was {type(a).__name__}")
    elif isinstance(a, dict) and isinstance(b, dict):
        for key in a:
            if key in b:
                look(a[key], b[key], f"{at}.{key}")
            else:
                gone.append(f"{at}.{key} is gone")
    elif isinstance(a, list) and isinstance(b, list):
        for i, pair in enumerate(zip(a, b)):
            look(*pair, f"{at}[{i}]")
look(old, new, "$")
print("\n".join(gone))
sys.exit(bool(gone))
PY
        ok $? "before/document_of_${words%% *}"; [ ! -s "$T/gone" ] || sed '/^$/d; s/^/# /' "$T/gone"
    done
fi
