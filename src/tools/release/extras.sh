#!/bin/sh
# extras.sh FOLDER PROGRAM [VERSION PACKAGES]: what goes into a release beside the programs and sources in FOLDER: installer, manual
# page, completions, packages, lists of what is inside, where it comes from, support and history tables, and the examples for
# containers with the images' digests in them. Called by `build.sh dist`, in the root of the tree.
set -eu
folder=$1 program=$2 version=${3:-$(head -n 1 VERSION)}
"$program" version --build --json > "$folder/.build"
field() { sed -n "s/^ *\"$1\": \"\(.*\)\",\{0,1\}\$/\1/p" "$folder/.build" | head -n 1; }
commit=$(field commit) time=$(field commit_time) compiler=$(field compiler)
rm "$folder/.build"
cp install.sh "$folder/install.sh"
cp docs/SUPPORT.tsv docs/releases.tsv "$folder/"
for key in docs/keys/*; do if [ -f "$key" ]; then cp "$key" "$folder/"; fi; done
python3 src/tools/release/man.py "$program" > "$folder/mlxk.1"
for shell in bash zsh fish; do "$program" completion $shell > "$folder/mlxk.$shell"; done
sh src/tools/release/packages.sh "$folder" "$version" "${4:-$version}"
if [ -f "$folder/image.digest" ]; then
    for example in docs/packaging/image/*; do
        flavour=$(sed -n 's/.*@\(CLIENT\|ENGINE\)@.*/\1/p' "$example" | head -n 1 | tr '[:upper:]' '[:lower:]')
        pin=$(sed -n "s/^\($flavour-[^ ]*\) \(sha256:.*\)/\1@\2/p" "$folder/image.digest")
        [ -n "$pin" ] || continue
        sed "s/@CLIENT@/$pin/; s/@ENGINE@/$pin/" "$example" > "$folder/$(basename "$example")"
    done
fi
(cd "$folder" && sha256sum -- *) > "$folder/.sums"
for form in spdx cdx; do
    awk -v form=$form -v version="$version" -v commit="$commit" -v time="$time" \
        -f src/tools/release/sbom.awk vendor/lock "$folder/.sums" > "$folder/mlxk.$form.json"
done
(cd "$folder" && sha256sum -- *) > "$folder/.sums"
awk -v version="$version" -v commit="$commit" -v compiler="$compiler" \
    -f src/tools/release/provenance.awk vendor/lock "$folder/.sums" > "$folder/provenance.intoto.json"
rm "$folder/.sums"
