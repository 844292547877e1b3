#!/bin/sh
# 72-places.sh: caches in places that refuse something: full and small disks, limits, read-only mounts, folders of other
# users, groups handed down, no links, no locks, long names. What cannot be had without being root is skipped.
set -u
. tests/fake/hub.sh
# shellcheck disable=SC2119      # the faults it can be given are for other tests
hub_start
judge=tests/fake/judge_cache.py
whole() { name=$1; shift; if python3 $judge "$@" > "$T/judged" 2>&1; then ok "$name"; else bad "$name" "$(head -n 3 "$T/judged")"; fi; }
print_of() { python3 -c 'import sys; sys.path.insert(0, "tests/fake"); import judge_cache as j; print(sorted(j.fingerprint(sys.argv[1]).items()))' "$1"; }
# sentence NAME: the last run ended with 1, and stderr is a sentence and a hint
sentence() { if [ "$status" = 1 ] && [ -s "$T/err" ] && [ "$(wc -l < "$T/err")" -le 2 ]; then ok "$1"; else bad "$1" "status $status: $(cat "$T/err" "$T/out")"; fi; }
${CC:-cc} -O1 -o "$T/kill_at" tests/fake/kill_at.c || exit 1
never() { call=$1; shift; "$T/kill_at" "$T/report" "$call" 0 "$MLXK" "$@" > "$T/out" 2> "$T/err" < /dev/null; status=$?; }
"$T/kill_at" "$T/report" count 0 true; traced=$?
mkdir -p "$T/plain"
echo '{"model_type": "llama"}' > "$T/plain/config.json"
python3 -c 'import sys; sys.path.insert(0, "tests/fake"); import fake_hub; open(sys.argv[1], "wb").write(fake_hub.weights("plain", 3000000))' "$T/plain/model.safetensors"
run pull bare

# ---- a limit on the size of files ------------------------------------------------------------------------
(ulimit -f 2000; "$MLXK" import "$T/plain" --name l/plain > "$T/out" 2> "$T/err" < /dev/null; echo $? > "$T/status")
status=$(cat "$T/status")
sentence "a limit on sizes is an error"
check "it says so" grep -Eq 'too large|ulimit' "$T/err"
whole "and harms nothing" "$cache" --has bare
run import "$T/plain" --name l/plain
check "without it the import goes through" test $status = 0
whole "and is whole" "$cache" --strict --has l/plain
run rm l/plain

# ---- without links ---------------------------------------------------------------------------------------
HF_HUB_DISABLE_SYMLINKS=1 run pull o/model
HF_HUB_DISABLE_SYMLINKS=1 run pull o/model@v1
whole "two revisions without links" "$cache" --strict --has o/model --has o/model@v1
check "really without" test -z "$(find "$cache/models--o--model" -type l)"
run rm o/model@v1
check "one of them goes" test $status = 0
whole "the other stays whole" "$cache" --strict --has o/model --not o/model@v1
python3 - "$cache/models--o--model" > "$T/left" <<'END'
import os, sys
sys.path.insert(0, "tests/fake")
import fake_hub
r = fake_hub.repository("o/model")
print("".join(b + "\n" for b in os.listdir(sys.argv[1] + "/blobs") if b not in {f.etag for f in r.commits[r.resolve("main")]}), end="")
END
check "no blob of it is left" not test -s "$T/left"
run rm o/model
if [ $traced = 0 ]; then
    never symlinkat=EPERM pull o/model
    check "a file system that refuses links" test $status = 0
    whole "gets files" "$cache" --strict --has o/model
    run rm o/model
    never link=EPERM pull o/model
    check "one that refuses hard links" test $status = 0
    run rm o/model
    HF_HUB_DISABLE_SYMLINKS=1 never link=EPERM pull o/model
    check "one that refuses both" test $status = 0
    whole "gets copies" "$cache" --strict --has o/model
    run rm o/model

    # ---- where a repository is a mount of its own, it cannot be moved: it is emptied in place
    run pull o/model
    run pull o/model@v1
    never rename=EXDEV rm o/model@v1
    check "rm of a revision in place" test $status = 0
    whole "leaves the other whole" "$cache" --strict --has o/model --not o/model@v1
    never rename=EXDEV rm o/model
    check "rm in place" test $status = 0
    whole "leaves nothing" "$cache" --strict --has bare --not o/model

    # ---- without locks, and with locks that everybody gets ------------------------------------------------
    for call in flock=ENOLCK flock=ENOSYS flock=NONE; do
        "$T/kill_at" "$T/report1" "$call" 0 "$MLXK" pull o/huge > "$T/out1" 2>&1 < /dev/null &
        first=$!
        never "$call" pull o/huge
        wait $first
        check "two pulls at once, $call" test $? = 0 -a $status = 0
        whole "the cache is whole, $call" "$cache" --finished --has o/huge
        check "no lock is left behind, $call" test -z "$(find "$cache/.locks" -name '*.soft')"
        never "$call" rm o/huge
        check "rm, $call" test $status = 0
    done
