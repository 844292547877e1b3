#!/bin/sh
# verify.sh FOLDER [--key SIGNERS] [--unsigned]: a release's folder, all of it, without network: every file has its
# hash in SHA256SUMS and none is missing or more, SHA256SUMS is signed, the lists of what is inside name the same bytes,
# every program carries the commit that the witness names, and the witness has these hashes.
# SIGNERS is an allowed_signers file (docs/keys/allowed_signers without it); --unsigned takes a bundle without a signature.
# Exit status as `version --verify`: 0 verified, 1 bytes differ, 2 signature bad, 3 no signature, 4 not this tree's release.
set -eu
cd "$(dirname "$0")/../../.."
rel_program=verify-release
. src/tools/release/lib.sh
if [ $# = 0 ] || [ ! -d "$1" ]; then rel_die 1 "verify-release FOLDER [--key SIGNERS] [--unsigned]: no such folder"; fi
ver_dir=$1; shift
ver_key=docs/keys/allowed_signers ver_unsigned=0
while [ $# -gt 0 ]; do
    case $1 in
    --key) [ $# -ge 2 ] || rel_die 1 "--key SIGNERS"; ver_key=$2; shift ;;
    --unsigned) ver_unsigned=1 ;;
    *) rel_die 1 "verify-release knows --key and --unsigned, not $1" ;;
    esac
    shift
done
ver_work=$(mktemp -d "${TMPDIR:-/tmp}/mlxk-verify.XXXXXX")
trap 'rm -rf "$ver_work"' EXIT
ver_sums=$ver_dir/SHA256SUMS

# Bytes.
[ -s "$ver_sums" ] || rel_die 1 "$ver_dir has no SHA256SUMS"
if grep -vqE '^[0-9a-f]{64}  [A-Za-z0-9._-]+$' "$ver_sums"; then rel_die 1 "SHA256SUMS has lines that are none of its form"; fi
cut -c67- "$ver_sums" | sort | uniq -d > "$ver_work/twice"
[ ! -s "$ver_work/twice" ] || rel_die 1 "SHA256SUMS names twice: $(head -n 1 "$ver_work/twice")"
{ cut -c67- "$ver_sums"; echo SHA256SUMS; } | sort > "$ver_work/named"
(cd "$ver_dir" && find . -mindepth 1 ! -name SHA256SUMS.sshsig ! -name SHA256SUMS.minisig ! -name provenance.sigstore.json | sed 's|^\./||' | sort) > "$ver_work/there"
diff "$ver_work/named" "$ver_work/there" > "$ver_work/diff" ||
    rel_die 1 "files and SHA256SUMS differ: $(sed -n 's/^< \(.*\)/\1 is missing/p; s/^> \(.*\)/\1 is not listed/p' "$ver_work/diff" | head -n 3 | tr '\n' ' ')"
(cd "$ver_dir" && sha256sum -c --quiet SHA256SUMS) > "$ver_work/sums" 2>&1 || rel_die 1 "$(grep FAILED "$ver_work/sums" | head -n 1)"
for ver_list in mlxk.spdx.json mlxk.cdx.json; do
    [ -f "$ver_dir/$ver_list" ] || continue
    awk '$2 ~ /-(linux|macos)$/ { print $1, $2 }' "$ver_sums" | while read -r ver_hash ver_name; do
        grep -F "\"$ver_name\"" "$ver_dir/$ver_list" | grep -qF "$ver_hash" ||
            grep -F "./$ver_name\"" "$ver_dir/$ver_list" | grep -qF "$ver_hash" || echo "$ver_name"
    done > "$ver_work/other"
    [ ! -s "$ver_work/other" ] || rel_die 1 "$ver_list tells another hash of $(head -n 1 "$ver_work/other")"
done

# The tree's own word about them.
ver_row=$(rel_rows | awk -F '\t' -v title="$(sed -n '1s/^# mlxk //p' "$ver_dir/RELEASE_NOTES.md" 2>/dev/null | sed 's/^\(client\|engine\) /\1-v/; s/^[0-9]/v&/')" \
    '$1 == "release" && $2 == title { print; exit }')
[ -n "$ver_row" ] || rel_die 4 "the witness of this tree (docs/releases.tsv) knows no release that $ver_dir could be"
ver_tag=$(printf '%s' "$ver_row" | cut -f2); ver_commit=$(printf '%s' "$ver_row" | cut -f4)
printf '%s' "$ver_row" | cut -f8 | tr ',' '\n' | sed 's/^\(.*\)=\(.*\)$/\2  \1/' | sort > "$ver_work/witness"
sort "$ver_sums" | diff "$ver_work/witness" - > "$ver_work/diff" ||
    rel_die 4 "$ver_tag: the witness has other hashes: $(sed -n 's/^[<>] [0-9a-f]*  //p' "$ver_work/diff" | sort -u | head -n 3 | tr '\n' ' ')"
# Signatures of mlxk's own kinds, and what stands inside the programs, are judged by `mlxk verify-release`.
awk '$2 ~ /-(linux|macos)$/ { print $2 }' "$ver_sums" | while read -r ver_name; do
    grep -qaF "$ver_commit" "$ver_dir/$ver_name" || echo "$ver_name"
done > "$ver_work/other"
[ ! -s "$ver_work/other" ] || rel_die 4 "$(head -n 1 "$ver_work/other") does not carry the commit of $ver_tag ($ver_commit)"
if rel_rows | awk -F '\t' -v tag="$ver_tag" '$1 == "yanked" && $2 == tag { found = 1 } END { exit !found }'; then
    rel_say "note: $ver_tag was yanked: $(rel_rows | awk -F '\t' -v tag="$ver_tag" '$1 == "yanked" && $2 == tag { print $9 }')"; fi

# Who says so.
if [ -f "$ver_sums.sshsig" ]; then
    [ -f "$ver_key" ] || rel_die 3 "no keys to check the signature with: --key SIGNERS"
    ver_who=$(ssh-keygen -Y find-principals -f "$ver_key" -s "$ver_sums.sshsig" 2>/dev/null | head -n 1) || ver_who=
    ssh-keygen -Y verify -f "$ver_key" -I "${ver_who:-nobody}" -n file -s "$ver_sums.sshsig" < "$ver_sums" >/dev/null 2>&1 ||
        rel_die 2 "SHA256SUMS is signed by no key of $ver_key"
    rel_say "$ver_tag: $(wc -l < "$ver_sums" | tr -d ' ') files, signed by $ver_who"
elif [ "$ver_unsigned" = 1 ]; then rel_say "$ver_tag: $(wc -l < "$ver_sums" | tr -d ' ') files, unsigned"
else rel_die 3 "$ver_dir is not signed (--unsigned takes it by the witness alone)"; fi
