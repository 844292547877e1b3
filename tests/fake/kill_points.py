#!/usr/bin/env python3
"""kill_points.py: every command that writes, disturbed at every system call that changes the file system.

  kill_points.py --mlxk PROGRAM --tool KILL_AT --work DIR [--long] [--only NAME]...

For each command and each N: the cache is put back, the command is killed before its N-th call (writes also in their
middle), the cache must be whole (judge_cache.py) and the other models untouched to the bit; then the command runs
undisturbed and everything must be as if nothing had happened. The same with the N-th call failing: the answer is one
sentence with a hint, and nothing half-written stays. And at each N another command runs while the first one stands still:
readers, which must not fail or see half a model, or a writer that wants the contrary.

N goes on until a run ends undisturbed. Printed beside it: how many such calls strace counts in an undisturbed run.
--long: all three errors at every call, larger models, and all pairs of commands. Prints TAP lines. Standard library only."""
import hashlib
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fake_hub          # noqa: E402
import judge_cache       # noqa: E402

FILE = fake_hub.File
COUNTED = ("open openat creat write pwrite64 writev pwritev copy_file_range sendfile ftruncate truncate fallocate fsync fdatasync "
           "ioctl rename renameat renameat2 link linkat symlink symlinkat unlink unlinkat rmdir mkdir mkdirat mknod mknodat chmod fchmod "
           "fchmodat chown fchown lchown fchownat utimensat setxattr fsetxattr removexattr").split()
BY_DESCRIPTOR = set("write pwrite64 writev pwritev copy_file_range sendfile ftruncate fallocate fsync fdatasync ioctl fchmod fchown "
                    "fsetxattr".split())


def two(tag):
    """Two revisions that share one file and differ in the others."""
    return [FILE("config.json", b'{"model_type": "llama", "r": "%s"}' % tag.encode()), FILE("shared.bin", fake_hub.noise("shared", 9000), lfs=True),
            FILE("sub/model.safetensors", fake_hub.noise("two" + tag, 20_000), lfs=True)]


RECIPES = {
    "o/small": fake_hub.RECIPES["o/small"], "bare": fake_hub.RECIPES["bare"], "o/model": fake_hub.RECIPES["o/model"],
    "k/two": lambda: ({"main": two("a"), "v1": two("b")}, {}), "k/other": lambda: ({"main": two("c")}, {}),
}


def share(cache, repo, wanted):
    """Moves blobs of a repository into the store that newer clients share between repositories, as they leave it."""
    store = os.path.join(cache, "blobs")
    os.makedirs(store, exist_ok=True)
    with open(os.path.join(store, judge_cache.MARKER), "w") as f:
        f.write("1\n")
    blobs = os.path.join(cache, folder(repo), "blobs")
    for etag in os.listdir(blobs):
        if len(etag) != 64 or not wanted(etag):
            continue
        name = etag[32:] + etag[:32]         # any 64 digits will do
        payload = os.path.join(store, name[:2], name)
        os.makedirs(os.path.dirname(payload), exist_ok=True)
        with open(payload + ".refs", "a") as f:
            f.write(f"{folder(repo)}/blobs/{etag}\n")
        open(payload + ".lock", "a").close()
        for path in (payload + ".refs", payload + ".lock"):
            os.chmod(path, 0o666)
        if os.path.exists(payload):
            os.unlink(os.path.join(blobs, etag))
        else:
            os.rename(os.path.join(blobs, etag), payload)
            os.chmod(payload, 0o444)
        os.symlink(f"../../blobs/{name[:2]}/{name}", os.path.join(blobs, etag))


def litter(cache, repo):
    """What interrupted programs leave, long ago; v1 is older than main."""
    top = os.path.join(cache, folder(repo))
    for name in (hashlib.sha256(b"junk").hexdigest(), "b" * 64 + ".incomplete", "0123456789abcdef.mlxk.incomplete"):
        with open(os.path.join(top, "blobs", name), "w") as f:
            f.write("junk")
    for dp, dn, fn in os.walk(cache):
        for n in dn + fn:
            os.utime(os.path.join(dp, n), (1_600_000_000, 1_600_000_000), follow_symlinks=False)


