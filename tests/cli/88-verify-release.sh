#!/bin/sh
# `verify-release` and `version --verify`, `--of`: a good folder is good, and each way to damage it is refused with its
# own status and words. The programs in the folder are never run: here they are nothing but their build facts.
. tests/tap.sh
keys=tests/golden/sign
make() { rm -rf "$T/b"; python3 tests/cli/release_bundle.py "$T/b" "$@" > "$T/row"; }
signed() {
    "$MLXK" sign "$T/b/SHA256SUMS" --key $keys/mini.key --comment "mlxk 1.2.3 cccc" > "$T/log" &&
        "$MLXK" sign "$T/b/provenance.intoto.json" --statement --key $keys/p256.pem --bundle "$T/b/provenance.sigstore.json" > "$T/log"
}
resum() { (cd "$T/b" && find . -type f ! -name 'SHA256SUMS*' ! -name '*.sigstore.json' | sed 's|^\./||' | LC_ALL=C sort | xargs sha256sum > SHA256SUMS); }
check() { run "$MLXK" verify-release "$T/b" --key $keys/mini.pub --key $keys/p256.pub.pem "$@"; }
# refused NAME STATUS PATTERN COMMAND...: a good, signed folder after COMMAND inside it.
refused() {
    name=$1 want=$2 pattern=$3; shift 3
    make; signed
    (cd "$T/b" && "$@")
    check
    exits "$want" "release/$name"; says "release/${name}_says" err "$pattern"
}

# ---- a good one ------------------------------------------------------------------------------------
make; signed
check; exits 0 release/good; says release/good_says out '^mlxk 1\.2\.3: 8 files, 5 programs of commit cccccccccccc$'
says release/who out '^signed by +[0-9A-F]{16} \(mlxk 1\.2\.3 cccc\)$'
check --json; json release/document 'x["signed_by"] and x["provenance_by"] and x["witness"] is None and x["n_programs"] == 5'
check --witness "$T/row"; exits 0 release/witness; says release/witness_says out '^witness +v1\.2\.3$'
cp "$T/b/SHA256SUMS.minisig" "$T/first"; cp "$T/b/provenance.sigstore.json" "$T/first.dsse"
signed; cmp -s "$T/first" "$T/b/SHA256SUMS.minisig" && cmp -s "$T/first.dsse" "$T/b/provenance.sigstore.json"; ok $? release/signing_again_is_the_same
run "$MLXK" verify-release "$T/b" --key $keys/mini.pub; exits 0 release/without_the_other_key; says release/unchecked_is_said out '^provenance +no signature of it was checked$'

# ---- each thing that can be wrong -------------------------------------------------------------------
refused changed 1 'mlxk-1.2.3-x86_64-linux has the hash' sh -c 'echo x >> mlxk-1.2.3-x86_64-linux'
refused missing 1 'install.sh is missing' rm install.sh
refused more 1 'a file that no line names: extra' touch extra
refused hidden 1 'no line names: .hidden' touch .hidden
refused folder 1 'no line names: sub' mkdir sub
refused no_line 1 'no line names: install.sh' sed -i '/install.sh/d' SHA256SUMS
refused twice 1 'names install.sh twice' sh -c 'grep install.sh SHA256SUMS > l; cat l >> SHA256SUMS; rm l'
refused climbing 1 'not of the form' sh -c 'sed "s|install.sh|../b/install.sh|" SHA256SUMS > l; mv l SHA256SUMS'
refused cut_list 1 'last line is cut' sh -c 'printf x >> SHA256SUMS'
refused empty_list 1 'it is empty' sh -c ': > SHA256SUMS'
refused no_list 1 'SHA256SUMS' rm SHA256SUMS
refused link 1 'no line names: other' ln -s install.sh other
refused other_sums 2 'SHA256SUMS.minisig: ' sh -c 'echo y > install.sh; sha256sum install.sh > l; grep -v install.sh SHA256SUMS >> l; mv l SHA256SUMS'
refused no_signature 3 'nobody signed it' rm SHA256SUMS.minisig
refused damaged_signature 2 'SHA256SUMS.minisig' sh -c 'sed -i "2s/^..../RUxx/" SHA256SUMS.minisig'
refused comment_changed 2 'SHA256SUMS.minisig' sed -i 's/mlxk 1.2.3 cccc/mlxk 1.2.4 cccc/' SHA256SUMS.minisig
refused no_proof 3 'nobody signed it: there is no provenance' rm provenance.sigstore.json
refused damaged_proof 2 'provenance: ' sh -c 'sed "s/\"sig\":\"..../\"sig\":\"AAAA/" provenance.sigstore.json > l; mv l provenance.sigstore.json'
make; signed; run "$MLXK" verify-release "$T/b" --key $keys/other.pub; exits 2 release/wrong_key; says release/wrong_key_says err 'none of the 1 trusted'
run "$MLXK" verify-release "$T/b"; exits 3 release/no_key
run "$MLXK" verify-release "$T/b" --key $keys/mini.pub --key $keys/other.pub.pem; exits 2 release/wrong_key_of_the_provenance

