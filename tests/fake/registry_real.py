"""registry_real.py PROGRAM FOLDER SERVER NAME: a real registry server (docker-registry or distribution's `registry`) plain,
with passwords, with tokens and with TLS, and the clients that are installed beside it, as TAP lines.

Clients: skopeo, crane, regctl, oras (the program, and the Python package). What one pushes the others read, with the digest unchanged."""
import base64
import hashlib
import http.server
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
PROGRAM, FOLDER, SERVER, NAME = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), sys.argv[3], sys.argv[4]
FAILED = []


def tell(ok, name, *why):
    print("%s real/%s/%s" % ("ok" if ok else "not ok", NAME, name), flush=True)
    if not ok:
        FAILED.append(name)
        print("# " + " ".join(str(w) for w in why).replace("\n", " ")[:700], flush=True)


def sh(*args, env=None, cwd=FOLDER, data=None, seconds=180):
    p = subprocess.run(args, env=env, cwd=cwd, input=data, stdin=None if data is not None else subprocess.DEVNULL, capture_output=True, timeout=seconds)
    return p.returncode, p.stdout, p.stderr


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def openssl(*args, data=None):
    code, out, diag = sh("openssl", *args, data=data)
    if code:
        raise RuntimeError(diag.decode())
    return out


def certificates():
    """A CA of our own and a certificate for localhost and 127.0.0.1."""
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA", "-days", "2")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "srv.key", "-out", "srv.csr", "-subj", "/CN=localhost")
    with open(FOLDER + "/ext", "w") as f:
        f.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "srv.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "srv.pem", "-days", "2", "-extfile", "ext")


def b64(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=")


class Issuer(http.server.BaseHTTPRequestHandler):
    """Signs what is asked for, for ada; tokens live 60 seconds."""
    def do_GET(self):
        self.server.asked.append(self.path)
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"ada:secret").decode():
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        q = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        access = []
        for scope in q.get("scope", []):
            kind, rest = scope.split(":", 1)
            name, actions = rest.rsplit(":", 1)
            access.append({"type": kind, "name": name, "actions": actions.split(",")})
        der = base64.b64encode(openssl("x509", "-in", "srv.pem", "-outform", "DER")).decode()
        now = int(time.time())
        head = {"typ": "JWT", "alg": "RS256", "x5c": [der]}
        claims = {"iss": "test", "aud": "reg", "sub": "ada", "iat": now, "nbf": now - 5, "exp": now + 60, "jti": "1", "access": access}
        text = b64(json.dumps(head).encode()) + b"." + b64(json.dumps(claims).encode())
        body = json.dumps({"token": (text + b"." + b64(openssl("dgst", "-sha256", "-sign", "srv.key", data=text))).decode(), "expires_in": 60}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *a):
        pass


class Rig:
    def __init__(self, kind):
        self.kind, self.port = kind, free_port()
        self.host = "127.0.0.1:%d" % self.port
        self.dir = os.path.join(FOLDER, kind)
        os.makedirs(self.dir + "/home/.docker")
        lines = ["version: 0.1", "log: {level: error, accesslog: {disabled: true}}", "storage: {filesystem: {rootdirectory: %s/data}, delete: {enabled: true}, cache: {blobdescriptor: inmemory}}" % self.dir]
        web = "addr: '%s', secret: fixed" % self.host
        if kind == "tls":
            web += ", tls: {certificate: %s/srv.pem, key: %s/srv.key}" % (FOLDER, FOLDER)
        lines.append("http: {%s}" % web)
        self.issuer = None
        if kind == "basic":
            with open(self.dir + "/htpasswd", "wb") as f:
                f.write(sh("htpasswd", "-Bbn", "ada", "secret")[1])
            lines.append("auth: {htpasswd: {realm: test, path: %s/htpasswd}}" % self.dir)
        if kind == "token":
            self.issuer = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
            self.issuer.asked = []
            threading.Thread(target=self.issuer.serve_forever, daemon=True).start()
            lines.append("auth: {token: {realm: 'http://127.0.0.1:%d/token', service: reg, issuer: test, rootcertbundle: %s/ca.pem}}" %
                         (self.issuer.server_port, FOLDER))
        with open(self.dir + "/config.yml", "w") as f:
            f.write("\n".join(lines) + "\n")
        self.env = {"PATH": os.environ["PATH"], "HOME": self.dir + "/home", "HF_HOME": self.dir + "/hf", "LC_ALL": "C.UTF-8", "MLXK_RETRY_BASE_MS": "5",
                    "OTEL_TRACES_EXPORTER": "none", "no_proxy": "*", "SSL_CERT_FILE": FOLDER + "/ca.pem"}
        if kind in ("basic", "token"):
            with open(self.dir + "/home/.docker/config.json", "w") as f:
                json.dump({"auths": {self.host: {"auth": base64.b64encode(b"ada:secret").decode()}}}, f)
        self.serve()

    def serve(self):
        self.server = subprocess.Popen([SERVER, "serve", self.dir + "/config.yml"], env=self.env, stdin=subprocess.DEVNULL,
                                       stdout=open(self.dir + "/log", "ab"), stderr=subprocess.STDOUT)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.1)

    def stop(self):
        self.server.send_signal(signal.SIGKILL)
        self.server.wait()
        if self.issuer:
            self.issuer.shutdown()

    def mlxk(self, *args, seconds=180):
        code, out, diag = sh(PROGRAM, *args, env=self.env, cwd=self.dir, seconds=seconds)
        self.said = (out + diag).decode(errors="replace")
        return code

    def json(self, *args):
        code, out, diag = sh(PROGRAM, *args, "--json", env=self.env, cwd=self.dir)
        self.said = (out + diag).decode(errors="replace")
        return json.loads(out)["data"] if code == 0 else None

    def tell(self, ok, name):
        tell(ok, self.kind + "/" + name, self.said)


