#!/bin/sh
# `install` of a newer client over an older one, killed and made to fail at every system call that changes the file system.
. tests/tap.sh
export HF_HOME="$T/hf" XDG_STATE_HOME="$T/state"
work=$T
if [ -d /dev/shm ] && [ -w /dev/shm ]; then      # a disk that need not be waited for
    work=$(mktemp -d /dev/shm/mlxk-client.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM HUP
fi
if ! ${CC:-cc} -O1 -Wall -Wextra -o "$T/kill_at" tests/fake/kill_at.c 2> "$T/err"; then echo "not ok client-kill/injector"; exit 1; fi
"$T/kill_at" "$T/report" count 0 true
status=$?
if [ $status = 77 ] || [ $status = 125 ]; then
    echo "ok client-kill/every_call # SKIP system calls cannot be stopped on this machine (status $status)"
    exit 0
fi
w=$work/w; r=oci:$work/ham
tiny "$w"
"$MLXK" release "$w" "$r" > /dev/null 2>&1; echo '{"temperature": 1}' > "$w/generation_config.json"; "$MLXK" release "$w" "$r" > /dev/null 2>&1
python3 - "$MLXK" "$T/kill_at" "$work" <<'PY'
import hashlib, json, os, shutil, subprocess, sys
mlxk, tool, work = sys.argv[1:]
lib, report = work + "/lib", work + "/report"
layout = "oci:" + work + "/ham"


def install(*disturb, tag="client-v0.2.0"):
    before = [tool, report, *disturb] if disturb else []
    return subprocess.run(before + [mlxk, "install", layout + ":" + tag, "--target", lib], capture_output=True, stdin=subprocess.DEVNULL)


def files(top):
    return {os.path.relpath(os.path.join(d, f), top): hashlib.sha256(open(os.path.join(d, f), "rb").read()).hexdigest() for d, _, fs in os.walk(top) for f in fs}


def fresh(first):
    shutil.rmtree(lib, ignore_errors=True)
    if first:
        shutil.copytree(old, lib)
    else:
        os.makedirs(lib)


old, leaf, n_failed = work + "/old", lib + "/ham/client/v0", 0
install(tag="client-v0.1.0")
states = {"old": files(leaf)}
os.rename(lib, old)
fresh(False)
install()
states["new"], want = files(leaf), {k: v for k, v in files(lib).items() if not k.startswith(".mlxk")}
for first, ways in ((True, ("kill", "tear", "ENOSPC")), (False, ("kill",))):
    fresh(first)
    install("count", "0")
    n_calls = int(open(report).read().split()[1])
    for how in ways:
        wrong = []
        for n in range(1, n_calls + 1):
            fresh(first)
            p = install(how, str(n))
            there = files(leaf) if os.path.isdir(leaf) else None
            if first and there not in states.values():
                wrong.append("call %d: the module is neither the old one nor the new one" % n)
            if not first and there is not None and there != states["new"]:
                wrong.append("call %d: half a module" % n)
            if how == "ENOSPC" and "hit" in open(report).read() and p.returncode == 0 and {k: v for k, v in files(lib).items() if not k.startswith(".mlxk")} != want:
                wrong.append("call %d: success without the files" % n)
            q = install()
            got = {k: v for k, v in files(lib).items() if k != ".mlxk/lock"}
            if q.returncode != 0 or got != want:
                wrong.append("call %d: the next run does not finish: %s %s" % (n, q.stderr.decode()[-200:], sorted(set(got) ^ set(want))[:5]))
        name = "client-kill/%s_%s_at_each_of_%d_calls" % ("newer" if first else "first", how, n_calls)
        print("%s %s" % ("not ok" if wrong or n_calls < 20 else "ok", name) + "".join("\n# " + x for x in wrong[:5]), flush=True)
        n_failed += bool(wrong)
sys.exit(n_failed != 0)
PY
