#!/bin/sh
# 73-quota.sh: a real quota (btrfs counts it; package btrfs-progs): pull, import, clone and convert end with one sentence and nothing
# half-written, what was there before is untouched, and with room again the second run finishes.
set -u
. tests/fake/hub.sh

if ! command -v mkfs.btrfs > /dev/null && [ "$(id -u)" = 0 ]; then apt-get -qq install -y btrfs-progs > "$T/apt" 2>&1; fi
disk=$T/disk
mkdir "$disk"
truncate -s 700M "$T/image"
if ! { mkfs.btrfs -q "$T/image" && mount -o loop "$T/image" "$disk" && btrfs quota enable "$disk" &&
       btrfs subvolume create "$disk/home"; } > "$T/mount" 2>&1; then
    echo "ok quota # SKIP no btrfs can be mounted here: $(tail -n 1 "$T/mount")"
    exit 0
fi
# shellcheck disable=SC2119      # no faults here
hub_start
trap 'kill "$hub_pid"; umount "$disk"' EXIT
group=0/$(btrfs inspect-internal rootid "$disk/home")
limit() { btrfs qgroup limit "$1" "$group" "$disk" || bad "the limit becomes $1" "btrfs refuses"; sync -f "$disk"; }
# Blobs that are whole may stay: verify looks at them in the end.
left() { find "$disk/home" \( -path '*/.mlxk/*' -o -path '*/.locks/*' -o -path '*/blobs' -o -name '*.incomplete' \) -prune -o -type f -print | sort; }

export HF_HOME="$disk/home/hf"
limit none
run pull o/model; check "a model is there" test "$status" = 0
full() {        # full NAME ARGS...: refused for the quota, and nothing new is visible
    what=$1; shift
    left > "$T/before"; "$MLXK" health o/model --json > "$T/health"
    limit 12M
    run "$@"
    check "$what: ends with 1" test "$status" = 1
    check "$what: says it" grep -q "quota is used up" "$T/err"
    left | diff "$T/before" - > "$T/diff"; check "$what: nothing half-written" test ! -s "$T/diff"
    "$MLXK" health o/model --json | cmp -s - "$T/health"; check "$what: the other model is untouched" test $? = 0
    limit none
    run "$@"; check "$what: with room again it is finished" test "$status" = 0
}
full pull pull o/large
full import import build/testdata/smollm2/model.gguf --name me/smollm2
full clone clone o/large "$disk/home/copy"
run clone me/smollm2 "$disk/source"; check "a folder to convert" test "$status" = 0
full convert convert "$disk/source" "$disk/home/plain" --dequantize
run verify; check "all hashes are right in the end" test "$status" = 0
