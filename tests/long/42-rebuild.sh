#!/bin/sh
# 42-rebuild.sh: the newest release, built again from its commit, has the hashes of the witness, file by file.
. tests/tap.sh
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0="*"
if ! git rev-parse --git-dir > /dev/null 2>&1; then echo "ok rebuild/newest # SKIP the sources came without their history"; exit 0; fi
run ./release.sh rebuild
if grep -q '^no release yet' "$T/out"; then echo "ok rebuild/newest # SKIP no release is out yet"; exit 0; fi
exits 0 rebuild/newest; says rebuild/every_file out ' built again: ([0-9]+) of \1 files equal'
