#!/bin/sh
# 43-dist.sh: `./build.sh dist` of a release's commit, twice in two places: the same bytes, exactly the files of
# docs/artefacts.tsv, and every tool that people have says the same of them: mlxk, minisign, ssh-keygen, cosign
# (SIGN_BIN names a folder with it), sha256sum. A quarter of an hour. Toolchain and fetched archives are those of this tree.
. tests/tap.sh
root=$PWD
skip() { echo "ok $1 # SKIP $2"; }
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
# place DIR: a clone that says it is 9.8.7, the commit dated by hand so that both are the same.
place() {
    git clone -q "$root" "$1" && cd "$1" || exit 1
    sed -i '1s/.*/9.8.7/' VERSION
    mkdir -p docs/keys build
    cp "$root/tests/golden/sign/mini.pub" docs/keys/minisign.pub; cp "$root/tests/golden/sign/p256.pub.pem" docs/keys/provenance.pub.pem
    echo "owner@example.org namespaces=\"git,file\" $(cut -d' ' -f1,2 "$T/key.pub")" > docs/keys/allowed_signers
    git -c user.name=o -c user.email=o@example.org add -A
    GIT_AUTHOR_DATE='@1800000000 +0000' GIT_COMMITTER_DATE='@1800000000 +0000' git -c user.name=o -c user.email=o@example.org commit -q -m 'Release 9.8.7'
    for shared in toolchain vendor-cache zig-global-cache; do if [ -d "$root/build/$shared" ]; then ln -s "$root/build/$shared" "build/$shared"; fi; done
}
ssh-keygen -q -t ed25519 -N '' -C '' -f "$T/key"
cp tests/golden/sign/mini.key "$T/key.minisign"; cp tests/golden/sign/p256.pem "$T/key.pem"
place "$T/one"
MLXK_SIGNING_KEY=$T/key ./build.sh dist > "$T/log" 2>&1; ok $? dist/made
tail -n 3 "$T/log" | sed 's/^/# /'
mlxk=$T/one/build/mlxk b=$T/one/build/dist
find "$b" -type f ! -name '*.minisig' ! -name '*.sshsig' ! -name '*.sigstore.json' ! -path '*/minisign.pub' ! -path '*/provenance.pub.pem' ! -path '*/allowed_signers' |
    sed 's|.*/||; s/9\.8\.7/VERSION/' | LC_ALL=C sort > "$T/there"
awk -F '\t' '$1 ~ /whole/ { print $2 }' docs/artefacts.tsv | LC_ALL=C sort > "$T/want"
same dist/the_files_of_the_list '' "$(LC_ALL=C comm -3 "$T/there" "$T/want")"
small=0; for f in "$b"/mlxk-client-*; do [ "$(wc -c < "$f")" -lt 1000000 ] || small=1; done; ok $small dist/clients_are_below_a_megabyte
run "$mlxk" --version; says dist/version out '^mlxk 9\.8\.7$'
run "$mlxk" verify-release "$b"; exits 0 dist/verified_by_the_keys_inside
says dist/by_both out '^provenance +[A-Za-z0-9+/]{43}=$'
run "$mlxk" version --verify --file "$mlxk" --sums "$b/SHA256SUMS"; exits 0 dist/one_program; says dist/one_program_says out 'mlxk-9\.8\.7-'
client=$b/mlxk-client-9.8.7-$(uname -m)-linux
run "$client" --version; says dist/client_version out ' 9\.8\.7$'
run "$client" verify-release "$b"; exits 0 dist/verified_by_the_client
run "$client" run o/m hi; exits 2 dist/a_client_has_no_engine; says dist/a_client_says_so err "'run' is not in this client"
(cd "$b" && sha256sum -c --quiet SHA256SUMS); ok $? dist/sha256sum
ssh-keygen -Y verify -f "$b/allowed_signers" -I owner@example.org -n file -s "$b/SHA256SUMS.sshsig" < "$b/SHA256SUMS" > "$T/out" 2>&1; ok $? dist/ssh-keygen
if command -v minisign > /dev/null 2>&1 || apt-get install -y -qq minisign > "$T/apt" 2>&1; then
    run minisign -V -p "$b/minisign.pub" -m "$b/SHA256SUMS"; exits 0 dist/minisign
    says dist/minisign_comment out "^Trusted comment: mlxk 9\\.8\\.7 $(git rev-parse HEAD)\$"
else skip dist/minisign 'minisign cannot be had'; fi
cosign=$(command -v cosign || echo "${SIGN_BIN:-$root/build/sign-bin}/cosign")
if [ -x "$cosign" ]; then
    for f in "$client" "$b/mlxk-9.8.7.tar.gz"; do
        run "$cosign" verify-blob-attestation --key "$b/provenance.pub.pem" --insecure-ignore-tlog --type slsaprovenance1 --bundle "$b/provenance.sigstore.json" "$f"
        exits 0 "dist/cosign_$(basename "$f" | cut -c1-11)"
    done
    echo other > "$T/f"
    run "$cosign" verify-blob-attestation --key "$b/provenance.pub.pem" --insecure-ignore-tlog --type slsaprovenance1 --bundle "$b/provenance.sigstore.json" "$T/f"
    [ "$status" != 0 ]; ok $? dist/cosign_refuses_another_file
else skip dist/cosign 'cosign is not here'; fi
for tag in client engine; do
    python3 "$root/tests/cli/image_judge.py" "$b/mlxk-9.8.7-images.tar" "$tag-9.8.7" - > "$T/judge" 2>&1
    same "dist/image_$tag" "$(sed -n "s/^$tag-9\\.8\\.7 //p" "$b/image.digest") amd64 arm64" "$(cat "$T/judge")"
done
if pip install -q --target "$T/pip" kubernetes-validate > "$T/pip.log" 2>&1; then
    PYTHONPATH=$T/pip python3 -m kubernetes_validate -k 1.30 --strict "$b/kubernetes.yaml" "$b/kubernetes-mirror.yaml" > "$T/out" 2>&1; ok $? dist/kubernetes_manifest
else skip dist/kubernetes_manifest 'kubernetes-validate cannot be had'; fi

place "$T/an other place"
(umask 077; TZ=Asia/Tokyo MLXK_SIGNING_KEY=$T/key JOBS=1 ./build.sh dist > "$T/log2" 2>&1); ok $? dist/made_again
diff -rq "$b" "$T/an other place/build/dist" > "$T/diff"; ok $? dist/the_same_bytes; sed 's/^/# /' "$T/diff" | head -n 5