else
    echo "ok places/traced # SKIP system calls cannot be stopped on this machine"
fi

# ---- names that a file system refuses (FAT: "?"), or shortens (a dot or a space at the end) ------------------
if [ $traced = 0 ]; then
    for odd in 'what?' 'end.' 'sub ' 'end. .'; do
        mkdir -p "$T/odd"; cp "$T/plain/config.json" "$T/odd"
        case $odd in 'sub ') mkdir "$T/odd/$odd"; echo x > "$T/odd/$odd/f" ;; *) echo x > "$T/odd/$odd" ;; esac
        HF_HOME=$T/roomy run import "$T/odd" --name l/odd
        check "'$odd' is imported elsewhere" test $status = 0
        HF_HOME=$T/roomy run export l/odd -o "$T/odd.tar"
        case $odd in *\?) how=openat=EINVAL only='?' says='that file system takes no such name' ;; *) how=openat=STRIP only=/.locks/ says="takes no name that ends with" ;; esac
        for command in "import $T/odd --name l/odd" "import $T/odd.tar"; do
            # shellcheck disable=SC2086
            KILL_ONLY=$only HF_HOME=$T/fat never $how $command
            sentence "'$odd' is refused: ${command%% --*}"
            check "and told why" grep -q "$says" "$T/err"
            check "nothing is written for it" test -z "$(find "$T/fat" -type f)" -a ! -e "$T/fat/hub/models--l--odd"
        done
        [ "$only" = '?' ] || only=/.mlxk2_temp
        KILL_ONLY=$only HF_HOME=$T/roomy HF_HUB_OFFLINE=1 never $how clone l/odd "$T/copy" --quiet
        sentence "no copy of '$odd' is begun"
        check "and that told why" grep -q "$says" "$T/err"
        check "nothing of it stays" test -z "$(find "$T" -maxdepth 1 -name 'copy' -o -maxdepth 1 -name '.mlxk2_temp*')"
        rm -rf "$T/odd" "$T/odd.tar" "$T/fat" "$T/roomy"
    done
fi

# ---- names -------------------------------------------------------------------------------------------------
long=$(printf '%096d' 0 | tr 0 n)
run import "$T/plain" --name "o/$long"
check "a name of 96 characters" test $status = 0
whole "is a repository like others" "$cache" --strict --has "o/$long"
run import "$T/plain" --name "o/${long}n"
check "one of 97 is refused" test $status = 1
run rm "o/$long"
mkdir -p "$T/deep/$(printf '%0240d' 0)"
cp "$T/plain/config.json" "$T/deep"
echo x > "$T/deep/$(printf '%0240d' 0)/$(printf '%0240d' 1)"
run import "$T/deep" --name l/deep
check "file names of 240 characters" test $status = 0
whole "stay what they are" "$cache" --strict --has l/deep
run rm l/deep
far=$T/$(printf '%0200d' 0)/$(printf '%0200d' 0)/$(printf '%0200d' 0)
for i in 1 2 3 4 5 6; do far=$far/$(printf '%0200d' $i)/$(printf '%0200d' $i)/$(printf '%0200d' $i); done
HF_HUB_CACHE=$far run pull bare
sentence "a path beyond all limits is refused"
mkdir -p "$T/plain2"; cp "$T/plain/config.json" "$T/plain2"
run import "$T/plain2" --name l/Case
run import "$T/plain2" --name l/case
check "names that differ in case are two" test "$(find "$cache" -maxdepth 1 -iname 'models--l--case' | wc -l)" = 2
run rm l/Case
whole "and one goes without the other" "$cache" --strict --has l/case --not l/Case
run rm l/case

