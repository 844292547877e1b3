#!/usr/bin/env python3
"""39-xet.py MLXK: the fake storage is judged by the real client, and mlxk beside it. Run by 39-xet.sh with a Python that has
hf_xet, huggingface_hub and lz4.

1. hf_xet uploads files into the storage: its xorbs, its shards.
2. hf_xet and huggingface_hub download them, and files out of xorbs of our own writer: the same bytes, so the storage answers
   as it must and our xorbs are right.
3. mlxk pulls the same: the same bytes, by chunks alone. Once more in version 1, and stopped and gone on with.
4. xorbs packed by the reference LZ4 with every option there is: what mlxk unpacks has the right hash."""
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings

sys.path.insert(0, "tests/fake")
import fake_hub
import fake_xet

MLXK, T = sys.argv[1], os.environ["T"]
warnings.simplefilter("ignore")


def check(name, good, why=""):
    print(("ok " if good else "not ok ") + name, flush=True)
    if not good and why:
        print("# " + str(why).replace("\n", "\n# "), flush=True)


# ------------------------------------------------------------------ the hub, in this process
class Server(fake_xet.XetHub):
    def lines(self):
        return open(os.path.join(self.dir, "log")).read().splitlines()

    def forget(self):
        open(os.path.join(self.dir, "log"), "w").close()

    def fault(self, *lines):
        with open(os.path.join(self.dir, "faults.new"), "w") as f:
            f.writelines(line + "\n" for line in lines)
        os.rename(f.name, os.path.join(self.dir, "faults"))

    def offer(self, name, files):
        repo = fake_hub.Repo(name, {"main": files})
        self.repos[name] = repo
        self.files.update({f.sha256: f for f in files if f.lfs})
        return repo.resolve("main")


def start():
    os.makedirs(T + "/hub")
    hub = Server(T + "/hub")
    for key, where in (("HTTP", "hub"), ("CDN", "cdn"), ("CAS", "cas"), ("STORE", "store")):
        hub.listen(key, where)
    hub.forget()
    return hub