def layout(path, files):
    """A layout with one artifact of these files; its digest."""
    os.makedirs(path + "/blobs/sha256")

    def put(data):
        hexa = hashlib.sha256(data).hexdigest()
        with open(path + "/blobs/sha256/" + hexa, "wb") as f:
            f.write(data)
        return "sha256:" + hexa
    layers = [{"mediaType": "application/vnd.cncf.model.weight.v1.raw", "digest": put(data), "size": len(data),
               "annotations": {"org.cncf.model.filepath": name, "org.opencontainers.image.title": name}} for name, data in files.items()]
    config = b'{"descriptor":{"name":"m"},"config":{},"modelfs":{"type":"layers","diffIds":[]}}'
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                           "artifactType": "application/vnd.cncf.model.manifest.v1+json",
                           "config": {"mediaType": "application/vnd.cncf.model.config.v1+json", "digest": put(config), "size": len(config)},
                           "layers": layers}).encode()
    digest = put(manifest)
    with open(path + "/oci-layout", "w") as f:
        f.write('{"imageLayoutVersion":"1.0.0"}')
    with open(path + "/index.json", "w") as f:
        json.dump({"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest,
                   "size": len(manifest), "annotations": {"org.opencontainers.image.ref.name": "v1"}}]}, f)
    return digest


def files_in(folder):
    found = {}
    for root, _, names in os.walk(folder):
        for n in names:
            p = os.path.join(root, n)
            with open(p, "rb") as f:
                found[os.path.relpath(p, folder)] = f.read()
    return found


def through(r, source, digest, files):
    """Everything by mlxk alone."""
    repo = r.host + "/org/m"
    r.tell(r.mlxk("copy", "oci:%s:v1" % source, repo) == 0, "copy_in")
    d = r.json("copy", "oci:%s:v1" % source, repo + ":again")
    r.tell(d and d["n_sent"] == 0 and d["digest"] == digest, "nothing_sent_again")
    d = r.json("tags", repo)
    r.tell(d and d["tags"] == ["again", "v1"], "tags")
    d = r.json("copy", repo + ":v1", r.host + "/other/n")
    r.tell(d and d["n_mounted"] == len(files) + 1, "mounted")
    d = r.json("copy", repo + ":v1", "oci-archive:x.tar")
    r.tell(d and d["digest"] == digest, "copy_out_tar")
    d = r.json("copy", "oci-archive:x.tar:v1", r.host + "/third/o")
    r.tell(d and d["digest"] == digest, "copy_in_tar")
    d = r.json("pull", "oci://%s:v1" % repo)
    r.tell(d and files_in(d["snapshot"]) == files, "pull")
    r.tell(r.mlxk("inspect", repo + ":nope") == 1 and "has no manifest" in r.said, "no_such_tag")
    if r.issuer:
        wants = [urllib.parse.unquote(a) for a in r.issuer.asked]
        tell(any("repository:org/m:pull,push" in a for a in wants) and len(wants) < 60, r.kind + "/scopes", wants)


