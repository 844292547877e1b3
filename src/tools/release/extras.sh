#!/bin/sh
# extras.sh FOLDER PROGRAM: what goes into a release beside the programs and sources in FOLDER: installer, manual page,
# completions, lists of what is inside, support and history tables. Called by `build.sh dist`, in the root of the tree.
set -eu
folder=$1 program=$2
"$program" version --build --json > "$folder/.build"
field() { sed -n "s/^ *\"$1\": \"\(.*\)\",\{0,1\}\$/\1/p" "$folder/.build" | head -n 1; }
commit=$(field commit) time=$(field commit_time)
rm "$folder/.build"
cp install.sh "$folder/install.sh"
cp docs/SUPPORT.tsv docs/releases.tsv "$folder/"
python3 src/tools/release/man.py "$program" > "$folder/mlxk.1"
for shell in bash zsh fish; do "$program" completion $shell > "$folder/mlxk.$shell"; done
(cd "$folder" && sha256sum -- *) > "$folder/.sums"
for form in spdx cdx; do
    awk -v form=$form -v version="$(head -n 1 VERSION)" -v commit="$commit" -v time="$time" \
        -f src/tools/release/sbom.awk vendor/lock "$folder/.sums" > "$folder/mlxk.$form.json"
done
rm "$folder/.sums"
