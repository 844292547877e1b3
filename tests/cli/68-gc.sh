#!/bin/sh
# 68-gc.sh: gc: what it plans, what it removes, and what it leaves: held locks, open and mapped files, young files, files of
# others; policies for revisions; the shared store.
set -u
. tests/fake/hub.sh
# shellcheck disable=SC2119      # the faults it can be given are for other tests
hub_start
doc() { name=$1; shift; if python3 -c 'import json, sys
d = json.load(open(sys.argv[1], encoding="utf-8")); x = d["data"]; e = d["error"]
acts = sorted(i["action"] for i in x["items"]) if x else []
kept = {i["path"].rsplit("/", 1)[-1]: i["reason"] for i in x["kept"]} if x else {}
assert eval("(" + sys.argv[2] + ")"), (acts, kept, d)' "$T/out" "$1" 2> "$T/json"; then ok "$name"; else bad "$name" "$(tail -n 1 "$T/json")"; fi; }
same() { if [ "$2" = "$3" ]; then ok "$1"; else bad "$1" "not the same"; fi; }
tree_of() { (cd "$1" && find . -printf '%P %y %l %s\n' | sort); }
old() { touch -h -d '2 days ago' "$@"; }
repo=$cache/models--o--small

# ---- nothing to do ----------------------------------------------------------------------------------------------------
run gc --json
doc "an empty cache" 'd["status"] == "success" and not acts and not kept and x["dry_run"]'
run pull o/small
find "$cache/.locks" -type f -exec touch -d '2 days ago' {} +
run gc --json
doc "a fresh cache has lock files at most" 'set(acts) == {"lock"} and len(acts) == 1 and not kept'

# ---- leftovers of all kinds ----------------------------------------------------------------------------------------------
hex() { printf %s "$1" | sha256sum | cut -c1-64; }
gone=0123456789abcdef0123456789abcdef01234567
litter() {
    printf junk > "$repo/blobs/$(hex a)"
    printf half > "$repo/blobs/$(hex b).incomplete"
    printf half > "$repo/blobs/$(hex b2).mlxk.incomplete"
    printf half > "$repo/blobs/$(hex b3).0123abcd.incomplete"
    printf half > "$repo/blobs/$(hex b4).damaged.incomplete"
    ln -sfn ../../blobs/aa/x "$repo/blobs/.$(hex c).0123abcd.shared"
    printf x > "$repo/refs/main.0123abcd.tmp"
    mkdir -p "$repo/trees" "$repo/.no_exist/$gone"
    printf x > "$repo/trees/tmpabcd.tmp"
    printf '{}' > "$repo/trees/$gone.json"
    : > "$repo/.no_exist/$gone/adapter_config.json"
    mkdir -p "$cache/.locks/models--o--gone"; : > "$cache/.locks/models--o--gone/$(hex d).lock"
    mkdir -p "$repo/.mlxk"; printf x > "$repo/.mlxk/$(hex b2).map"; printf x > "$repo/.mlxk/$(hex b2).lease"
    printf mine > "$repo/blobs/notes.txt"; printf mine > "$repo/README"; printf mine > "$cache/todo.txt"
    mkdir -p "$cache/.locks/models--o--small/0123abcd.removed/x"
    find "$repo/blobs" "$repo/.mlxk" "$repo/refs" "$repo/trees" "$repo/.no_exist" "$cache/.locks" -type f -exec touch -d '2 days ago' {} +
    old "$cache/.locks/models--o--small/0123abcd.removed"; old "$repo/blobs/.$(hex c).0123abcd.shared"
}
litter
before=$(tree_of "$cache")
run gc --json
doc "every kind is found" 'acts == ["absence", "file list", "interrupted removal", "lock", "lock", "partial", "partial", "partial", "partial", "partial", "partial", "temporary", "temporary", "temporary", "unlinked blob"]'
doc "what others put there is named" 'all(kept[n] for n in ("notes.txt", "README", "todo.txt")) and len(kept) == 3'
same "a plan changes nothing" "$(tree_of "$cache")" "$before"
run gc
check "a table with a summary" grep -q '^15 could go' "$T/out"
run gc --dry-run --yes
check "a plan and not a plan is a usage error" test $status = 2
run gc --yes --json
doc "all of it goes" 'd["status"] == "success" and all(i["removed"] for i in x["items"]) and x["freed_bytes"] > 0'
check "files of others stay" test -f "$repo/blobs/notes.txt" -a -f "$repo/README" -a -f "$cache/todo.txt"
check "nothing else stays" test -z "$(find "$cache" -name '*.removed' -o -name '.mlxk' -o -name '*.incomplete' -o -name '*.tmp' -o -name '*.shared' -o -name '*.lock')"
rm "$repo/blobs/notes.txt" "$repo/README" "$cache/todo.txt"
cache_is "the model is as pulled" o/small
succeeds "and right" verify
run gc --yes --json
doc "nothing is left to do" 'not acts'

# ---- what is in use ------------------------------------------------------------------------------------------------------------
litter
python3 - "$cache/.locks/models--o--small/$(hex b).lock" "$T/holding" <<'PY' &
import fcntl, os, sys, time
os.makedirs(os.path.dirname(sys.argv[1]), exist_ok=True)
f = open(sys.argv[1], "w"); fcntl.flock(f, fcntl.LOCK_EX); open(sys.argv[2], "w").close(); time.sleep(60)
PY
holder=$!
while [ ! -e "$T/holding" ]; do sleep 0.1; done
run gc --yes --json
doc "a held lock protects its repository" 'set(acts) == {"lock"} and "holds" in " ".join(kept.values()) and not any("models--o--small" in i["path"] for i in x["items"])'
check "its partial is there" test -f "$repo/blobs/$(hex b).incomplete"
kill $holder; wait $holder 2>/dev/null
litter
python3 - "$repo/blobs/$(hex a)" "$T/holding2" <<'PY' &
import mmap, sys, time
f = open(sys.argv[1], "rb"); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ); f.close()
open(sys.argv[2], "w").close(); time.sleep(60)
PY
holder=$!
while [ ! -e "$T/holding2" ]; do sleep 0.1; done
run gc --yes --json
doc "a mapped file stays" "kept['$(hex a)'] == 'open in another process' and 'unlinked blob' not in acts and 'partial' in acts"
kill $holder; wait $holder 2>/dev/null
check "it is there" test -f "$repo/blobs/$(hex a)"
run gc --yes --json
doc "and goes when it is closed" '"unlinked blob" in acts'
litter
touch "$repo/blobs/$(hex a)" "$repo/blobs/$(hex b).incomplete"
run gc --json
doc "young files stay" "'changed a short while ago' == kept['$(hex a)'] == kept['$(hex b).incomplete']"
run gc --older-than 3d --json
doc "older than three days: nothing" 'not acts'
run gc --older-than 0s --json
doc "older than nothing: all" "'unlinked blob' in acts and '$(hex a)' not in kept"
fails "a wrong age" "no span of time" gc --older-than soon
run gc --yes
litter; touch "$repo/.mlxk/$(hex b2).lease"
run gc --older-than 0s --json
doc "a lease that lives protects its repository" "'downloading' in kept['$(hex b2).mlxk.incomplete'] and not any('models--o--small/' in i['path'] and i['action'] == 'partial' for i in x['items'])"
touch -d '1 hour ago' "$repo/.mlxk/$(hex b2).lease"
run gc --older-than 0s --yes --json
doc "one that is silent does not" "not kept.get('$(hex b2).mlxk.incomplete')"
rm -f "$repo/blobs/notes.txt" "$repo/README" "$cache/todo.txt"

