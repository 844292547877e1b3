"""told_to_stop.py PROGRAM FOLDER: each command of a list gets a signal at its n-th system call of a kind, for n spread over all of
them (strace sends it, to the main thread, which waits while others work). FOLDER holds what 73-told-to-stop.sh made. Prints TAP lines."""
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import schema  # noqa: E402

MLXK, T = sys.argv[1:3]
W, HF = T + "/w", os.environ["HF_HOME"]
CALLS = "openat,rename,mkdir,symlink,unlink,fsync,pwrite64,write,sendto,connect,poll,futex,exit_group"
LAYOUT = "oci:" + W + "/layout:" + os.environ["TAG"]
MOMENTS = int(os.environ.get("MOMENTS", "12"))


def tree(folder):
    """Every file, link and folder below, by content; nothing where there is nothing."""
    out = {}
    for top, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(top, name)
            key = os.path.relpath(path, folder)
            if os.path.islink(path):
                out[key] = os.readlink(path)
            elif os.path.isfile(path):
                timed = name == ".mlxk_workspace.json"       # it holds the time
                out[key] = "" if timed else hashlib.sha256(open(path, "rb").read()).hexdigest()
            else:
                out[key] = ""
    return out


class Case:
    """What a command does to `made` (a folder or file; None: nothing), from the same beginning each time."""
    def __init__(self, name, arguments, made=None, cache="kept", keeps=False):
        self.name, self.arguments, self.made, self.cache, self.keeps = name, arguments, made, cache, keeps

    def begin(self):
        shutil.rmtree(HF, ignore_errors=True)
        if self.cache == "kept":
            shutil.copytree(T + "/hf.kept", HF, symlinks=True)
        for path in (T + "/to", T + "/.local", T + "/.cache"):
            shutil.rmtree(path, ignore_errors=True)
        os.mkdir(T + "/to")

    def run(self, strace=()):
        return subprocess.run([*strace, MLXK, *self.arguments, "--json"], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)

    def result(self):
        """None: nothing to look at; empty: nothing there."""
        made = self.made and (glob.glob(self.made) or [self.made])[0]
        if made is None or os.path.isdir(made):
            return made and tree(made)
        text = open(made, "rb").read() if os.path.exists(made) else b""
        if made.endswith("/index.json"):                # of a layout: what it names
            return {x["annotations"]["org.opencontainers.image.ref.name"]: x["digest"] for x in json.loads(text or '{"manifests": []}')["manifests"]}
        return text and hashlib.sha256(text).hexdigest()


def judge(case, done, want):
    """What is wrong with a run that was told to stop, or None; and whether it stopped."""
    try:
        document = json.loads(done.stdout)
    except ValueError:
        return "status %d, no single document: %r %r" % (done.returncode, done.stdout[:200], done.stderr[-200:]), False
    wrong = schema.check(document)
    if wrong:
        return "not of its schema: %s" % wrong[:2], False
    stopped = document["status"] == "error"
    if done.returncode != stopped or (stopped and document["error"]["type"] not in ("interrupted", "UserCancelledError")):
        return "status %d with %r" % (done.returncode, document["error"]), False
    have, left = case.result(), os.listdir(T + "/to")
    whole = have == want
    done_all = not stopped or "everything was done" in document["error"]["message"]
    if done_all and not whole:
        return "told done, but it is not", stopped
    if not whole and have and not case.keeps:
        return "half of it stands: %s" % (sorted(have)[:9] if isinstance(have, dict) else "another file"), stopped
    if case.made and case.made.startswith(T + "/to/") and [x for x in left if not case.made.startswith(T + "/to/" + x)]:
        return "left beside it: %s" % left, stopped
    return None, stopped


def moments(case):
    """The main thread's calls since signals are caught, as strace counts them: (name, how manieth of that name)."""
    case.begin()
    case.run(["strace", "-o", T + "/trace", "-e", "trace=rt_sigaction," + CALLS])
    counts, out, caught = {}, [], False
    for line in open(T + "/trace", errors="replace"):
        found = re.match(r"(\w+)\(", line)
        if found and found[1] == "rt_sigaction":
            caught = caught or ("SIGTERM, {" in line and "SIG_DFL" not in line.split("}")[0])
        elif found:
            counts[found[1]] = counts.get(found[1], 0) + 1
            if caught:
                out.append((found[1], counts[found[1]]))
    return out


def told(case, call, count, signal):
    return case.run(["strace", "-o", "/dev/null", "-e", "trace=" + call, "-e", "inject=%s:signal=%s:when=%d" % (call, signal, count)])


def one(case):
    case.begin()
    first = case.run()
    if first.returncode:
        return print("not ok %s: undisturbed\n# %s" % (case.name, first.stdout + first.stderr))
    want, all_calls, bad, n_stopped, n_on = case.result(), moments(case), [], 0, 0
    tried = sorted({i * (len(all_calls) - 1) // (MOMENTS - 1) for i in range(MOMENTS)})
    for i in tried:
        call, count = all_calls[i]
        case.begin()
        problem, stopped = judge(case, told(case, call, count, "INT" if i % 2 else "TERM"), want)
        n_stopped += stopped
        if problem:
            bad.append("call %d of %d, %s: %s" % (i + 1, len(all_calls), call, problem))
        if stopped and case.result() != want:
            n_on += 1
            again = case.run()
            if again.returncode or case.result() != want:
                bad.append("the same command does not go on from call %d: %s" % (i + 1, again.stdout[-300:]))
    if not n_stopped or (case.made and not n_on):
        bad.append("of %d moments %d stopped it, %d before its end" % (len(tried), n_stopped, n_on))
    print("%s %s: told to stop at %d of %d calls: %d stopped it, %d before its end" % (
        "not ok" if bad else "ok", case.name, len(tried), len(all_calls), n_stopped, n_on))
    for line in bad[:6]:
        print("# " + line)


CASES = [
    Case("clone", ["clone", "o/model", T + "/to/ws"], T + "/to/ws", cache="none"),
    Case("export", ["export", "o/small", "-o", T + "/to/a.tar"], T + "/to/a.tar"),
    Case("import of a bundle", ["import", W + "/small.tar"], HF + "/hub/models--o--small/snapshots", cache="none", keeps=True),
    Case("import of a folder", ["import", "tests/golden/tiny-a/llama-q4-g64", "--name", "l/tiny"], HF + "/hub/models--l--tiny/refs", cache="none"),
    Case("verify", ["verify"]),
    Case("health", ["health"]),
    Case("list", ["list"]),
    Case("du", ["du"]),
    Case("gc", ["gc", "--yes"]),
    Case("convert", ["convert", "tests/golden/tiny-a/llama-float32", T + "/to/q", "--quantize", "4"], T + "/to/q"),
    Case("copy", ["copy", LAYOUT, "oci:" + T + "/to/copy:v1"], T + "/to/copy/index.json"),
    Case("store", ["store", W + "/ws", "oci:" + T + "/to/store"], T + "/to/store/index.json"),
    Case("pull from a layout", ["pull", LAYOUT], HF + "/hub/models--oci--layout-*/refs", cache="none"),
    Case("push", ["push", W + "/ws", "o/pushed", "--private", "--create"]),
]
only = sys.argv[3:]
for case in CASES:
    if not only or any(word in case.name for word in only):
        one(case)
