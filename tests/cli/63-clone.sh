#!/bin/sh
# 63-clone.sh: clone: where the target may be, what lies there afterwards, what is fetched, what a kill or a full disk leaves.
set -u
. tests/fake/hub.sh
. tests/fake/hub_json.sh
tiny() {
    mkdir -p "$1"
    cp tests/golden/tiny-a/llama-q4-g64/*.json tests/golden/tiny-a/llama-q4-g64/*.safetensors tests/golden/tiny-a/_tokenizer/*.json "$1"
}
# shellcheck disable=SC2119
hub_start
export MLXK_RETRY_BASE_MS=1
W=$T/w
etag=$(python3 tests/fake/fake_hub.py etag o/model model-00001-of-00002.safetensors)
commit=$(python3 tests/fake/fake_hub.py commit o/model)

clean() { fresh; fault; rm -rf "$W"; mkdir "$W"; }
leftover() { [ -n "$(find "$1" -maxdepth 1 -name '.mlxk2_temp*')" ]; }
# clone_is NAME DIR REPO [REV]: DIR is exactly a clone, and nothing else lies beside it.
clone_is() {
    name=$1; dir=$2; shift
    if ! python3 tests/fake/fake_hub.py workspace "$@" > "$T/verify" 2>&1; then bad "$name" "$(head -n 5 "$T/verify")"
    elif leftover "$(dirname "$dir")"; then bad "$name" "a temporary is left"
    else ok "$name"; fi
}
untouched() { if [ -n "$(ls -A "$W")" ]; then bad "$1" "$(ls -A "$W")"; else ok "$1"; fi; }

# ---- what a clone is -------------------------------------------------------------------------------------------
clean
succeeds "clone" clone o/model "$W/a"
clone_is "the files of the model, and a sentinel" "$W/a" o/model
cache_is "the user's cache holds it, too" o/model
: > "$hub/log"
succeeds "a second clone" clone o/model "$W/b"
clone_is "is the same" "$W/b" o/model
check "and nothing is fetched for it" not grep -q resolve "$hub/log"
check "edits do not reach the cache" sh -c "echo x >> '$W/a/config.json' && ! grep -q x \"\$(find '$cache' -path '*snapshots*' -name config.json)\""
: > "$hub/log"
HF_HUB_OFFLINE=1 succeeds "offline, from the cache" clone o/model "$W/c"
clone_is "offline: the same" "$W/c" o/model
HF_ENDPOINT=http://127.0.0.1:9 succeeds "the hub is down" clone o/model "$W/d"
clone_is "the hub is down: the same" "$W/d" o/model
succeeds "the first digits of a commit" clone "o/model@$(echo "$commit" | cut -c1-8)" "$W/digits"
clone_is "are that commit" "$W/digits" o/model
: > "$hub/log"
succeeds "a full commit that is in the cache" clone "o/model@$commit" "$W/e"
check "asks nobody" not test -s "$hub/log"
HF_HUB_OFFLINE=1 fails "offline, not in the cache" "HF_HUB_OFFLINE is set" clone o/small "$W/f"
check "offline: nothing is left" not test -e "$W/f"
succeeds "a revision with @" clone o/model@v1 "$W/v1"
clone_is "is that revision" "$W/v1" o/model v1
succeeds "a revision with --branch" clone o/model "$W/pr" --branch refs/pr/1
clone_is "is that branch" "$W/pr" o/model refs/pr/1
run clone o/model@v1 "$W/x" --branch main
check "two revisions are a usage error" test $status = 2
succeeds "a model with sub-folders and headers" clone o/good "$W/good"
clone_is "is whole" "$W/good" o/good
run list --json "$W/good"
check_json "its hash is stored, and it is clean" "x['models'][0]['content_hash'].startswith('sha256:') and x['models'][0]['clean'] is True and x['models'][0]['origin'] == 'o/good'"
clean
succeeds "a short name" clone bare "$W/bare"
succeeds "fetched first" pull o/small
succeeds "a name that the cache completes" clone small "$W/small"
clone_is "is the whole name's" "$W/small" o/small
HF_HUB_DISABLE_SYMLINKS=1 succeeds "a cache without links" pull o/good
succeeds "can be cloned" clone o/good "$W/g"
clone_is "and is whole" "$W/g" o/good
succeeds "hard links when asked for" clone o/small "$W/h" --hardlink
check "share the file" test "$(stat -c %h "$W/h/model.safetensors")" -gt 1
clone_is "and are the same" "$W/h" o/small

tiny "$T/m"
succeeds "import a model that no hub knows" import "$T/m" --name local/m --quiet
succeeds "clone it" clone local/m "$W/local"
check "it is there" cmp -s "$T/m/config.json" "$W/local/config.json"

# ---- documents -------------------------------------------------------------------------------------------------
run clone o/small "$W/j" --json
check_json "the document" "d['command'] == 'clone' and x['model'] == 'o/small' and x['clone_status'] == 'success' and x['message'] == 'Cloned to $W/j' \
    and x['target_dir'] == '$W/j' and x['health_check'] is True and x['health'] == 'healthy' and len(x['source_revision']) == 40 and x['fetched_bytes'] == 0"
run clone o/small "$W/k" --json --no-health-check
check_json "without a health check" "x['health_check'] is False and 'health' not in x and 'health_reason' not in x"
run clone o/small "$W/l"
check "for people" grep -q "^clone: o/small → $W/l (✓ healthy)$" "$T/out"
run clone o/small "$W/m" --quiet
check "quiet" grep -q "^clone: o/small → $W/m$" "$T/out"
run clone o/model "$W/n" --json
check_json "an unhealthy model is cloned all the same" "d['status'] == 'success' and x['health'] == 'unhealthy' and x['health_reason']"

# ---- targets -----------------------------------------------------------------------------------------------------
clean
run clone o/small --json
check_json "no target and no home" "d['status'] == 'error' and 'arget' in e['message']"
run clone o/small
check "told in plain words" grep -q "^  mlxk clone o/small ./my-model$" "$T/err"
mkdir "$W/full" "$W/empty" "$W/home"; echo 1 > "$W/full/x"; echo 1 > "$W/file"
run clone o/small "$W/full" --json
check_json "not empty" "e['type'] == 'InvalidTargetError' and 'is not empty' in e['message'] and x['clone_status'] == 'error'"
run clone o/small "$W/file" --json
check_json "a file" "e['type'] == 'InvalidTargetError' and 'exists but is not a directory' in e['message']"
run clone o/small "$W/no/such/t" --json
check_json "no parent" "e['type'] == 'InvalidTargetError' and e['message'] == 'Parent directory does not exist: $W/no/such'"
run clone o/small "$W/file/t" --json
check_json "a parent that is a file" "e['type'] == 'InvalidTargetError'"
mkdir -p "$cache"
fails "inside the cache" "in the model cache" clone o/small "$cache/t"
rmdir "$cache"; rmdir "$HF_HOME"
nothing "refused targets: nothing is fetched"
chmod 2750 "$W/empty"
succeeds "an empty folder" clone o/small "$W/empty"
clone_is "is filled" "$W/empty" o/small
check "and keeps its permissions" test "$(stat -c %a "$W/empty")" = 2750
mkdir "$W/here"
(cd "$W/here" && "$MLXK" clone o/small . > "$T/out" 2> "$T/err"); status=$?
check "the working folder" test $status = 0
clone_is "is filled in its place" "$W/here" o/small
ln -s here "$W/link"; mkdir "$W/real"; ln -s real "$W/link2"
fails "a link to a full folder" "is not empty" clone o/small "$W/link"
succeeds "a link to an empty folder" clone o/small "$W/link2"
clone_is "is followed" "$W/real" o/small
(cd "$W" && "$MLXK" clone o/small rel --json > "$T/out"); status=$?
check_json "a relative target" "x['target_dir'] == '$W/rel' and x['message'] == 'Cloned to rel'"
export MLXK_WORKSPACE_HOME="$W/home"
succeeds "a home for workspaces" clone o/small@main
clone_is "takes the name of the model" "$W/home/small" o/small
run clone o/small
check "there already" grep -q "^Error: small already exists in $W/home$" "$T/err"
check "is a failure" test $status = 1
succeeds "a bare name" clone o/small other
clone_is "is a name in the home" "$W/home/other" o/small
MLXK_WORKSPACE_HOME=$W/file run clone o/small
check "a home that is none" grep -q "^Error: MLXK_WORKSPACE_HOME is not a directory" "$T/err"
unset MLXK_WORKSPACE_HOME

# ---- refusals --------------------------------------------------------------------------------------------------------
clean
for repo in o/gated o/private o/unknown o/disabled; do
    run clone $repo "$W/t" --json
    check_json "$repo" "d['status'] == 'error' and e['type'] == 'PullFailedError' and e['message'].startswith('Pull operation failed: ') and x['clone_status'] == 'pull_failed' and x['model'] == '$repo'"
done
fails "no such revision" "has no revision 'nope'" clone o/model@nope "$W/t"
fails "a name that is none" "Pull operation failed" clone o//m "$W/t"
fault "cdn $etag wrongbytes"
fails "wrong bytes" "have the hash" clone o/model "$W/t"
untouched "refusals: nothing is left"
fault
HF_TOKEN=hf_goodgoodgoodgoodgood succeeds "gated with a token" clone o/gated "$W/gated"
clone_is "is whole" "$W/gated" o/gated
check "no token for the storage" not grep -q '^cdn .*auth=yes' "$hub/log"

# ---- damage in the cache -----------------------------------------------------------------------------------------------
clean
run pull o/model
printf X | dd of="$cache/models--o--model/blobs/$etag" bs=1 seek=100 conv=notrunc 2>/dev/null
HF_HUB_OFFLINE=1 fails "a damaged blob, offline" "cached bytes have the hash" clone o/model "$W/t"
untouched "damaged: nothing is left"
: > "$hub/log"
succeeds "a damaged blob" clone o/model "$W/t"
clone_is "is fetched anew" "$W/t" o/model
check "alone" test "$(grep -c '^cdn GET' "$hub/log")" = 1
cache_is "and mended in the cache" o/model
rm "$cache/models--o--model/blobs/$etag"
: > "$hub/log"
succeeds "a missing blob" clone o/model "$W/u"
check "is fetched alone" test "$(grep -c '^cdn GET' "$hub/log")" = 1
clone_is "and the clone is whole" "$W/u" o/model

# ---- a cache that cannot be written ------------------------------------------------------------------------------------------
clean
echo 1 > "$T/nodir"
HF_HUB_CACHE="$T/nodir/hub" succeeds "a cache that cannot be made" clone o/model "$W/t"
clone_is "is done without" "$W/t" o/model
fault "cdn $etag cut=100000 1" "cdn $etag close 2-999"
HF_HUB_CACHE="$T/nodir/hub" fails "interrupted beside the target" "is kept in $W/.mlxk2_temp_" clone o/model "$W/u"
check "no target yet" not test -e "$W/u"
fault; : > "$hub/log"
HF_HUB_CACHE="$T/nodir/hub" succeeds "and run again" clone o/model "$W/u"
clone_is "it is whole" "$W/u" o/model
check "and went on where it was" logged "^cdn GET /blob/$etag.* range=bytes=[1-9]"

# ---- kills -----------------------------------------------------------------------------------------------------------------------
clean
run pull o/good
if command -v strace > /dev/null 2>&1; then
    strace -f -o "$T/trace" -e trace=%file,write,fsync,fdatasync "$MLXK" clone o/good "$W/t" --quiet > /dev/null 2>&1
    for call in mkdir open openat write fsync rename unlink unlinkat link; do      # as the C library names them
        n=$(grep -c "^[0-9]* *$call(" "$T/trace")
        [ "$n" -gt 0 ] || continue
        step=$(((n + 5) / 6))
        i=1; broken=; tried=0
        while [ $i -le "$n" ]; do
            rm -rf "$W"; mkdir "$W"; : > "$hub/log"
            strace -f -o /dev/null -e trace=$call -e inject=$call:signal=KILL:when=$i "$MLXK" clone o/good "$W/t" --quiet > /dev/null 2>&1
            if [ -e "$W/t" ] && ! python3 tests/fake/fake_hub.py workspace "$W/t" o/good > /dev/null; then broken="$broken half:$call:$i"; fi
            had=$([ -e "$W/t" ] && echo yes)
            run clone o/good "$W/t"
            if ! python3 tests/fake/fake_hub.py workspace "$W/t" o/good > /dev/null; then broken="$broken after:$call:$i"; fi
            if [ -z "$had" ] && [ $status != 0 ]; then broken="$broken status:$call:$i"; fi
            if leftover "$W"; then broken="$broken temp:$call:$i"; fi
            if grep -q resolve "$hub/log"; then broken="$broken fetched:$call:$i"; fi
            i=$((i + step)); tried=$((tried + 1))
        done
        check "killed at $tried calls of $call: no target or a whole one, then a whole one" test -z "$broken"
        [ -z "$broken" ] || echo "# $broken"
    done
fi
clean
fault "cdn $etag slow=200000"
"$MLXK" clone o/model "$W/t" > "$T/out" 2> "$T/err" &
pid=$!
n=0; while [ ! -s "$cache/models--o--model/blobs/$etag.mlxk.incomplete" ] && [ $n -lt 50 ]; do n=$((n + 1)); sleep 0.1; done
run clone o/model "$W/t"
check "two to one target" grep -q "another process is cloning" "$T/err"
kill -TERM $pid; wait $pid; status=$?
check "an interrupt is a failure" test $status = 1
untouched "and leaves nothing beside the target"
fault; : > "$hub/log"
succeeds "the next run" clone o/model "$W/t"
clone_is "is whole" "$W/t" o/model
check "and goes on where it was" logged "^cdn GET /blob/$etag.* range=bytes=[1-9]"

# ---- disks ---------------------------------------------------------------------------------------------------------------------------
clean
run pull o/model
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
    # shellcheck disable=SC2016
    W=$W unshare -m sh -c 'mount --bind "$HF_HOME" "$HF_HOME" && mount -o remount,bind,ro "$HF_HOME" && "$MLXK" clone o/model "$W/ro" > "$T/out" 2> "$T/err"; echo $? > "$T/ro1"
        "$MLXK" clone o/small "$W/ro2" > "$T/out2" 2> "$T/err2"; echo $? > "$T/ro2"'
    check "from a read-only cache" test "$(cat "$T/ro1")" = 0
    clone_is "it is whole" "$W/ro" o/model
    check "what a read-only cache lacks" test "$(cat "$T/ro2")" = 0
    clone_is "is fetched beside the target" "$W/ro2" o/small
    mv "$cache/models--o--model/snapshots" "$cache/models--o--model/trees" "$T"
    mkdir "$cache/models--o--model/snapshots"
    : > "$hub/log"
    # shellcheck disable=SC2016
    W=$W unshare -m sh -c 'mount --bind "$HF_HOME" "$HF_HOME" && mount -o remount,bind,ro "$HF_HOME" && "$MLXK" clone o/model "$W/ro4" > "$T/out" 2> "$T/err"; echo $? > "$T/ro4"'
    check "blobs of a read-only cache without links" test "$(cat "$T/ro4")" = 0
    clone_is "are enough" "$W/ro4" o/model
    check "and nothing is fetched" not grep -q '^cdn' "$hub/log"
    rmdir "$cache/models--o--model/snapshots"; mv "$T/snapshots" "$T/trees" "$cache/models--o--model"
    printf X | dd of="$cache/models--o--model/blobs/$etag" bs=1 seek=100 conv=notrunc 2>/dev/null
    # shellcheck disable=SC2016
    W=$W unshare -m sh -c 'mount --bind "$HF_HOME" "$HF_HOME" && mount -o remount,bind,ro "$HF_HOME" && "$MLXK" clone o/model "$W/ro3" > "$T/out" 2> "$T/err"; echo $? > "$T/ro3"'
    check "damage in a read-only cache" test "$(cat "$T/ro3")" = 0
    clone_is "is overcome" "$W/ro3" o/model
    run pull o/model --redownload
    mkdir "$W/disk"
    # shellcheck disable=SC2016
    W=$W unshare -m sh -c 'mount -t tmpfs -o size=300k none "$W/disk" && "$MLXK" clone o/model "$W/disk/t" --json > "$T/out" 2> "$T/err"; echo $? > "$T/full"; ls -A "$W/disk" > "$T/left"
        head -c 200000 /dev/zero > "$W/disk/fill"; "$MLXK" clone o/small "$W/disk/t" > "$T/out2" 2>&1; "$MLXK" clone o/small "$W/disk/t2" > "$T/out2" 2> "$T/err2"; echo $? > "$T/full2"; ls -A "$W/disk" >> "$T/left"
        rm "$W/disk/fill"; "$MLXK" clone o/small "$W/disk/t2" >> "$T/out2" 2>&1; echo $? > "$T/full3"
        mkdir "$W/mount"; mount -t tmpfs none "$W/mount"; "$MLXK" clone o/small "$W/mount" > "$T/out3" 2>&1; echo $? > "$T/mount"; python3 tests/fake/fake_hub.py workspace "$W/mount" o/small > "$T/verify"; echo $? >> "$T/mount"
        mount -o remount,ro "$W/disk"; "$MLXK" clone o/small "$W/disk/t3" > "$T/out3" 2> "$T/err3"; echo $? > "$T/ro4"'
    check "a full disk is a failure" test "$(cat "$T/full")" = 1
    check_json "told with sizes" "e['type'] == 'CloneFailedError' and 'free' in e['message'] and x['clone_status'] == 'filesystem_error'"
    check "and leaves nothing" test "$(grep -c mlxk2_temp "$T/left")" = 0
    check "with room it goes on" test "$(cat "$T/full3")" = 0
    check "a mount point is filled in its place" test "$(tr '\n' ' ' < "$T/mount")" = "0 0 "
    check "a read-only target is a failure" test "$(cat "$T/ro4")" = 1
    check "that says so" grep -q "Parent directory is not writable" "$T/err3"
else
    echo "ok read-only and full disks # SKIP not root"
fi