def damage(lab):
    """A byte of one file is another, a link is gone, and a file of the list."""
    top = os.path.join(lab.cache, folder("k/two"))
    with open(os.path.join(top, "blobs", fake_hub.File("x", fake_hub.noise("shared", 9000), lfs=True).etag), "r+b") as f:
        f.seek(100)
        f.write(b"?")
    commit = lab.hub.repos["k/two"].resolve("main")
    os.unlink(os.path.join(top, "snapshots", commit, "config.json"))


def folder(repo):
    return "models--" + repo.replace("/", "--")


class Lab:
    def __init__(self, mlxk, tool, work, long):
        self.mlxk, self.tool, self.work, self.long = mlxk, tool, work, long
        self.home = os.path.join(work, "home")
        self.cache = os.path.join(self.home, "hub")
        self.base = os.path.join(work, "base")
        self.report = os.path.join(work, "report")
        self.killed = False
        fake_hub.RECIPES.clear()
        fake_hub.RECIPES.update(RECIPES)
        os.makedirs(os.path.join(work, "hub"), exist_ok=True)
        self.hub = fake_hub.Hub(os.path.join(work, "hub"))
        self.hub.log = lambda line: None
        self.hub.listen("HTTP", "hub")
        self.hub.listen("CDN", "cdn")
        self.env = {**{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "MLXK_"))}, "HF_HOME": self.home, "HOME": work,
                    "HF_ENDPOINT": self.hub.urls["HTTP"], "MLXK_RETRY_BASE_MS": "1", "SOURCE_DATE_EPOCH": "1600000000"}

    def run(self, argv, *disturb):
        if disturb:
            argv = [self.tool, self.report, disturb[0], str(disturb[1]), self.mlxk, *argv]
        else:
            argv = [self.mlxk, *argv]
        return subprocess.run(argv, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)

    def must(self, argv):
        r = self.run(argv)
        if r.returncode != 0:
            raise SystemExit(f"not ok mlxk {' '.join(argv)}\n# {r.stdout}{r.stderr}")

    def restore(self, case):
        outside, inside = case.outside, case.inside
        shutil.rmtree(self.home, ignore_errors=True)
        if outside:
            shutil.rmtree(outside, ignore_errors=True)
            os.makedirs(os.path.join(outside, inside or ""))
        shutil.copytree(self.base, self.home, symlinks=True)

    def seen(self):
        with open(self.report) as f:
            text = f.read()
        m = re.search("^hit (\\S+) (.*)", text)
        return (m.group(1), m.group(2)) if m else (None, None)


class Case:
    """argv: the command; prepare: commands that make the cache it meets; has, without: what must be there afterwards."""

    def __init__(self, name, argv, prepare, has=(), without=(), keep=("bare",), after=None, before=None, outside=None,
                 streams=False, inside=None):
        self.inside = inside         # an empty folder in there that is there before
        self.streams = streams       # threads share the work in other ways each time: their calls can't be counted to the last
        self.name, self.argv, self.prepare, self.has, self.without, self.keep = name, argv, prepare, has, without, keep
        self.after, self.before = after, before
        self.outside = outside       # a folder that the command makes outside of the cache


class Meeting:
    """argv stands still at each of its calls while `other` runs; both may fail with a sentence, the cache not."""

    def __init__(self, name, argv, other, prepare, keep=("bare",), before=None, short=False):
        self.short = short           # not only with --long
        self.name, self.argv, self.other, self.prepare, self.keep, self.before = name, argv, other, prepare, keep, before
        self.has, self.without, self.after, self.outside, self.inside = [], [], None, None, None


