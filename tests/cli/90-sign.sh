#!/bin/sh
# 90-sign.sh: sign FILE and verify FILE --key: both kinds of keys, every other key file by its name, damage of any part, passwords,
# places that cannot be written. Keys and signatures in tests/golden/sign were made by openssl and minisign.
set -u
. tests/tap.sh
G=$PWD/tests/golden/sign
unset MLXK_KEY_PASSWORD MLXK_KEY_PASSWORD_FILE
cd "$T" || exit 1
OLD=$OLDPWD
json_here() { (cd "$OLD" && json "$@"); }
cp "$G/hello.txt" f

# ---- bundles
run "$MLXK" sign f --key "$G/p256.pem"; exits 0 sign/bundle
run "$MLXK" verify f --key "$G/p256.pub.pem"; exits 0 verify/bundle; says verify/bundle_says out 'good signature by the key RsWxUM7NytnS7m85drMN2HexG5a4WfrVX7Ys0HkC70o='
run "$MLXK" sign f --key "$G/p256.pem" --bundle again --json; exits 0 sign/json_status
json_here sign/json 'd["data"]["format"] == "sigstore-bundle" and d["data"]["signature"] == "again" and d["data"]["size_bytes"] == 6 and d["data"]["digest"] == "sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"'
cmp -s f.sigstore.json again; ok $? sign/the_same_bytes_again
same sign/pinned "$(sha256sum < again | cut -c1-64)" 9014265f4a4cbf04c46f26bdbd4964efb9f2f45fc768531b102629201343f0bb
run "$MLXK" verify f --key "$G/p256.pub.pem" --bundle again --json
json_here verify/json 'd["data"]["good"] is True and d["data"]["comment"] is None'
run "$MLXK" verify f --key "$G/other.pub.pem"; exits 1 verify/stranger; says verify/stranger_says err 'of none of the 1 key'
printf 'hello!\n' > g
run "$MLXK" verify g --key "$G/p256.pub.pem" --bundle again; exits 1 verify/other_file; says verify/other_file_says err 'g was changed'
run "$MLXK" verify f --key "$G/p256.pub.pem" --bundle none; exits 1 verify/no_bundle; says verify/no_bundle_hint err '--bundle or --minisig'
# A bundle whose digest was adapted to another file: the signature no longer fits.
python3 - <<'PY'
import base64, hashlib, json
b = json.load(open("again"))
m = b["messageSignature"]
m["messageDigest"]["digest"] = base64.b64encode(hashlib.sha256(open("g", "rb").read()).digest()).decode()
json.dump(b, open("forged", "w"))
sig = bytearray(base64.b64decode(m["signature"]))
good = json.load(open("again"))
bad = 0
for i in range(len(sig)):
    s = bytearray(sig); s[i] ^= 1
    good["messageSignature"]["signature"] = base64.b64encode(bytes(s)).decode()
    json.dump(good, open("bent%d" % i, "w"))
PY
run "$MLXK" verify g --key "$G/p256.pub.pem" --bundle forged; exits 1 verify/forged; says verify/forged_says err 'names the right key'
taken=0; for b in bent*; do if "$MLXK" verify f --key "$G/p256.pub.pem" --bundle "$b" > /dev/null 2>&1; then taken=$((taken + 1)); fi; done
same verify/no_bent_signature "$taken" 0

# ---- passwords
for k in enc256 enc192 enc128; do
    MLXK_KEY_PASSWORD=secret run "$MLXK" sign f --key "$G/$k.pem" --bundle "by-$k"; exits 0 "sign/$k"
    cmp -s again "by-$k"; ok $? "sign/${k}_is_the_same_key"
done
printf 'secret\nsecond line\n' > pw
MLXK_KEY_PASSWORD_FILE=pw run "$MLXK" sign f --key "$G/enc256.pem" --bundle by-file; exits 0 sign/password_file
cmp -s again by-file; ok $? sign/password_file_is_the_same_key
run "$MLXK" sign f --key "$G/enc256.pem" --bundle x; exits 1 sign/no_password; says sign/no_password_hint err 'MLXK_KEY_PASSWORD'
MLXK_KEY_PASSWORD=Secret run "$MLXK" sign f --key "$G/enc256.pem" --bundle x; exits 1 sign/wrong_password; says sign/wrong_password_says err 'password is wrong'
MLXK_KEY_PASSWORD_FILE=none run "$MLXK" sign f --key "$G/enc256.pem" --bundle x; exits 1 sign/missing_password_file
MLXK_KEY_PASSWORD=secret run "$MLXK" sign f --key "$G/enc256.pem" --bundle by-json --json
if grep -rq secret out err by-json; then ok 1 sign/no_password_is_told; else ok 0 sign/no_password_is_told; fi

# ---- other key files, by name
refused() {
    run "$MLXK" sign f --key "$1" "${3:---bundle}" x; exits 1 "sign/refuses_$(basename "$1")"
    says "sign/names_$(basename "$1")" err "$2"
}
refused "$G/sec1.pem" 'SEC1'; refused "$G/rsa.pem" 'an RSA key'; refused "$G/p384.pem" 'over P-384'; refused "$G/k1.pem" 'secp256k1'
refused "$G/explicit.pem" 'spelt out'; refused "$G/ed.pem" 'an Ed25519 key'; refused "$G/x25519.pem" 'cannot sign'; refused "$G/scrypt.pem" 'scrypt'
refused "$G/sha1.pem" 'SHA-1'; refused "$G/sha512.pem" 'another hash'; refused "$G/des3.pem" 'another cipher'; refused "$G/pbes1.pem" 'PBES1'
refused "$G/p256.pub.pem" 'a public key'; refused "$G/mini.pub" 'no secret key of minisign' --minisig; refused "$G/mini-encrypted.key" 'behind a password' --minisig
for label in 'ENCRYPTED SIGSTORE PRIVATE KEY' 'OPENSSH PRIVATE KEY' 'DSA PRIVATE KEY' 'CERTIFICATE'; do
    printf -- '-----BEGIN %s-----\nAAAA\n-----END %s-----\n' "$label" "$label" > "key-$(echo "$label" | cut -c1-9 | tr ' ' '-')"
