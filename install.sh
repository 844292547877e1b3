#!/bin/sh
# install.sh: puts a released mlxk on this machine, without root.
#
#   sh install.sh [--version X.Y.Z] [--prefix DIR] [--suffix TEXT] [--sha256 HASH] [--key FILE] [--url BASE] [--dry-run]
#   sh install.sh --offline BUNDLE      from a folder with the files of a release; no network
#   sh install.sh --rollback            the version before this one again
#   sh install.sh --uninstall           binary, the one before it, manual page, completions; models stay
#
# Files come from BASE/vX.Y.Z (MLXK_INSTALL_URL, or --url). Nothing is installed unless its hash stands in SHA256SUMS
# and SHA256SUMS is signed by --key FILE (an allowed_signers file of ssh-keygen), or --sha256 names the hash.
# Exit status: 0 done, 1 failed and nothing changed, 2 usage.
set -eu
umask 022
LC_ALL=C; export LC_ALL

say() { printf '%s\n' "$*"; }
die() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '3,12s/^# \{0,1\}//p' "$0" >&2 2>/dev/null || say "see the head of install.sh" >&2; exit 2; }
has() { command -v "$1" >/dev/null 2>&1; }

# hash_of FILE: with the first tool there is; without one there is no installation.
hash_of() {
    if has sha256sum; then sha256sum < "$1" | cut -d' ' -f1
    elif has shasum; then shasum -a 256 < "$1" | cut -d' ' -f1
    elif has openssl; then openssl dgst -sha256 < "$1" | sed 's/.*= *//'
    elif has busybox && busybox sha256sum /dev/null >/dev/null 2>&1; then busybox sha256sum < "$1" | cut -d' ' -f1
    else die "no tool here computes SHA-256 (sha256sum, shasum or openssl): install one of them"; fi
}

# fetch NAME TO: a file of the release, out of the bundle or over HTTPS (plain HTTP from this machine only).
fetch() {
    if [ -n "$offline" ]; then [ -f "$offline/$1" ] || return 1; cp "$offline/$1" "$2"; return; fi
    case $base in
    https://*) web='--proto =https --tlsv1.2' ;;
    http://127.0.0.1[:/]* | http://localhost[:/]* | http://\[::1\][:/]*) web='--proto =http --noproxy *' ;;
    *) die "$base: only https:// (or this machine itself) is a source" ;;
    esac
    set -f
    # shellcheck disable=SC2086
    if has curl; then curl $web -fsSL --retry 2 --connect-timeout 20 -o "$2" "$base/v$version/$1" 2> "$work/why"
    elif has wget; then
        case $base in https://*) web=--https-only ;; *) web=--no-proxy ;; esac
        wget --help 2>&1 | grep -q https-only || web=
        wget -q $web -O "$2" "$base/v$version/$1" 2> "$work/why"
    else set +f; die "neither curl nor wget is here: fetch the release elsewhere and use --offline FOLDER"; fi
    fetched=$?
    set +f
    return $fetched
}

machine() {
    system=$(uname -s) processor=$(uname -m)
    case $system in Linux) system=linux ;; Darwin) system=macos ;; *) system= ;; esac
    case $processor in x86_64 | amd64) processor=x86_64 ;; aarch64 | arm64) processor=aarch64 ;; *) processor= ;; esac
    if [ -z "$system" ] || [ -z "$processor" ]; then
        die "there is no mlxk for $(uname -m) on $(uname -s): x86_64 and aarch64 on Linux and macOS"
    fi
}