# ---- revisions ----------------------------------------------------------------------------------------------------------------------
fresh
run pull o/model@v1; run pull o/model
c1=$(python3 tests/fake/fake_hub.py commit o/model v1); c2=$(python3 tests/fake/fake_hub.py commit o/model)
model=$cache/models--o--model
touch -d '3 days ago' "$model/snapshots/$c1"
run gc --keep-last 2 --json
doc "keep two of two" '"revision" not in acts'
run gc --keep-last 1 --json
doc "keep one: the older one could go" "[i['path'].rsplit('/', 1)[-1] for i in x['items'] if i['action'] == 'revision'] == ['$c1']"
run gc --keep-last 1 --older-than 1d --json
doc "unless it was used lately" '"revision" not in acts'
printf mine > "$model/snapshots/$c1/notes.txt"
run gc --keep-last 1 --yes --json
doc "a snapshot with files of others stays" "'notes.txt' in kept['$c1']"
rm "$model/snapshots/$c1/notes.txt"; touch -d '3 days ago' "$model/snapshots/$c1"
cat "$model/snapshots/$c1/config.json" > "$T/old-config"
run gc --keep-last 1 --yes --json
doc "keep one" 'd["status"] == "success" and [i["removed"] for i in x["items"] if i["action"] == "revision"] == [True]'
check "its ref is gone" not test -e "$model/refs/v1"
check "its list is gone" not test -e "$model/trees/$c1.json"
cache_is "the other is as pulled" o/model
succeeds "and right" verify
run pull "o/model@$c1"
run gc --json
doc "a revision without a ref stays" '"revision" not in acts'
run gc --detached --json
doc "with --detached it could go" "[i['path'].rsplit('/', 1)[-1] for i in x['items'] if i['action'] == 'revision'] == ['$c1']"
run gc --detached --yes
check "and goes" not test -e "$model/snapshots/$c1"
run pull o/small
find "$cache/models--o--small/" -exec touch -h -a -m -d '9 days ago' {} +
run gc --until-free 900T --json
doc "a goal that cannot be had is told" 'not x["goal_reached"] and d["status"] == "success" and acts.count("revision") == 2'
doc "least recently used first" '[i["model"] for i in x["items"] if i["action"] == "revision"] == ["o/small", "o/model"]'
run gc --until-free 1K --json
doc "a goal that is reached takes nothing" 'x["goal_reached"] and "revision" not in acts'
fails "what cannot be had is a failure" "less than" gc --until-free 900T --keep-last 1 --yes
check "keep-last protects" test -d "$model/snapshots/$c2" -a -d "$cache/models--o--small/snapshots"
fails "all may go" "less than" gc --until-free 900T --yes
check "whole models went" test -z "$(find "$cache" -maxdepth 1 -name 'models--*')"