# ---- wrong in itself, though signed -------------------------------------------------------------------
# lying NAME STATUS PATTERN: what stands in $T/b is listed and signed anew.
lying() { resum; signed; check; exits "$2" "release/$1"; says "release/${1}_says" err "$3"; }
make version=1.2.4; lying other_version 4 'says of itself that it is mlxk-1.2.4'
make; sed -i 's/aarch64-linux-musl/x86_64-linux-musl/' "$T/b/mlxk-1.2.3-aarch64-linux"; lying other_target 4 'mlxk-1.2.3-aarch64-linux says of itself'
make; sed -i 's/^part client/part whole/' "$T/b/mlxk-client-1.2.3-x86_64-linux"; lying other_part 4 'says of itself that it is mlxk-1.2.3-x86_64'
make; sed -i 's/cccccc/bbbbbb/' "$T/b/mlxk-1.2.3-x86_64-linux"; lying other_commit 4 'is of another commit'
make dirty=1; lying dirty 4 'is no release'
make; echo 'a program' > "$T/b/mlxk-1.2.3-x86_64-linux"; lying no_facts 4 'no build facts in it'
make; cat "$T/b/mlxk-1.2.3-x86_64-linux" "$T/b/mlxk-1.2.3-x86_64-linux" > "$T/l"; mv "$T/l" "$T/b/mlxk-1.2.3-x86_64-linux"; lying facts_twice 4 'build facts twice'
make; sed -i 's/"name":"install.sh"/"name":"uninstall"/' "$T/b/provenance.intoto.json"; lying other_subject 1 'another hash of uninstall'
make; rm "$T/b/provenance.intoto.json"; resum; "$MLXK" sign "$T/b/SHA256SUMS" --key $keys/mini.key > "$T/log"; check; exits 1 release/no_statement
make; signed; sed 's/=[0-9a-f]*,/=0000,/' "$T/row" > "$T/w"; check --witness "$T/w"; exits 4 release/witness_of_other_bytes
sed 's/cccccc/bbbbbb/' "$T/row" > "$T/w"; check --witness "$T/w"; exits 4 release/witness_without_it
{ cat "$T/row"; sed 's/^release/yanked/; s/-$/loses data/' "$T/row"; } > "$T/w"; check --witness "$T/w"; exits 4 release/yanked; says release/yanked_says err 'was taken back: loses data'
make; run "$MLXK" verify-release "$T/b" --unsigned --witness "$T/row"; exits 0 release/unsigned
signed; sed -i 's/mlxk 1.2.3 cccc/mlxk 1.2.4 cccc/' "$T/b/SHA256SUMS.minisig"; run "$MLXK" verify-release "$T/b" --unsigned --key $keys/mini.pub; exits 2 release/unsigned_takes_no_bad_signature
run "$MLXK" verify-release "$T/nowhere" --unsigned; exits 1 release/no_folder

# ---- by a key of OpenSSH ------------------------------------------------------------------------------
# tests/golden/sign/release.sshsig was made by ssh-keygen over the SHA256SUMS that release_bundle.py makes.
shell() { run "$MLXK" verify-release "$T/b" "$@"; }
make; signed; cp $keys/release.sshsig "$T/b/SHA256SUMS.sshsig"
shell --key $keys/ssh.pub; exits 0 ssh/good; says ssh/who out '^signed by +SHA256:[A-Za-z0-9+/]{43}$'
shell --key $keys/ssh.pub --key $keys/mini.pub; exits 0 ssh/both; says ssh/both_say out '^signed by +[0-9A-F]{16} \(.*\), SHA256:'
{ printf '# owners\nreleases '; cat $keys/ssh-other.pub; printf 'releases '; cat $keys/ssh.pub; } > "$T/signers"
shell --key "$T/signers"; exits 0 ssh/allowed_signers
shell --key $keys/ssh-other.pub; exits 2 ssh/wrong_key; says ssh/wrong_key_says err 'SHA256SUMS.sshsig: it is by the key SHA256:.*none of the 1 trusted'
sed 's/^releases /&valid-before="20200101" /' "$T/signers" > "$T/limited"; shell --key "$T/limited"; exits 3 ssh/limited_key; says ssh/limited_key_says err 'limits the key'
p=$T/b/mlxk-1.2.3-x86_64-linux; run "$MLXK" version --verify --file "$p" --key $keys/ssh.pub; exits 0 ssh/one_file
run "$MLXK" version --verify --file "$p" --sig "$T/b/SHA256SUMS.sshsig" --key $keys/ssh.pub; exits 0 ssh/one_file_named
cp $keys/hello.txt.sha512.sshsig "$T/b/SHA256SUMS.sshsig"; shell --key $keys/ssh.pub; exits 2 ssh/of_another_file; says ssh/of_another_file_says err 'does not fit these bytes'
cp $keys/hello.txt.git.sshsig "$T/b/SHA256SUMS.sshsig"; shell --key $keys/ssh.pub; exits 2 ssh/for_another_purpose; says ssh/for_another_purpose_says err "another purpose than 'file'"
rm "$T/b/SHA256SUMS.sshsig"; shell --key $keys/ssh.pub; exits 3 ssh/lacking; shell --key $keys/ssh.pub --key $keys/mini.pub; exits 3 ssh/one_of_two_lacks
shell --key $keys/ssh.pub --unsigned; exits 0 ssh/unsigned
rm "$T/b/SHA256SUMS.minisig"; cp $keys/release.sshsig "$T/b/SHA256SUMS.sshsig"; shell; exits 3 ssh/no_key