# check_sums: $work/SHA256SUMS is to be trusted, by a signature or by the hash that the caller brought for the binary.
check_sums() {
    [ -s "$work/SHA256SUMS" ] || die "SHA256SUMS is empty: nothing was installed"
    if [ -n "$key" ]; then
        [ -f "$key" ] || die "--key $key: no such file"
        has ssh-keygen || die "checking a signature needs ssh-keygen: nothing was installed"
        fetch SHA256SUMS.sshsig "$work/sig" || die "this release has no signature (SHA256SUMS.sshsig): nothing was installed"
        who=$(ssh-keygen -Y find-principals -f "$key" -s "$work/sig" 2>/dev/null | head -n 1) || who=
        [ -n "$who" ] || who=nobody
        ssh-keygen -Y verify -f "$key" -I "$who" -n file -s "$work/sig" < "$work/SHA256SUMS" >/dev/null 2>&1 ||
            die "SHA256SUMS is not signed by a key of $key: nothing was installed"
    elif [ -z "$sha256" ]; then
        die "nothing says that these files are genuine: give --key FILE (whose signature) or --sha256 HASH (of $asset)"
    fi
}

# get_binary: $place/.mlxk.new.PID, checked, beside where it goes, so that putting it there is one rename.
get_binary() {
    fetch SHA256SUMS "$work/SHA256SUMS" || die "no SHA256SUMS of version $version at ${offline:-$base}: nothing was installed"
    if [ -z "$version" ]; then version=$(sed -n 's/^[0-9a-f]\{64\}  mlxk-\([0-9][0-9A-Za-z.-]*\)-'"$processor-$system"'$/\1/p' "$work/SHA256SUMS"); fi
    asset=mlxk-$version-$processor-$system
    check_sums
    want=$(awk -v name="$asset" '$2 == name && length($1) == 64 { print $1; n++ } END { exit n != 1 }' "$work/SHA256SUMS") ||
        die "SHA256SUMS has not exactly one line for $asset: nothing was installed"
    [ -z "$sha256" ] || [ "$sha256" = "$want" ] || die "--sha256 is $sha256, SHA256SUMS says $want for $asset: nothing was installed"
    new=$place/.$name.new.$$
    fetch "$asset" "$new" || die "$asset cannot be had from ${offline:-$base}: $(head -n 1 "$work/why" 2>/dev/null) Nothing was installed"
    is=$(hash_of "$new") || exit 1
    [ "$is" = "$want" ] || die "$asset has the hash $is, and $want was promised: nothing was installed"
    chmod 755 "$new"
    "$new" --version > "$work/says" 2>&1 || die "the binary does not run here: $(head -n 1 "$work/says")"
    case $(cat "$work/says") in *" $version") ;; *) die "the binary calls itself '$(cat "$work/says")', not $version: nothing was installed" ;; esac
}

# page DIR FILE WORDS...: what the new binary writes of itself; a binary without it leaves nothing.
page() {
    to=$1/$2; shift 2
    if "$place/$name" "$@" > "$work/page" 2>/dev/null && [ -s "$work/page" ]; then
        if ! { mkdir -p "${to%/*}" && cp "$work/page" "$to"; } 2>/dev/null; then say "note: $to could not be written" >&2; fi
    fi
}
pages() {
    page "$share" "bash-completion/completions/$name" completion bash
    page "$share" "zsh/site-functions/_$name" completion zsh
    page "$share" "fish/vendor_completions.d/$name.fish" completion fish
}

# The manual page is a file of the release, by its hash as everything.
manual() {
    paper=$(awk '$2 == "mlxk.1" { print $1 }' "$work/SHA256SUMS")
    if [ -n "$paper" ] && fetch mlxk.1 "$work/man" && [ "$(hash_of "$work/man")" = "$paper" ]; then
        { mkdir -p "$share/man/man1" && cp "$work/man" "$share/man/man1/$name.1"; } 2>/dev/null || :
    fi
}

