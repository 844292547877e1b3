#!/bin/sh
# 89-image-tools.sh: what skopeo and umoci (apt) and crane (a Go module) say of images that mlxk made, and the program out
# of them alone in a root file system: a model pulled from a hub over TLS, trusting a certificate that is laid over the
# authorities inside. Tools that cannot be had are skipped. IMAGE_BIN: a folder that has crane, or where it is kept.
. tests/tap.sh
unset SSL_CERT_FILE SSL_CERT_DIR
skip() { echo "ok $1 # SKIP $2"; }
python3 tests/cli/release_bundle.py "$T/b" > "$T/row"
"$MLXK" image build "oci:$T/l" --program "$T/b/mlxk-1.2.3-x86_64-linux" --program "$T/b/mlxk-1.2.3-aarch64-linux" > "$T/built"
"$MLXK" image build "oci-archive:$T/l.tar" --flavour engine --program "$T/b/mlxk-1.2.3-x86_64-linux" --program "$T/b/mlxk-1.2.3-aarch64-linux" > "$T/built.tar"
digest=$(tail -n 1 "$T/built")

have() { command -v "$1" > /dev/null 2>&1 || apt-get install -y -qq "$1" > "$T/apt" 2>&1; }
if have skopeo; then
    echo '{"default":[{"type":"insecureAcceptAnything"}]}' > "$T/policy"
    run skopeo inspect --raw "oci:$T/l:client-1.2.3"; exits 0 skopeo/inspect
    same skopeo/digest "$digest" "sha256:$(sha256sum < "$T/out" | cut -d' ' -f1)"
    for cpu in amd64 arm64; do
        run skopeo --override-arch $cpu inspect --config "oci:$T/l:client-1.2.3"; exits 0 skopeo/config_$cpu
        says skopeo/config_${cpu}_says out "\"architecture\": ?\"$cpu\""
    done
    run skopeo --policy "$T/policy" copy --all --preserve-digests "oci:$T/l:client-1.2.3" "oci-archive:$T/copied.tar:c"; exits 0 skopeo/copy
    python3 tests/cli/image_judge.py "$T/l" client-1.2.3 "$T/root1" > "$T/judge"; ok $? skopeo/before
    run skopeo inspect --raw "oci-archive:$T/copied.tar:c"; same skopeo/copied_the_same "$digest" "sha256:$(sha256sum < "$T/out" | cut -d' ' -f1)"
    run skopeo --policy "$T/policy" --override-arch amd64 copy "oci-archive:$T/l.tar:engine-1.2.3" "docker-archive:$T/docker.tar:mlxk:e"; exits 0 skopeo/as_docker_wants_it
else skip skopeo/inspect 'skopeo cannot be had'; fi

if have umoci; then
    # umoci takes single images: the one of amd64 gets a tag of its own.
    skopeo --policy "$T/policy" --override-arch amd64 copy "oci:$T/l:client-1.2.3" "oci:$T/u:one" > /dev/null 2>&1
    run umoci list --layout "$T/u"; says umoci/list out '^one$'
    run umoci stat --image "$T/u:one" --json; exits 0 umoci/stat
    run umoci unpack --rootless --image "$T/u:one" "$T/unpacked"; exits 0 umoci/unpack
    cmp -s "$T/unpacked/rootfs/mlxk" "$T/b/mlxk-1.2.3-x86_64-linux"; ok $? umoci/the_program
    python3 -c 'import json, sys; c = json.load(open(sys.argv[1])); p = c["process"]; sys.exit(not (p["args"] == ["/mlxk", "help"] and p["user"]["uid"] == 65532 and p["cwd"] == "/models"))' "$T/unpacked/config.json"
    ok $? umoci/what_is_started
else skip umoci/list 'umoci cannot be had'; fi

bin=${IMAGE_BIN:-$PWD/build/image-bin}
if [ ! -x "$bin/crane" ] && command -v go > /dev/null 2>&1; then
    GOBIN=$bin go install github.com/google/go-containerregistry/cmd/crane@v0.20.3 > "$T/go" 2>&1
