#!/bin/sh
# `store`, `release`, `versions`, `releases` over a layout: numbers derived, tags, digests, branches, git tags, refusals.
. tests/tap.sh
export HF_HOME="$T/hf" GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
w=$T/w; r=oci:$T/ham
tiny "$w"; echo words > "$w/README.md"; mkdir "$w/sub"; echo pass > "$w/sub/extra.py"; : > "$w/empty.txt"
git -C "$w" init -q -b main; git -C "$w" add .; git -C "$w" commit -qm one
commit() { git -C "$w" add .; git -C "$w" commit -qm "$1"; }
# released NAME VERSION BUMP ARGUMENTS...
released() { name=$1 version=$2 bump=$3; shift 3; run "$MLXK" release "$w" "$r" "$@" --json; json "release/$name" "x['version'] == '$version' and x['bump'] == '$bump'"; }
refused() { name=$1 code=$2 type=$3; shift 3; run "$MLXK" release "$w" "$r" "$@" --json; exits "$code" "release/$name"; json "release/${name}_is_told" "e['type'] == '$type'"; }

run "$MLXK" store "$w" "$r" --dry-run --json; exits 0 store/dry_run; [ ! -e "$T/ham" ]; ok $? store/dry_run_makes_nothing
run "$MLXK" store "$w" "$r" --branch --json
json store/tags "x['tags'][0] == x['origin']['commit'][:12] + '-clean-' + x['hashes']['interface'][:12] and x['tags'][1] == 'main-clean-' + x['hashes']['interface'][:12]"
digest=$(python3 -c "import json,sys; print(json.load(open(sys.argv[1]))['data']['digest'])" "$T/out")
run "$MLXK" store "$w" "$r" --json; json store/again_sends_nothing "x['n_sent'] == 0 and x['digest'] == '$digest'"
# Elsewhere, at another time, without git: the same digest.
cp -r "$w" "$T/else"; rm -rf "$T/else/.git"; touch -d 2001-01-01 "$T/else"/*; chmod 600 "$T/else/config.json"
run "$MLXK" store "$T/else" "oci:$T/other" --json; json store/digest_depends_on_files_alone "x['digest'] == '$digest' and x['tags'][0].startswith('nogit-')"
run "$MLXK" store "$T/else" "oci:$T/other" --branch; exits 1 store/no_branch; says store/no_branch_is_told err 'on no branch'
run "$MLXK" store "$T/else" "oci:$T/other" --branch-only --branch-name 'feature/ünï x' --json; json store/branch_only "len(x['tags']) == 1 and x['tags'][0].startswith('feature-uni-x-')"
run "$MLXK" store "$w" "$r:v1.0.0"; exits 1 store/tag_is_refused

# Folders that are none of ours are left alone; what a kill left of one that was being made goes on.
for part in blobs/x blobs/sha256/x README oci-layout.x; do
    mkdir -p "$T/foreign/$(dirname "$part")"; : > "$T/foreign/$part"
    run "$MLXK" store "$w" "oci:$T/foreign"; exits 1 "store/foreign_folder_${part##*/}_is_refused"; rm -r "$T/foreign"
done
mkdir -p "$T/begun/blobs/sha256"; : > "$T/begun/oci-layout.01234567.tmp"
run "$MLXK" store "$w" "oci:$T/begun" --json; json store/begun_layout_goes_on "x['n_sent'] > 3"

