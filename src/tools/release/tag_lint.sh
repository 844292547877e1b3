#!/bin/sh
# tag_lint.sh [--witness FILE]: every release tag and every row of the witness, over the whole history.
#
# A tag is annotated, has a summary, a body and a Release-Owner of docs/CODEOWNERS, is dated no earlier than its commit,
# is the only version on its commit, says what VERSION says there, is the object that its row names, and that object is
# what the commit gives. Every row has its tag (in a clone without tags ./release.sh retag makes them). The witness
# only ever grew. A VERSION without -dev is a release's. A signature verifies when docs/keys/allowed_signers is there.
# Exit status 4 when anything is wrong; the last line counts.
set -eu
cd "$(dirname "$0")/../../.."
rel_program=tag_lint
. src/tools/release/lib.sh
rel_work=$(mktemp -d "${TMPDIR:-/tmp}/mlxk-lint.XXXXXX")
trap 'rm -rf "$rel_work"' EXIT
lint_n=0; lint_bad=0
wrong() { lint_bad=$((lint_bad + 1)); echo "not ok $*"; }

if [ "${1:-}" = --witness ]; then grep -v '^#' "$2" > "$rel_work/rows" || true; else rel_rows > "$rel_work/rows"; fi

# ---- rows ----
awk -F '\t' '
    NF != 9 { print "row \"" $0 "\" has " NF " fields and not 9" ; next }
    $1 != "release" && $1 != "local" && $1 != "yanked" { print $2 ": a row cannot be \"" $1 "\"" }
    $1 != "yanked" { if (seen[$2]++) print $2 ": two rows tell different things of one tag"
                     if (tree[$4] != "" && $2 !~ /^json-/) print $2 ": its commit is already " tree[$4]; tree[$4] = $2
                     object[$2] = $3 }
    $1 == "yanked" { yanked[$2] = $3; if (length($9) < 10) print $2 ": yanked without a reason" }
    END { for (t in yanked) if (!(t in object)) print t ": yanked, but never released"
          else if (object[t] != yanked[t]) print t ": the yanked row names another object" }' "$rel_work/rows" > "$rel_work/wrong"
while read -r line; do wrong "$line"; done < "$rel_work/wrong"

# ---- tags ----
git for-each-ref --format='%(refname:strip=2) %(objecttype) %(objectname) %(*objectname)' refs/tags > "$rel_work/tags"
while read -r tag type object commit; do
    if ! family=$(rel_family "$tag"); then
        # Other tags are nobody's business, unless they look like a version without its v.
        case $tag in [0-9]*.[0-9]*) wrong "$tag: a version without its v" ;; V[0-9]*) wrong "$tag: versions begin with a small v" ;; esac
        continue
    fi
    lint_n=$((lint_n + 1))
    version=$(rel_tag_version "$tag")
    if ! rel_valid "$version"; then wrong "$tag: $version is no version as this project writes them"; continue; fi
    if [ "$type" != tag ]; then wrong "$tag: lightweight ($type); a release is an annotated tag"; continue; fi
    git cat-file tag "$object" > "$rel_work/object"
    sed '1,/^$/d; /^-----BEGIN/,$d' "$rel_work/object" > "$rel_work/message"
    awk 'NR == 1 { summary = NF } NR == 2 { gap = !NF } NR > 2 && NF { body = 1 } END { exit !(summary && gap && body) }' \
        "$rel_work/message" || wrong "$tag: its message needs a summary, an empty line and a body"
    owner=$(sed -n 's/^Release-Owner: //p' "$rel_work/message" | tail -n 1)
    git show "$commit:docs/CODEOWNERS" > "$rel_work/owners" 2>/dev/null || : > "$rel_work/owners"
    if [ -z "$owner" ] || ! grep -qF "$owner" "$rel_work/owners"; then wrong "$tag: Release-Owner '$owner' is not in docs/CODEOWNERS"; fi
    tagged=$(sed -n 's/^tagger .*> \([0-9]*\) [+-][0-9]*$/\1/p' "$rel_work/object" | head -n 1)
    made=$(git log -1 --format=%ct "$commit")
    [ "${tagged:-0}" -ge "$made" ] || wrong "$tag: dated before its commit"
    said=$(rel_version_at "$commit" "$family" 2>/dev/null || echo nothing)
    [ "$said" = "$version" ] || wrong "$tag: VERSION says $said there"
    row=$(awk -F '\t' -v tag="$tag" '$1 != "yanked" && $2 == tag { print $3 " " $4 " " $5 " " $7; exit }' "$rel_work/rows")
    if [ -z "$row" ]; then wrong "$tag: no row in docs/releases.tsv"; continue; fi
    [ "${row%% *}" = "$object" ] || wrong "$tag: moved: the witness knows object ${row%% *}, here it is $object"
    if [ "$(echo "$row" | cut -d' ' -f2)" != "$commit" ]; then wrong "$tag: the witness knows another commit"
    elif [ "$(echo "$row" | cut -d' ' -f3)" != "$(git rev-parse "$commit^{tree}")" ]; then wrong "$tag: the witness knows another tree"; fi
    if [ "$(echo "$row" | cut -d' ' -f4)" = signed ] && ! grep -q '^-----BEGIN SSH SIGNATURE' "$rel_work/object"; then
        wrong "$tag: its row says signed, and it is not"; fi
    if ! rel_tag_text "$commit" "$tag" > "$rel_work/made" 2>/dev/null; then wrong "$tag: no notes in its commit"
    elif [ "$(sed '/^-----BEGIN/,$d' "$rel_work/object")" != "$(cat "$rel_work/made")" ]; then
        wrong "$tag: the object is not what its commit gives"; fi
    if [ -f docs/keys/allowed_signers ] && grep -q '^-----BEGIN SSH SIGNATURE' "$rel_work/object"; then
        git -c gpg.format=ssh -c gpg.ssh.allowedSignersFile=docs/keys/allowed_signers verify-tag "$tag" >/dev/null 2>&1 ||
            wrong "$tag: its signature is by no key of docs/keys/allowed_signers"
    fi