# ---- folders that lie elsewhere ------------------------------------------------------------------------------------------
fresh; run pull o/small
printf junk > "$repo/blobs/$(hex a)"; mv "$repo/blobs" "$T/blobs-elsewhere"; ln -s "$T/blobs-elsewhere" "$repo/blobs"
run verify --json
check "blobs behind a link are hashed" test $status = 1
check "each of them" test "$(python3 -c "import json; print(json.load(open('$T/out'))['data']['files'])")" = 3
run gc --older-than 0s --yes --json
doc "a repository with a folder elsewhere is left alone" "not any('models--o--small/' in i['path'] and '.locks' not in i['path'] for i in x['items']) and 'left alone' in kept['blobs']"
check "nothing went" test -f "$T/blobs-elsewhere/$(hex a)"
rm "$repo/blobs"; mv "$T/blobs-elsewhere" "$repo/blobs"; mv "$repo/snapshots" "$T/snapshots-elsewhere"; ln -s "$T/snapshots-elsewhere" "$repo/snapshots"
run gc --older-than 0s --yes --json
doc "nor does a blob go when the snapshots are elsewhere" "'unlinked blob' not in acts and 'left alone' in kept['snapshots']"
rm "$repo/snapshots"; mv "$T/snapshots-elsewhere" "$repo/snapshots"
mkdir "$T/sub"; ln -s "$T/sub" "$(dirname "$repo"/snapshots/*/config.json)/sub"
run gc --older-than 0s --yes --json
doc "nor when a part of one is" "'unlinked blob' not in acts"

