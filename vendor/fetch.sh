#!/bin/sh
# fetch.sh: brings what vendor/lock names into build/vendor/NAME, checked byte by byte.
#
#   sh vendor/fetch.sh NAME...        fetch and unpack (nothing to do = a few milliseconds)
#   sh vendor/fetch.sh relock NAME    after a change of the lock: rewrite NAME's rows of files.sha256
#   sh vendor/fetch.sh version NAME   print the locked version
#   sh vendor/fetch.sh archive NAME   only the archive, into the cache; prints its path
#
# 1. An archive comes from the cache folder, else from the first way that gives it. Its sha256 is
#    compared with the lock before anything is unpacked; a difference ends the run.
# 2. Only files listed in files.sha256 are unpacked, and each is compared again: archives that were
#    repacked on the way therefore compile to the same program.
# 3. build/vendor/NAME appears whole or not at all. No installation, no rights needed.
# 4. Package archives are asked by package name through this machine's own configuration.
set -eu
export LC_ALL=C
cd "$(dirname "$0")/.."

cache=${MLXK_VENDOR_CACHE:-build/vendor-cache}
ways=${MLXK_VENDOR_WAYS:-debian pypi upstream}
lock=vendor/lock
manifest=vendor/files.sha256
unpacked=build/vendor

say() { printf 'fetch: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

sha256_of() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1" | cut -d' ' -f1
    else shasum -a 256 "$1" | cut -d' ' -f1; fi
}

version_of() { awk -v n="$1" '$1 == "library" && $2 == n { print $3; ok = 1 } END { exit !ok }' "$lock" \
    || die "vendor/lock has no library '$1'"; }

# ways_of NAME: rows "kind where sha256" in the lock's order, for this build host.
ways_of() {
    host=$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)
    awk -v n="$1" -v host="$host" '$1 == "way" && $2 == n {
        k = split($3, kind, "@"); if (k == 1 || kind[2] == host) print kind[1], $4, $5 }' "$lock"
}

# ---- the ways ------------------------------------------------------------------------------------

# An apt of our own below build/: the mirror this machine uses, the suites that keep our versions.
apt_ours() {
    tool=$1; shift
    "$tool" -o Dir::Etc::sourcelist="$apt_dir/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::State="$apt_dir/state" -o Dir::Cache="$apt_dir/cache" -o APT::Sandbox::User="$(id -un)" \
        -o APT::Get::List-Cleanup=0 -o Acquire::Languages=none -o Acquire::Retries=2 "$@"
}

