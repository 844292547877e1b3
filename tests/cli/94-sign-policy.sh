#!/bin/sh
# Signatures at registries, and policies: found again everywhere, asked by every pull and every use, led around by nothing.
. tests/tap.sh
python3 tests/fake/sign_cases.py "$MLXK" "$T"
