#!/bin/sh
# 39-room.sh: two pulls onto one disk that has room for one of them: the second is told at once, not when the disk is full;
# what a killed pull had announced counts no longer.
# shellcheck disable=SC2016      # what happens on the disk is run by another shell
set -u
. tests/fake/hub.sh
if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null; then echo "ok room/two-pulls # SKIP not root"; exit 0; fi
# shellcheck disable=SC2119
hub_start
notes=.locks/mlxk-room
mkdir "$T/disk"
export HF_HOME="$T/disk" notes hub

# In a namespace of its own: 14 MB, of which each of the two models wants 9. $1: what happens there.
on_disk() { unshare -m sh -c '
    mount -t tmpfs -o size=14m none "$HF_HOME" || exit 9
    first() { "$MLXK" pull o/shards > "$T/out1" 2> "$T/err1" < /dev/null & pid=$!
        n=0; while [ -z "$(ls "$HF_HOME/hub/$notes" 2>/dev/null)" ] && [ $n -lt 600 ]; do sleep 0.05; n=$((n + 1)); done
        ls "$HF_HOME/hub/$notes" > "$T/noted"; }
    second() { timeout 60 "$MLXK" pull "$@" > "$T/out" 2> "$T/err" < /dev/null; echo $? > "$T/status"; }
    '"$1"; }
second_failed() { check "$1" test "$(cat "$T/status")" = 1; }

fault "cdn . slow=30000"
on_disk '
    first; second o/others
    find "$HF_HOME/hub/models--o--others" > "$T/left" 2>/dev/null
    "$MLXK" pull o/others --dry-run > "$T/out3" 2> "$T/err3"; echo $? > "$T/status3"
    kill -9 $pid; wait $pid
    ls "$HF_HOME/hub/$notes" > "$T/stays"
    : > "$hub/faults"
    "$MLXK" pull o/others > "$T/out2" 2> "$T/err2"; echo $? > "$T/status2"
    ls "$HF_HOME/hub/$notes" > "$T/stays2" 2>/dev/null'
check "the first says what it brings" test -s "$T/noted"
second_failed "the second is told that there is no room for both"
check "and for whom the room is" grep -q "of which .* are for another download" "$T/err"
check "and that it can wait" grep -q "wait until that has finished" "$T/err"
check "it leaves nothing" test ! -s "$T/left"
check "so does a dry run, which says the same" sh -c '[ "$(cat "$T/status3")" = 1 ] && grep -q "for another download" "$T/err3"'
check "a killed one leaves its note" test -s "$T/stays"
check "which counts no longer" test "$(cat "$T/status2")" = 0
check "and is swept" test ! -s "$T/stays2"

fault "cdn . slow=100000"
on_disk '
    first; : > "$hub/faults"
    second o/shards; wait $pid; echo $? > "$T/status2"
    ls "$HF_HOME/hub/$notes" > "$T/stays" 2>/dev/null'
check "two pulls of the same model share the room" test "$(cat "$T/status")$(cat "$T/status2")" = 00
check "no note is left" test ! -s "$T/stays"

fault "cdn . slow=30000"
on_disk '
    first; second o/others --require-free 1M; kill $pid; wait $pid'
second_failed "--require-free counts others, too"
check "and both are named" grep -q "of which 1.0MB must stay free and .* are for another download" "$T/err"

fault
HF_HOME="$T/elsewhere" succeeds "a model elsewhere" pull o/others
HF_HOME="$T/elsewhere" succeeds "as a bundle" export o/others -o "$T/others.tar"
fault "cdn . slow=30000"
on_disk '
    first; timeout 60 "$MLXK" import "$T/others.tar" > "$T/out" 2> "$T/err"; echo $? > "$T/status"
    find "$HF_HOME/hub/models--o--others" > "$T/left" 2>/dev/null
    kill -9 $pid; wait $pid
    "$MLXK" import "$T/others.tar" > "$T/out2" 2> "$T/err2"; echo $? > "$T/status2"; ls "$HF_HOME/hub/$notes" > "$T/stays" 2>/dev/null'
second_failed "an import beside a pull is told at once"
check "for whom the room is" grep -q "are for another download" "$T/err"
check "and leaves nothing" test ! -s "$T/left"
check "alone it has room" test "$(cat "$T/status2")" = 0
check "and leaves no note" test ! -s "$T/stays"

fault
on_disk '
    "$MLXK" pull o/shards > "$T/out1" 2> "$T/err1"; second o/others'
second_failed "no room, and nobody else"
check "then nobody else is named" not grep -q "another download" "$T/err"

# ---- a limit on the size of files (ulimit -f counts 512 bytes) ----
fault
for what in "pull o/shards" "import $T/others.tar"; do
    # shellcheck disable=SC2086
    (ulimit -f 400; HF_HOME=$T/limited "$MLXK" $what > "$T/out" 2> "$T/err" < /dev/null); status=$?
    check "${what%% *}: a file that may not become so large is refused" test $status = 1
    check "${what%% *}: before it is fetched" grep -q "has 300.0KB, and files may not be larger than 204.8KB here" "$T/err"
    check "${what%% *}: and nothing is begun" test -z "$(find "$T/limited" -name '*incomplete' 2> /dev/null)"
done

succeeds "for clone and export: there is a model" pull o/shards
for what in "clone o/shards $T/cloned" "export o/shards -o $T/made.tar" "export o/shards -o $T/made.tar --split 250k"; do
    # shellcheck disable=SC2086
    (ulimit -f 400; "$MLXK" $what > "$T/out" 2> "$T/err" < /dev/null); status=$?
    check "$what: a file that may not become so large is refused" test $status = 1
    check "$what: it is named" grep -Eq "has (9.0MB|300.0KB|250.0KB), and files may not be larger than 204.8KB here" "$T/err"
    check "$what: and nothing is left" test -z "$(find "$T" -maxdepth 1 \( -name 'cloned*' -o -name 'made*' -o -name '.mlxk2_temp*' \))"
done
(ulimit -f 400; "$MLXK" export o/shards -o "$T/made.tar" --split 200k > "$T/out" 2> "$T/err" < /dev/null); status=$?
check "in small volumes it is exported" test $status = 0
rm -f "$T"/made*

# ---- a quota, as the system would tell it (strace puts the numbers in: 5 MiB, of which 1 is used) ----
fault
if ! command -v strace > /dev/null || ! command -v setpriv > /dev/null || ! strace -qq -o "$T/tr" -e inject=quotactl_fd:error=ENOSYS true 2> /dev/null; then
    echo "ok room/quota # SKIP no strace here"; exit 0
fi
mkdir "$T/open" "$T/theirs"; cp "$MLXK" "$T/open/mlxk"; cp "$T/others.tar" "$T/open/"; chmod 755 "$T" "$T/open" "$T/open/mlxk"; chmod 644 "$T/open/others.tar"
chown 65534:65534 "$T/theirs"
# within WHICH ARGS...: WHICH=1+2: the user's quota is so, 2+2: the group's (the first question fails)
within() {
    which=$1; shift
    (cd "$T/theirs" && HOME=$T/theirs HF_HOME=${from:-$T/theirs/hf} strace -f -qq -o "$T/theirs/tr" -e trace=quotactl_fd \
        -e "inject=quotactl_fd:retval=0:poke_exit=@arg4=001400000000000000000000000000000000100000000000:when=$which" \
        -u nobody "$T/open/mlxk" "$@" > "$T/out" 2> "$T/err" < /dev/null)
    status=$?
}
for who in "1+2:your quota" "2+2:your group's quota"; do
    within "${who%%:*}" pull o/shards
    check "more than ${who#*:} leaves is refused" test "$status" = 1
    check "and it is named" grep -q "9.0MB are still to come, and .* has 4.2MB free by ${who#*:}" "$T/err"
done
check "nor begun" test ! -e "$T/theirs/hf/hub/models--o--shards"
within 1+2 import "$T/open/others.tar"
check "a bundle is refused so, too" grep -q "free by your quota" "$T/err"
tiny="$T/open/tiny"; mkdir "$tiny"; echo '{"model_type": "llama"}' > "$tiny/config.json"
{ printf '\120\0\0\0\0\0\0\0%-80s' '{"w":{"dtype":"U8","shape":[6000000],"data_offsets":[0,6000000]}}'; head -c 6000000 /dev/zero; } > "$tiny/model.safetensors"
within 1+2 import "$tiny" --name me/tiny
check "and a folder" grep -q "6.0MB are still to come, and .* free by your quota" "$T/err"
check "of which nothing is begun" test ! -e "$T/theirs/hf/hub/models--me--tiny"
within 1+2 pull o/model
check "what the quota leaves room for is brought" test "$status" = 0
within 1+2 doctor
check "doctor tells the quota" grep -q "quota .* 1.0MB of 5.2MB used" "$T/out"
chmod -R a+rX "$T/elsewhere"; from=$T/elsewhere
within 1+2 export o/others -o "$T/theirs/o.tar"
check "a bundle that would not fit is not begun" grep -q "the bundle takes 9.0MB, and .* has 4.2MB free by your quota" "$T/err"
check "nothing of it stays" test -z "$(find "$T/theirs" -name 'o.tar*')"
within 1+2 clone o/others "$T/theirs/copy"
check "nor a copy" grep -q "still to be copied, and .* has 4.2MB free by your quota" "$T/err"