# ---- where case is ignored: here the folder answers to another spelling by a link, elsewhere the file system does that
run pull o/cases
check "names of files that differ in case are two" test $status = 0
run rm o/cases
mkdir -p "$cache/models--o--cases/snapshots"
ln -s models--o--cases "$cache/MODELS--o--cases"
run pull o/cases
sentence "where they would be one file the pull is refused"
check "it names both" grep -q 'README.md and Readme.md' "$T/err"
check "and shows none of them" test -z "$(find "$cache/models--o--cases/snapshots" -type l)"
rm "$cache/MODELS--o--cases"
run pull o/cases
check "elsewhere it goes through" test $status = 0
run rm o/cases

# ---- as root only ----------------------------------------------------------------------------------------------
if [ "$(id -u)" != 0 ] || ! unshare -m true 2>/dev/null || ! command -v setpriv > /dev/null; then
    echo "ok places/mounts # SKIP needs root"
    exit 0
fi
# mounted COMMANDS...: in mounts of their own; $T/m is an empty folder for them
mkdir -p "$T/m"
mounted() { unshare -m sh -c "mount --make-rprivate / && $1"; }

# a small disk: what does not fit is said before, what fills up while writing leaves the cache as it was
cat > "$T/small.sh" <<'END'
. tests/tap.sh
mount -t tmpfs -o size=2m,nr_inodes="$INODES" none "$T/m" || exit 9
export HF_HOME="$T/m/hf"
"$MLXK" pull bare > /dev/null 2>&1 || exit 8
for command in "pull o/huge" "pull o/model" "import $T/plain --name l/plain" "pull o/small"; do
    run "$MLXK" $command
    echo "$status $command" >> "$T/small"
    sed 's/^/  /' "$T/err" >> "$T/small"
    python3 tests/fake/judge_cache.py "$HF_HOME/hub" --has bare >> "$T/small.judged" 2>&1
    [ $status = 0 ] || [ "$(wc -l < "$T/err")" -le 2 ] || echo "more than a sentence" >> "$T/small.judged"
done
run "$MLXK" rm bare
[ $status = 0 ] || echo "rm on a full disk: $(cat "$T/err")" >> "$T/small.judged"
python3 tests/fake/judge_cache.py "$HF_HOME/hub" --not bare >> "$T/small.judged" 2>&1
END
for INODES in 10000 60 45 40 37 34 31 28; do
    export INODES
    : > "$T/small"; : > "$T/small.judged"
    mounted "sh $T/small.sh"
    code=$?
    if [ $code = 8 ] && [ $INODES -lt 40 ]; then continue; fi
    check "a disk of 2 MB and $INODES names" test $code = 0 -a ! -s "$T/small.judged"
    [ -s "$T/small.judged" ] && sed 's/^/# /' "$T/small.judged" "$T/small"
    if [ $INODES = 10000 ]; then
        check "what does not fit is refused" grep -q '^1 pull o/huge' "$T/small"
        check "with its size" grep -Eq '24\.0 ?MB' "$T/small"
        check "an import too" grep -q '^1 import' "$T/small"
        check "what fits goes through" grep -q '^0 pull o/small' "$T/small"
    fi
done

# names run out at any moment of an import
cat > "$T/names.sh" <<'END'
mount -t tmpfs -o size=2m,nr_inodes="$INODES" none "$T/m" || exit 9
export HF_HOME="$T/m/hf"
"$MLXK" import "$T/one" --name l/first > /dev/null 2>&1 || exit 8
"$MLXK" import "$T/other" --name l/second > /dev/null 2>&1
python3 tests/fake/judge_cache.py "$HF_HOME/hub" --has l/first
END
mkdir -p "$T/one" "$T/other"
for d in one other; do echo '{"model_type": "llama"}' > "$T/$d/config.json"; echo $d > "$T/$d/$d.json"; done
INODES=16; tried=0; : > "$T/names"
while [ $INODES -lt 50 ]; do
    export INODES
    mounted "sh $T/names.sh" > "$T/judged"; code=$?
    [ $code = 8 ] || tried=$((tried + 1))
    [ $code = 8 ] || { [ $code = 0 ] && [ ! -s "$T/judged" ]; } || { echo "$INODES names: $code"; cat "$T/judged"; } >> "$T/names"
    INODES=$((INODES + 1))