fi
if [ -x "$bin/crane" ]; then
    run "$bin/crane" validate --tarball "$T/docker.tar"; exits 0 crane/validate_what_docker_loads
    : > "$T/reg"
    "$bin/crane" registry serve --address 127.0.0.1:0 > "$T/reg" 2>&1 & registry=$!
    n=0; while ! grep -q 'port' "$T/reg" && [ $n -lt 600 ]; do n=$((n + 1)); sleep 0.1; done
    port=$(grep -oE '[0-9]+$' "$T/reg" | head -n 1)
    run "$MLXK" copy "oci:$T/l:client-1.2.3" "127.0.0.1:$port/mlxk:client-1.2.3" --plain-http "127.0.0.1:$port"; exits 0 crane/pushed_by_mlxk
    # --fast: the slow way unpacks every layer as gzip, and ours are not packed; their bytes are compared below.
    run "$bin/crane" --insecure validate --fast --remote "127.0.0.1:$port/mlxk:client-1.2.3"; exits 0 crane/validate
    run "$bin/crane" --insecure digest "127.0.0.1:$port/mlxk:client-1.2.3"; same crane/digest "$digest" "$(cat "$T/out")"
    "$bin/crane" --insecure export --platform linux/amd64 "127.0.0.1:$port/mlxk:client-1.2.3" "$T/flat.tar" 2> "$T/err"
    tar xOf "$T/flat.tar" mlxk > "$T/program"
    same crane/flat_file_system 'etc/ssl/certs/ca-certificates.crt mlxk' "$(tar tvf "$T/flat.tar" | awk '/^-/ { print $NF }' | sort | tr '\n' ' ' | sed 's/ $//')"
    cmp -s "$T/b/mlxk-1.2.3-x86_64-linux" - < "$T/program"; ok $? crane/the_program
    kill $registry; wait $registry 2> /dev/null
else skip crane/validate 'crane cannot be had'; fi

# ---- alone, as nobody, over TLS from a hub on this machine --------------------------------------------------
if [ "$(id -u)" = 0 ] && "$MLXK" version --of "$MLXK" | grep -q '^target  *[a-z0-9_]*-linux-musl$'; then
    "$MLXK" image build "oci:$T/self:s" --program "$MLXK" > "$T/out"
    python3 tests/cli/image_judge.py "$T/self" s "$T/root" > "$T/judge" 2>&1; ok $? alone/unpacked
    tiny "$T/m"
    HF_HOME=$T/hub "$MLXK" import "$T/m" --name o/m --quiet > "$T/out"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$T/tls.key" -out "$T/tls.crt" -days 2 \
        -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' 2> "$T/err"
    : > "$T/mirror"
    HF_HOME=$T/hub "$MLXK" mirror --port 0 --tls-cert "$T/tls.crt" --tls-key "$T/tls.key" > "$T/mirror" 2>&1 & hub=$!
    n=0; while ! grep -q 'https://' "$T/mirror" && [ $n -lt 600 ]; do n=$((n + 1)); sleep 0.1; done
    url=$(grep -oE 'https://[^ ]*' "$T/mirror" | head -n 1); url=${url%/}
    chmod 755 "$T" "$T/root"
    alone() { run env -i HOME=/models HF_HOME=/models SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt HF_ENDPOINT="$url" "$(command -v chroot)" --userspec=65532:65532 "$T/root" /mlxk "$@"; }
    alone pull o/m; exits 1 alone/a_stranger_is_not_trusted; says alone/a_stranger_is_not_trusted_says err 'certificate'
    cp "$T/tls.crt" "$T/root/etc/ssl/certs/ca-certificates.crt"; chmod 644 "$T/root/etc/ssl/certs/ca-certificates.crt"
    alone pull o/m; exits 0 alone/pull
    alone health o/m; exits 0 alone/health
    alone run o/m hi --max-tokens 2; exits 0 alone/run
    kill $hub; wait $hub 2> /dev/null
else skip alone/pull 'needs root and a static program'; fi

# The examples with a digest in them: Compose's own schema of the one, a reader of Apptainer's recipes of the other; both
# see a letter that is wrong. (The manifests for Kubernetes: 43-dist.sh, 80-mirror-clients.sh.)
mkdir "$T/examples"
for example in docs/packaging/image/*; do sed "s/@\(CLIENT\|ENGINE\)@/engine-1.2.3@$digest/" "$example" > "$T/examples/$(basename "$example")"; done
if python3 -m venv "$T/venv" && "$T/venv/bin/pip" install -q check-jsonschema spython > "$T/pip.log" 2>&1; then
    run "$T/venv/bin/check-jsonschema" --builtin-schema vendor.compose-spec "$T/examples/compose.yaml"; exits 0 examples/compose
    sed 's/ read_only:/ readonly:/' "$T/examples/compose.yaml" > "$T/compose.yaml"
    run "$T/venv/bin/check-jsonschema" --builtin-schema vendor.compose-spec "$T/compose.yaml"; exits 1 examples/compose_with_a_mistake
    # shellcheck disable=SC2016
    for letter in n m; do
        sed "s/^%runscript/%ru${letter}script/" "$T/examples/apptainer.def" > "$T/a.def"
        run "$T/venv/bin/spython" recipe --parser singularity "$T/a.def"
        grep -q "^FROM registry.example.org/mlxk:engine-1.2.3@$digest" "$T/out" && grep -qxF 'CMD exec /mlxk "$@"' "$T/out"
        [ $? = "$([ $letter = n ]; echo $?)" ]; ok $? examples/apptainer_$letter
    done
else skip examples/compose 'check-jsonschema and spython cannot be had'; fi
