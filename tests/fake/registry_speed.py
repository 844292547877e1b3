"""registry_speed.py PROGRAM FOLDER SERVER NAME [RUNS]: 1 GiB to a registry server on loopback and back, by this program, skopeo and crane in turn,
as one blob and as eight, plain and by TLS (SPEED_SHAPES, SPEED_KINDS), as tables (median of the runs); TAP lines for memory and right bytes only.
Then a kill -9 in the middle of one large blob behind a proxy (nginx) that takes whole requests and rewrites Location."""
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import registry_real as real

RUNS = int(sys.argv[5]) if len(sys.argv) > 5 else 3
SHAPES = [tuple(map(int, s.split("x"))) for s in os.environ.get("SPEED_SHAPES", "1x1024 8x128").split()]
KINDS = os.environ.get("SPEED_KINDS", "plain tls").split()
PROXY = """daemon off; worker_processes 1; pid %(d)s/pid; error_log %(d)s/error;
events {}
http { log_format m '$request_method $request_length $status'; access_log %(d)s/access m;
    client_body_temp_path %(d)s/t1; proxy_temp_path %(d)s/t2; fastcgi_temp_path %(d)s/t3; uwsgi_temp_path %(d)s/t4; scgi_temp_path %(d)s/t5;
    client_max_body_size 0; server { listen 127.0.0.1:%(port)d; location / { proxy_pass http://%(to)s; } } }
"""


def layout(path, n, megabytes):
    """A layout of n blobs that are never in memory as a whole; the manifest's digest."""
    os.makedirs(path + "/blobs/sha256")
    block, layers = os.urandom(1 << 20), []

    def named(make):
        digest = hashlib.sha256()
        with open(path + "/new", "wb") as f:
            for piece in make:
                f.write(piece)
                digest.update(piece)
        os.rename(path + "/new", path + "/blobs/sha256/" + digest.hexdigest())
        return "sha256:" + digest.hexdigest()
    for i in range(n):
        name = "model-%d.safetensors" % i
        layers.append({"mediaType": "application/vnd.cncf.model.weight.v1.raw", "size": megabytes << 20,
                       "digest": named(bytes([i, k & 255, k >> 8]) + block[3:] for k in range(megabytes)),
                       "annotations": {"org.cncf.model.filepath": name, "org.opencontainers.image.title": name}})
    kind = "application/vnd.oci.image.manifest.v1+json"
    text = json.dumps({"schemaVersion": 2, "mediaType": kind, "artifactType": "application/vnd.cncf.model.manifest.v1+json",
                       "config": {"mediaType": "application/vnd.cncf.model.config.v1+json", "digest": named([b"{}"]), "size": 2}, "layers": layers}).encode()
    digest = named([text])
    with open(path + "/oci-layout", "w") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    with open(path + "/index.json", "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [{"mediaType": kind, "digest": digest, "size": len(text),
                   "annotations": {"org.opencontainers.image.ref.name": "v1"}}]}, f)
    return digest


def blobs_are_right(folder):
    """Every file that is named by a sha256 has it."""
    n = 0
    for root, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(root, name)
            if len(name) != 64 or os.path.islink(path):
                continue
            digest = hashlib.sha256()
            with open(path, "rb") as f:
                for piece in iter(lambda f=f: f.read(1 << 20), b""):
                    digest.update(piece)
            if digest.hexdigest() != name:
                return 0
            n += 1
    return n


def peak(pid):
    try:
        with open("/proc/%d/status" % pid) as f:
            return max([int(line.split()[1]) for line in f if line.startswith("VmHWM")] or [0]) / 1024
    except OSError:
        return 0