done
check "an import with any number of names left ($tried tried)" test ! -s "$T/names" -a $tried -gt 20
[ -s "$T/names" ] && sed 's/^/# /' "$T/names"

# a read-only mount: reading works, nothing is written, writing is refused with a sentence
run pull o/model
before=$(print_of "$cache")
cat > "$T/readonly.sh" <<'END'
. tests/tap.sh
mount --bind "$HF_HOME" "$HF_HOME" && mount -o remount,ro,bind "$HF_HOME" || exit 9
for command in list "list --all" health "health bare" "show bare" "show bare --files" "show bare --config" "pull o/model" du gc; do
    run "$MLXK" $command
    exits 0 "read-only: $command"
done
for command in "pull o/small" "rm bare" "import $T/plain --name l/plain" "pull o/model@v1" "rm bare --force"; do
    run "$MLXK" $command
    exits 1 "read-only: $command is refused"
    says "read-only: $command says why" err '[Rr]ead-only'
done
END
mounted "sh $T/readonly.sh"
same_print() { if [ "$2" = "$3" ]; then ok "$1"; else bad "$1" "not the same"; fi; }
same_print "nothing of it was changed" "$(print_of "$cache")" "$before"

# folders of others: seen as far as they can be, never harmed
chmod 755 "$T" "$HF_HOME" "$cache"
chmod 700 "$cache/models--o--model"
closed=$(print_of "$cache")
mkdir "$T/open" && cp "$MLXK" "$T/open/mlxk" && cp tests/tap.sh "$T/open"     # the tree itself may be closed to others
# shellcheck disable=SC2016
MLXK=$T/open/mlxk TMPDIR=/tmp setpriv --reuid=65534 --regid=65534 --clear-groups sh -c 'cd "${MLXK%/*}" && . ./tap.sh
T=$(mktemp -d); export T HOME=$T
for command in list "list --all" health "health bare" "show bare" "pull bare"; do
    run "$MLXK" $command
    exits 0 "as a stranger: $command"
done
for command in "rm bare" "rm bare --force" "pull o/small" "rm o/model" "rm o/model --force" "pull o/model"; do
    run "$MLXK" $command
    exits 1 "as a stranger: $command is refused"
    ok "$([ "$(wc -l < "$T/err")" -le 2 ] && echo 0)" "as a stranger: $command has one sentence and a hint"
done
rm -rf "$T"'
same_print "nothing of another user was changed" "$(print_of "$cache")" "$closed"
chmod 755 "$cache/models--o--model"
same_print "to the bit" "$(print_of "$cache")" "$before"

# a folder that hands down its group, two users with one cache
shared=$T/shared
mkdir -p "$shared/hub"
chgrp 1234 "$shared/hub"
chmod 2775 "$shared/hub"
as() { uid=$1; shift; (umask "$mask"; HF_HUB_CACHE="$shared/hub" setpriv --reuid="$uid" --regid="$uid" --groups=1234 "$T/open/mlxk" "$@" > "$T/out" 2> "$T/err" < /dev/null); status=$?; }
mask=002
for step in "4001 pull o/model" "4002 pull o/model" "4002 pull o/model@v1" "4001 rm o/model@v1" "4002 pull o/small" "4001 pull o/small --redownload"; do
    # shellcheck disable=SC2086     # words on purpose
    as $step
    check "a shared cache: $step" test $status = 0
    [ $status = 0 ] || sed 's/^/# /' "$T/err"
done
whole "the shared cache is whole" "$shared/hub" --strict --has o/model --has o/small
check "all of it has the group" test -z "$(find "$shared/hub" ! -group 1234 ! -type l)"
check "folders hand it down" test -z "$(find "$shared/hub" -type d ! -perm -2070)"
check "files can be read and replaced by the group" test -z "$(find "$shared/hub" -type f ! -perm -060)"
mask=077
as 4001 pull bare
check "a stricter mask is kept" test -z "$(find "$shared/hub/models--bare" -type f -perm /077)"
