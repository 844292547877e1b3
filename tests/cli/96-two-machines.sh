#!/bin/sh
# The same files give the same artifact wherever and by whomever: other user, umask, time zone, locale, host name, times and modes of
# files, order in directories, links instead of files, another disk; and what one machine pushed, the other does not send again.
. tests/tap.sh
tiny "$T/one"
mkdir "$T/one/sub"; echo pass > "$T/one/sub/extra.py"; : > "$T/one/empty.txt"; echo words > "$T/one/README.md"
cat > "$T/two.py" <<'PY'
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["ROOT"], "tests", "fake"))
import fake_registry     # noqa: E402

mlxk, work = os.environ["MLXK"], os.environ["T"]
one = os.path.join(work, "one")
os.chmod(work, 0o755)


def ok(name, fine, *more):
    print(f"{'' if fine else 'not '}ok machines/{name}")
    for m in more if not fine else ():
        print("#", str(m).replace("\n", "\n# ")[:400])


def names(top):
    return sorted(os.path.relpath(os.path.join(at, n), top) for at, _, fs in os.walk(top) for n in fs)


def copy(to, order, mode, link=False):
    """The files made in another order, with other times and modes; or links to blobs, as a cache has them."""
    for i, name in enumerate(order):
        path = os.path.join(to, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if link:
            blob = os.path.join(os.path.dirname(os.path.dirname(to)), "blobs", str(i))
            os.makedirs(os.path.dirname(blob), exist_ok=True)
            shutil.copyfile(os.path.join(one, name), blob)
            os.symlink(os.path.relpath(blob, os.path.dirname(path)), path)
            continue
        shutil.copyfile(os.path.join(one, name), path)
        os.chmod(path, mode)
        os.utime(path, (1_000_000_000 + i, 2_000_000_000 - i))
    for at, folders, _ in os.walk(to):
        for f in folders:
            os.chmod(os.path.join(at, f), 0o755)


def run(argv, home, more=None, umask=0o022, uid=None, host=None):
    os.makedirs(home, exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": home, "HF_HOME": home + "/hf", "DOCKER_CONFIG": home, "MLXK_RETRY_BASE_MS": "1", **(more or {})}
    if uid:
        os.chown(home, uid, uid)

    def become():
        os.umask(umask)
        if uid:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
    argv = [mlxk, *argv, "--json"]
    if host:                                     # a host name of its own
        argv = ["unshare", "-u", "sh", "-c", f'hostname {host} 2>/dev/null; exec "$@"', "sh", *argv]
    r = subprocess.run(argv, env=env, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, preexec_fn=become, check=False)
    try:
        return json.loads(r.stdout)["data"] or {"error": r.stdout}
    except ValueError:
        return {"error": r.stdout + r.stderr}


def artifact(layout):
    """Everything in a layout, to the byte."""
    return {n: open(os.path.join(layout, n), "rb").read() for n in names(layout)}


order = names(one)
first = run(["store", one, f"oci:{work}/layout-one"], work + "/home-one", {"TZ": "UTC", "LC_ALL": "C"})
whole = artifact(work + "/layout-one")
ok("the_first_one", "digest" in first and len(whole) > 8, first)
root = os.getuid() == 0
elsewhere = tempfile.mkdtemp(prefix="mlxk-machines.", dir="/dev/shm" if os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK) else work)
os.chmod(elsewhere, 0o777)
try:
    others = [("other_order_times_modes", dict(order=order[::-1], mode=0o600), dict(umask=0o077, more={"TZ": "Pacific/Apia", "LC_ALL": "tr_TR.UTF-8"})),
              ("executable_files", dict(order=order[1::2] + order[::2], mode=0o777), dict(umask=0, more={"LANG": "de_DE", "SOURCE_DATE_EPOCH": "1"})),
              ("links_as_in_a_cache", dict(order=order, mode=0, link=True), dict()),
              ("another_user_and_host", dict(order=sorted(order, key=lambda n: n[::-1]), mode=0o444), dict(uid=65534) if root else dict())]
    for i, (name, how, where) in enumerate(others):
        top = os.path.join(elsewhere, str(i), "some", "models--o--m", "snapshots", "m")
        copy(top, **how)
        for at, _, _ in os.walk(os.path.join(elsewhere, str(i))):
            os.chmod(at, 0o755)
        layout = os.path.join(elsewhere, f"layout-{i}")
        said = run(["store", top, f"oci:{layout}"], os.path.join(elsewhere, f"home-{i}"), **where)
        ok(name, said.get("digest") == first["digest"] and artifact(layout) == whole, said)
    if root and subprocess.run(["unshare", "-u", "true"], check=False).returncode == 0:
        said = run(["store", one, f"oci:{elsewhere}/layout-host"], elsewhere + "/home-host", host="another." + socket.gethostname()[:20])
        ok("another_host_name", said.get("digest") == first["digest"] and artifact(elsewhere + "/layout-host") == whole, said)

    # A registry that one machine has filled: the other one sends nothing, with a state directory of its own.
    two = os.path.join(elsewhere, "0", "some", "models--o--m", "snapshots", "m")
    for profile in ("dist2", "dist3", "zot", "ghcr"):
        r = fake_registry.Registry(profile)
        where = r.host + "/org/ham"
        here = run(["release", one, where], work + "/home-one")
        writes = len(r.requests("^(POST|PUT|PATCH) "))
        r.log.clear()
        there = run(["store", two, where], elsewhere + "/home-0", {"TZ": "Pacific/Apia"}, umask=0o077)
        sent = [e["line"] for e in r.requests("^(POST|PUT|PATCH|DELETE) ")]
        ok(f"{profile}_is_sent_nothing_again", writes > 5 and there.get("digest") == here.get("digest") == first["digest"]
           and there.get("n_sent") == 0 and not sent, here, there, sent)
        ok(f"{profile}_gets_no_blob_twice", len(r.requests("^GET .*/blobs/")) == 0)
        r.close()
finally:
    shutil.rmtree(elsewhere, ignore_errors=True)
PY
ROOT=$PWD python3 "$T/two.py"
