#!/bin/sh
# 90-sign-tools.sh: what mlxk signs, openssl, minisign, the sigstore libraries of npm and cosign verify, and the other way round, with
# keys that those tools make here. Needs: openssl; minisign and docker-registry (apt), npm with @sigstore/bundle and @sigstore/verify, pip
# with cyclonedx-python-lib, cosign and distribution 3.1 (Go modules; cosign takes a quarter of an hour to build) join when they can be had.
# SIGN_BIN: a folder that has cosign and registry already, or where they are to be kept.
set -u
. tests/tap.sh
unset MLXK_KEY_PASSWORD MLXK_KEY_PASSWORD_FILE
cd "$T" || exit 1
skip() { echo "ok $1 # SKIP $2"; }
npm_dir=$OLDPWD/build/npm-sigstore
head -c 1000003 /dev/urandom > f; head -c 1000003 /dev/urandom > g; : > empty

# ---- openssl: 20 keys, clear and encrypted; DER taken out of the bundle
n_good=0; n_wrong=0
for i in $(seq 20); do
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out key.pem 2>/dev/null
    openssl pkey -in key.pem -pubout -out pub.pem 2>/dev/null
    openssl pkcs8 -topk8 -v2 aes-256-cbc -iter $((i * 100)) -in key.pem -passout pass:word -out enc.pem 2>/dev/null
    "$MLXK" sign f --key key.pem > /dev/null 2>&1
    MLXK_KEY_PASSWORD=word "$MLXK" sign f --key enc.pem --bundle by-enc > /dev/null 2>&1
    cmp -s f.sigstore.json by-enc || n_wrong=$((n_wrong + 1))
    python3 -c 'import base64, json, sys; sys.stdout.buffer.write(base64.b64decode(json.load(open("f.sigstore.json"))["messageSignature"]["signature"]))' > f.der
    if openssl dgst -sha256 -verify pub.pem -signature f.der f > /dev/null 2>&1; then n_good=$((n_good + 1)); fi
    if openssl dgst -sha256 -verify pub.pem -signature f.der g > /dev/null 2>&1; then n_wrong=$((n_wrong + 1)); fi
    # and openssl's own signature in a bundle
    openssl dgst -sha256 -sign key.pem -out theirs.der f
    python3 -c 'import base64, json; b = json.load(open("f.sigstore.json")); b["messageSignature"]["signature"] = base64.b64encode(open("theirs.der", "rb").read()).decode(); json.dump(b, open("theirs", "w"))'
    if "$MLXK" verify f --key pub.pem --bundle theirs > /dev/null 2>&1; then n_good=$((n_good + 1)); fi
    if "$MLXK" verify g --key pub.pem --bundle theirs > /dev/null 2>&1; then n_wrong=$((n_wrong + 1)); fi
done
same openssl/both_ways_with_20_keys "$n_good $n_wrong" "40 0"
"$MLXK" sign empty --key key.pem > /dev/null && "$MLXK" verify empty --key pub.pem > /dev/null; ok $? openssl/an_empty_file

# ---- minisign
if command -v minisign > /dev/null 2>&1 || apt-get install -y -qq minisign > /dev/null 2>&1; then
    n_good=0; n_wrong=0
    for i in 1 2 3 4 5; do
        minisign -G -f -W -s mini.key -p mini.pub > /dev/null 2>&1
        for file in f empty; do
            "$MLXK" sign $file --key mini.key --comment "number $i" > /dev/null 2>&1
            if minisign -V -H -p mini.pub -m $file 2>&1 | grep -q "Trusted comment: number $i"; then n_good=$((n_good + 1)); fi
            minisign -S -s mini.key -m $file -x theirs -t "theirs $i" > /dev/null 2>&1
            if "$MLXK" verify $file --key mini.pub --minisig theirs 2>&1 | grep -q "theirs $i"; then n_good=$((n_good + 1)); fi
            minisign -S -l -s mini.key -m $file -x legacy > /dev/null 2>&1
            if "$MLXK" verify $file --key mini.pub --minisig legacy > /dev/null 2>&1; then n_good=$((n_good + 1)); fi
        done
        if minisign -V -p mini.pub -m g -x f.minisig > /dev/null 2>&1; then n_wrong=$((n_wrong + 1)); fi
        if "$MLXK" verify g --key mini.pub --minisig legacy > /dev/null 2>&1; then n_wrong=$((n_wrong + 1)); fi
    done
    same minisign/both_ways_with_5_keys "$n_good $n_wrong" "30 0"
else skip minisign/both_ways_with_5_keys 'minisign cannot be had'; fi

# ---- sigstore's own libraries
if [ ! -d "$npm_dir/node_modules/@sigstore/verify" ] && command -v npm > /dev/null 2>&1; then
    mkdir -p "$npm_dir" && (cd "$npm_dir" && npm init -y > /dev/null 2>&1 && npm install --silent @sigstore/bundle@4 @sigstore/verify@3 > /dev/null 2>&1)
fi
if [ -d "$npm_dir/node_modules/@sigstore/verify" ]; then
    cat > "$npm_dir/judge.js" <<'JS'