# ------------------------------------------------------------------ what is stored
def weights(seed, n):
    """Such as bfloat16: the upper byte of few values."""
    r = random.Random(seed)
    low, high = r.randbytes(n // 2), bytes(r.choices((0x3b, 0x3c, 0x3d, 0xbb, 0xbc, 0xbd), k=n // 2))
    out = bytearray(n)
    out[::2], out[1::2] = low, high
    return bytes(out)


def contents():
    a, b, noise = weights(1, 24_000_000), weights(2, 12_000_000), random.Random(3).randbytes(9_000_000)
    text = "".join(f"line {i}: all the king's horses and all the king's men\n" for i in range(60_000)).encode()
    return {"weights.safetensors": a, "noise.safetensors": noise, "text.bin": text, "zeros.bin": bytes(5_000_000),
            "changed.safetensors": a[:7_000_001] + b[:3_000_000] + a[9_000_000:20_000_000] + text[:700_000] + a[:5_000_000] + b,
            "odd.bin": weights(5, 1_000_002) + b"x", "small.bin": b"few bytes"}


def upload(hub, files):
    """By the real client; {path: its hash}."""
    import hf_xet
    os.makedirs(T + "/source")
    paths = []
    for name, data in files.items():
        paths.append(os.path.join(T, "source", name))
        with open(paths[-1], "wb") as f:
            f.write(data)
    hub.tokens["cas-upload"] = [time.time() + 3600, 1 << 40]
    done = []
    for path in paths:               # one after the other, so that the later ones find chunks of the earlier ones
        done += hf_xet.upload_files([path], hub.urls["CAS"], ("cas-upload", int(time.time()) + 3600), None, None, "model")
    return {os.path.basename(p): d.hash for p, d in zip(paths, done)}


# ------------------------------------------------------------------ who downloads
def by_hf_xet(hub, name, f):
    import hf_xet
    path = f"{T}/out.{name}"
    hf_xet.download_files([hf_xet.PyXetDownloadInfo(path, f.entry()["xetHash"], len(f.data))], hub.urls["CAS"],
                          ("cas-upload", int(time.time()) + 3600), None, None)
    same = hashlib.sha256(open(path, "rb").read()).hexdigest() == f.sha256
    os.remove(path)
    return same


def by_huggingface_hub(hub, repo, files):
    home = T + "/hf-real"
    shutil.rmtree(home, ignore_errors=True)
    env = dict(os.environ, HF_HOME=home, HF_ENDPOINT=hub.urls["HTTP"], HF_HUB_DISABLE_TELEMETRY="1")
    env.pop("HF_HUB_DISABLE_XET", None)
    code = "import sys; from huggingface_hub import snapshot_download; print(snapshot_download(sys.argv[1]))"
    r = subprocess.run([sys.executable, "-c", code, repo], env=env, capture_output=True, text=True, timeout=300)
    return r.returncode == 0 and whole(r.stdout.strip().splitlines()[-1], files), r.stderr[-2000:]


def whole(folder, files):
    return all(hashlib.sha256(open(os.path.join(folder, f.path), "rb").read()).hexdigest() == f.sha256 for f in files)


def environment(hub):
    return dict(os.environ, HF_HOME=T + "/hf", HF_ENDPOINT=hub.urls["HTTP"], MLXK_RETRY_BASE_MS="10")


def by_mlxk(hub, repo, files, *more):
    r = subprocess.run([MLXK, "pull", repo, "--xet", "--json", *more], env=environment(hub), capture_output=True, text=True, timeout=300)
    if r.returncode:
        return False, r.stdout + r.stderr
    return whole(json.loads(r.stdout)["data"]["snapshot"], files) and "Xet" not in r.stderr, r.stderr


def large(hub, files):
    """Large files that came by plain ranges."""
    tags = [f.sha256 for f in files if len(f.data) > 256 << 10]
    return [line for line in hub.lines() if line.startswith("cdn GET") and any(t in line for t in tags)]


def fresh(hub):
    shutil.rmtree(T + "/hf", ignore_errors=True)
    hub.forget()


# ------------------------------------------------------------------ the tests
def real_uploads(hub):
    data = contents()
    hashes = upload(hub, data)
    files = []
    for name, content in data.items():
        f = fake_xet.XetFile(name, content, lfs=True)
        f.xet = hashes[name]
        files.append(f)
    schemes = sorted({x.body[at + 4] for x in hub.storage.xorbs.values() for at, _ in x.chunks})
    check("the real client stored xorbs of every scheme", schemes == [0, 1, 2], schemes)
    check("and found chunks of earlier files again", sum(len(x.body) for x in hub.storage.xorbs.values()) < 60_000_000)
    check("its files have several terms", max(len(t) for t in hub.storage.files.values()) > 2)
    return files


def ours():
    files = fake_xet.model()
    return [f for f in files if isinstance(f, fake_xet.XetFile)]


def packed_by_the_reference(hub):
    """Chunks in every kind of frame; schemes 1 and 2."""
    import itertools
    import lz4.frame
    r, body, contents_, n = random.Random(9), b"", [], 0
    options = [dict(zip(("block_linked", "content_checksum", "block_checksum", "store_size", "compression_level", "block_size"), v))
               for v in itertools.product((False, True), (False, True), (False, True), (False, True), (0, 9),
                                          (lz4.frame.BLOCKSIZE_MAX64KB, lz4.frame.BLOCKSIZE_MAX4MB))]
    for i, o in enumerate(options * 4):
        size = r.choice((1, 5, 12, 13, 64, 4095, 8192, 65_535, 65_536, 65_537, 100_003, 131_072))
        kind = i % 4
        c = (bytes(size) if kind == 0 else weights(i, size + size % 2 + 2)[:size] if kind == 1 else r.randbytes(size) if kind == 2 else
             (b"%d and so on, and on; " % i * (size // 10 + 1))[:size])
        scheme = 1 + i // 4 % 2
        frame = lz4.frame.compress(fake_xet.planes(c) if scheme == 2 else c, **o)
        body += b"\0" + len(frame).to_bytes(3, "little") + bytes([scheme]) + len(c).to_bytes(3, "little") + frame
        contents_.append(c)
        n += 1
    name = hashlib.sha256(body).hexdigest()
    hub.storage.xorbs[name] = fake_xet.Xorb(body)
    f = fake_xet.XetFile("reference.bin", b"".join(contents_), lfs=True)
    hub.storage.files[f.entry()["xetHash"]] = [(name, 0, n, len(f.data))]
    return [f]


def killed(hub, repo, files):
    """kill -9 again and again; in the end all is right, and what had come was not asked for again and again."""
    fresh(hub)
    hub.fault("store . slow=3000000")
    resumed = 0
    for i in range(3):
        p = subprocess.Popen([MLXK, "pull", repo, "--xet"], env=environment(hub), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before, until = len(hub.lines()), time.time() + 60
        while sum("store GET" in line for line in hub.lines()[before:]) < 4 and p.poll() is None and time.time() < until:
            time.sleep(0.02)
        p.send_signal(signal.SIGKILL)
        p.wait()
    hub.fault()
    r = subprocess.run([MLXK, "pull", repo, "--xet", "--json"], env=environment(hub), capture_output=True, text=True, timeout=300)
    doc = json.loads(r.stdout)["data"] if r.returncode == 0 else {}
    check("killed three times, then gone on with", r.returncode == 0 and doc["resumed_bytes"] > resumed and whole(doc["snapshot"], files),
          r.stderr)


def peak_of(hub, repo):
    fresh(hub)
    r = subprocess.run(["/usr/bin/time", "-f", "%M", MLXK, "pull", repo, "--xet"], env=environment(hub), capture_output=True, text=True)
    peak = int(r.stderr.strip().splitlines()[-1])
    check(f"memory stays below 64 MB ({peak // 1024} MB)", r.returncode == 0 and peak < 64 << 10, r.stderr)


def main():
    hub = start()
    files, mine = real_uploads(hub), ours()
    reference = packed_by_the_reference(hub)
    for f in files + mine + reference:
        check(f"hf_xet gets {f.path} back", by_hf_xet(hub, f.path, f))
    for repo, some in (("o/real", files), ("o/ours", mine), ("o/reference", reference)):
        hub.offer(repo, some)
        hub.forget()
        good, why = by_huggingface_hub(hub, repo, some)
        check(f"huggingface_hub gets {repo}", good, why)
        check(f"by Xet: {repo}", any(line.startswith("store GET") for line in hub.lines()) and not large(hub, some))
        for more in ((), ("--max-workers", "1")):
            fresh(hub)
            good, why = by_mlxk(hub, repo, some, *more)
            check(f"mlxk gets {repo} {' '.join(more)}", good, why)
            check(f"by Xet alone: {repo} {' '.join(more)}", any(line.startswith("store GET") for line in hub.lines()) and not large(hub, some),
                  large(hub, some))
        fresh(hub)
        hub.fault("cas /v2/ status=501")
        good, why = by_mlxk(hub, repo, some)
        check(f"mlxk gets {repo} in version 1", good and not large(hub, some), why)
        hub.fault()
    killed(hub, "o/real", files)
    peak_of(hub, "o/real")
    check("every token where it belongs", not any(line.startswith("LEAK") for line in hub.lines()))


threading.Thread(target=lambda: (time.sleep(1500), os._exit(3)), daemon=True).start()
main()