released first_is_first v0.1.0 none --dry-run --patch
released first v0.1.0 none
json release/first_on_the_stored_digest "x['digest'] == '$digest' and x['n_sent'] == 0 and x['aliases'] == ['latest', 'v0', 'v0.1']"
refused same 1 unchanged
refused same_patch 1 unchanged --patch
run "$MLXK" tags "$r" --json; json release/tags "{'latest', 'v0', 'v0.1', 'v0.1.0'} <= set(t if isinstance(t, str) else t['tag'] for t in x['tags'])"
echo more >> "$w/README.md"; commit docs
refused docs_only 1 docs_only
released patch v0.1.1 patch --patch
echo '{"temperature": 1}' > "$w/generation_config.json"; commit logic
refused no_patch 1 ValidationError --patch
released dry v0.2.0 minor --dry-run
released minor v0.2.0 minor --git-tag
[ "$(git -C "$w" cat-file -t mdl-ham-v0.2.0)" = tag ]; ok $? release/git_tag_is_annotated
git -C "$w" cat-file tag mdl-ham-v0.2.0 | grep -q "^digest sha256:"; ok $? release/git_tag_tells_digest
python3 - "$w" <<'PY'
import json, sys
p = sys.argv[1] + "/config.json"; d = json.load(open(p)); d["max_position_embeddings"] = 1024; json.dump(d, open(p, "w"))
PY
git -C "$w" checkout -qb Feature/X; commit iface
run "$MLXK" release "$w" "$r" --dry-run --explain; says release/the_member_that_moved_is_named out 'the interface changed .context.: major'
released branch v1.0.0-feature-x major
json release/branch_moves_no_alias "x['aliases'] == [] and x['base'] == 'v0.2.0' and '1 commits back' in ' '.join(x['reasons'])"
released force_main v1.0.0 none --force-main --dry-run
git -C "$w" checkout -q main; git -C "$w" merge -q --ff-only Feature/X
released promoted v1.0.0 none
run "$MLXK" release "$w" "$r" --force-major --json; json release/force_major "x['version'] == 'v2.0.0'"
# A version that is taken by another content: passed over, or refused when asked for.
echo x >> "$w/generation_config.json"; commit more
run "$MLXK" release "$w" "$r" --version v0.2.0 --json; exits 1 release/taken; json release/taken_is_told "e['type'] == 'already_exists'"
released next v2.1.0 minor
git -C "$w" checkout -q --detach "$(git -C "$w" rev-list --reverse HEAD | sed -n 2p)"; echo '{"top_k": 1}' > "$w/generation_config.json"; commit other
released passed v0.3.0 minor --branch main
json release/passed_is_told "x['base'] == 'v0.1.1' and any('taken' in r for r in x['reasons']) and x['aliases'] == ['v0', 'v0.3']"
refused again 1 unchanged --branch main
git -C "$w" checkout -q main
run "$MLXK" release "$w" "$r" --version v5.0.0 --json; json release/asked_for "x['version'] == 'v5.0.0'"
run "$MLXK" release "$w" "$r" --version 5; exits 1 release/no_version
echo dirty > "$w/new.py"; run "$MLXK" release "$w" "$r" --git-tag; exits 1 release/dirty_is_not_tagged; says release/dirty_is_told err '1 files differ'
rm "$w/new.py"
run "$MLXK" releases "$r" --json
json releases/sorted "[v['version'] for v in x['versions']] == ['v5.0.0', 'v2.0.0', 'v0.2.0', 'v0.1.1', 'v0.1.0'] or [v['version'] for v in x['versions']][-3:] == ['v0.2.0', 'v0.1.1', 'v0.1.0']"
run "$MLXK" versions "$r" --compatible --with "$w" --json
json versions/compatible "x['versions'] and len(set(v['interface'] for v in x['versions'])) == 1 and not any(v['version'] == 'v0.1.0' for v in x['versions'])"
run "$MLXK" versions "$r"; exits 0 versions/people; says versions/people_see_versions out '^v0\.1\.0 '
run "$MLXK" versions "$r" --compatible=loose; exits 2 versions/unknown_way
# What was stored is a model that can be fetched and whose files are these.
run "$MLXK" copy "$r:v0.1.0" "oci-archive:$T/a.tar"; exits 0 release/copied
run "$MLXK" inspect "$r:v0.1.0" --json; json release/layers "x['digest'] == '$digest' and 'sub/extra.py' in [l['path'] for l in x['layers']] and x['annotations']['dev.mlxk.empty'] == 'empty.txt'"
run "$MLXK" release "$w" oci:"$T/pkg"; exits 1 release/name_is_refused; says release/name_is_told err 'cannot be the name'
# A version by range, in the cache.
export HF_HOME="$T/hf2"
from() { run "$MLXK" from "$r" "$2" --json; json "from/$1" "x['tag'] == '$3'"; }
from major v0 v0.3.0; from minor v0.1 v0.1.1; from caret '^0.1.0' v0.3.0; from tilde '~0.1.0' v0.1.1; from exact v0.1.0 v0.1.0; from latest latest v5.0.0; from branch v1.0.0-feature-x v1.0.0-feature-x
run "$MLXK" from "$r" v0.1.0; exits 0 from/path; [ -f "$(cat "$T/out")/config.json" ]; ok $? from/path_holds_the_model
run "$MLXK" from "$r" v9 --json; exits 1 from/none; json from/none_is_told "e['type'] == 'model_not_found'"
run "$MLXK" from "$r" nonsense; exits 1 from/no_range; run "$MLXK" from "$r:v0.1.0" v1; exits 1 from/two_tags
