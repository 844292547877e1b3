#!/bin/sh
# Registries that mean harm: every command ends with a clear error, in bounded time and memory, and writes nothing.
. tests/tap.sh
python3 tests/fake/registry_hostile.py "$MLXK" "$T"
