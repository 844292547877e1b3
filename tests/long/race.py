#!/usr/bin/env python3
"""race.py WORK: see 35-race.sh. Builds a hub of files for nginx in WORK, and runs every client over it."""
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time

WORK, MLXK = sys.argv[1], os.environ["MLXK"]
BIG, MANY, ROUNDS = (int(os.environ.get(k, v)) for k, v in (("BIG", 1 << 31), ("MANY", 2000), ("ROUNDS", 3)))
HTTP, HTTPS = 18480, 18443
ROOT = os.path.join(WORK, "root")


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def repo(name, files):
    """files: path -> (sha256 or None, git sha1, size); the bytes lie in their places already."""
    commit = hashlib.sha1(name.encode()).hexdigest()
    tree = []
    for path, (sha256, oid, size) in sorted(files.items()):
        e = {"type": "file", "path": path, "size": size, "oid": oid}
        if sha256:
            e["lfs"] = {"oid": sha256, "size": size, "pointerSize": 134}
        tree.append(e)
    api = os.path.join(ROOT, "api/models", name)
    os.makedirs(os.path.join(api, "revision"))
    os.makedirs(os.path.join(api, "tree"))
    info = {"id": name, "modelId": name, "sha": commit, "private": False, "gated": False, "disabled": False, "tags": [],
            "siblings": [{"rfilename": p} for p in files], "downloads": 0, "likes": 0}
    for rev in ("main", commit):
        json.dump(info, open(os.path.join(api, "revision", rev), "w"))
        json.dump(tree, open(os.path.join(api, "tree", rev), "w"))
    os.rename(os.path.join(ROOT, name, "resolve", "x"), os.path.join(ROOT, name, "resolve", commit))
    os.symlink(commit, os.path.join(ROOT, name, "resolve", "main"))
    return commit


def build():
    block = random.Random(1).randbytes(1 << 20)
    d = os.path.join(ROOT, "o/big/resolve/x")
    os.makedirs(d)
    sha = hashlib.sha256()
    with open(os.path.join(d, "model.safetensors"), "wb") as f:
        for _ in range(BIG >> 20):
            f.write(block)
            sha.update(block)
    big = repo("o/big", {"model.safetensors": (sha.hexdigest(), "0" * 40, BIG >> 20 << 20)})
    d = os.path.join(ROOT, "o/many/resolve/x")
    os.makedirs(d)
    files = {}
    for i in range(MANY):
        data = random.Random(i).randbytes(random.Random(i + 7).randrange(200, 40000))
        with open(os.path.join(d, f"f{i:05}.bin"), "wb") as f:
            f.write(data)
        files[f"f{i:05}.bin"] = (None, hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(), len(data))
    many = repo("o/many", files)
    return sha.hexdigest(), big, many, files


def nginx(sha, big, many, files):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem", "-out", "c.pem", "-days", "9", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:true"],
                   cwd=WORK, check=True, stderr=subprocess.DEVNULL)
    # Whole addresses are looked up in a hash; patterns would be tried one after the other, and the server be all that is measured.
    etags = "".join(f'  /o/many/resolve/{rev}/{p} "{oid}";\n' for p, (_, oid, _) in files.items() for rev in ("main", many))
    user = "user root; " if os.getuid() == 0 else ""
    conf = f"""
{user}daemon off; worker_processes 1; pid {WORK}/pid; error_log {WORK}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000; default_type application/octet-stream; map_hash_max_size 65536;
  map_hash_bucket_size 128;
  client_body_temp_path {WORK}/t1; proxy_temp_path {WORK}/t2; fastcgi_temp_path {WORK}/t3; uwsgi_temp_path {WORK}/t4; scgi_temp_path {WORK}/t5;
  map $uri $tag {{
{etags}  default "{sha}";
  }}
  map $uri $commit {{ ~^/(api/models/)?o/big/ {big}; default {many}; }}
  server {{
    listen 127.0.0.1:{HTTP}; listen 127.0.0.1:{HTTPS} ssl; ssl_certificate {WORK}/c.pem; ssl_certificate_key {WORK}/k.pem; root {ROOT};
    location /api/ {{ default_type application/json; add_header X-Repo-Commit $commit; }}
    location / {{ etag off; add_header ETag '"$tag"'; add_header X-Repo-Commit $commit; add_header Accept-Ranges bytes; }}
  }}
}}
"""
    open(os.path.join(WORK, "nginx.conf"), "w").write(conf)
    p = subprocess.Popen(["nginx", "-c", os.path.join(WORK, "nginx.conf"), "-p", WORK], stderr=subprocess.DEVNULL)
    time.sleep(1)
    return p


