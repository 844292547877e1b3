#!/bin/sh
# release-client.sh: a release of the client alone, under client-vX.Y.Z (docs/RELEASING.md).
#
#   ./release-client.sh patch|minor|major [--dry-run] [--push]
#
# Same rules and exit statuses as release.sh; 4 also when files of the other part changed and were not released.
set -eu
cd "$(dirname "$0")"
family=client
. src/tools/release/part.sh
