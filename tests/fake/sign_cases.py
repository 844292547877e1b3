"""sign_cases.py PROGRAM FOLDER [NAME...]: signatures and policies at registries of every temper, as TAP lines.

The cases are run like those of registry_cases.py; keys lie in tests/golden/sign."""
import glob
import json
import os
import sys

import registry_cases as rc
from registry_cases import check, secret

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
KEY, PUBLIC, OTHER = (os.path.abspath(os.path.join(GOLDEN, "sign", n)) for n in ("p256.pem", "p256.pub.pem", "other.pub.pem"))
CASES = []


def case(f):
    CASES.append(f)
    return f


def tiny():
    """The files of a model that runs."""
    files = {}
    for folder in ("llama-q4-g64", "_tokenizer"):
        for name in os.listdir(os.path.join(GOLDEN, "tiny-a", folder)):
            if name.endswith((".json", ".safetensors")) and not name.startswith("golden"):
                with open(os.path.join(GOLDEN, "tiny-a", folder, name), "rb") as f:
                    files[name] = f.read()
    return files


def policy(w, *rules):
    """prefix, require, key: as this machine's policy."""
    with open(w.dir + "/policy.json", "w") as f:
        json.dump({"rules": [dict({"prefix": p, "require": r}, **({"keys": [k]} if k else {})) for p, r, k in rules]}, f)
    w.env["MLXK_POLICY"] = w.dir + "/policy.json"


def proofs(w):
    return glob.glob(w.dir + "/hf/hub/*/.mlxk/*.signed")


def runs(w, spec, status=0):
    return w.json("run", spec, "Hello", "--max-tokens", "2", "--temperature", "0", status=status)


@case
def found_again_everywhere(w):
    """Through the referrers API and the fallback tag, with every kind of account; a copy takes signatures along when told to."""
    for profile, auth in (("dist2", None), ("dist3", None), ("zot", None), ("dist3", "basic"), ("zot", "token")):
        r = w.registry(profile, auth)
        r.model("org/m", rc.FILES)
        if auth:
            secret(w, r.host)
        ref = "%s/org/m:v1" % r.host
        d = w.json("sign", "oci://" + ref, "--key", KEY)
        check(w.json("verify", "oci://" + ref, "--key", PUBLIC)["digest"] == d["digest"], d)
        fallback = [t for t in r.repos["org/m"]["tags"] if t.startswith("sha256-")]
        check(len(fallback) == (0 if profile == "zot" else 1), fallback)
        if auth:
            continue
        check(w.json("sign", "oci://" + ref, "--key", KEY)["signature"] == d["signature"], d)
        w.run("verify", "oci://" + ref, "--key", OTHER, status=1)
        found = w.json("inspect", ref, "--referrers")["referrers"]
        check([x["digest"] for x in found] == [d["signature"]], found)
        w.run("copy", ref, "oci:with-" + profile, "--referrers")
        w.run("verify", "oci:with-%s:v1" % profile, "--key", PUBLIC)
        w.run("copy", ref, "oci:without-" + profile)
        w.run("verify", "oci:without-%s:v1" % profile, "--key", PUBLIC, status=1)
        check("no signature" in w.diag, w.diag)


@case
def a_use_asks_the_proof(w):
    """What a pull judged is judged again by every use, without network, by the policy of that moment."""
    r = w.registry()
    r.model("org/m", tiny(), "v1.0.0")
    ref, name = "oci://%s/org/m:v1.0.0" % r.host, r.host.replace(":", "_") + "/org__m"
    runs(w, ref)                                        # no policy, no proof
    check(not proofs(w))
    policy(w, (r.host + "/org", "signed", PUBLIC))
    for spec in (ref, name, name + "@v1.0.0"):
        e = runs(w, spec, status=1)
        check(e["type"] == "access_denied" or "no proof" in e["message"], e)
        check("no proof of one is in the cache" in e["message"], e)
    path = glob.glob(w.dir + "/hf/hub/models--*/snapshots/*")[0]
    check("no proof" in runs(w, path, status=1)["message"])
    w.json("show", ref)                                 # to look is no use
    w.run("serve", "--model", name, status=1)
    check("no proof" in w.diag or "may not be used" in w.diag, w.diag)
    e = w.json("pull", ref, status=1)
    check("it has no signature" in e["message"], e)
    w.run("sign", ref, "--key", KEY, "--release", "v1.0.0")
    n = len(r.requests("GET .*/blobs/"))
    w.json("pull", ref)
    check(len(proofs(w)) == 1 and len(r.requests("GET .*/blobs/")) == n + 1, "only the bundle is fetched")
    r.close()                                           # the air gap
    for spec in (ref, name, path):
        runs(w, spec)
    policy(w, (r.host, "release-signed", PUBLIC))
    runs(w, ref)
    runs(w, name + "@v1.0.0")
    policy(w, (r.host + "/org/m", "signed", OTHER))
    check("may not be used" in runs(w, ref, status=1)["message"])
    policy(w, ("", "signed", PUBLIC), (r.host + "/other", "signed", OTHER))
    runs(w, ref)
    policy(w, ("", "signed", OTHER))
    check("may not be used" in runs(w, name, status=1)["message"])
    policy(w, (r.host + "/organisation", "signed", OTHER))
    runs(w, name)
    # proofs that were tampered with
    policy(w, (r.host, "signed", PUBLIC))
    proof, = proofs(w)
    text = open(proof).read()
    for old, new in (('"format":1', '"format":2'), ("/org/m", "/org/n"), ("a", "b"), ("model.safetensors", "model.safetensorz"), ("{", "[")):
        with open(proof, "w") as f:
            f.write(text.replace(old, new))
        check("may not be used" in runs(w, ref, status=1)["message"], old)
    with open(proof, "w") as f:
        f.write("")
    check("no proof" in runs(w, ref, status=1)["message"])
    with open(proof, "w") as f:
        f.write(text)
    runs(w, ref)
    # a snapshot whose file is another one
    victim = path + "/config.json"
    to = os.readlink(victim)
    os.unlink(victim)
    os.symlink(os.readlink(path + "/tokenizer.json"), victim)
    check("config.json is not the one" in runs(w, ref, status=1)["message"])
    os.unlink(victim)
    os.symlink(to, victim)
    runs(w, ref)
    # it goes with the snapshot and is nothing that a sweep takes
    w.run("gc", "--yes")
    check(len(proofs(w)) == 1, w.out)
    del w.env["MLXK_POLICY"]
    w.run("rm", name, "--force")
    check(not proofs(w))