class Trial:
    def __init__(self, lab, case):
        self.lab, self.case, self.faults, self.known = lab, case, [], []

    def bad(self, where, faults):
        self.faults += [f"{where}: {f}" for f in faults]

    def kept(self):
        return [judge_cache.fingerprint(os.path.join(self.lab.cache, folder(r))) for r in self.case.keep]

    def whole(self, where, **more):
        """What was wrong before may be so still, and not more."""
        self.bad(where, [f for f in judge_cache.judge(self.lab.cache, has=self.case.keep, **more) if f not in self.known])

    def finish(self, where, before, strict, leaks=False):
        """A second run, undisturbed, ends as if it were the first; pull also clears away what the killed one was writing."""
        r = self.lab.run(self.case.argv)
        # what it refuses for was done by the first run: whether that is so is judged below
        gone = self.case.without and "No models found" in r.stderr
        made = self.case.outside and re.search("is not empty|Target directory exists", r.stderr)
        if r.returncode != 0 and not gone and not made:
            self.bad(where, [f"the second run ends with {r.returncode}: {r.stdout.strip()} {r.stderr.strip()}"])
        self.bad(where + ", then once more", judge_cache.judge(self.lab.cache, finished=True, strict=strict, leaks=leaks,
                                                               has=[*self.case.has, *self.case.keep], not_has=self.case.without))
        if self.kept() != before:
            self.bad(where, ["another model is not what it was"])
        if self.case.after and not leaks:
            self.bad(where, self.case.after(self.lab))

    def kill(self, n, how="kill"):
        self.lab.restore(self.case)
        before = self.kept()
        r = self.lab.run(self.case.argv, how, n)
        call, path = self.lab.seen()
        where = f"{how} at {n} ({call} {path})"
        if call is None:
            return None
        if r.returncode != 137:
            self.bad(where, [f"ended with {r.returncode}"])
        self.whole(where)
        if self.kept() != before:
            self.bad(where, ["another model is not what it was"])
        self.lab.killed = True
        self.finish(where, before, strict=self.case.argv[0] in ("pull", "import"))
        self.lab.killed = False
        return call

    def fail(self, n, error):
        self.lab.restore(self.case)
        before = self.kept()
        r = self.lab.run(self.case.argv, error, n)
        call, path = self.lab.seen()
        where = f"{error} at {n} ({call} {path})"
        if r.returncode == 1:
            lines = r.stderr.strip().split("\n")
            if not lines[0].strip() or len(lines) > 3 or (r.stdout.count("\n") > 1 and self.case.argv[0] not in ("gc", "verify")):
                self.bad(where, [f"says {r.stdout!r} {r.stderr!r}"])
        elif r.returncode != 0:
            self.bad(where, [f"ended with {r.returncode}: {r.stderr.strip()}"])
        leaks = error != "EIO"       # a store that cannot be written keeps what nobody uses
        # what was wrong and could not be removed after its repair, the next run removes
        self.whole(where, finished=r.returncode == 0, strict=r.returncode == 0 and self.case.before is not damage, leaks=leaks)
        self.finish(where, before, strict=True, leaks=leaks)

    def meet(self, n):
        """other is a list of commands, or readers: they must succeed, and what refs name must be whole."""
        lab, case = self.lab, self.case
        lab.restore(case)
        before = self.kept()
        out = os.path.join(lab.work, "meanwhile")
        if case.other == "readers":
            judge_py = os.path.abspath(judge_cache.__file__)
            other = " && ".join(f"'{lab.mlxk}' {c} --json > /dev/null" for c in ("list", "health", "show bare", "health bare"))
            other += f" && '{sys.executable}' '{judge_py}' '{lab.cache}' --has bare"
        else:
            # it may have to wait for a lock that the one standing still holds
            other = f"timeout -s KILL 0.5 '{lab.mlxk}' {' '.join(case.other)}"
        lab.env["MEANWHILE"] = f"{{ {other}; echo $?; }} > '{out}' 2>&1"
        r = lab.run(case.argv, "meanwhile", n)
        call, path = lab.seen()
        where = f"meanwhile at {n} ({call} {path})"
        if call is None:
            return None
        with open(out) as f:
            said = f.read().rstrip().split("\n")
        if said[-1] not in (("0",) if case.other == "readers" else ("0", "1", "137")) or (said[-1] == "1" and len(said) > 4):
            self.bad(where, ["the other one: " + " | ".join(said[-6:])])
        if r.returncode != 0 and (case.other == "readers" or r.returncode != 1):
            self.bad(where, [f"ended with {r.returncode}: {r.stdout.strip()} {r.stderr.strip()}"])
        self.whole(where)
        if self.kept() != before:
            self.bad(where, ["another model is not what it was"])
        for argv in (case.argv, [] if case.other == "readers" else case.other, case.argv):
            if argv:
                lab.run(argv)
                self.bad(where + f", then {argv}", judge_cache.judge(lab.cache, finished=True, has=case.keep))
        return call

    def strace(self):
        """Calls that change the file system, as strace counts them; None without strace."""
        if not shutil.which("strace"):
            return None
        self.lab.restore(self.case)
        out = os.path.join(self.lab.work, "strace")
        subprocess.run(["strace", "-f", "-y", "-o", out, "-e", "trace=" + ",".join(COUNTED), self.lab.mlxk, *self.case.argv],
                       env=self.lab.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        n = 0
        with open(out, encoding="utf-8", errors="replace") as f:
            for line in f:
                m = re.match(r"\d+ +(\w+)\((.*)", line)
                if not m:
                    continue
                call, rest = m.groups()
                if call in ("open", "openat"):
                    n += "O_CREAT" in rest or "O_TRUNC" in rest
                elif call == "ioctl":
                    n += "FICLONE" in rest
                elif call in BY_DESCRIPTOR:
                    n += bool(re.match(r"\d+<(?!/dev/(?!shm/))/", rest))
                else:
                    n += 1
        return n

    def prepare(self):
        lab, case = self.lab, self.case
        shutil.rmtree(lab.home, ignore_errors=True)
        for argv in case.prepare:
            lab.must(argv)
        if case.before:
            case.before(lab)
        os.makedirs(lab.home, exist_ok=True)
        self.known = judge_cache.judge(lab.cache) if os.path.isdir(lab.cache) else []
        if case.before is damage:        # a wrong blob leaves its name before the right one comes
            self.known.append(f"{folder('k/two')}/snapshots/{lab.hub.repos['k/two'].resolve('main')}/shared.bin: its blob is missing")
        shutil.rmtree(lab.base, ignore_errors=True)
        shutil.copytree(lab.home, lab.base, symlinks=True)

    def run_meeting(self):
        n = 0
        self.prepare()
        while self.meet(n + 1) and len(self.faults) <= 30:
            n += 1
        for fault in self.faults[:12]:
            print(f"#   {fault.replace(self.lab.work, '')}")
        print(f"{'not ' if self.faults else ''}ok {self.case.name} at any of {n} calls")

    def run(self):
        lab, case = self.lab, self.case
        self.prepare()
        errors, n, torn = ("ENOSPC", "EIO", "EACCES"), 0, 0
        lab.restore(case)
        before = self.kept()
        self.finish("undisturbed", before, strict=True)
        while call := self.kill(n + 1):
            n += 1
            if call in ("write", "pwrite64") and (lab.long or torn < 8):
                torn += 1
                self.kill(n, "tear")
            for error in errors if lab.long else errors[n // 2 % 3:n // 2 % 3 + 1] if n % 2 else ():
                self.fail(n, error)
            if len(self.faults) > 30:
                break
        counts = [self.strace() for _ in range(3 if case.streams else 1)]
        counted = counts[0]
        print(f"# {case.name}: {n} calls killed, {torn} writes torn, {'each' if lab.long else 'every second'} failed; "
              f"strace counts {' '.join(map(str, counts))}")
        for fault in self.faults[:12]:
            print(f"#   {fault.replace(lab.work, '')}")
        print(f"{'not ' if self.faults else ''}ok {case.name}: a kill or failure at any of {n} calls leaves a cache that works")
        if counted is None:
            print(f"ok kill/counted: {case.name} # SKIP strace is not installed")
        else:
            ok, how = (min(counts) <= n, "at least as many") if case.streams else (counted == n, "as many")
            print(f"{'' if ok else 'not '}ok kill/counted: {case.name}: {how} calls as strace counts")


def cases(lab):
    plain = os.path.join(lab.work, "plain")
    os.makedirs(os.path.join(plain, "sub"), exist_ok=True)
    for name, data in (("config.json", b'{"model_type": "llama"}'), ("model.safetensors", fake_hub.weights("plain", 30_000)), ("sub/x.json", b"{}")):
        with open(os.path.join(plain, name), "wb") as f:
            f.write(data)
    pull = "o/model" if lab.long else "o/small"
    both = [["pull", "bare"], ["pull", "k/two@v1"], ["pull", "k/two"]]
    outside, tiny = os.path.join(lab.work, "outside"), os.path.join(lab.work, "tiny")
    golden = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "tiny-a")
    shutil.copytree(os.path.join(golden, "llama-float16"), tiny, dirs_exist_ok=True, ignore=shutil.ignore_patterns("golden.*"))
    for name in os.listdir(os.path.join(golden, "_tokenizer")):
        shutil.copy(os.path.join(golden, "_tokenizer", name), tiny)
    sharing = [["pull", "bare"], ["pull", "k/other"], ["pull", "k/two"], ["pull", "k/two@v1"]]

    def shared(lab):
        for repo in ("k/two", "k/other"):
            share(lab.cache, repo, lambda etag: True)

    bundle = os.path.join(lab.work, "bundle.tar")
    lab.must(["pull", "k/two"])
    lab.must(["export", "k/two", "-o", bundle])

    def forgotten(lab):
        found = subprocess.run(["grep", "-rl", "models--k--two/", os.path.join(lab.cache, "blobs")], capture_output=True, text=True).stdout.split()
        return [f"{p} still lists a link of k/two" for p in found]
    return [
        Case("pull", ["pull", pull, "--max-workers", "1"], [["pull", "bare"]], has=[pull]),
        Case("pull by several streams", ["pull", pull], [["pull", "bare"]], has=[pull], streams=True),
        Case("pull of another revision", ["pull", "k/two@v1", "--max-workers", "1"], [["pull", "bare"], ["pull", "k/two"]], has=["k/two", "k/two@v1"]),
        Case("rm of a repository", ["rm", "k/two"], [["pull", "bare"], ["pull", "k/two"], ["pull", "k/two@v1"]], without=["k/two"]),
        Case("rm of a revision", ["rm", "k/two@v1"], [["pull", "bare"], ["pull", "k/two"], ["pull", "k/two@v1"]], has=["k/two"],
             without=["k/two@v1"], after=lambda lab: only_blobs_of(lab, "k/two", "main")),
        Case("rm of a repository with shared payloads", ["rm", "k/two"], sharing, before=shared, has=["k/other"], without=["k/two"],
             keep=("bare", "k/other"), after=forgotten),
        Case("rm of a revision with shared payloads", ["rm", "k/two@v1"], sharing, before=shared, has=["k/two", "k/other"], without=["k/two@v1"],
             keep=("bare", "k/other"), after=lambda lab: only_blobs_of(lab, "k/two", "main")),
        Case("gc", ["gc", "--yes", "--keep-last", "1", "k/two"], both, before=lambda lab: litter(lab.cache, "k/two"), has=["k/two"],
             without=["k/two@v1"], after=lambda lab: only_blobs_of(lab, "k/two", "main")),
        Case("clone", ["clone", "k/two", outside + "/copy"], both[:1] + both[2:], has=["k/two"], keep=("bare", "k/two"), outside=outside,
             after=lambda lab: only_files_of(lab, outside, "copy", "k/two")),
        Case("convert", ["convert", tiny, outside + "/q8", "--quantize", "8"], [["pull", "bare"]], outside=outside,
             after=lambda lab: only_names(lab, outside, "q8") + half_written(os.path.join(outside, "q8"))),
        Case("clone into a folder that is there", ["clone", "k/two", outside + "/copy"], both[:1] + both[2:], has=["k/two"], keep=("bare", "k/two"),
             outside=outside, after=lambda lab: only_files_of(lab, outside, "copy", "k/two"), inside="copy"),
        Case("verify --repair", ["verify", "k/two", "--repair"], both[:1] + both[2:], before=damage, has=["k/two"]),
        Case("import of a bundle", ["import", bundle], [["pull", "bare"]], has=["k/two"]),
        Case("export", ["export", "k/two", "-o", outside + "/out.tar"], both[:1] + both[2:], has=["k/two"], keep=("bare", "k/two"), outside=outside,
             after=lambda lab: only_names(lab, outside, "out.tar") + not_the_same(os.path.join(outside, "out.tar"), bundle)),
        Case("import", ["import", plain, "--name", "local/plain"], [["pull", "bare"]], has=["local/plain"]),
    ]


def half_written(top):
    return [f"{n} lies in {os.path.basename(top)}" for n in sorted(os.listdir(top)) if n.endswith((".tmp", ".part"))]


def not_the_same(path, want):
    return [] if os.path.isfile(path) and open(path, "rb").read() == open(want, "rb").read() else [f"{os.path.basename(path)} is not {os.path.basename(want)}"]


def only_names(lab, top, *names):
    """What was wanted is there, and nothing beside it; behind a kill, a hidden folder of work may be."""
    return [f"{n} is not there" for n in names if n not in os.listdir(top)] + \
        [f"{n} lies in the folder" for n in sorted(os.listdir(top)) if n not in names and not (lab.killed and n.startswith("."))]


def only_files_of(lab, top, name, repo):
    r, faults = lab.hub.repos[repo], only_names(lab, top, name)
    for f in r.commits[r.resolve("main")]:
        path = os.path.join(top, name, f.path)
        if not os.path.isfile(path) or open(path, "rb").read() != f.data:
            faults.append(f"{f.path} is not what it should be")
    return faults


def meetings(lab):
    bare, both = [["pull", "bare"]], [["pull", "bare"], ["pull", "k/two"], ["pull", "k/two@v1"]]
    main = both[:2]
    plain = ["import", os.path.join(lab.work, "plain"), "--name", "local/plain"]
    remove = ["rm", "k/two", "--force"]
    return [
        Meeting("readers beside pull", ["pull", "k/two"], "readers", bare),
        Meeting("readers beside pull of another revision", ["pull", "k/two@v1"], "readers", main, short=True),
        Meeting("readers beside rm", ["rm", "k/two"], "readers", both),
        Meeting("readers beside rm of a revision", ["rm", "k/two@v1"], "readers", both),
        Meeting("readers beside import", plain, "readers", bare),
        Meeting("rm beside pull", ["pull", "k/two"], remove, bare),
        Meeting("rm beside pull of another revision", ["pull", "k/two@v1"], ["rm", "k/two@main", "--force"], main, short=True),
        Meeting("rm of all beside pull of another revision", ["pull", "k/two@v1"], remove, main),
        Meeting("pull beside rm", remove, ["pull", "k/two"], both),
        Meeting("pull beside rm of a revision", ["rm", "k/two@v1", "--force"], ["pull", "k/two@v1"], both, short=True),
        Meeting("pull of another revision beside rm", ["rm", "k/two@main", "--force"], ["pull", "k/two@v1"], main),
        Meeting("rm beside rm", remove, remove, both),
        Meeting("rm beside rm of a revision", ["rm", "k/two@v1", "--force"], remove, both),
        Meeting("rm beside import", plain, ["rm", "local/plain", "--force"], bare),
    ]


def only_blobs_of(lab, repo, revision):
    """Blobs that no file of the revision needs."""
    r = lab.hub.repos[repo]
    want = {f.etag for f in r.commits[r.resolve(revision)]}
    have = os.listdir(os.path.join(lab.cache, folder(repo), "blobs"))
    return [f"the blob {b} is still there" for b in have if b not in want and not judge_cache.TEMPORARY.fullmatch(b)]


def main(argv):
    options = {"--only": []}
    i = 0
    while i < len(argv):
        if argv[i] == "--long":
            options["--long"] = True
        elif argv[i] == "--only":
            options["--only"].append(argv[i + 1])
            i += 1
        else:
            options[argv[i]] = argv[i + 1]
            i += 1
        i += 1
    work = os.path.abspath(options["--work"])
    os.makedirs(work, exist_ok=True)
    lab = Lab(os.path.abspath(options["--mlxk"]), os.path.abspath(options["--tool"]), work, "--long" in options)
    for case in cases(lab):
        if not options["--only"] or case.name in options["--only"]:
            Trial(lab, case).run()
            sys.stdout.flush()
    for case in meetings(lab):
        if (lab.long or case.short) if not options["--only"] else case.name in options["--only"] or "meetings" in options["--only"]:
            Trial(lab, case).run_meeting()
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
