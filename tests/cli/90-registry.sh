#!/bin/sh
# Registries: what comes is what its digest says, secrets stay where they belong, uploads go on, whatever the registry does.
. tests/tap.sh
python3 tests/fake/registry_cases.py "$MLXK" "$T"