def large(r):
    """Pieces, a kill in the middle, the next run."""
    piece = os.urandom(1 << 20)
    source = r.dir + "/large"
    digest = layout(source, {"big.bin": piece * 300, "b.txt": b"b"})
    p = subprocess.Popen([PROGRAM, "copy", "oci:%s:v1" % source, r.host + "/big/m"], env=r.env, cwd=r.dir, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.6)
    p.kill()
    p.wait()
    r.tell(r.mlxk("copy", "oci:%s:v1" % source, r.host + "/big/m") == 0, "after_kill")
    d = r.json("inspect", r.host + "/big/m:v1")
    r.tell(d and d["digest"] == digest, "after_kill_digest")
    d = r.json("copy", r.host + "/big/m:v1", "oci:large-back")
    r.tell(d and d["digest"] == digest, "large_back")
    p = subprocess.Popen([PROGRAM, "pull", "oci://%s/big/m:v1" % r.host], env=r.env, cwd=r.dir, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.4)
    p.kill()
    p.wait()
    d = r.json("pull", "oci://%s/big/m:v1" % r.host)
    r.tell(d and files_in(d["snapshot"]) == {"big.bin": piece * 300, "b.txt": b"b"}, "pull_after_kill")
    shutil.rmtree(source)


def skopeo(r, source, digest):
    if not shutil.which("skopeo"):
        return print("ok real/%s/%s/skopeo # SKIP skopeo is not installed" % (NAME, r.kind))
    tls = "true" if r.kind == "tls" else "false"
    os.makedirs(r.dir + "/certs", exist_ok=True)
    shutil.copy(FOLDER + "/ca.pem", r.dir + "/certs/ca.crt")
    code, out, diag = sh("skopeo", "--insecure-policy", "copy", "--src-tls-verify=" + tls, "--src-cert-dir", r.dir + "/certs",
                         "docker://%s/org/m:v1" % r.host, "oci:%s/by-skopeo:v1" % r.dir, env=r.env)
    tell(code == 0, r.kind + "/skopeo_reads", diag)
    d = r.json("inspect", "oci:%s/by-skopeo:v1" % r.dir)
    r.tell(d and d["digest"] == digest, "skopeo_digest")
    code, out, diag = sh("skopeo", "--insecure-policy", "copy", "--dest-tls-verify=" + tls, "--dest-cert-dir", r.dir + "/certs", "oci:%s:v1" % source,
                         "docker://%s/skopeo/m:v1" % r.host, env=r.env)
    tell(code == 0, r.kind + "/skopeo_pushes", diag)
    d = r.json("copy", r.host + "/skopeo/m:v1", "oci:from-skopeo")
    r.tell(d and d["digest"] == digest, "skopeo_pushed_digest")
    code, out, diag = sh("skopeo", "--insecure-policy", "copy", "oci-archive:%s/x.tar:v1" % r.dir, "oci:%s/skopeo-tar:v1" % r.dir, env=r.env)
    tell(code == 0, r.kind + "/skopeo_reads_tar", diag)


def others(r, digest, files):
    for tool, args in (("crane", ["digest", "--insecure"]), ("regctl", ["image", "digest"])):
        if not shutil.which(tool) or tool == "crane" and r.kind == "token":       # crane refuses a realm on loopback
            continue
        env = dict(r.env, REGCTL_CONFIG=r.dir + "/regctl.json")
        if tool == "regctl":
            sh("regctl", "registry", "set", r.host, "--tls", "enabled" if r.kind == "tls" else "disabled", "--skip-check", env=env)
        code, out, diag = sh(tool, *args, r.host + "/org/m:v1", env=env)
        tell(code == 0 and out.decode().strip() == digest, r.kind + "/" + tool, out, diag)
    python = os.environ.get("ORAS_PYTHON")
    if not python or r.kind in ("tls", "token"):
        return
    script = ("import oras.client, sys\nc = oras.client.OrasClient(hostname=sys.argv[1], insecure=True, auth_backend='basic')\n"
              "if sys.argv[3]: c.auth.set_basic_auth('ada', 'secret')\n"
              "c.pull(target=sys.argv[1] + '/org/m:v1', outdir=sys.argv[2])\n"
              "open(sys.argv[2] + '/../new.txt', 'w').write('pushed by oras')\nimport os; os.chdir(sys.argv[2] + '/..')\n"
              "c.push(target=sys.argv[1] + '/oras/m:v1', files=['new.txt'], disable_path_validation=True)\n")
    os.makedirs(r.dir + "/oras/out")
    code, out, diag = sh(python, "-c", script, r.host, r.dir + "/oras/out", "1" if r.kind == "basic" else "", env=r.env)
    tell(code == 0 and files_in(r.dir + "/oras/out") == files, r.kind + "/oras_reads", diag, out)
    d = r.json("pull", "oci://%s/oras/m:v1" % r.host)
    r.tell(d and files_in(d["snapshot"]) == {"new.txt": b"pushed by oras"}, "oras_pushed")


