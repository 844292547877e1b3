#!/bin/sh
# repro [all | NAME...]: the release binaries are a function of the tree alone. Builds again the way strangers would, for
# x86-64 and aarch64, and compares: `N of N equal`. Without words in one environment that differs in everything, and from
# the one-file paste; `all` takes every row of environments.tsv (half an hour) and the clients, too; NAME that row. diffoscope, where it is
# installed, shows a difference. Prints TAP lines; last line N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/../.." || exit 2
root=$(pwd)
n_passed=0; n_failed=0; n_skipped=0; n_equal=0; n_built=0
ok() {
    if [ "$1" = 0 ]; then n_passed=$((n_passed + 1)); echo "ok repro/$2"
    else n_failed=$((n_failed + 1)); echo "not ok repro/$2"; fi
}
skip() { n_skipped=$((n_skipped + 1)); echo "ok repro/$1 # SKIP $2"; }
finish() { echo "$n_passed passed, $n_failed failed, $n_skipped skipped"; [ "$n_failed" = 0 ]; exit $?; }
here() { git -c safe.directory="$root" "$@"; }

place=$(mktemp -d /tmp/mlxk-repro.XXXXXX)
trap 'here worktree prune; chmod -R u+rwX "$place"; rm -rf "$place"' EXIT
trap 'exit 1' INT TERM HUP
mkdir "$place/cache"
find build/vendor-cache/ -maxdepth 1 -type f -exec cp '{}' "$place/cache/" ';'
dirty=$(here status --porcelain)

# source_at KIND FOLDER ORDER: the sources, their files made in the archive's order or from the last to the first.
source_at() {
    case $1 in
    clone) git -c safe.directory='*' clone -q "$root" "$2"; return ;;
    shallow) git -c safe.directory='*' clone -q --depth 1 --no-tags "file://$root" "$2"; return ;;
    worktree) here worktree add -q --detach "$2" HEAD; return ;;
    esac
    mkdir -p "$2"
    if [ -n "$dirty" ]; then tar -cf "$place/tar" --exclude=./build .
    else here archive --format=tar -o "$place/tar" HEAD; fi
    if [ "$3" = reversed ]; then
        tar -tf "$place/tar" | grep -v '/$' | sort -r > "$place/names"
        while read -r member; do tar -xf "$place/tar" -C "$2" "$member"; done < "$place/names"
    else tar -xf "$place/tar" -C "$2"; fi
    find "$2" -path '*/.git' -prune -o -type f -print0 | xargs -0 touch -d '2001-02-03 04:05:06'
}

# environment NAME SOURCE FOLDER TZ LOCALE UMASK USER ASLR ORDER JOBS CC NETWORK SHELL COMPILER MORE: builds there and compares.
environment() {
    name=$1 there=$place/$1/$3 shell=${13}
    mkdir -p "$(dirname "$there")" "$place/$1/home" "$place/$1/zig"
    if ! command -v "$shell" > /dev/null; then skip "$name" "no $shell here"; return; fi
    if [ "$shell" = busybox ]; then shell='busybox sh'; fi
    source_at "$2" "$there" "$9" || { ok 1 "$name/source"; return; }
    mkdir -p "$there/build"
    if [ "${14}" = warm ]; then
        ln -s "$place/toolchain" "$there/build/toolchain"
        [ -d "$place/toolchain" ] || cp -RL build/toolchain "$place/toolchain"
        cp -RL build/zig-global-cache/. "$place/$1/zig"
    fi
    chmod -R go+rX "$place"
    case ${11} in none) cc=/nonexistent/cc ;; *) cc=${11} ;; esac
    umask=$6 user=$7 aslr=$8 order=$9 jobs=${10} network=${12} more=${15}
    set -- env -i PATH="$PATH" HOME="$place/$name/home" USER=stranger TZ="$4" LANG="$5" LC_ALL="$5" LOCPATH="$place/locales" \
        JOBS="$jobs" CC="$cc" MLXK_VENDOR_CACHE="$place/cache" MLXK_VENDOR_WAYS=cache-only ZIG_GLOBAL_CACHE_DIR="$place/$name/zig"
    case $more in noise) set -- "$@" CFLAGS=-O0 CPPFLAGS=-DNOISE LDFLAGS=-Wl,-znow CPATH=/usr/include SOURCE_DATE_EPOCH=1 ;; esac
    if [ "$order" = reversed ] && [ -f "$place/reversed.so" ]; then set -- "$@" LD_PRELOAD="$place/reversed.so"; fi
    set -- "$@" sh -c "umask $umask; cd \"\$0\" || exit 1; $(builds "$shell ")" "$there"
    if [ "$aslr" = on ]; then personality=; else personality=-R; fi
    if [ "$more" = host ]; then personality="$personality --uname-2.6"; fi
    # shellcheck disable=SC2086
    if [ -n "$personality" ] && setarch $personality true 2> /dev/null; then set -- setarch $personality "$@"; fi
    if [ "$(id -u)" = 0 ]; then
        if [ "$user" = nobody ]; then chown -R 65534:65534 "$place/$name"; set -- setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; fi
        if [ "$more" = host ]; then set -- unshare -u sh -c 'hostname an-other-host; exec "$@"' sh "$@"; fi
        if [ "$network" = off ]; then set -- unshare -n "$@"; fi
    fi
    started=$(date +%s)
    if ! "$@" > "$place/$name.log" 2>&1; then
        tail -n 20 "$place/$name.log" | sed 's/^/# /'; ok 1 "$name/builds"
    else
        echo "# $name: built in $(($(date +%s) - started)) s"
        for target in $programs; do compare "$target"; done
    fi
    case $there in */w) here worktree remove -f "$there" ;; esac
    chmod -R u+rwX "$place/$name"; rm -rf "${place:?}/$name"
}
compare() {
    n_built=$((n_built + 1))
    cmp -s "build/$1/mlxk" "$there/build/$1/mlxk"; same=$?
    ok $same "$name/same_bytes_$1"
    if [ $same = 0 ]; then n_equal=$((n_equal + 1)); return; fi
    sha256sum "build/$1/mlxk" "$there/build/$1/mlxk" | sed 's/^/# /'
    if [ $((n_built - n_equal)) -gt 1 ]; then return; fi       # the first is explained
    if command -v diffoscope > /dev/null; then
        timeout 600 diffoscope --max-report-size 4000 "build/$1/mlxk" "$there/build/$1/mlxk" | head -n 60 | sed 's/^/# /'
    else cmp "build/$1/mlxk" "$there/build/$1/mlxk" | sed 's/^/# /'; fi
}