done
refused key-ENCRYPTED "cosign's own box"; refused key-OPENSSH-P 'an OpenSSH key'; refused key-DSA-PRIVA 'a DSA key'; refused key-CERTIFICA 'a certificate'
run "$MLXK" verify f --key "$G/compressed.pub.pem"; exits 1 verify/compressed; says verify/compressed_says err 'compressed'
run "$MLXK" verify f --key "$G/p256.pem"; exits 1 verify/private_key; says verify/private_key_says err 'a private key, not a public one'
head -c 70000 /dev/zero > huge.pem; refused huge.pem 'larger|limit'
[ ! -e x ]; ok $? sign/nothing_was_written

# ---- minisign
run "$MLXK" sign f --key "$G/mini.key" --comment 'a comment' --minisig f.sig; exits 0 minisign/sign
tail -n 3 f.sig > ours; tail -n 3 "$G/hello.txt.minisig" > theirs; cmp -s ours theirs; ok $? minisign/as_minisign_writes_it
run "$MLXK" sign f --key "$G/mini.key" --json; json_here minisign/json 'd["data"]["format"] == "minisign" and d["data"]["signature"] == "f.minisig" and d["data"]["key"] == "B11DDB34434725C1" and d["data"]["digest"].startswith("blake2b-512:")'
run "$MLXK" verify f --key "$G/mini.pub"; exits 0 minisign/verify; says minisign/default_comment out '^Trusted comment: file:f$'
run "$MLXK" verify f --key "$G/mini.pub" --minisig "$G/hello.txt.minisig"; exits 0 minisign/theirs; says minisign/their_comment out '^Trusted comment: a comment$'
run "$MLXK" verify f --key "$G/mini.pub" --minisig "$G/hello.legacy"; exits 0 minisign/their_legacy
tail -n 1 "$G/mini.pub" > bare; run "$MLXK" verify f --key bare; exits 0 minisign/bare_key
run "$MLXK" verify g --key "$G/mini.pub" --minisig f.sig; exits 1 minisign/other_file; says minisign/other_file_says err 'does not fit the file'
run "$MLXK" verify g --key "$G/mini.pub" --minisig "$G/hello.legacy"; exits 1 minisign/other_file_legacy
run "$MLXK" verify f --key "$G/other.pub" --minisig f.sig; exits 1 minisign/stranger; says minisign/stranger_says err 'with the key B11DDB34434725C1'
sed 's/^trusted comment: a/trusted comment: A/' f.sig > bent; run "$MLXK" verify f --key "$G/mini.pub" --minisig bent; exits 1 minisign/bent_comment
if grep -q 'A comment' out err; then ok 1 minisign/bent_comment_is_not_shown; else ok 0 minisign/bent_comment_is_not_shown; fi
printf 'two\nlines' > lines; run "$MLXK" sign f --key "$G/mini.key" --comment "$(cat lines)" --minisig x; exits 1 minisign/comment_of_two_lines
run "$MLXK" verify f --key "$G/mini.pub" --minisig f; exits 1 minisign/no_signature; says minisign/no_signature_says err 'no signature of minisign'
head -c 3000000 /dev/urandom > big; run "$MLXK" sign big --key "$G/mini.key"; run "$MLXK" verify big --key "$G/mini.pub"; exits 0 minisign/big_file
printf x | dd of=big bs=1 seek=2999999 conv=notrunc 2>/dev/null; printf y | dd of=big bs=1 seek=1234567 conv=notrunc 2>/dev/null
run "$MLXK" verify big --key "$G/mini.pub"; exits 1 minisign/big_file_changed

# ---- command lines and places
run "$MLXK" sign f; exits 2 sign/no_key
run "$MLXK" sign f --key "$G/p256.pem" --minisig x; exits 2 sign/minisig_with_p256
run "$MLXK" sign f --key "$G/p256.pem" --comment x; exits 2 sign/comment_with_p256
run "$MLXK" verify --key "$G/p256.pub.pem"; exits 2 verify/no_file
run "$MLXK" verify f --bundle again; exits 2 verify/no_key
run "$MLXK" verify f --key "$G/p256.pub.pem" --repair; exits 2 verify/key_and_repair
run "$MLXK" sign none --key "$G/p256.pem"; exits 1 sign/no_file; says sign/no_file_says err 'there is no file none'
run "$MLXK" sign . --key "$G/p256.pem"; exits 1 sign/folder; says sign/folder_says err 'no regular file'
run "$MLXK" sign f --key none; exits 1 sign/no_key_file
run "$MLXK" sign f --key "$G/p256.pem" --bundle no/such/folder; exits 1 sign/no_folder
if [ -w /dev/full ]; then run "$MLXK" sign f --key "$G/p256.pem" --bundle /dev/full/x; exits 1 sign/no_place; fi
mkdir tiny
(trap '' XFSZ; ulimit -f 0; exec "$MLXK" sign f --key "$G/p256.pem" --bundle tiny/s > /dev/null 2>&1); same sign/no_room $? 1
same sign/no_room_leaves_nothing "$(find tiny | wc -l)" 1