def pushed_by(r, source, digest, files):
    """What crane and regctl push is read here, with the digest unchanged."""
    env = dict(r.env, REGCTL_CONFIG=r.dir + "/regctl.json")
    for tool, args in (("crane", ["push", "--insecure", source, r.host + "/crane/m:v1"]),
                       ("regctl", ["image", "copy", "ocidir://%s:v1" % source, r.host + "/regctl/m:v1"])):
        if not shutil.which(tool) or tool == "crane" and r.kind == "token":
            continue
        code, out, diag = sh(tool, *args, env=env)
        tell(code == 0, r.kind + "/" + tool + "_pushes", out, diag)
        d = r.json("pull", "oci://%s/%s/m:v1" % (r.host, tool))
        r.tell(d and d["digest"] == digest and files_in(d["snapshot"]) == files, tool + "_pushed")


def oras(r, source, digest, files):
    """The program: it reads what is here, in a registry, a layout and a tar file; what it pushes and attaches is read here."""
    if not shutil.which("oras"):
        return print("ok real/%s/%s/oras_program # SKIP oras is not installed" % (NAME, r.kind))
    way = ["--ca-file", FOLDER + "/ca.pem"] if r.kind == "tls" else ["--plain-http"]
    here = r.dir + "/oras-program"
    os.makedirs(here + "/folder/deep")
    with open(here + "/config.json", "w") as f:
        f.write("{}")
    with open(here + "/folder/deep/w.bin", "wb") as f:
        f.write(files["sub/a.bin"])

    def run(name, *args):
        code, out, diag = sh("oras", *args, env=r.env, cwd=here)
        tell(code == 0, r.kind + "/oras_" + name, out, diag)
        return out
    run("pulls", "pull", *way, "-o", here + "/got", r.host + "/org/m:v1")
    tell(files_in(here + "/got") == files, r.kind + "/oras_pulled", sorted(files_in(here + "/got")))
    run("pulls_tar", "pull", "--oci-layout", "-o", here + "/got-tar", r.dir + "/x.tar:v1")
    tell(files_in(here + "/got-tar") == files, r.kind + "/oras_pulled_tar")
    run("pushes", "push", *way, "--artifact-type", "application/vnd.cncf.model.manifest.v1+json", r.host + "/orasp/m:v1",
        "config.json:application/vnd.cncf.model.weight.config.v1.raw", "folder")
    d = r.json("pull", "oci://%s/orasp/m:v1" % r.host)
    r.tell(d and files_in(d["snapshot"]) == {"config.json": b"{}", "folder/deep/w.bin": files["sub/a.bin"]}, "oras_pushed_folder")
    run("copies", "cp", *["--to-" + way[0][2:] if i == 0 else w for i, w in enumerate(["--" + way[0][2:], *way[1:]])], "--from-oci-layout", source + ":v1", r.host + "/orasc/m:v1")
    d = r.json("copy", r.host + "/orasc/m:v1", "oci:from-oras")
    r.tell(d and d["digest"] == digest, "oras_copied_digest")
    run("attaches", "attach", *way, "--artifact-type", "application/x.note", r.host + "/orasc/m:v1", "config.json:application/json")
    d = r.json("inspect", r.host + "/orasc/m:v1", "--referrers")
    r.tell(d and [x["artifact_type"] for x in d["referrers"]] == ["application/x.note"], "oras_attached")
    r.tell(r.mlxk("copy", r.host + "/orasc/m:v1", r.host + "/orasd/m", "--referrers") == 0, "copies_what_oras_attached")
    found = json.loads(run("discovers", "discover", *way, "--format", "json", r.host + "/orasd/m:v1") or "{}")
    tell([x.get("artifactType") for x in found.get("referrers") or found.get("manifests") or []] == ["application/x.note"], r.kind + "/oras_discovered", found)