# ---- a volume of its own: full, and small ----------------------------------------------------------------------------------------------
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
    export cache repo hub
    cat > "$T/full.sh" <<'SH'
mount --make-rprivate / && mkdir -p "$T/vol" && mount -t tmpfs -o size=3m tmpfs "$T/vol" || exit 77
export HF_HUB_CACHE="$T/vol/hub"
"$MLXK" pull o/small > /dev/null 2>&1 || exit 1
"$MLXK" pull o/model > /dev/null 2>&1 || exit 2
find "$HF_HUB_CACHE/models--o--model" -exec touch -h -a -m -d '9 days ago' {} +
dd if=/dev/zero of="$T/vol/filler" bs=4096 2> /dev/null
"$MLXK" verify --json > "$T/full-verify" 2>&1 || exit 3
"$MLXK" gc --until-free 300K --yes --json > "$T/out" 2> "$T/err" || exit 4
[ -d "$HF_HUB_CACHE/models--o--small/snapshots" ] || exit 5
[ ! -e "$HF_HUB_CACHE/models--o--model/snapshots" ] || exit 6
mount -o remount,ro "$T/vol" || exit 7
"$MLXK" verify > "$T/ro-verify" 2>&1 || exit 8
"$MLXK" gc > "$T/ro-gc" 2>&1 || exit 9
"$MLXK" du > "$T/ro-du" 2>&1 || exit 10
"$MLXK" health --deep > /dev/null 2>&1 || exit 11
"$MLXK" doctor > "$T/ro-doctor" 2>&1
[ $? = 0 ] || exit 12
grep -q 'mounted read-only' "$T/ro-doctor" || exit 13
"$MLXK" gc --older-than 0s --yes > "$T/ro-yes" 2>&1
[ $? = 1 ] || exit 14
exit 0
SH
    unshare -m sh "$T/full.sh"; status=$?
    if [ $status = 77 ]; then echo "ok gc/volume: full and read-only # SKIP no tmpfs can be mounted"
    elif [ $status = 0 ]; then ok "gc/volume: full and read-only"; else bad "gc/volume: full and read-only" "step $status: $(tail -n 3 "$T/out" "$T/ro-doctor" "$T/ro-yes" 2>/dev/null)"; fi
else echo "ok gc/volume: full and read-only # SKIP not root"; fi

# ---- the shared store ----------------------------------------------------------------------------------------------------------------------
fresh; run pull o/small
blob=$(readlink -f "$repo"/snapshots/*/model.safetensors); key=$(hex store); dir=$cache/blobs/$(printf %.2s "$key")
mkdir -p "$dir"; echo 1 > "$cache/blobs/.huggingface-shared-blobs"
mv "$blob" "$dir/$key"; ln -s "../../blobs/$(printf %.2s "$key")/$key" "$blob"
echo "models--o--small/blobs/$(basename "$blob")" > "$dir/$key.refs"
touch -d '2 days ago' "$dir/$key" "$dir/$key.refs"
run gc --yes --json
doc "a payload in use stays" '"stored payload" not in acts'
printf lost > "$dir/$(printf %.2s "$key")$(hex x | cut -c3-)"; old "$dir"/*
run gc --json
doc "without a manifest it stays" '"stored payload" not in acts and "nothing tells who uses it" in kept.values()'
rm -r "$repo"
run gc --yes --json
doc "without a user it goes" '[i["removed"] for i in x["items"] if i["action"] == "stored payload"] == [True]'
check "payload and manifest" not test -e "$dir/$key" -o -e "$dir/$key.refs"
