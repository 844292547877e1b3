#!/bin/sh
# 95-kill-release.sh: as tests/cli/95-kill-release.sh, at every step.
KILL_EVERY=1 exec sh tests/cli/95-kill-release.sh