def collected(r):
    """Garbage is collected while the server runs and remembers more than it has; and when nothing runs, with all that has no tag."""
    repo, source = r.host + "/collected/m", r.dir + "/collected-source"
    digest = layout(source, {"config.json": b'{"a":"%d"}' % os.getpid(), "a.bin": os.urandom(300000)})
    r.tell(r.mlxk("copy", "oci:%s:v1" % source, repo) == 0, "collected_first")
    head = urllib.request.Request("http://%s/v2/collected/m/manifests/%s" % (r.host, digest), method="DELETE")
    urllib.request.urlopen(head).close()
    code, out, diag = sh(SERVER, "garbage-collect", r.dir + "/config.yml", env=r.env)
    tell(code == 0, r.kind + "/collects", out, diag)
    d = r.json("copy", "oci:%s:v1" % source, repo)
    r.tell(d and d["n_sent"] > 0, "collected_is_sent_again")
    d = r.json("copy", repo + ":v1", "oci:collected")
    r.tell(d and d["digest"] == digest, "collected_and_pushed_again")
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", r.dir + "/key.pem")
    openssl("pkey", "-in", r.dir + "/key.pem", "-pubout", "-out", r.dir + "/key.pub.pem")
    r.tell(r.mlxk("sign", "oci://%s:v1" % repo, "--key", r.dir + "/key.pem") == 0, "signed")
    r.server.kill()
    r.server.wait()
    code, out, diag = sh(SERVER, "garbage-collect", "--delete-untagged", r.dir + "/config.yml", env=r.env)
    tell(code == 0, r.kind + "/collects_untagged", out, diag)
    r.serve()
    r.tell(r.mlxk("verify", "oci://%s:v1" % repo, "--key", r.dir + "/key.pub.pem") == 0, "collected_referrers_stay")


def tiny(folder):
    """A small model that runs."""
    here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "tiny-a")
    os.makedirs(folder)
    for part in ("llama-q4-g64", "_tokenizer"):
        for name in os.listdir(os.path.join(here, part)):
            if name.endswith((".json", ".safetensors")) and not name.startswith("golden"):
                shutil.copy(os.path.join(here, part, name), os.path.join(folder, name))


def two_machines(r):
    """The same files stored from two places at two times by two people: one digest, and nothing is sent twice."""
    repo, env, found = r.host + "/two/m", r.env, []
    for n, mask, when in ((1, 0o022, 1), (2, 0o077, 1700000000)):
        folder = "%s/machine-%d/%s" % (r.dir, n, "x" * n)
        before = os.umask(mask)
        tiny(folder)
        os.makedirs(r.dir + "/machine-%d/home" % n)
        for name in os.listdir(folder):
            os.utime(os.path.join(folder, name), (when, when))
        r.env = dict(env, HOME=r.dir + "/machine-%d/home" % n, HF_HOME=r.dir + "/machine-%d/hf" % n, DOCKER_CONFIG=r.dir + "/home/.docker", TZ="UTC+%d" % n)
        d = r.json("store", folder, repo)
        r.tell(d is not None, "stored_%d" % n)
        found.append(d or {})
        os.umask(before)
    tell(found[0].get("digest") and found[0].get("digest") == found[1].get("digest"), r.kind + "/two_machines_one_digest", found)
    tell(found[1].get("n_sent") == 0, r.kind + "/second_machine_sends_nothing", found[1])
    d = r.json("release", folder, repo)
    r.tell(d and d["version"] == "v0.1.0" and d["n_sent"] == 0, "release_sends_nothing")
    d = r.json("run", "oci://%s:v0" % repo, "Hello", "--max-tokens", "2")
    r.tell(d is not None and os.path.isdir(r.dir + "/machine-2/hf/hub"), "run_by_reference")
    r.env = env


