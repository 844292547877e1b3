#!/bin/sh
# repro: the release binary is a function of the tree alone. Builds again the way a stranger would: another
# folder (with a space in its name), another user, HOME, time zone, umask and file times, an empty compiler
# cache, from a source archive when the tree is committed; and once from the one-file paste.
# Prints TAP lines; last line N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/../.." || exit 2
root=$(pwd)
n_passed=0; n_failed=0; n_skipped=0
ok() {
    if [ "$1" = 0 ]; then n_passed=$((n_passed + 1)); echo "ok repro/$2"
    else n_failed=$((n_failed + 1)); echo "not ok repro/$2"; fi
}
skip() { n_skipped=$((n_skipped + 1)); echo "ok repro/$1 # SKIP $2"; }
finish() { echo "$n_passed passed, $n_failed failed, $n_skipped skipped"; [ "$n_failed" = 0 ]; exit $?; }

./build.sh amalgamation || { ok 1 paste_gives_the_same_bytes; finish; }
ok 0 paste_gives_the_same_bytes
want=$(sha256sum build/mlxk | cut -d' ' -f1)

place=$(mktemp -d /tmp/mlxk-repro.XXXXXX)
trap 'rm -rf "$place"' EXIT
there="$place/an other folder"
mkdir -p "$there" "$place/home" "$place/cache"
find build/vendor-cache -maxdepth 1 -type f -exec cp '{}' "$place/cache/" ';'
if [ -z "$(git -c safe.directory="$root" status --porcelain)" ]; then
    from="a source archive"
    git -c safe.directory="$root" archive --format=tar HEAD | tar -xf - -C "$there"
else
    from="a copy of a changed tree"
    tar -cf - --exclude=./build . | tar -xf - -C "$there"
fi
find "$there" -path '*/.git' -prune -o -type f -print0 | xargs -0 touch -d '2001-02-03 04:05:06'
chmod -R go+rX "$place"

set -- env -i PATH="$PATH" HOME="$place/home" TZ=Asia/Kathmandu LANG=C USER=stranger \
    MLXK_VENDOR_CACHE="$place/cache" MLXK_VENDOR_WAYS=cache-only \
    sh -c "umask 077; cd '$there' && ./build.sh"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null 2>&1; then
    chown -R 65534:65534 "$place"
    set -- setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
else skip another_user "not root: the rebuild ran as this user"; fi
started=$(date +%s)
"$@" > "$place/log" 2>&1 || { tail -n 20 "$place/log" | sed 's/^/# /'; ok 1 rebuild_runs; finish; }
echo "# rebuilt from $from in $(($(date +%s) - started)) s with an empty compiler cache"
got=$(sha256sum "$there/build/mlxk" | cut -d' ' -f1)
[ "$got" = "$want" ]
ok $? same_bytes_elsewhere
echo "# $want build/mlxk"
[ "$got" = "$want" ] || { echo "# $got elsewhere"; cmp build/mlxk "$there/build/mlxk" | sed 's/^/# /'; }

# What a release file must be: static, position-independent, stripped, and silent about this machine.
if [ "$(uname -s)" = Linux ]; then
    readelf -lW build/mlxk > "$place/segments"
    ! grep -q INTERP "$place/segments"
    ok $? no_interpreter
    ! readelf -dW build/mlxk | grep -q NEEDED
    ok $? no_shared_library
    readelf -hW build/mlxk | grep -q 'Type: *DYN'
    ok $? position_independent
    grep -q GNU_RELRO "$place/segments"
    ok $? relocations_read_only
    ! readelf -lW build/mlxk | grep GNU_STACK | grep -q 'RWE'
    ok $? stack_not_executable
    ! readelf -SW build/mlxk | grep -qE '\.symtab|\.debug|\.note\.gnu\.build-id'
    ok $? stripped
fi
! grep -aqF -e "$root" -e "$place" build/mlxk
ok $? no_path_inside
finish
