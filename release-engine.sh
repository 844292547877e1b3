#!/bin/sh
# release-engine.sh: a release of the engine alone, under engine-vX.Y.Z (docs/RELEASING.md).
#
#   ./release-engine.sh patch|minor|major [--dry-run] [--push]
#
# Same rules and exit statuses as release.sh; 4 also when files of the other part changed and were not released.
set -eu
cd "$(dirname "$0")"
family=engine
. src/tools/release/part.sh