apt_prepare() {
    case $cache in /*) apt_dir=$cache/apt ;; *) apt_dir=$(pwd)/$cache/apt ;; esac
    if [ -f "$apt_dir/ready" ] && [ -z "$(find "$apt_dir/ready" -mtime +0)" ]; then return 0; fi
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        grep -m1 '/debian/*$') || return 1
    rm -rf "$apt_dir"
    mkdir -p "$apt_dir/state/lists/partial" "$apt_dir/cache/archives/partial"
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    for suite in trixie sid; do
        echo "deb-src [signed-by=$keys] $mirror $suite main"
    done > "$apt_dir/sources.list"
    apt_ours apt-get -qq update >&2 || return 1
    : > "$apt_dir/ready"
}

get_debian() {      # NAME=VERSION SHA256 TARGET; apt's exit status means little, the hash decides
    command -v apt-get >/dev/null 2>&1 && apt_prepare || return 1
    scratch=$(mktemp -d)
    (cd "$scratch" && apt_ours apt-get -qq source --download-only --tar-only "$1" >&2) || :
    keep_right "$scratch" "$2" "$3"
}

get_pypi() {        # NAME==VERSION SHA256 TARGET
    command -v python3 >/dev/null 2>&1 || return 1
    scratch=$(mktemp -d)
    python3 -m pip download -q --disable-pip-version-check --no-deps --no-cache-dir \
        --only-binary=:all: -d "$scratch" "$1" >&2 || :
    keep_right "$scratch" "$2" "$3"
}

get_upstream() {    # ADDRESS SHA256 TARGET
    scratch=$(mktemp -d)
    if command -v curl >/dev/null 2>&1; then
        curl -fsSL --connect-timeout 8 --max-time 600 -o "$scratch/archive" "$1" >&2 || :
    elif command -v wget >/dev/null 2>&1; then
        wget -q --timeout=8 -O "$scratch/archive" "$1" >&2 || :
    fi
    keep_right "$scratch" "$2" "$3"
}

# keep_right DIR SHA256 TARGET: the one file in DIR becomes TARGET when its hash is right.
keep_right() {
    for f in "$1"/*; do
        [ -s "$f" ] || continue
        got=$(sha256_of "$f")
        if [ "$got" != "$2" ]; then
            rm -rf "$1"
            die "$(basename "$f") has sha256 $got, but vendor/lock says $2: nothing was unpacked. Either the way it came was tampered with or the lock is wrong; compare with the publisher before changing the lock"
        fi
        mkdir -p "$(dirname "$3")"
        mv "$f" "$3.$$" && mv "$3.$$" "$3"
        rm -rf "$1"
        return 0
    done
    rm -rf "$1"
    return 1
}

# get_archive NAME: prints the path of its checked archive.
get_archive() {
    name=$1
    rows=$(ways_of "$name")
    [ -n "$rows" ] || die "vendor/lock names no way to get '$name' on this machine ($(uname -sm))"
    while read -r kind where sha; do
        file=$cache/$name-$(echo "$sha" | cut -c1-16)
        if [ -f "$file" ]; then
            got=$(sha256_of "$file")
            [ "$got" = "$sha" ] || die "$file has sha256 $got, but vendor/lock says $sha: the cached file is damaged; remove it and try again"
            echo "$file"; return 0
        fi
    done <<ROWS
$rows
ROWS
    mkdir -p "$cache"
    for want in $ways; do
        while read -r kind where sha; do
            [ "$kind" = "$want" ] || continue
            file=$cache/$name-$(echo "$sha" | cut -c1-16)
            say "$name: $kind $where"
            if "get_$kind" "$where" "$sha" "$file" </dev/null; then echo "$file"; return 0; fi
        done <<ROWS
$rows
ROWS
    done
    die "could not get '$name' $(version_of "$name") by any way ($ways); put its archive into $cache/ under the name '$name-' and the first 16 digits of its sha256, or try again with a network"
}

# ---- unpacking -----------------------------------------------------------------------------------

# unpack ARCHIVE DIR: everything, without the single top folder that source archives have.
unpack() {
    mkdir -p "$2"
    case $(head -c 4 "$1" | od -An -tx1 | tr -d ' \n') in
    504b0304) python3 -m zipfile -e "$1" "$2" ;;
    *) tar -xf "$1" -C "$2" --strip-components=1 ;;
    esac
    if [ -f "$2/UCD.zip" ]; then python3 -m zipfile -e "$2/UCD.zip" "$2"; fi
}

stamp_of() { { awk -v n="$1" '$2 == n' "$lock"; awk -v n="$1/" 'index($2, n) == 1' "$manifest"; } | cksum; }

fetch() {
    name=$1
    version_of "$name" >/dev/null
    if [ "$name" = ziglang ]; then fetch_compiler; return; fi
    stamp=$(stamp_of "$name")
    if [ "$(cat "$unpacked/$name/.stamp" 2>/dev/null)" = "$stamp" ]; then return 0; fi
    archive=$(get_archive "$name")
    mkdir -p "$unpacked"
    all=$(mktemp -d "$unpacked/.$name.XXXXXX")
    unpack "$archive" "$all/all"
    awk -v n="$name/" 'index($2, n) == 1 { print $1, substr($2, length(n) + 1) }' "$manifest" > "$all/list"
    [ -s "$all/list" ] || die "vendor/files.sha256 lists nothing of '$name': sh vendor/fetch.sh relock $name"
    while read -r sha path; do
        mkdir -p "$all/$name/$(dirname "$path")"
        mv "$all/all/$path" "$all/$name/$path" || die "the archive of '$name' has no file $path"
        echo "$sha  $all/$name/$path"
    done < "$all/list" > "$all/sums"
    check_sums "$all/sums" || die "a file of '$name' differs from vendor/files.sha256 (above); nothing was kept"
    echo "$stamp" > "$all/$name/.stamp"
    chmod -R go+rX "$all/$name"
    rm -rf "${unpacked:?}/$name"
    mv "$all/$name" "$unpacked/$name"
    rm -rf "$all"
}

check_sums() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum --quiet -c "$1" >&2
    else shasum -a 256 -q -c "$1" >&2; fi
}

# The release compiler: whole, as it comes; its archive's hash is the lock.
fetch_compiler() {
    dir=build/toolchain/ziglang-$(version_of ziglang)
    if [ -x "$dir/ziglang/zig" ]; then return 0; fi
    archive=$(get_archive ziglang)
    mkdir -p build/toolchain
    new=$(mktemp -d build/toolchain/.new.XXXXXX)
    python3 -m zipfile -e "$archive" "$new"
    chmod 755 "$new" "$new/ziglang/zig"
    rm -rf "$dir"
    mv "$new" "$dir"
}

relock() {
    name=$1
    archive=$(get_archive "$name")
    all=$(mktemp -d)
    unpack "$archive" "$all"
    patterns=$(awk -v n="$name" '$1 == "keep" && $2 == n { $1 = $2 = ""; print }' "$lock")
    touch "$manifest"
    { awk -v n="$name/" 'index($2, n) != 1' "$manifest"
      # shellcheck disable=SC2086
      (cd "$all" && for f in $patterns; do
          case $f in include/mbedtls/mbedtls_config.h) continue ;; esac    # ours is used instead
          [ -f "$f" ] || die "the archive of '$name' has no file '$f'"
          echo "$(sha256_of "$f")  $name/$f"
      done); } | sort -k2 > "$manifest.new"
    mv "$manifest.new" "$manifest"
    rm -rf "$all"
}

# ---- start ---------------------------------------------------------------------------------------

# One run at a time in this tree; flock is absent on some systems, where nobody builds twice at once.
mkdir -p build
if [ -z "${MLXK_FETCH_LOCKED:-}" ] && command -v flock >/dev/null 2>&1; then
    exec env MLXK_FETCH_LOCKED=1 flock build/.fetch.lock sh vendor/fetch.sh "$@"
fi
case ${1:-} in
'') die "usage: sh vendor/fetch.sh NAME... | relock NAME | version NAME | archive NAME" ;;
version) version_of "$2" ;;
archive) get_archive "$2" ;;
relock) relock "$2" ;;
*) for name in "$@"; do fetch "$name"; done ;;
esac
