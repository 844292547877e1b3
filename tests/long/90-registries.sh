#!/bin/sh
# 90-registries.sh: real registries and the clients that others use: docker-registry 2.8 and skopeo (apt), distribution 3.1,
# crane, regctl and oras (Go modules), oras (pip); each server plain, with passwords, with tokens and with TLS. What cannot be installed is skipped. Then 1 GiB there and back
# beside skopeo and crane, as one blob and as eight, plain and by TLS, as tables (SPEED_RUNS, 3; 0: not), and a kill behind nginx.
set -u
work=${T:-$(mktemp -d)}
MLXK=${MLXK:-$PWD/build/mlxk}
missing=
command -v docker-registry > /dev/null || missing="$missing docker-registry"
command -v skopeo > /dev/null || missing="$missing skopeo"
command -v htpasswd > /dev/null || missing="$missing apache2-utils"
command -v nginx > /dev/null || missing="$missing nginx-light"
# shellcheck disable=SC2086      # several words
test -z "$missing" || apt-get install -y --no-install-recommends $missing > /dev/null 2>&1
if python3 -m venv "$work/venv" > /dev/null 2>&1 && "$work/venv/bin/pip" -q install oras==0.2.43 > /dev/null 2>&1; then
    export ORAS_PYTHON="$work/venv/bin/python"
fi
bin=${REGISTRY_BIN:-$work/bin}
PATH=$bin:$PATH:/usr/local/go/bin
if command -v go > /dev/null; then
    export GOBIN="$bin" GOFLAGS=-mod=mod
    command -v crane > /dev/null || go install github.com/google/go-containerregistry/cmd/crane@v0.22.1 > /dev/null 2>&1
    command -v regctl > /dev/null || go install github.com/regclient/regclient/cmd/regctl@v0.11.7 > /dev/null 2>&1
    command -v oras > /dev/null || go install oras.land/oras/cmd/oras@v1.3.6 > /dev/null 2>&1
    if ! command -v registry > /dev/null; then
        mkdir -p "$work/go" && (cd "$work/go" && go mod init judge && go get github.com/distribution/distribution/v3@v3.1.2 &&
            go build -o "$bin/registry" github.com/distribution/distribution/v3/cmd/registry) > /dev/null 2>&1
    fi
fi
for server in docker-registry:dist2 registry:dist3; do
    name=${server#*:} program=${server%:*}
    if ! command -v "$program" > /dev/null; then echo "ok real/$name # SKIP $program cannot be installed here"; continue; fi
    mkdir -p "$work/$name"
    python3 tests/fake/registry_real.py "$MLXK" "$work/$name" "$program" "$name"
    if [ "${SPEED_RUNS:-3}" = 0 ]; then continue; fi
    mkdir -p "$work/$name-speed"
    python3 tests/fake/registry_speed.py "$MLXK" "$work/$name-speed" "$program" "$name" "${SPEED_RUNS:-3}"
    rm -rf "$work/$name-speed"
done