def timed(env, *args):
    """Seconds of wall and CPU, and MB at the most."""
    subprocess.run(["sync"], check=False)
    began, most = time.time(), 0
    with open(real.FOLDER + "/said", "wb") as said:
        p = subprocess.Popen(args, env=env, cwd=real.FOLDER, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
    while True:
        pid, status, use = os.wait4(p.pid, os.WNOHANG)
        if pid:
            break
        most = max(most, peak(p.pid))
        time.sleep(0.01)
    p.returncode = status
    if status:
        print("# %s ended with %d: %s" % (args[:3], status, open(real.FOLDER + "/said", errors="replace").read()[-300:]))
    return time.time() - began, use.ru_utime + use.ru_stime, most, status == 0


def race(kind, n, megabytes):
    r = real.Rig(kind)
    what, source, out = "%s, %d x %d MiB" % (kind, n, megabytes), r.dir + "/source", r.dir + "/out"
    digest, name_of_test = layout(source, n, megabytes), "speed/%s_%dx%d" % (kind, n, megabytes)
    tls, crane = "--%s-tls-verify=" + ("true" if kind == "tls" else "false"), [] if kind == "tls" else ["--insecure"]
    repo, found = r.host + "/org/m:v1", {}
    ways = {"mlxk": ([real.PROGRAM, "copy", "oci:%s:v1" % source, repo], [real.PROGRAM, "copy", repo, "oci:%s:v1" % out]),
            "skopeo": (["skopeo", "--insecure-policy", "copy", tls % "dest", "oci:%s:v1" % source, "docker://" + repo],
                       ["skopeo", "--insecure-policy", "copy", tls % "src", "docker://" + repo, "oci:%s:v1" % out]),
            "crane": (["crane", "push", *crane, source, repo], ["crane", "pull", *crane, "--format=oci", repo, out])}
    for run in range(RUNS):
        names = [x for x in ways if x == "mlxk" or shutil.which(x)]
        for name in names[run % len(names):] + names[:run % len(names)]:
            r.stop()
            shutil.rmtree(r.dir + "/data", ignore_errors=True)
            r.serve()
            found.setdefault((name, "push"), []).append(timed(r.env, *ways[name][0]))
            shutil.rmtree(out, ignore_errors=True)
            found.setdefault((name, "pull"), []).append(timed(r.env, *ways[name][1]))
            if name == "mlxk":
                d = r.json("inspect", "oci:%s:v1" % out)
                real.tell(d and d["digest"] == digest and blobs_are_right(out) == n + 2, "%s/same_bytes_%d" % (name_of_test, run), r.said)
                shutil.rmtree(r.dir + "/hf", ignore_errors=True)
                found.setdefault((name, "pull into the cache"), []).append(timed(r.env, real.PROGRAM, "pull", "oci://" + repo))
                real.tell(blobs_are_right(r.dir + "/hf") == n, "%s/right_in_the_cache_%d" % (name_of_test, run))
    r.stop()
    shutil.rmtree(r.dir)
    print("# %-8s %-20s %8s %8s %8s   %s, %s" % ("by", "1 GiB", "wall s", "CPU s", "peak MB", real.NAME, what))
    for (name, verb), runs in found.items():
        wall, cpu, most = (statistics.median(x[i] for x in runs) for i in range(3))
        print("# %-8s %-20s %8.2f %8.2f %8.1f" % (name, verb, wall, cpu, most))
        if name == "mlxk":
            real.tell(all(x[3] for x in runs) and 0 < most <= 64, "%s/%s_in_64_MB" % (name_of_test, verb.replace(" ", "_")), most)


def killed_behind_a_proxy():
    """What nginx has not got whole the registry never sees: the session stands at the last piece, and the next run goes on from there."""
    name = "speed/killed_behind_a_proxy"
    if not shutil.which("nginx"):
        print("ok real/%s/%s # SKIP nginx is not installed" % (real.NAME, name))
        return
    r = real.Rig("plain")
    d, port = r.dir + "/nginx", real.free_port()
    os.makedirs(d)
    os.chmod(d, 0o777)
    with open(d + "/conf", "w") as f:
        f.write(("user root;\n" if os.geteuid() == 0 else "") + PROXY % {"d": d, "port": port, "to": r.host})
    proxy = subprocess.Popen(["nginx", "-c", d + "/conf", "-e", d + "/error"], stdin=subprocess.DEVNULL)
    for _ in range(300):
        if proxy.poll() is not None or os.path.exists(d + "/pid"):
            break
        time.sleep(0.1)
    digest, repo = layout(r.dir + "/source", 1, 512), "127.0.0.1:%d/org/m:v1" % port

    def pieces():
        try:
            with open(d + "/access") as f:
                return [int(x.split()[1]) for x in f if x.startswith("PATCH ") and x.split()[2] == "202"]
        except OSError:
            return []
    p = subprocess.Popen([real.PROGRAM, "copy", "oci:%s/source:v1" % r.dir, repo, "--limit-rate", "40M"], env=r.env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while p.poll() is None and len(pieces()) < 2:
        time.sleep(0.02)
    p.kill()
    p.wait()
    before = sum(pieces())
    real.tell(before >= 128 << 20, name + "/was_in_the_middle", before)
    ok = r.mlxk("copy", "oci:%s/source:v1" % r.dir, repo) == 0
    after = sum(pieces()) - before
    found = r.json("inspect", r.host + "/org/m:v1")
    real.tell(ok and found and found["digest"] == digest, name + "/is_there", r.said)
    real.tell(after <= (512 << 20) - before + (1 << 20), name + "/goes_on", before, after)
    proxy.terminate()
    proxy.wait()
    r.stop()
    shutil.rmtree(r.dir)


def main():
    real.certificates()
    for kind in KINDS:
        for n, megabytes in SHAPES:
            race(kind, n, megabytes)
    killed_behind_a_proxy()
    return bool(real.FAILED)


if __name__ == "__main__":
    sys.exit(main())