# builds [SHELL]: the commands that make $programs.
builds() {
    echo "${1:-}./build.sh x86_64-linux aarch64-linux"
    case $programs in *client*) echo "[ \$? = 0 ] && ${1:-}./build.sh client x86_64-linux aarch64-linux" ;; esac
}

# ---- here ---------------------------------------------------------------------------------------------------

programs='x86_64-linux-musl aarch64-linux-musl'
if [ $# != 0 ]; then programs="$programs client/x86_64-linux-musl client/aarch64-linux-musl"; fi
if [ $# = 0 ]; then
    ./build.sh amalgamation || { ok 1 paste_gives_the_same_bytes; finish; }
    ok 0 paste_gives_the_same_bytes
    set -- stranger
elif [ -n "$dirty" ]; then echo "repro: with words only from a tree without changes"; exit 2
fi
sh -c "$(builds)" || { ok 1 builds_here; finish; }
case " $* " in *" all "*) set -- "$(grep -v '^#' tests/repro/environments.tsv | cut -f1 | tr '\n' ' ')" ;; esac
# What makes the environments real: another order of names in folders, other locales.
if command -v gcc > /dev/null; then gcc -shared -fPIC -O1 -w -o "$place/reversed.so" tests/repro/reversed.c -ldl; fi
mkdir "$place/locales"
for locale in tr_TR et_EE ja_JP; do
    localedef -i $locale -f UTF-8 "$place/locales/$locale.UTF-8" 2> /dev/null || rm -rf "$place/locales/$locale.UTF-8"
done
[ "$(id -u)" = 0 ] || skip another_user "not root: as this user, with its network"

grep -v '^#' tests/repro/environments.tsv > "$place/rows"
while IFS='	' read -r name source folder tz locale umask user aslr order jobs cc network shell compiler more <&3; do
    case " $* " in *" $name "*) ;; *) continue ;; esac
    environment "$name" "$source" "$folder" "$tz" "$locale" "$umask" "$user" "$aslr" "$order" "$jobs" "$cc" "$network" "$shell" "$compiler" "$more"
done 3< "$place/rows"
[ "$n_built" != 0 ]; ok $? something_was_built
echo "# $n_equal of $n_built equal"
for target in $programs; do echo "# $(sha256sum < "build/$target/mlxk" | cut -d' ' -f1) build/$target/mlxk"; done

# What a release file must be: static, position-independent, stripped, and silent about this machine.
for target in $programs; do
    file=build/$target/mlxk
    readelf -lW "$file" > "$place/segments" || { skip "segments_$target" "no readelf"; continue; }
    ! grep -q INTERP "$place/segments"; ok $? "no_interpreter_$target"
    ! readelf -dW "$file" | grep -q NEEDED; ok $? "no_shared_library_$target"
    readelf -hW "$file" | grep -q 'Type: *DYN'; ok $? "position_independent_$target"
    grep -q GNU_RELRO "$place/segments"; ok $? "relocations_read_only_$target"
    ! grep GNU_STACK "$place/segments" | grep -q 'RWE'; ok $? "stack_not_executable_$target"
    ! readelf -SW "$file" | grep -qE '\.symtab|\.debug|\.note\.gnu\.build-id'; ok $? "stripped_$target"
    ! grep -aqF -e "$root" -e "$place" "$file"; ok $? "no_path_inside_$target"
done
finish
