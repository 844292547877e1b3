#!/bin/sh
# 35-race.sh: pull beside hf download, curl and aria2c, on loopback: one large file and many small ones, http and https.
# Wall time, CPU time and peak memory of each, in turn, the median of ROUNDS; a row for docs/SPEED.md per case.
#   BIG=2147483648 MANY=2000 ROUNDS=3 sh tests/long/35-race.sh
# The server is nginx, which plays a hub whose answers lie ready as files. Installs nginx-light, aria2 (apt) and
# huggingface_hub (pip) when they are missing and it may. $MLXK: the program; default build/mlxk.
set -u
MLXK=${MLXK:-$PWD/build/mlxk}
export MLXK
if ! command -v nginx > /dev/null || ! command -v aria2c > /dev/null; then
    apt-get install -y --no-install-recommends nginx-light aria2 > /dev/null 2>&1
fi
if ! command -v nginx > /dev/null; then echo "ok race # SKIP nginx is not installed"; exit 0; fi
work=$(mktemp -d "${RACE_DIR:-/dev/shm}/mlxk-race.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
python3 -m venv "$work/venv" > /dev/null 2>&1 && "$work/venv/bin/pip" -q install huggingface_hub > /dev/null 2>&1
python3 tests/long/race.py "$work"
