#!/usr/bin/env python3
"""fault_table.py MLXK HUB_DIR WORK: one row per fault, each with its expected outcome, six at a time.

One fake hub serves all rows: each asks it below a path of its own (/case/NAME), so faults and log lines are told apart.
Of every row is checked, besides its outcome: right bytes under every final name; nothing outside its cache; no token at the
storage; and never more than ALLOWED bytes fetched twice. Prints TAP lines."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fake_hub     # noqa: E402

MLXK, HUB, WORK = sys.argv[1:4]
URLS = dict(line.strip().split("=", 1) for line in open(os.path.join(HUB, "ready")))
BLOCK = 8 << 20
W1 = "blob/6c9029e2"                  # the larger weights of o/model
BASE = {"PATH": os.environ["PATH"], "HF_TOKEN": fake_hub.GOOD_TOKEN, "MLXK_RETRY_BASE_MS": "20",
        "HF_HUB_DOWNLOAD_TIMEOUT": "2", "MLXK_SLOW_WINDOW_MS": "1000"}
REPOS, LOCK = {}, threading.Lock()


def repo(name):
    with LOCK:
        if name not in REPOS:
            REPOS[name] = fake_hub.repository(name)
        return REPOS[name]


# name, repo, faults, outcome ("ok" or a pattern of the message), and: again = bytes that may come twice, env, argv, seconds
def row(name, repo_name, faults, outcome, **more):
    return dict(name=name, repo=repo_name, faults=faults, outcome=outcome, **more)


M, L = "o/model", "o/large"
ROWS = [
    # bodies
    row("no fault", M, [], "ok", again=0),
    row("no fault, parts", L, [], "ok", again=0),
    row("cut", M, [f"cdn {W1} cut=100000 1-2"], "ok", again=0),
    row("cut, parts", L, ["cdn blob cut=3000000 1-5"], "ok", again=0),
    row("cut at nothing", M, [f"cdn {W1} cut=0 1-2"], "ok", again=0),
    row("reset", M, [f"cdn {W1} rst=70000 1"], "ok", again=300000),
    row("reset, parts", L, ["cdn blob rst=2000000 1-3"], "ok", again=BLOCK),
    row("length too long", M, [f"cdn {W1} longer=9 1"], "ok", again=300000),
    row("length too short", M, [f"cdn {W1} shorter=9 1"], "ok", again=300000),
    row("length always too short", M, [f"cdn {W1} shorter=9"], "announces"),
    row("no length", L, ["cdn blob nolength", "hub resolve nolength", "hub /api/ nolength"], "ok", again=0),
    row("chunked", L, ["cdn blob chunked", "hub resolve chunked"], "ok", again=0),
    row("more than announced", M, [f"cdn {W1} extra=100"], "ok", again=200),
    row("right size, wrong bytes", M, [f"cdn {W1} wrongbytes"], "have the hash", again=300000),
    row("wrong bytes once, parts", L, ["cdn blob wrongbytes 1"], "ok", again=50_000_000),
    row("wrong small file", M, ["hub config.json wrongbytes"], "have the hash"),
    # headers
    row("no tag", M, ["any . header=ETag:"], "ok"),
    row("weak tag", M, ['hub resolve header=ETag:W/"0"'], "ok"),
    row("climbing tag", M, ['hub resolve header=ETag:"../../../../evil"'], "evil"),
    row("climbing linked tag", M, ['hub model-0 header=X-Linked-Etag:"../../evil"'], "evil"),
    row("tag of another file", M, ['hub model-0 header=X-Linked-Etag:"' + "0" * 64 + '"'], "different hashes"),
    row("no commit", M, ["hub resolve header=X-Repo-Commit:"], "X-Repo-Commit"),
    row("another commit", M, ["hub resolve header=X-Repo-Commit:" + "0" * 40], "another commit"),
    row("another size", M, ["hub model-0 header=X-Linked-Size:5"], "file itself 5"),
    row("header of 70 KB", M, ["hub resolve bigheader=70000"], "bytes of header"),
    row("300 header lines", M, ["hub resolve manyheaders=300"], "header lines"),
    row("interim answers", M, ["any . interim=2"], "ok"),
    row("bytes behind an answer", M, ["hub /api/ leftover", "hub resolve leftover"], "ok"),
    row("every connection ends", M, ["any . header=Connection:close"], "ok", again=0),
    row("a clock that is wrong", M, ["any . header=Date:Thu,01-Jan-1970"], "ok", again=0),
    # ranges
    row("range ignored", M, [f"cdn {W1} cut=100000 1", f"cdn {W1} norange 2-9"], "ok", again=300000),
    row("range ignored, parts", L, ["cdn blob norange"], "ok", again=0),
    row("range of another place", L, ["cdn blob badstart 2"], "ok", again=BLOCK),
    row("range of another size", L, ["cdn blob badtotal 2"], "ok", again=BLOCK),
    row("range refused", L, ["cdn blob cut=1000000 1", "cdn blob r416 2"], "ok", again=BLOCK),
    row("encoded part", M, [f"cdn {W1} cut=100000 1", f"cdn {W1} gzip 2"], "ok", again=600000),
    row("encoded", M, ["cdn . gzip", "hub resolve gzip"], "ok"),
    row("encoded in an unknown way", M, ["hub resolve header=Content-Encoding:br"], "'br'"),
    # statuses
    row("429 with seconds", M, ["hub /revision/ status=429,Retry-After:1 1", "hub resolve status=429,Retry-After:0 3"], "ok"),
    row("429 with a date", M, ["hub /revision/ retrydate=1 1"], "ok"),
    row("429 with a date long ago", M, ["hub /revision/ retrydate=-4000 1"], "ok", seconds=5),
    row("429 with RateLimit", M, ['hub /tree/ status=429,RateLimit:"api";r=0;t=0 1'], "ok"),
    row("429 without a word", L, ["cdn blob status=429 2-3"], "ok", again=0),
    row("429 for an hour", M, ["hub /revision/ status=429,Retry-After:4000"], "slow down"),
    *[row(f"{s} a few times", L, [f"hub /revision/ status={s} 1", f"hub resolve status={s} 2", f"cdn blob status={s} 1-2"], "ok", again=0)
      for s in (500, 502, 503, 504, 408)],
    row("503 for ever", M, ["cdn . status=503"], "status 503"),
    row("address expires", L, ["cdn blob status=403 3-4", "cdn blob status=410 6"], "ok", again=0),
    row("address expires after every part", L, ["cdn blob cut=3000000", "cdn blob status=403 2", "cdn blob status=403 4", "cdn blob status=403 6"],
        "ok", again=0),
    row("storage refuses for ever", M, ["cdn . status=403"], "status 403"),
    row("file is gone", M, ["hub config.json status=404"], "has no file"),
    # redirects
    row("redirect to itself", M, ["hub model-0 loop"], "redirects more than"),
    row("redirect with a password in it", M, ["hub model-0 away=http://u:p@127.0.0.1:9/"], "user|refused|not a usable"),
    row("redirect to nowhere", M, ["hub model-0 away=ftp://x/"], "not a usable address|no connection"),
    row("redirect without an address", M, ["hub model-0 away="], "status 302"),
    row("redirect to a relative address", M, ["hub config.json away=./config.json?again 1"], "ok"),
    row("four redirects", M, ["hub model-0 hops=4"], "ok", again=0),
    row("thirty redirects", M, ["hub model-0 hops=30"], "redirects more than"),
    row("renamed", "o/old", [], "ok", verify=False),
    # pages that are no hub
    row("log-in page for the API", M, ["hub /api/ html"], "web page"),
    row("log-in page for a file", M, ["hub resolve html"], "web page"),
    row("log-in page from the storage", M, ["cdn . html"], "announces|web page"),
    row("no HTTP", M, ["hub . junk"], "not HTTP"),
    # slowness
    row("silence before the answer", M, ["hub /revision/ stall=4 1", f"cdn {W1} stall=4 1"], "ok", seconds=20),
    row("silence in the middle", L, ["cdn blob stallafter=1000000 2"], "ok", again=BLOCK, seconds=20),
    row("silence after every part", L, ["cdn blob stallafter=2400000"], "ok", seconds=15),
    row("trickle once", L, ["cdn blob slow=500 1"], "ok", again=BLOCK, seconds=20),
    row("trickle for ever", M, ["cdn . slow=100"], "bytes came in|in time", seconds=20),
    row("header by drops", M, [f"cdn {W1} dripheader 1"], "ok", seconds=20),
    row("headers never come", M, ["hub /revision/ stall=30"], "in time", seconds=20),
    # lists
    *[row(f"file list: {k}", M, [f"hub /tree/ json={k}"], "cannot be used") for k in ("truncated", "deep", "scalar", 'set:path:"../x"', 'set:path:"/x"')],
    *[row(f"hostile name {i}", f"o/evil{i}", [], "cannot be used") for i in range(11)],
    row("file list: a hostile name behind the right one", M, ['hub /tree/ json=last:path:"../evil"'], "cannot be used"),
    row("file list: a hostile name before the right one", M, ['hub /tree/ json=first:path:"../evil"'], "ok"),
    row("file list: a size twice", M, ["hub /tree/ json=last:size:7"], "announces|cannot be used|have the hash|file itself"),
    row("list leads to itself", "o/many", ["hub /tree/ linkself"], "leads to itself"),
    row("main moves", "o/moved", [], "ok", verify=False),
    # addresses
    row("unknown name", M, [], "could not be resolved", endpoint="http://nowhere.invalid", seconds=2),
    row("nobody there", M, [], "no connection", endpoint="http://127.0.0.1:9", seconds=8),
    row("second endpoint", M, [], "ok", endpoint="http://127.0.0.1:9,{url}"),
    row("second endpoint for a file", M, ["hub FIRST/.*config.json status=404"], "ok", endpoint="{url}/FIRST {url}", verify=True),
    row("second endpoint gets no token", "o/private", [], "does not exist|is private|none of", endpoint="http://127.0.0.1:9 {url}"),
    # processes
    row("killed and started again", L, ["cdn blob slow=9000000"], "ok", kill=[0.6], again=BLOCK, seconds=30),
    row("killed five times", L, ["cdn blob slow=9000000"], "ok", kill=[0.5, 0.5, 0.6, 0.6, 0.6], again=5 * BLOCK, seconds=30),
    row("interrupted and started again", L, ["cdn blob slow=9000000"], "ok", kill=[0.7], signal=signal.SIGTERM, again=BLOCK, seconds=30),
    row("killed, then the partial file is damaged", L, ["cdn blob slow=9000000"], "ok", kill=[0.9], damage=True, again=60_000_000, seconds=40),
    row("interrupted, then the partial file is damaged", L, ["cdn blob slow=9000000"], "ok", kill=[0.9], signal=signal.SIGTERM, damage=True,
        again=60_000_000, seconds=40),
    row("killed, then the partial file is longer than the file", L, ["cdn blob slow=9000000"], "ok", kill=[0.9], grow=True, again=60_000_000,
        seconds=40),
    row("killed, then the map is lost", L, ["cdn blob slow=9000000"], "ok", kill=[0.9], lose_map=True, again=60_000_000, seconds=40),
    row("four at once", L, ["cdn blob slow=30000000"], "ok", at_once=4, again=BLOCK, seconds=30),
]


# what a kill leaves of a small file in the making; gc takes it away
KILLED = re.compile(r"unexpected blobs/[0-9a-f]{16}\.mlxk\.incomplete")


class Case:
    def __init__(self, i, r):
        self.r, self.key = r, f"c{i}"
        self.dir = os.path.join(WORK, self.key)
        self.home = os.path.join(self.dir, "hf")
        self.cache = os.path.join(self.home, "hub")
        os.makedirs(self.dir)
        url = f"{URLS['HUB_HTTP']}/case/{self.key}"
        endpoint = r.get("endpoint", "{url}").replace("{url}/FIRST", f"{URLS['HUB_HTTP']}/case/{self.key}F").replace("{url}", url)
        self.env = {**BASE, "HOME": self.dir, "HF_HOME": self.home, "HF_ENDPOINT": endpoint, **r.get("env", {})}
        self.argv = [MLXK, "pull", r["repo"], "--json"]

    def rules(self):
        for fault in self.r["faults"]:
            where, pattern, rest = fault.split(" ", 2)
            scope = f"/case/{self.key}" + ("F/.*" + pattern[len("FIRST/"):] if pattern.startswith("FIRST/") else "/.*" + pattern.lstrip("/"))
            yield f"{where} {scope} {rest}"

    def start(self, n):
        return subprocess.Popen(self.argv, env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL,
                                stdout=open(os.path.join(self.dir, f"out{n}"), "w"), stderr=open(os.path.join(self.dir, f"err{n}"), "w"))

    def partial(self):
        for dp, _, fn in os.walk(self.cache):
            for n in fn:
                if n.endswith(".mlxk.incomplete") and os.path.getsize(os.path.join(dp, n)) > 100:
                    return os.path.join(dp, n)

    def run(self):
        begun = time.time()
        for i, after in enumerate(self.r.get("kill", [])):
            p = self.start(f"k{i}")
            while not self.partial() and p.poll() is None and time.time() < begun + 20:      # a busy machine begins late
                time.sleep(0.02)
            time.sleep(after)
            p.send_signal(self.r.get("signal", signal.SIGKILL))
            p.wait()
        if self.r.get("damage"):
            path = self.partial()
            assert path, "there is no partial file to damage"
            with open(path, "r+b") as f:
                f.seek(50)
                b = f.read(1)
                f.seek(50)
                f.write(bytes([b[0] ^ 1]))
        if self.r.get("grow"):
            with open(self.partial(), "ab") as f:
                f.write(bytes(50_000_000))
        if self.r.get("lose_map"):
            assert self.partial(), "there is no partial file"
            shutil.rmtree(os.path.join(self.cache, "models--" + self.r["repo"].replace("/", "--"), ".mlxk"))
        ps = [self.start(i) for i in range(self.r.get("at_once", 1))]
        limit = self.r.get("seconds", 15) * 2        # of a machine that others use too
        status = [p.wait(timeout=limit) for p in ps]
        self.seconds = time.time() - begun
        return status

    def problems(self):
        r = self.r
        try:
            status = self.run()
        except subprocess.TimeoutExpired:
            return ["it does not end"]
        said = "".join(open(os.path.join(self.dir, f)).read() for f in sorted(os.listdir(self.dir)) if f[:3] in ("out", "err") and f[3:] == "0")
        bad = []
        if r["outcome"] == "ok":
            if any(status):
                return [f"exit status {status}: {said[-600:]}"]
            if r.get("verify", True):
                text = subprocess.run([sys.executable, fake_hub.__file__, "verify", self.cache, r["repo"]], capture_output=True, text=True).stdout
                bad += [x for x in text.splitlines() if x and not ("kill" in r and "signal" not in r and KILLED.fullmatch(x))][:3]
        else:
            if status != [1]:
                bad.append(f"exit status {status}, expected 1")
            if not re.search(r["outcome"], said):
                bad.append(f"no message fits {r['outcome']}: {said[-400:]}")
            for name in ("refs", "snapshots"):
                d = os.path.join(self.cache, "models--" + r["repo"].replace("/", "--"), name)
                if os.path.isdir(d) and os.listdir(d):
                    bad.append(f"{name} is not empty")
        return bad + self.bytes_and_places()

    def bytes_and_places(self):
        bad = []
        right = {f.etag: f.data for r in (repo(self.r["repo"] if self.r["repo"] != "o/old" else "o/model"),) for files in r.commits.values() for f in files}
        for dp, _, fn in os.walk(self.dir):
            for n in fn:
                p = os.path.join(dp, n)
                if "evil" in n:
                    bad.append(f"{p} was written")
                if "/blobs" in dp and ".incomplete" not in n and open(p, "rb").read() != right.get(n):
                    bad.append(f"{n} has other bytes than its name promises")
        extra = [n for n in os.listdir(self.dir) if n != "hf" and n[:3] not in ("out", "err")]
        bad += [f"outside of the cache: {n}" for n in extra]
        lines = [x for x in open(os.path.join(HUB, "log")).read().splitlines() if f"/case/{self.key}/" in x or f"/case/{self.key}F/" in x]
        bad += [f"the storage got a token: {x}" for x in lines if x.startswith("cdn") and "auth=yes" in x][:1]
        if "again" in self.r and not bad:
            sent = sum(int(re.search(r" sent=(\d+)", x).group(1)) for x in lines if x.startswith("cdn") and " status=20" in x)
            size = len({f.etag for f in repo(self.r["repo"]).commits[repo(self.r["repo"]).resolve("main")] if f.lfs}
                       and b"".join({f.etag: f.data for f in repo(self.r["repo"]).commits[repo(self.r["repo"]).resolve("main")] if f.lfs}.values()))
            if sent > size + self.r["again"]:
                bad.append(f"{sent - size} bytes came twice, allowed are {self.r['again']}")
        return bad


def main():
    rows = [r for r in ROWS if len(sys.argv) < 5 or re.search(sys.argv[4], r["name"])]
    cases = [Case(i, r) for i, r in enumerate(rows)]
    with open(os.path.join(HUB, "faults.new"), "w") as f:
        f.writelines(line + "\n" for c in cases for line in c.rules())
    os.rename(os.path.join(HUB, "faults.new"), os.path.join(HUB, "faults"))

    def judge(c):
        try:
            bad = c.problems()
        except Exception as e:      # a judge that breaks is a failure
            bad = [f"{type(e).__name__}: {e}"]
        print(("not ok " if bad else "ok ") + c.r["name"] + "".join("\n# " + b.replace("\n", " ") for b in bad[:4]), flush=True)
        if os.environ.get("TIMES"):
            print(f"# {getattr(c, 'seconds', 0):.1f} s", flush=True)
        shutil.rmtree(c.dir, ignore_errors=True)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(judge, cases))


main()
