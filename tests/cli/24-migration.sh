#!/bin/sh
# What docs/MIGRATION.md says of this program, line by line. The other half, about mlx-knife: tests/long/24-migration-before.sh.
exec python3 tests/cli/migration.py "$MLXK"
