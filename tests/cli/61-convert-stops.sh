#!/bin/sh
# convert is stopped: by kill -9 again and again, by Ctrl-C, by a full disk, by another one at work. The target is absent or
# whole, finished files are kept, damaged ones are made again, and the end is the same as without a stop.
. tests/tap.sh
export HF_HOME="$T/hf"
python3 - "$T/src" <<'PYTHON'
import json, os, random, struct, sys
os.mkdir(sys.argv[1])
random.seed(7)
block = struct.pack("<65536H", *(random.getrandbits(13) | 0x3C00 for _ in range(65536)))      # F16 between 1 and 2
h, n = {}, 24
for i in range(n): h["model.layers.%d.mlp.up_proj.weight" % i] = {"dtype": "F16", "shape": [1024, 1024], "data_offsets": [i << 21, (i + 1) << 21]}
b = json.dumps(h).encode()
with open(sys.argv[1] + "/model.safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(b)) + b + block * 16 * n)
json.dump({"model_type": "llama", "num_hidden_layers": n}, open(sys.argv[1] + "/config.json", "w"))
PYTHON
convert() { "$MLXK" convert "$T/src" "$1" --quantize 4 --shard-size 2MB --skip-health; }
# start: the same in the background; $pid is the program itself.
start() { "$MLXK" convert "$T/src" "$T/dst" --quantize 4 --shard-size 2MB --skip-health > "$T/out" 2> "$T/err" & pid=$!; }
convert "$T/want" > "$T/out" 2> "$T/err"; ok $? convert-stops/without_a_stop
# equal NAME: the target is what it is without a stop (but for the sentinel, which has the time), and nothing lies beside it.
equal() {
    diff -r -x .mlxk_workspace.json "$T/want" "$T/dst" > "$T/diff" 2>&1; ok $? "convert-stops/$1"; head -n 2 "$T/diff" | sed 's/^/# /'
    [ -f "$T/dst/.mlxk_workspace.json" ] && [ ! -e "$T/.dst.mlxk-convert" ]; ok $? "convert-stops/${1}_clean"
}
files() { find "$T/.dst.mlxk-convert/out" -name 'model-*' 2>/dev/null | wc -l; }

# ---- kill -9 when one more file is there than before, until it is through ----
half=0 kills=0 rounds=0
while [ $rounds -lt 40 ]; do
    rounds=$((rounds + 1)) before=$(files)
    start
    while kill -0 $pid 2>/dev/null && [ "$(files)" -le "$before" ]; do :; done
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null; status=$?
    [ "$status" = 137 ] && kills=$((kills + 1))
    [ "$status" = 0 ] && break
    [ -e "$T/dst" ] && { half=1; break; }
done
[ $half = 0 ]; ok $? convert-stops/killed_target_is_never_half
[ "$status" = 0 ] && [ $kills -ge 2 ]; ok $? convert-stops/killed_goes_on; echo "# $kills kills, status $status after $rounds rounds"
equal killed

# ---- a polite stop (TERM; sh keeps INT from what it starts behind itself), then the same command; a finished file that was damaged meanwhile is made again ----
rm -rf "$T/dst"
start
while kill -0 $pid 2>/dev/null && [ "$(files)" -lt 2 ]; do :; done
kill -TERM $pid; wait $pid; [ $? = 1 ]; ok $? convert-stops/interrupt_status
says convert-stops/interrupt_told err 'was stopped'; says convert-stops/interrupt_hint err 'files are finished and kept in .*the same command goes on'
[ ! -e "$T/dst" ]; ok $? convert-stops/interrupt_no_target
printf X | dd of="$T/.dst.mlxk-convert/out/model-00001-of-00008.safetensors" bs=1 seek=100000 conv=notrunc 2>/dev/null
convert "$T/dst" > "$T/out" 2> "$T/err"; ok $? convert-stops/interrupt_goes_on
says convert-stops/interrupt_kept err 'files were finished by an earlier run'
equal interrupted

# ---- other options, another job: nothing is continued ----
rm -rf "$T/dst"
start
while kill -0 $pid 2>/dev/null && [ "$(files)" -lt 2 ]; do :; done
kill -9 $pid; wait $pid 2>/dev/null
run "$MLXK" convert "$T/src" "$T/dst" --quantize 8 --shard-size 2MB --skip-health; exits 0 convert-stops/other_job
! grep -q 'earlier run' "$T/err"; ok $? convert-stops/other_job_starts_anew
python3 -c 'import json, sys; assert json.load(open(sys.argv[1]))["quantization"]["bits"] == 8' "$T/dst/config.json"; ok $? convert-stops/other_job_bits
rm -rf "$T/dst"

# ---- two at once: one of them does it ----
start
while kill -0 $pid 2>/dev/null && [ ! -e "$T/.dst.mlxk-convert/job.json" ]; do :; done
run "$MLXK" convert "$T/src" "$T/dst" --quantize 4 --shard-size 2MB --skip-health --json
second=$status
wait $pid; first=$?
[ $first = 0 ]; ok $? convert-stops/first_of_two
[ $second = 1 ] && grep -Eq 'locks_present|Target directory exists' "$T/out"; ok $? convert-stops/second_of_two
equal two_at_once

# ---- killed when all was done but the last of the work folder ----
mkdir "$T/.dst.mlxk-convert"; : > "$T/.dst.mlxk-convert/lock"
run "$MLXK" convert "$T/src" "$T/dst" --quantize 4 --shard-size 2MB --skip-health --json
json convert-stops/rest_is_cleared 'x["message"] == "Finished by an earlier run"'
[ ! -e "$T/.dst.mlxk-convert" ]; ok $? convert-stops/rest_is_gone
run "$MLXK" convert "$T/src" "$T/dst" --quantize 4 --shard-size 2MB --skip-health; exits 1 convert-stops/then_it_exists

# ---- a file size limit and a full disk ----
rm -rf "$T/dst"
(ulimit -f 1000; trap '' XFSZ; convert "$T/dst" > "$T/out" 2> "$T/err"); [ $? = 1 ]; ok $? convert-stops/size_limit
says convert-stops/size_limit_told err '^convert: Error: .*(write|space|too large)'
[ ! -e "$T/dst" ]; ok $? convert-stops/size_limit_no_target
rm -rf "$T/.dst.mlxk-convert"
mkdir "$T/disk"
if mount -t tmpfs -o size=5m tmpfs "$T/disk" 2>/dev/null; then
    run "$MLXK" convert "$T/src" "$T/disk/dst" --quantize 4 --shard-size 2MB --skip-health --json
    json convert-stops/no_room 'e["type"] == "disk_full" and "free" in e["message"]'
    [ -z "$(ls -A "$T/disk")" ]; ok $? convert-stops/no_room_leaves_nothing
    umount "$T/disk"
else
    echo "ok convert-stops/no_room # SKIP a small file system cannot be mounted here"
fi

# ---- the stated memory: a model of 400 MB (a file of holes) in an address space of 256 MB ----
python3 - "$T/large" <<'PYTHON'
import json, os, struct, sys
os.mkdir(sys.argv[1])
b = json.dumps({"model.layers.0.mlp.up_proj.weight": {"dtype": "F32", "shape": [25000, 4000], "data_offsets": [0, 400000000]}}).encode()
with open(sys.argv[1] + "/model.safetensors", "wb") as f:
    f.write(struct.pack("<Q", len(b)) + b)
    f.truncate(8 + len(b) + 400000000)
json.dump({"model_type": "llama", "num_hidden_layers": 1}, open(sys.argv[1] + "/config.json", "w"))
PYTHON
# shellcheck disable=SC3045
(ulimit -v 262144; exec "$MLXK" convert "$T/large" "$T/little" --quantize 2 --q-group-size 32 --skip-health > "$T/out" 2> "$T/err")
ok $? convert-stops/memory
python3 -c 'import os, sys; n = os.path.getsize(sys.argv[1]); assert 50000000 <= n < 50001000, n' "$T/little/model.safetensors"; ok $? convert-stops/memory_result
rm -rf "$T/large" "$T/little"
if [ "$(id -u)" != 0 ]; then
    mkdir "$T/locked"; chmod 555 "$T/locked"
    run "$MLXK" convert "$T/src" "$T/locked/dst" --quantize 4 --json; json convert-stops/no_permission 'e["type"] == "permission_denied"'
    chmod 755 "$T/locked"
fi
