#!/bin/sh
# packages.sh FOLDER NUMBER PACKAGES: the Debian packages and Python wheels of the Linux programs in FOLDER, which has manual
# page and completions. NUMBER is in the names of the programs, PACKAGES the one that grows between releases
# (`build.sh version`). Called by extras.sh, in the root of the tree.
set -eu
folder=$1 number=$2 packages=$3
for machine in x86_64 aarch64; do
    program=$folder/mlxk-$number-$machine-linux
    if [ ! -f "$program" ]; then continue; fi
    python3 src/tools/deb.py --program "$program" --pages "$folder" --number "$packages" --out "$folder"
    python3 src/tools/wheel.py --program "$program" --number "$packages" --out "$folder"
done
