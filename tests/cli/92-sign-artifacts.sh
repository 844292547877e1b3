#!/bin/sh
# 92-sign-artifacts.sh: signatures attached to artifacts in a layout, found again, and policies that a pull keeps to.
set -u
. tests/tap.sh
G=$PWD/tests/golden/sign
unset MLXK_KEY_PASSWORD MLXK_KEY_PASSWORD_FILE MLXK_POLICY
export HF_HOME="$T/hf" XDG_CONFIG_HOME="$T/config"
tiny "$T/m"
OLD=$PWD
cd "$T" || exit 1
json_here() { (cd "$OLD" && json "$@"); }
# A layout with the model under two tags of different manifests.
cat > layout.py <<'PY'
import hashlib, json, os
os.makedirs("l/blobs/sha256")
def blob(data):
    h = hashlib.sha256(data).hexdigest()
    open("l/blobs/sha256/" + h, "wb").write(data)
    return {"digest": "sha256:" + h, "size": len(data)}
def manifest(tag):
    layers = []
    for name in sorted(os.listdir("m")):
        d = {"mediaType": "application/vnd.cncf.model.weight.v1.raw"}
        d.update(blob(open("m/" + name, "rb").read()))
        d["annotations"] = {"org.cncf.model.filepath": name, "org.opencontainers.image.title": name}
        layers.append(d)
    m = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "application/vnd.cncf.model.manifest.v1+json",
         "config": dict({"mediaType": "application/vnd.cncf.model.config.v1+json"}, **blob(b'{"descriptor":{"name":"%s"}}' % tag.encode())), "layers": layers}
    return dict({"mediaType": m["mediaType"], "annotations": {"org.opencontainers.image.ref.name": tag}}, **blob(json.dumps(m).encode()))
json.dump({"schemaVersion": 2, "manifests": [manifest("v1.0.0"), manifest("adhoc")]}, open("l/index.json", "w"))
open("l/oci-layout", "w").write('{"imageLayoutVersion":"1.0.0"}')
PY
python3 layout.py
policy() { printf '{"rules":[{"prefix":"","require":"%s","keys":["%s"]}]}' "$1" "$G/${2:-p256.pub.pem}" > policy.json; }

run "$MLXK" verify oci:l:v1.0.0 --key "$G/p256.pub.pem"; exits 1 artifact/unsigned; says artifact/unsigned_says err 'no signature'
policy signed; MLXK_POLICY=policy.json run "$MLXK" pull oci:l:v1.0.0; exits 1 policy/unsigned_is_not_pulled; says policy/unsigned_says err 'may not be used: it has no signature'
[ ! -e hf/hub ] || [ -z "$(find hf/hub -type f -size +1k)" ]; ok $? policy/nothing_was_fetched
run "$MLXK" sign oci:l:v1.0.0 --key "$G/p256.pem" --json; exits 0 artifact/sign
json_here artifact/sign_json 'd["data"]["signature"].startswith("sha256:") and d["data"]["digest"].startswith("sha256:") and d["data"]["version"] is None'
cp -r l before; run "$MLXK" sign oci:l:v1.0.0 --key "$G/p256.pem"; exits 0 artifact/sign_again
diff -r l before > /dev/null; ok $? artifact/the_same_signature_is_there_once
run "$MLXK" verify oci:l:v1.0.0 --key "$G/p256.pub.pem"; exits 0 artifact/verify; says artifact/verify_says out 'good signature by the key RsWx'
run "$MLXK" verify oci:l:v1.0.0 --key "$G/other.pub.pem"; exits 1 artifact/stranger
run "$MLXK" verify oci:l:adhoc --key "$G/p256.pub.pem"; exits 1 artifact/other_manifest
run "$MLXK" verify oci:l:v1.0.0; exits 2 artifact/no_key
MLXK_POLICY=policy.json run "$MLXK" pull oci:l:v1.0.0; exits 0 policy/signed_is_pulled
MLXK_POLICY=policy.json run "$MLXK" pull oci:l:adhoc; exits 1 policy/adhoc_is_not
policy signed other.pub.pem; MLXK_POLICY=policy.json run "$MLXK" pull oci:l:v1.0.0; exits 1 policy/other_key
policy release-signed; MLXK_POLICY=policy.json run "$MLXK" pull oci:l:v1.0.0; exits 1 policy/no_release; says policy/no_release_says err 'does not say that this is a release'
run "$MLXK" sign oci:l:v1.0.0 --key "$G/p256.pem" --release v1.0.0; exits 0 artifact/sign_release
run "$MLXK" verify oci:l:v1.0.0 --key "$G/p256.pub.pem" --json; exits 0 artifact/verify_release
MLXK_POLICY=policy.json run "$MLXK" pull oci:l:v1.0.0; exits 0 policy/release_is_pulled
# The release's manifest under the name of another release.
sed 's/"v1.0.0"/"v2.0.0"/' l/index.json > new; cp new l/index.json
MLXK_POLICY=policy.json run "$MLXK" pull oci:l:v2.0.0; exits 1 policy/another_name; says policy/another_name_says err 'release v1.0.0, not v2.0.0'
MLXK_POLICY=none.json run "$MLXK" pull oci:l:adhoc; exits 1 policy/must_exist
mkdir -p config/mlxk; echo '{"rules":[{"prefix":"","requires":"signed"}]}' > config/mlxk/policy.json
run "$MLXK" pull oci:l:adhoc; exits 1 policy/misspelt; says policy/misspelt_says err "'requires' is no member"
rm config/mlxk/policy.json; run "$MLXK" pull oci:l:adhoc; exits 0 policy/none_requires_nothing
