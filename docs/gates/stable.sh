#!/bin/sh
# stable.sh: the gate of that name (docs/VERSIONING.md); its rows are in docs/gates.tsv.
exec sh "$(dirname "$0")/check.sh" stable