put() {
    # The old file stays reachable under another name all the time: there is no moment without a binary.
    if [ -f "$place/$name" ] && [ "$(hash_of "$place/$name")" = "$want" ]; then
        manual; pages; say "mlxk $version is $place/$name already"; return
    fi
    if [ -f "$place/$name" ]; then
        ln -f "$place/$name" "$place/.$name.prev.$$" 2>/dev/null || cp -p "$place/$name" "$place/.$name.prev.$$"
        mv -f "$place/.$name.prev.$$" "$place/$name.prev" 2>/dev/null || :
        rm -f "$place/.$name.prev.$$"        # still there when both were one file
    fi
    manual
    sync "$new" 2>/dev/null || sync
    mv -f "$new" "$place/$name"
    new=
    pages
    say "mlxk $version is $place/$name$([ ! -f "$place/$name.prev" ] || echo ' (--rollback takes the one before back)')"
    case :$PATH: in *":$place:"*) ;; *) say "note: $place is not in PATH: export PATH=\"$place:\$PATH\"" ;; esac
}

writable() {
    # A trial in a shell of its own: a redirection that fails ends some shells.
    if ! (mkdir -p "$place" && : > "$place/.$name.try.$$") 2>/dev/null; then
        die "$place cannot be written: choose another place with --prefix DIR (such as --prefix /tmp/mlxk)"
    fi
    rm -f "$place/.$name.try.$$"
    # What an installation that was killed left behind.
    find "$place" -maxdepth 1 -name ".$name.*" -mmin +60 -exec rm -rf {} + 2>/dev/null || :
}

main() {
    version='' prefix=${HOME:-/nonexistent}/.local suffix='' sha256='' key='' base=${MLXK_INSTALL_URL:-} offline='' act=install dry=0 new='' asset=''
    while [ $# -gt 0 ]; do
        case $1 in
        --version | --prefix | --suffix | --sha256 | --key | --url | --offline) [ $# -ge 2 ] || usage ;;
        esac
        case $1 in
        --version) version=${2#v}; shift ;;
        --prefix) prefix=$2; shift ;;
        --suffix) suffix=$2; shift ;;
        --sha256) sha256=$2; shift ;;
        --key) key=$2; shift ;;
        --url) base=${2%/}; shift ;;
        --offline) offline=$2; shift ;;
        --rollback) act=rollback ;;
        --uninstall) act=uninstall ;;
        --dry-run) dry=1 ;;
        *) usage ;;
        esac
        shift
    done
    case $version$suffix in *[!0-9A-Za-z._-]*) die "version and suffix are letters, digits, dots, dashes" ;; esac
    case $prefix in /*) ;; *) prefix=$PWD/$prefix ;; esac
    place=$prefix/bin share=$prefix/share name=mlxk$suffix
    case $act in
    rollback)
        [ -f "$place/$name.prev" ] || die "there is no version before this one in $place"
        writable
        ln -f "$place/$name" "$place/.$name.was.$$" 2>/dev/null || cp -p "$place/$name" "$place/.$name.was.$$"
        mv -f "$place/$name.prev" "$place/$name"; mv -f "$place/.$name.was.$$" "$place/$name.prev"
        say "$("$place/$name" --version) again"; return ;;
    uninstall)
        [ -e "$place/$name" ] || [ -e "$place/$name.prev" ] || die "$place/$name is not there"
        writable
        rm -f "$place/$name" "$place/$name.prev" "$share/bash-completion/completions/$name" "$share/zsh/site-functions/_$name" \
            "$share/fish/vendor_completions.d/$name.fish" "$share/man/man1/$name.1"
        say "removed $place/$name; models and settings stay where they are"; return ;;
    esac
    machine
    if [ -n "$offline" ]; then [ -d "$offline" ] || die "--offline $offline: no such folder"
    else
        [ -n "$base" ] || die "where from? --url BASE or MLXK_INSTALL_URL, or --offline FOLDER"
        [ -n "$version" ] || die "which version? --version X.Y.Z"
    fi
    if [ "$dry" = 1 ]; then say "would install mlxk ${version:-of $offline} for $processor-$system as $place/$name"; return; fi
    writable
    work=$(mktemp -d "$place/.$name.work.XXXXXX")
    trap 'rm -rf "$work"; if [ -n "$new" ]; then rm -f "$new"; fi' EXIT
    trap 'exit 1' INT TERM HUP
    get_binary
    put
}

main "$@"
