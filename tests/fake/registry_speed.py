"""registry_speed.py PROGRAM FOLDER SERVER NAME [RUNS]: 1 GiB in four files to a registry server on loopback and back, by this program,
skopeo and crane in turn, as a table (median of the runs) and TAP lines for what must hold."""
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import registry_real as real

RUNS = int(sys.argv[5]) if len(sys.argv) > 5 else 5
SOURCE = """
import os, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[5])
import registry_real
block = os.urandom(1 << 20)
print(registry_real.layout(sys.argv[6], {"model-%d.safetensors" % i: b"".join(bytes([i, k]) + block[2:] for k in range(256)) for i in range(4)}))
"""


def peak(pid):
    try:
        with open("/proc/%d/status" % pid) as f:
            return max([int(line.split()[1]) for line in f if line.startswith("VmHWM")] or [0]) / 1024
    except OSError:
        return 0


def timed(env, *args):
    """Seconds of wall and CPU, and MB at the most."""
    began, most = time.time(), 0
    p = subprocess.Popen(args, env=env, cwd=real.FOLDER, stdin=subprocess.DEVNULL, stdout=open(real.FOLDER + "/said", "wb"), stderr=subprocess.STDOUT)
    while True:
        pid, status, use = os.wait4(p.pid, os.WNOHANG)
        if pid:
            break
        most = max(most, peak(p.pid))
        time.sleep(0.02)
    p.returncode = status
    if status:
        print("# %s ended with %d: %s" % (args[:3], status, open(real.FOLDER + "/said", errors="replace").read()[-300:]))
    return time.time() - began, use.ru_utime + use.ru_stime, most, status == 0


def main():
    real.certificates()
    r = real.Rig("plain")
    source, out = real.FOLDER + "/source", real.FOLDER + "/out"
    digest = subprocess.run([sys.executable, "-c", SOURCE, *sys.argv[:5], os.path.dirname(os.path.abspath(__file__)), source], check=True,
                            capture_output=True, text=True).stdout.strip()
    repo, found = r.host + "/org/m:v1", {}
    ways = {"mlxk": ([real.PROGRAM, "copy", "oci:%s:v1" % source, repo], [real.PROGRAM, "copy", repo, "oci:%s:v1" % out]),
            "skopeo": (["skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false", "oci:%s:v1" % source, "docker://" + repo],
                       ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "docker://" + repo, "oci:%s:v1" % out]),
            "crane": (["crane", "push", "--insecure", source, repo], ["crane", "pull", "--insecure", "--format=oci", repo, out])}
    for run in range(RUNS):
        names = [n for n in ways if n == "mlxk" or shutil.which(n)]
        for name in names[run % len(names):] + names[:run % len(names)]:
            r.stop()
            shutil.rmtree(r.dir + "/data", ignore_errors=True)
            r.serve()
            found.setdefault((name, "push"), []).append(timed(r.env, *ways[name][0]))
            shutil.rmtree(out, ignore_errors=True)
            found.setdefault((name, "pull"), []).append(timed(r.env, *ways[name][1]))
            if name == "mlxk":
                d = r.json("inspect", "oci:%s:v1" % out)
                real.tell(d and d["digest"] == digest, "speed/same_digest_%d" % run, r.said)
                shutil.rmtree(r.dir + "/hf", ignore_errors=True)
                found.setdefault((name, "pull into the cache"), []).append(timed(r.env, real.PROGRAM, "pull", "oci://" + repo))
    r.stop()
    print("# %-8s %-20s %8s %8s %8s" % ("by", "1 GiB, " + real.NAME, "wall s", "CPU s", "peak MB"))
    for (name, what), runs in found.items():
        wall, cpu, most = (statistics.median(x[i] for x in runs) for i in range(3))
        print("# %-8s %-20s %8.2f %8.2f %8.1f" % (name, what, wall, cpu, most))
        if name == "mlxk":
            real.tell(all(x[3] for x in runs) and 0 < most <= 64, "speed/%s_in_64_MB" % what.replace(" ", "_"), most)
    return bool(real.FAILED)


if __name__ == "__main__":
    sys.exit(main())
