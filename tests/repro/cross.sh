#!/bin/sh
# cross.sh: all four release targets build here, and each file is what its system wants: Linux static and
# position-independent, macOS linked to libSystem only, arm64 signed ad hoc. The ARM program runs on this machine or
# under an emulator, as a processor with dot product and matrix multiply and as one without (arm.sh).
# Prints TAP lines; last line N passed, N failed, N skipped.
set -u
cd "$(dirname "$0")/../.." || exit 2
n_passed=0; n_failed=0; n_skipped=0
ok() {
    if [ "$1" = 0 ]; then n_passed=$((n_passed + 1)); echo "ok cross/$2"
    else n_failed=$((n_failed + 1)); echo "not ok cross/$2"; fi
}
skip() { n_skipped=$((n_skipped + 1)); echo "ok cross/$1 # SKIP $2"; }

# The compiler is fetched once; then two builds at a time.
mkdir -p build/cross
./build.sh aarch64-linux > build/cross/aarch64-linux.log 2>&1; ok $? builds_aarch64-linux
./build.sh arm-tests > build/cross/arm-tests.log 2>&1 & tests_pid=$!
for target in x86_64-linux aarch64-macos x86_64-macos; do
    ./build.sh $target > build/cross/$target.log 2>&1
    status=$?
    ok $status builds_$target
    if [ $status != 0 ]; then tail -n 5 build/cross/$target.log | sed 's/^/# /'; fi
done
wait $tests_pid; ok $? builds_arm-tests

for target in x86_64-linux-musl aarch64-linux-musl; do
    file=build/$target/mlxk
    ! readelf -lW $file | grep -q INTERP && ! readelf -dW $file | grep -q NEEDED && readelf -hW $file | grep -q 'DYN'
    ok $? "static_pie_$target"
done

# Mach-O, read byte by byte: load commands, and the flags of the code directory.
for target in x86_64-macos.11.0 aarch64-macos.11.0; do
    python3 - build/$target/mlxk <<'PYTHON'
import struct, sys
data = open(sys.argv[1], "rb").read()
magic, cpu, _, kind, n_commands = struct.unpack_from("<5I", data)
assert magic == 0xfeedfacf and kind == 2, "not a 64-bit Mach-O program"
at, libraries, minimum, signature = 32, [], None, None
for _ in range(n_commands):
    command, size = struct.unpack_from("<2I", data, at)
    if command & 0x7fffffff in (0xc, 0x18, 0x1f, 0x23):                 # a library of any strength
        start = at + struct.unpack_from("<I", data, at + 8)[0]
        libraries.append(data[start:data.index(b"\0", start)].decode())
    elif command == 0x32:                                             # LC_BUILD_VERSION
        minimum = struct.unpack_from("<I", data, at + 12)[0]
    elif command == 0x24:                                             # LC_VERSION_MIN_MACOSX
        minimum = struct.unpack_from("<I", data, at + 8)[0]
    elif command == 0x1d:                                             # LC_CODE_SIGNATURE
        signature = struct.unpack_from("<I", data, at + 8)[0]
    at += size
assert libraries == ["/usr/lib/libSystem.B.dylib"], libraries
assert minimum == 11 << 16, minimum
if cpu == 0x0100000c:                                                 # arm64 starts nothing unsigned
    assert signature is not None, "no signature"
    magic, _, count = struct.unpack_from(">3I", data, signature)
    assert magic == 0xfade0cc0
    slots = [struct.unpack_from(">2I", data, signature + 12 + 8 * i) for i in range(count)]
    directory = signature + dict(slots)[0]
    magic, _, _, flags = struct.unpack_from(">4I", data, directory)
    assert magic == 0xfade0c02 and flags & 2, "not signed ad hoc"
print("# libraries", libraries, "from macOS", minimum >> 16, "signed" if signature else "unsigned")
PYTHON
    ok $? "mach_o_$target"
done

# One processor of each kind at the same time; on an ARM machine its own.
cpus='max cortex-a72'
if [ "$(uname -m)" = aarch64 ]; then cpus=; fi
if [ -n "$cpus" ] && ! command -v qemu-aarch64-static >/dev/null 2>&1 && ! command -v qemu-aarch64 >/dev/null 2>&1; then
    for cpu in $cpus; do skip "arm_$cpu" "no emulator (qemu-user-static)"; done
else
    sh tests/data/fetch.sh smollm2 > build/cross/fetch.log 2>&1
    for cpu in ${cpus:-native}; do
        if [ "$cpu" = native ]; then set --; else set -- "$cpu"; fi
        sh tests/repro/arm.sh "$@" > "build/cross/arm-$cpu.log" 2>&1 &
    done
    wait
    for cpu in ${cpus:-native}; do
        cat "build/cross/arm-$cpu.log"
        passed=$(grep '^ok ' "build/cross/arm-$cpu.log" | grep -vc '# SKIP')
        n_passed=$((n_passed + passed))
        n_failed=$((n_failed + $(grep -c '^not ok ' "build/cross/arm-$cpu.log")))
        n_skipped=$((n_skipped + $(grep -c '^ok .*# SKIP' "build/cross/arm-$cpu.log")))
        [ "$passed" -ge 3 ]; ok $? "arm_${cpu}_ran"
    done
fi
echo "$n_passed passed, $n_failed failed, $n_skipped skipped"
[ "$n_failed" = 0 ]
