#!/bin/sh
# packages.sh FOLDER [NUMBER]: the Debian packages and Python wheels of the Linux programs in FOLDER, which has the pages of
# extras.sh; NUMBER is VERSION's first line, or that of a nightly build. Called by `build.sh dist`, in the root of the tree.
set -eu
folder=$1 number=${2:-$(head -n 1 VERSION)}
for machine in x86_64 aarch64; do
    program=$folder/mlxk-$number-$machine-linux
    if [ ! -f "$program" ]; then continue; fi
    python3 src/tools/deb.py --program "$program" --pages "$folder" --number "$number" --out "$folder"
    python3 src/tools/wheel.py --program "$program" --number "$number" --out "$folder"
done
