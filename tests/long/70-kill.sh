#!/bin/sh
# 70-kill.sh: tests/cli/70-kill.sh with every error at every call, larger models and every pair of commands.
set -u
KILL_POINTS_LONG=1 exec sh tests/cli/70-kill.sh
