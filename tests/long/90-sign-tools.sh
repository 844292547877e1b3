#!/bin/sh
# 90-sign-tools.sh: what mlxk signs, openssl, minisign and the sigstore libraries of npm verify, and the other way round, with keys
# that those tools make here. Needs: openssl; minisign (apt) and npm with @sigstore/bundle, @sigstore/verify join when they can be had.
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
