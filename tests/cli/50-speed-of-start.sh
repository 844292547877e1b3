#!/bin/sh
# Starting costs milliseconds: --version, and list over thirty models. Bounds are generous, machines are noisy.
. tests/tap.sh
export HF_HOME="$T/hf"
tiny "$T/m"
for i in $(seq 30); do "$MLXK" import "$T/m" --name "org/model-$i" --quiet > /dev/null; done
# fast NAME LIMIT-MS COMMAND...: median of twenty runs.
fast() {
    name=$1 limit=$2; shift 2
    median=$(python3 -c 'import subprocess, sys, time
def once():
    start = time.perf_counter()
    subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start
print("%.1f" % (1000 * sorted(once() for _ in range(20))[10]))' "$@")
    echo "# $name: median $median ms"
    awk -v m="$median" -v limit="$limit" 'BEGIN { exit !(m != "" && m + 0 < limit) }'
    ok $? "start/$name"
}
fast version 50 "$MLXK" --version
fast list_of_thirty 50 "$MLXK" list
fast list_of_thirty_json 50 "$MLXK" list --json
fast help 50 "$MLXK" help