def accounts(r):
    """login and logout, with a home of its own."""
    env = r.env
    r.env = dict(env, HOME=r.dir + "/login-home")
    os.makedirs(r.env["HOME"])
    for word, want in ((b"wrong-word", 1), (b"secret", 0)):
        code, out, diag = sh(PROGRAM, "login", r.host, "--username", "ada", env=r.env, cwd=r.dir, data=word)
        tell(code == want and word not in out + diag, r.kind + "/login_%s" % ("refused" if want else "kept"), out, diag)
    r.tell(r.mlxk("tags", r.host + "/org/m") == 0, "login_serves")
    if shutil.which("skopeo"):
        code, out, diag = sh("skopeo", "inspect", "--raw", "--tls-verify=false", "--authfile", r.env["HOME"] + "/.docker/config.json",
                             "docker://%s/org/m:v1" % r.host, env=r.env)
        tell(code == 0, r.kind + "/login_serves_skopeo", diag)
    r.tell(r.mlxk("logout", r.host) == 0 and r.mlxk("tags", r.host + "/org/m") == 1, "logout")
    r.env = env


def server_dies(r):
    """The registry is killed in mid-upload and comes back: the next run stores it all."""
    source = r.dir + "/dies"
    digest = layout(source, {"big-%d.bin" % i: os.urandom(1 << 20) * 100 for i in range(3)})
    p = subprocess.Popen([PROGRAM, "copy", "oci:%s:v1" % source, r.host + "/dies/m"], env=r.env, cwd=r.dir, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    for _ in range(200):
        time.sleep(0.01)
        if any("_uploads" in d for d, _, _ in os.walk(r.dir + "/data")) or p.poll() is not None:
            break
    time.sleep(0.2)
    r.server.kill()
    r.server.wait()
    time.sleep(0.2)
    p.kill()
    p.communicate()
    r.serve()
    r.tell(r.json("inspect", r.host + "/dies/m:v1") is None, "no_tag_before_its_blobs")
    d = r.json("copy", "oci:%s:v1" % source, r.host + "/dies/m")
    r.tell(d and d["digest"] == digest, "after_server_died")
    d = r.json("copy", r.host + "/dies/m:v1", "oci:dies-back")
    r.tell(d and d["digest"] == digest, "after_server_died_back")
    shutil.rmtree(source)
    shutil.rmtree(r.dir + "/dies-back", ignore_errors=True)


def refusals(r, source):
    env, r.env = r.env, dict(r.env, HOME=r.dir)
    if r.kind in ("basic", "token"):
        r.tell(r.mlxk("tags", r.host + "/org/m") == 1 and "wants to know who asks" in r.said or "does not accept" in r.said, "anonymous_refused")
        with_wrong = dict(r.env, MLXK_REGISTRY_HOST=r.host, MLXK_REGISTRY_USER="ada", MLXK_REGISTRY_PASSWORD="wrong-word")
        r.env = with_wrong
        r.tell(r.mlxk("tags", r.host + "/org/m") == 1 and "does not accept" in r.said and "wrong-word" not in r.said, "wrong_refused")
    if r.kind == "tls":
        r.env = {k: v for k, v in r.env.items() if k != "SSL_CERT_FILE"}
        r.tell(r.mlxk("tags", r.host + "/org/m") == 1 and "certificate" in r.said, "unknown_ca_refused")
        r.tell(r.mlxk("tags", r.host + "/org/m", "--insecure", "other:1") == 1, "insecure_of_another_refused")
        r.tell(r.mlxk("tags", r.host + "/org/m", "--insecure", r.host) == 0, "insecure_by_name")
        r.tell(r.mlxk("tags", r.host + "/org/m", "--ca-file", FOLDER + "/ca.pem") == 0, "ca_file")
    r.env = env


def main():
    certificates()
    files = {"config.json": b"{}", "sub/a.bin": os.urandom(300000), "README.md": b"hello\n"}
    source = FOLDER + "/source"
    digest = layout(source, files)
    for kind in ("plain", "basic", "token", "tls"):
        r = Rig(kind)
        try:
            through(r, source, digest, files)
            skopeo(r, source, digest)
            others(r, digest, files)
            pushed_by(r, source, digest, files)
            oras(r, source, digest, files)
            two_machines(r)
            if r.issuer or r.kind == "basic":
                accounts(r)
            refusals(r, source)
            if kind in ("plain", "token"):
                large(r)
                server_dies(r)
            if kind == "plain":
                collected(r)
        finally:
            r.stop()
    return bool(FAILED)


if __name__ == "__main__":
    sys.exit(main())