done < "$rel_work/tags"

# One version on a commit; the same version once, however it is written.
awk '$2 == "tag" && $1 ~ /^(v|client-v|engine-v)[0-9]/ { print $4, $1 }' "$rel_work/tags" | sort |
    awk '$1 == last { print $2 ": on the same commit as " name } { last = $1; name = $2 }' > "$rel_work/wrong"
awk '{ print $1 }' "$rel_work/tags" | while read -r tag; do
    rel_family "$tag" >/dev/null && echo "$(rel_canonical "$tag") $tag"
done | sort | awk '$1 == last { print $2 ": the same version as " name } { last = $1; name = $2 }' >> "$rel_work/wrong" || true
while read -r line; do wrong "$line"; done < "$rel_work/wrong"

# Every row has its tag.
awk -F '\t' '$1 == "release" { print $2 }' "$rel_work/rows" | while read -r tag; do
    grep -q "^$tag " "$rel_work/tags" || echo "$tag: in the witness, and no tag here (./release.sh retag makes what a clone lacks)"
done > "$rel_work/wrong"
while read -r line; do wrong "$line"; done < "$rel_work/wrong"

# ---- history: the witness only grew, and VERSION was bare in releases alone ----
git rev-list --branches --remotes HEAD -- docs/releases.tsv > "$rel_work/commits"
while read -r commit; do
    git show "$commit:docs/releases.tsv" > "$rel_work/now" 2>/dev/null || { wrong "$commit: docs/releases.tsv is gone"; continue; }
    git show "$commit^:docs/releases.tsv" > "$rel_work/was" 2>/dev/null || continue
    head -c "$(wc -c < "$rel_work/was")" "$rel_work/now" | cmp -s - "$rel_work/was" ||
        wrong "$(git rev-parse --short=12 "$commit"): rows of docs/releases.tsv were changed or taken away"
done < "$rel_work/commits"
git rev-list --branches --remotes HEAD -- VERSION > "$rel_work/commits"
while read -r commit; do
    case $(git show "$commit:VERSION" 2>/dev/null | head -n 1) in *-dev | '') continue ;; esac
    awk -F '\t' -v c="$commit" '$4 == c { found = 1 } END { exit !found }' "$rel_work/rows" ||
        wrong "$(git rev-parse --short=12 "$commit"): VERSION without -dev, and no release"
done < "$rel_work/commits"

echo "$lint_n tags, $(grep -c . "$rel_work/rows" || true) rows, $lint_bad wrong"
[ "$lint_bad" = 0 ] || exit 4
