#!/bin/sh
# 63-clone-reflink.sh: on a file system that can, a clone shares blocks with the cache: it takes no room, and edits stay on their side.
# XFS in a file, mounted by loop: needs root and mkfs.xfs (installed with apt before this takes part).
set -u
command -v mkfs.xfs > /dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -q xfsprogs > "$T/apt" 2>&1
mkdir "$T/disk"
if ! { truncate -s 400M "$T/image" && mkfs.xfs -q -m reflink=1 "$T/image" && mount -o loop "$T/image" "$T/disk"; } > "$T/mkfs" 2>&1; then
    echo "ok clone/reflink # SKIP no XFS can be mounted here"
    exit 0
fi
. tests/fake/hub.sh
# shellcheck disable=SC2119
hub_start
trap 'kill $hub_pid 2>/dev/null; umount "$T/disk"' EXIT
export HF_HOME="$T/disk/hf"
used() { sync; df -k "$T/disk" | awk 'END { print $3 }'; }
run pull o/huge --quiet
before=$(used)
for i in 1 2 3; do succeeds "clone $i" clone o/huge "$T/disk/ws$i"; done
after=$(used)
check "three clones of 24 MB take no room" test $((after - before)) -lt 2000
run clone o/huge "$T/disk/ws4" --json
check "the document says so" grep -q '"n_reflinked": 1' "$T/out"
blob=$(find "$HF_HOME" -path '*blobs*' -size +1M)
printf X | dd of="$T/disk/ws1/model.safetensors" bs=1 seek=1000 conv=notrunc 2> /dev/null
check "an edit changes the clone" not cmp -s "$T/disk/ws1/model.safetensors" "$blob"
check "and nothing else" cmp -s "$T/disk/ws2/model.safetensors" "$blob"
succeeds "the cache is as it was" verify o/huge