def run(argv, env):
    """Wall seconds, CPU seconds, peak MB."""
    begun = time.time()
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.execvpe(argv[0], argv, env)
    _, status, usage = os.wait4(pid, 0)
    return time.time() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, status


def clients(url, tls, what, files, sha):
    out = os.path.join(WORK, "out")
    env = {**os.environ, "HOME": out, "HF_HOME": out + "/hf", "HF_ENDPOINT": url, "SSL_CERT_FILE": f"{WORK}/c.pem", "HF_HUB_DISABLE_XET": "1",
           "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    yield "mlxk", [MLXK, "pull", f"o/{what}", "--quiet"], env
    if what == "big":
        target = f"{url}/o/big/resolve/main/model.safetensors"
        yield "curl", ["curl", "-sfo", f"{out}/f", "--cacert", f"{WORK}/c.pem", target], env
        piped = 'curl -sf --cacert "$0" "$1" | tee "$2" | sha256sum | grep -q "$3"'
        yield "curl, tee, sha256sum", ["sh", "-c", piped, f"{WORK}/c.pem", target, f"{out}/f", sha], env
        yield "aria2c", ["aria2c", "-q", "-x4", "-s4", "--file-allocation=none", f"--ca-certificate={WORK}/c.pem", "-d", out, "-o", "f", target], env
    else:
        with open(f"{WORK}/curl.conf", "w") as f:
            f.writelines(f'url="{url}/o/many/resolve/main/{p}"\noutput="{out}/{p}"\n' for p in files)
        with open(f"{WORK}/aria.txt", "w") as f:
            f.writelines(f"{url}/o/many/resolve/main/{p}\n out={p}\n" for p in files)
        yield "curl", ["curl", "-sfZ", "--parallel-max", "8", "--cacert", f"{WORK}/c.pem", "-K", f"{WORK}/curl.conf"], env
        yield "aria2c", ["aria2c", "-q", "-j8", f"--ca-certificate={WORK}/c.pem", "-d", out, "-i", f"{WORK}/aria.txt"], env
    hf = os.path.join(WORK, "venv/bin/hf")
    if os.path.exists(hf):
        yield "hf", [hf, "download", f"o/{what}", "--quiet"], env


def main():
    global HTTP, HTTPS
    HTTP, HTTPS = free_port(), free_port()
    sha, big, many, files = build()
    server = nginx(sha, big, many, files)
    print("| case | client | wall s | CPU s | peak MB |\n|---|---|---|---|---|", flush=True)
    lost = []
    try:
        for what in ("big", "many"):
            for tls in (False, True):
                url = f"https://localhost:{HTTPS}" if tls else f"http://127.0.0.1:{HTTP}"
                seen = {}
                for _ in range(ROUNDS):          # in turn, so that the machine's moods meet all
                    for name, argv, env in clients(url, tls, what, files, sha):
                        if shutil.which(argv[0]) is None:
                            continue
                        shutil.rmtree(os.path.join(WORK, "out"), ignore_errors=True)
                        os.makedirs(os.path.join(WORK, "out"))
                        wall, cpu, rss, status = run(argv, env)
                        if status and name == "mlxk":
                            lost.append(f"{what} {url}: status {status}")
                        if status == 0:
                            seen.setdefault(name, []).append((wall, cpu, rss))
                for name, rows in seen.items():
                    print(f"| {what}, {'https' if tls else 'http'} | {name} | " + " | ".join(
                        f"{statistics.median(r[i] for r in rows):.{2 if i < 2 else 0}f}" for i in range(3)) + " |", flush=True)
                if max(r[2] for r in seen.get("mlxk", [(0, 0, 999)])) > 100:
                    lost.append(f"{what}: more than 100 MB of memory")
    finally:
        server.terminate()
        server.wait()
    print("not ok race" if lost else "ok race", *[f"\n# {x}" for x in lost])


main()