# ---- one file -----------------------------------------------------------------------------------------
make; signed; p=$T/b/mlxk-1.2.3-x86_64-linux
one() { run "$MLXK" version --verify --file "$p" --key $keys/mini.pub "$@"; }
one; exits 0 version/verified; says version/verified_says out 'mlxk 1\.2\.3 \(mlxk-1\.2\.3-x86_64-linux\), signed by'
one --json; json version/document 'x["version"] == "1.2.3" and x["name"] == "mlxk-1.2.3-x86_64-linux"'
one --unsigned; exits 0 version/signed_all_the_same; says version/signed_all_the_same_says out 'signed by [^n]'
mv "$T/b/SHA256SUMS.minisig" "$T/kept.minisig"
one; exits 3 version/unsigned; says version/unsigned_says err '\-\-unsigned takes it by its hash alone'
one --unsigned; exits 0 version/by_its_hash; says version/by_its_hash_says out 'signed by nobody$'
one --unsigned --json; json version/by_its_hash_document 'x["signed_by"] == ""'
cp "$T/kept.minisig" "$T/b/SHA256SUMS.minisig"; printf 'x\n' >> "$T/b/SHA256SUMS.minisig"; sed -i '2s/^..../AAAA/' "$T/b/SHA256SUMS.minisig"
one --unsigned; [ "$status" != 0 ]; ok $? version/a_wrong_signature_is_no_lack
mv "$T/kept.minisig" "$T/b/SHA256SUMS.minisig"
cp "$p" "$T/elsewhere"; run "$MLXK" version --verify --file "$T/elsewhere" --sums "$T/b/SHA256SUMS" --key $keys/mini.pub; exits 0 version/another_name
# The README's lines, as somebody types them (this program is in no release: --file).
sed -n 's/^    mlxk \(ver.* --key .*\)/\1/p' README.md | sed 's/   *.*$//' > "$T/typed"; same readme/lines 2 "$(wc -l < "$T/typed")"
cp $keys/release.sshsig "$T/b/SHA256SUMS.sshsig"
while read -r line; do
    line=$(echo "$line" | sed "s|SHA256SUMS|$T/b/SHA256SUMS --file $T/elsewhere|; s|FOLDER|$T/b|; s|SIGNERS|$T/signers|")
    run sh -c "$MLXK $line"; exits 0 "readme/${line%% *}"
done < "$T/typed"; rm "$T/b/SHA256SUMS.sshsig"
echo x >> "$p"; one; exits 1 version/changed
make; signed; sed -i 's/mlxk 1.2.3 cccc/x/' "$T/b/SHA256SUMS.minisig"; one; exits 2 version/bad_signature
rm "$T/b/SHA256SUMS.minisig"; one; exits 3 version/no_signature
rm "$T/b/SHA256SUMS"; one; exits 3 version/no_sums
make version=1.2.3-dev+gabc; signed; one; exits 4 version/between_releases
make version=1.2.3.dev20260102; signed; one; exits 4 version/nightly
run "$MLXK" version --of "$p"; exits 0 version/of; says version/of_says out '^target +x86_64-linux-musl$'
run "$MLXK" version --of "$MLXK" --json; json version/of_itself "x['build']['commit']"
"$MLXK" version --build > "$T/own"; "$MLXK" version --of "$MLXK" > "$T/of"; tail -n +2 "$T/own" | cmp -s - "$T/of"; ok $? version/facts_are_its_own
run "$MLXK" version --of /bin/sh; exits 1 version/of_another_program
grep -c 'mlxk build facts, version 1' "$MLXK" > "$T/n"; same version/facts_stand_in_it_once 1 "$(cat "$T/n")"
