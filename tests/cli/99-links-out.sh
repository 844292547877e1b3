#!/bin/sh
# A link in a model's folder that leads out of it may lead to a secret: no command hands it out. Each is refused with both names, and nothing is
# sent or written; links inside the folder, and those of a cache's snapshot to its own blobs, go on working.
. tests/tap.sh
export HF_HOME="$T/hf" HF_TOKEN=hf_none HF_ENDPOINT=http://127.0.0.1:9 MLXK_EXPERIMENTAL=1
secret=$T/home/.ssh/id; mkdir -p "$T/home/.ssh"; echo "top secret" > "$secret"
m=$T/m; tiny "$m"

# refuses NAME PATTERN: what reads a folder refuses $m, with a message that has PATTERN.
refuses() {
    for how in "store $m oci:$T/l" "release $m oci:$T/l" "import $m --name o/imported" "push $m o/pushed --private --create" "diff $m $m"; do
        # shellcheck disable=SC2086
        run "$MLXK" $how; exits 1 "$1/${how%% *}"; says "$1/${how%% *}_by_name" err "$2"
    done
    [ ! -e "$T/l" ] && [ ! -e "$HF_HOME/hub/models--o--imported" ]; ok $? "$1/nothing_is_written"
}
for to in "$secret" ../home/.ssh/id; do
    ln -s "$to" "$m/notes.md"; refuses "out_$(echo "$to" | cut -c1 | tr './' 'ra')" "m/notes.md leads out of the model's folder, to .*/home/.ssh/id\$"; rm "$m/notes.md"
done
ln -s "$secret" "$m/.hidden"; ln -s .hidden "$m/b.py"; refuses by_two_links 'leads out of .*/home/.ssh/id$'; rm "$m/b.py" "$m/.hidden"
mkdir "$m/.git"; echo password > "$m/.git/config"; ln -s .git/config "$m/c.py"; refuses to_what_stays_home 'c.py.* leads to .git/config'; rm -r "$m/c.py" "$m/.git"
mkdir "$T/m-beside"; echo x > "$T/m-beside/x.py"; ln -s ../m-beside/x.py "$m/x.py"; refuses beside_with_the_same_beginning 'm/x.py leads out of'; rm "$m/x.py"

# Inside, links are what they lead to.
ln -s config.json "$m/copy.json"; run "$MLXK" store "$m" "oci:$T/inside" --json; exits 0 inside/stored; linked=$(python3 -c "import json; print(json.load(open('$T/out'))['data']['digest'])")
rm "$m/copy.json"; cp "$m/config.json" "$m/copy.json"; run "$MLXK" store "$m" "oci:$T/inside" --json; json inside/the_same_as_a_copy "x['digest'] == '$linked'"

# The snapshot of a cache: its links lead to its own blobs, which may lie elsewhere; no other.
run "$MLXK" import "$m" --name o/m; exits 0 cache/imported
repo=$HF_HOME/hub/models--o--m; at=$(echo "$repo"/snapshots/*)
run "$MLXK" store o/m "oci:$T/cached" --json; json cache/stored "x['digest'] == '$linked'"
run "$MLXK" store "$at" "oci:$T/cached" --json; json cache/by_its_path "x['digest'] == '$linked'"
run "$MLXK" export o/m -o "$T/b.tar"; exits 0 cache/exported; run "$MLXK" clone o/m "$T/cloned"; exits 0 cache/cloned
mv "$repo/blobs" "$T/elsewhere"; ln -s "$T/elsewhere" "$repo/blobs"
run "$MLXK" store o/m "oci:$T/cached" --json; json cache/blobs_elsewhere "x['digest'] == '$linked'"
rm "$repo/blobs"; ln -s "$T/home/.ssh" "$repo/blobs"; ln -s ../../blobs/id "$at/y.py"
run "$MLXK" store o/m "oci:$T/l2"; exits 1 cache/elsewhere_by_names_of_blobs_only; [ ! -e "$T/l2" ]; ok $? cache/elsewhere_nothing_is_written
rm "$repo/blobs" "$at/y.py"; mv "$T/elsewhere" "$repo/blobs"; chmod u+w "$repo/blobs"
rm -rf "$repo/trees"; ln -s "$secret" "$at/z.py"
for how in "store o/m oci:$T/l3" "export o/m -o $T/l3" "clone o/m $T/l3"; do
    # shellcheck disable=SC2086
    run "$MLXK" $how; exits 1 "cache/link_out_${how%% *}"; says "cache/link_out_${how%% *}_by_name" err 'z.py leads out of .*/home/.ssh/id$'
done
rm "$at/z.py"; ln -s "$secret" "$repo/blobs/$(printf '%064d' 7)"; ln -s "../../blobs/$(printf '%064d' 7)" "$at/z.py"
run "$MLXK" store o/m "oci:$T/l3"; exits 1 cache/a_blob_that_is_a_link; [ ! -e "$T/l3" ]; ok $? cache/nothing_is_written