// judge.js BUNDLE FILE PUBLIC: a key, no log, no time stamp.
const fs = require('fs'), crypto = require('crypto');
const { bundleFromJSON } = require('@sigstore/bundle'), v = require('@sigstore/verify');
const bundle = bundleFromJSON(JSON.parse(fs.readFileSync(process.argv[2])));
const key = crypto.createPublicKey(fs.readFileSync(process.argv[4]));
const spki = key.export({ type: 'spki', format: 'der' });
const hint = crypto.createHash('sha256').update(spki).digest('base64');
const root = { certificateAuthorities: [], timestampAuthorities: [], tlogs: [], ctlogs: [] };
const keys = { [hint]: { rawBytes: spki, keyDetails: 5, validFor: { start: new Date(0) } } };
const material = v.toTrustMaterial(root, keys);
const verifier = new v.Verifier(material, { tlogThreshold: 0, ctlogThreshold: 0, tsaThreshold: 0, timestampThreshold: 0 });
verifier.verify(v.toSignedEntity(bundle, fs.readFileSync(process.argv[3])));
JS
    "$MLXK" sign f --key key.pem > /dev/null
    run node "$npm_dir/judge.js" f.sigstore.json f pub.pem; exits 0 sigstore/npm_takes_the_bundle
    run node "$npm_dir/judge.js" f.sigstore.json g pub.pem; exits 1 sigstore/npm_refuses_another_file
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 2>/dev/null | openssl pkey -pubout -out other.pem 2>/dev/null
    run node "$npm_dir/judge.js" f.sigstore.json f other.pem; exits 1 sigstore/npm_refuses_another_key
else skip sigstore/npm_takes_the_bundle 'npm or its packages cannot be had'; fi

# ---- cosign: files, and artifacts in real registries
bin=${SIGN_BIN:-$T/bin}
PATH=$bin:$PATH:/usr/local/go/bin
if command -v go > /dev/null 2>&1; then
    export GOBIN="$bin" GOFLAGS="-p=1 -mod=mod"
    command -v cosign > /dev/null 2>&1 || go install -trimpath -ldflags '-s -w' github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3 > /dev/null 2>&1
    if ! command -v registry > /dev/null 2>&1; then
        mkdir -p "$T/go" && (cd "$T/go" && go mod init judge && go get github.com/distribution/distribution/v3@v3.1.2 &&
            go build -o "$bin/registry" github.com/distribution/distribution/v3/cmd/registry) > /dev/null 2>&1
    fi
fi
if command -v cosign > /dev/null 2>&1; then
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out cos.pem 2>/dev/null
    openssl pkey -in cos.pem -pubout -out cos.pub.pem 2>/dev/null
    "$MLXK" sign f --key cos.pem > /dev/null
    run cosign verify-blob --key cos.pub.pem --insecure-ignore-tlog --bundle f.sigstore.json f; exits 0 cosign/takes_the_bundle_of_a_file
    run cosign verify-blob --key cos.pub.pem --insecure-ignore-tlog --bundle f.sigstore.json g; exits 1 cosign/refuses_another_file
    run cosign verify-blob --key pub.pem --insecure-ignore-tlog --bundle f.sigstore.json f; exits 1 cosign/refuses_another_key
    COSIGN_PASSWORD=x run cosign import-key-pair --key cos.pem --output-key-prefix by-cosign; exits 0 cosign/takes_the_key
    COSIGN_PASSWORD=x run cosign sign-blob --key by-cosign.key --use-signing-config=false --tlog-upload=false -y --bundle by-cosign.json f
    exits 0 cosign/signs_a_file
    run "$MLXK" verify f --key by-cosign.pub --bundle by-cosign.json; exits 0 cosign/its_bundle_of_a_file_is_taken
    run "$MLXK" verify g --key by-cosign.pub --bundle by-cosign.json; exits 1 cosign/its_bundle_of_another_file_is_not
else skip cosign/takes_the_bundle_of_a_file 'cosign cannot be built here'; fi
cd "$OLDPWD" || exit 1
command -v docker-registry > /dev/null 2>&1 || apt-get install -y -qq --no-install-recommends docker-registry apache2-utils > /dev/null 2>&1
for server in docker-registry:dist2 registry:dist3; do
    name=${server#*:} program=${server%:*}
    if ! command -v "$program" > /dev/null 2>&1; then skip "real/$name" "$program cannot be installed here"; continue; fi
    mkdir -p "$T/$name"
    python3 tests/fake/sign_real.py "$MLXK" "$T/$name" "$program" "$name"
done

# ---- CycloneDX's own schema
if python3 -m venv "$T/venv" > /dev/null 2>&1 && "$T/venv/bin/pip" -q install 'cyclonedx-python-lib[json-validation]==11.12.0' > /dev/null 2>&1; then
    tiny "$T/model"; printf -- '---\nlicense: apache-2.0\nbase_model: org/base\n---\n' > "$T/model/README.md"
    "$MLXK" store "$T/model" "oci:$T/layout" > "$T/tag" 2>/dev/null
    run "$MLXK" attest "oci:$T/layout:$(head -n 1 "$T/tag")" --key tests/golden/sign/p256.pem --json; exits 0 sbom/made
    cat > "$T/judge.py" <<'PY'
import json, sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
made = json.load(open(sys.argv[1]))["data"]["attestations"][0]["predicate"]
wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(made))
made["components"][0]["hashes"][0]["content"] = "x"
bent = JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(made))
sys.exit(str(wrong) if wrong else 0 if bent else "a bent one is taken, too")
PY
    "$T/venv/bin/python" "$T/judge.py" "$T/out" > "$T/said" 2>&1; ok $? sbom/fits_the_schema; sed "s/^/# /" "$T/said" | head -n 5
else skip sbom/fits_the_schema 'cyclonedx-python-lib cannot be had'; fi
