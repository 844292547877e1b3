#!/bin/sh
# seal.sh FOLDER PROGRAM [KEY]: the last step of a release's folder: SHA256SUMS over all of it, and the signatures.
#
#   KEY            a key of ssh-keygen (Ed25519)          SHA256SUMS.sshsig
#   KEY.minisign   a key of minisign without a password   SHA256SUMS.minisig, made by PROGRAM
#   KEY.pem        P-256 in PEM                           provenance.sigstore.json (DSSE), made by PROGRAM
#
# Each that is there signs. Without KEY the folder gets a file UNSIGNED. All signatures are deterministic and hold no
# time: the same folder and keys give the same bytes. Builds between releases, or with local changes, are never signed.
set -eu
export LC_ALL=C
folder=$1 program=$2 key=${3:-}
die() { echo "seal.sh: $*" >&2; exit 1; }
(cd "$folder" && rm -f SHA256SUMS SHA256SUMS.minisig SHA256SUMS.sshsig provenance.sigstore.json UNSIGNED)
if [ -z "$key" ]; then echo "This bundle is UNSIGNED: install.sh wants --sha256 with a hash that you trust." > "$folder/UNSIGNED"; fi
(cd "$folder" && find . -type f | sed 's|^\./||' | sort | xargs sha256sum) > "$folder.sums"
mv "$folder.sums" "$folder/SHA256SUMS"
[ -n "$key" ] || exit 0
case $(ls "$folder") in *-dev* | *.dev[0-9]*) die "a build between releases is not signed" ;; esac
if [ -f "$key.minisign" ] || [ -f "$key.pem" ]; then
    says=$("$program" version --build) || die "$program does not say what it is"
    fact() { printf '%s\n' "$says" | sed -n "s/^$1  *//p" | head -n 1; }
    [ "$(fact dirty)" = 0 ] || die "a build with local changes is not signed"
fi
if [ -f "$key.minisign" ]; then
    "$program" sign "$folder/SHA256SUMS" --key "$key.minisign" --comment "mlxk $(fact version) $(fact commit)" > /dev/null ||
        die "$key.minisign signed nothing"
fi
if [ -f "$key.pem" ] && [ -f "$folder/provenance.intoto.json" ]; then
    "$program" sign "$folder/provenance.intoto.json" --statement --key "$key.pem" \
        --bundle "$folder/provenance.sigstore.json" > /dev/null || die "$key.pem signed nothing"
fi
if [ -f "$key" ]; then
    command -v ssh-keygen >/dev/null 2>&1 || die "signing with $key needs ssh-keygen"
    ssh-keygen -q -Y sign -n file -f "$key" "$folder/SHA256SUMS" 2> "$folder.log" || die "the key $key signed nothing: $(tail -n 1 "$folder.log")"
    rm -f "$folder.log"
    mv "$folder/SHA256SUMS.sig" "$folder/SHA256SUMS.sshsig"
fi