@case
def models_of_others_are_not_judged(w):
    """A folder of one's own and a model of a hub come from no registry."""
    files = tiny()
    os.makedirs(w.dir + "/own")
    for name, data in files.items():
        with open(w.dir + "/own/" + name, "wb") as f:
            f.write(data)
    w.run("import", w.dir + "/own", "--name", "org/m")
    policy(w, ("", "signed", PUBLIC))
    runs(w, "./own")
    runs(w, "org/m")


@case
def lines_of_releases(w):
    """v1 and v1.2 stand for the release that they lead to, which is what must have been signed."""
    r = w.registry()
    r.model("org/m", dict(tiny(), extra=b"1"), "v1.2.0")
    r.model("org/m", dict(tiny(), extra=b"2"), "v1.2.1")
    ref = "oci://%s/org/m:" % r.host
    policy(w, (r.host, "release-signed", PUBLIC))
    w.run("sign", ref + "v1.2.1", "--key", KEY, "--release", "v1.2.1")
    for tag in ("v1.2", "v1", "v1.2.1"):
        d = w.json("pull", ref + tag)
        check(d["download_status"] in ("success", "already_exists"), d)
        runs(w, ref + tag)
    w.json("pull", ref + "v1.2.0", status=1)
    # a tag vX.Y of a repository without such a release is a tag like others, but names a line
    r.repos["org/m"]["tags"]["v3.1"] = r.repos["org/m"]["tags"]["v1.2.1"]
    check("release v1.2.1, not v3.1" in w.json("pull", ref + "v3.1", status=1)["message"])
    r.repos["org/m"]["tags"]["v1.2x"] = r.repos["org/m"]["tags"]["v1.2.1"]
    w.json("pull", ref + "v1.2x")                       # a word, no version


@case
def every_name_counts(w):
    """Neither a name that registries.conf makes up, nor a port, a capital or a mirror leads around a rule."""
    r, mirror = w.registry(), w.registry()
    r.model("deep/org/m", rc.FILES)
    os.makedirs(w.dir + "/home/.config/containers")
    with open(w.dir + "/home/.config/containers/registries.conf", "w") as f:
        f.write('[[registry]]\nprefix = "models.example/org"\nlocation = "%s/deep/org"\n[aliases]\n"m" = "models.example/org/m"\n' % r.host)
    for prefix in (r.host + "/deep/org/", "models.example/org", "MODELS.example", "models.example/org/m/"):
        policy(w, (prefix, "signed", PUBLIC))
        for name in ("models.example/org/m", "Models.Example/org/m"):
            check("may not be used" in w.json("pull", "oci://%s:v1" % name, status=1)["message"], prefix)
    policy(w, (r.host + "/deep", "signed", PUBLIC), ("models.example", "none", None))
    check("may not be used" in w.json("pull", "oci://models.example/org/m:v1", status=1)["message"])
    policy(w, ("models.example/or", "signed", PUBLIC), (r.host + "/deep/organisation", "signed", PUBLIC))
    w.json("pull", "oci://models.example/org/m:v1")
    policy(w, ("models.example", "signed", PUBLIC))
    check("may not be used" in w.json("from", "m:v1", status=1)["message"])
    # a mirror has the artifact, but nobody signed it; one that signs with a key of its own
    other = w.registry()
    other.model("org/m", rc.FILES)
    mirror.model("org/m", rc.FILES)
    policy(w, (other.host, "signed", PUBLIC))
    option = "--mirror=%s=%s" % (other.host, mirror.host)
    w.json("pull", "oci://%s/org/m:v1" % other.host, option, status=1)
    w.run("sign", "oci://%s/org/m:v1" % mirror.host, "--key", KEY)
    del w.env["MLXK_POLICY"]
    policy(w, (other.host, "signed", OTHER))
    w.json("pull", "oci://%s/org/m:v1" % other.host, option, status=1)
    policy(w, (other.host, "signed", PUBLIC))
    w.json("pull", "oci://%s/org/m:v1" % other.host, option)      # who holds the key signed it, wherever it came from


@case
def prefixes_that_protect_nothing(w):
    for prefix in ("org/m", "https://a.example/m", "a.example/m:v1", "*.example", "a.example:443", "a.example//m", "a.example/m@sha256:0", "/"):
        policy(w, (prefix, "none", None))
        e = w.json("pull", "oci://127.0.0.1:1/m", status=1)
        check("begins with the prefix" in e["message"], prefix, e)


if __name__ == "__main__":
    rc.CASES[:] = CASES
    sys.exit(rc.main("sign"))
