"""sign_cases.py PROGRAM FOLDER [NAME...]: signatures and policies at registries of every temper, as TAP lines.

The cases are run like those of registry_cases.py; keys lie in tests/golden/sign."""
import base64
import glob
import json
import os
import re
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


CARD = b"---\nlicense: apache-2.0\ntags: [a, b]\nbase_model:\n- org/base\n- 'org/other'\n---\n# A model\nlicense: mit\n"
SBOM, PROVENANCE = "https://cyclonedx.org/bom", "https://slsa.dev/provenance/v1"


def sha_hex(data):
    return rc.sha(data)[7:]


@case
def attestations(w):
    """List of files and provenance: made from manifest and card, attached once, shown and checked."""
    r = w.registry("zot")
    files = dict(rc.FILES, **{"README.md": CARD})
    digest = r.model("org/m", files, "v1.0.0")
    ref = "oci://%s/org/m:v1.0.0" % r.host
    commit = "0123456789" * 4
    d = w.json("attest", ref, "--key", KEY, "--release", "v1.0.0", "--source", "git+https://example.org/m@" + commit, "--builder", "https://example.org/ci")
    sbom, provenance = d["attestations"]
    check(sbom["type"] == SBOM and provenance["type"] == PROVENANCE, d)
    got = {x["name"]: x["hashes"][0]["content"] for x in sbom["predicate"]["components"]}
    check(got == {name: sha_hex(data) for name, data in files.items()}, got)
    top = sbom["predicate"]["metadata"]["component"]
    check(top["licenses"] == [{"license": {"id": "Apache-2.0"}}] and top["hashes"][0]["content"] == digest[7:] and top["version"] == "v1.0.0", top)
    check([x["name"] for x in top["pedigree"]["ancestors"]] == ["org/base", "org/other"], top)
    inputs = provenance["predicate"]["buildDefinition"]["resolvedDependencies"]
    check(inputs[0]["digest"] == {"gitCommit": commit} and [x["uri"] for x in inputs[1:]] == ["hf://org/base", "hf://org/other"], inputs)
    n = len(r.repos["org/m"]["manifests"])
    again = w.json("attest", ref, "--key", KEY, "--release", "v1.0.0", "--source", "git+https://example.org/m@" + commit, "--builder", "https://example.org/ci")
    check(again == d and len(r.repos["org/m"]["manifests"]) == n, "the same claim is there twice")
    # attestations are no signature
    check("no signature" in w.json("verify", ref, "--key", PUBLIC, status=1)["message"])
    policy(w, (r.host, "signed", PUBLIC))
    check("of the kind" in w.json("pull", ref, status=1)["message"])
    w.run("sign", ref, "--key", KEY)
    w.json("pull", ref)
    d = w.json("verify", ref, "--key", PUBLIC)
    check(sorted(x["type"] for x in d["attestations"]) == [SBOM, PROVENANCE] and d["attestations"][0]["predicate"] is None, d)
    d = w.json("verify", ref, "--key", PUBLIC, "--type", "sbom")
    check([x["predicate"] for x in d["attestations"]] == [sbom["predicate"]], d)
    w.run("verify", ref, "--key", PUBLIC, "--type", "provenance")
    check("SLSA provenance by https://example.org/ci, 3 inputs" in w.out, w.out)
    w.json("verify", ref, "--key", PUBLIC, "--type", "spdxjson", status=1)
    w.json("verify", ref, "--key", OTHER, "--type", "sbom", status=1)
    # somebody else's document, and one that contradicts the artifact
    with open(w.dir + "/p.json", "w") as f:
        json.dump({"spdxVersion": "SPDX-2.3"}, f)
    w.run("attest", ref, "--key", KEY, "--type", "spdxjson", "--predicate", "p.json")
    d = w.json("verify", ref, "--key", PUBLIC, "--type", "spdxjson")
    check(d["attestations"][0]["predicate"] == {"spdxVersion": "SPDX-2.3"}, d)
    lie = json.loads(json.dumps(sbom["predicate"]))
    lie["components"][0]["hashes"][0]["content"] = "0" * 64
    with open(w.dir + "/p.json", "w") as f:
        json.dump(lie, f)
    w.run("attest", ref, "--key", KEY, "--type", "sbom", "--predicate", "p.json")
    check("another hash" in w.json("verify", ref, "--key", PUBLIC, status=1)["message"])
    # command lines
    for args in ((), ("--key", KEY, "--type", "sbon"), ("--key", KEY, "--type", "spdxjson"), ("--key", KEY, "--predicate", "p.json"),
                 ("--key", KEY, "--type", "https://sigstore.dev/cosign/sign/v1", "--predicate", "p.json")):
        w.run("attest", ref, *args, status=2)
    for text in ("[]", "{", "", "1"):
        with open(w.dir + "/p.json", "w") as f:
            f.write(text)
        w.json("attest", ref, "--key", KEY, "--type", "sbom", "--predicate", "p.json", status=1)
    w.json("attest", ref, "--key", KEY, "--type", "sbom", "--predicate", "absent.json", status=1)
    w.json("attest", ref + "x", "--key", KEY, status=1)


SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"


def older(w, r, repo, digest, of=None, key=KEY, type="cosign container image signature", optional=None, tag=None, payload=None, media=SIMPLE):
    """A signature as cosign kept it before bundles: under the tag sha256-DIGEST.sig."""
    payload = payload or json.dumps({"critical": {"identity": {"docker-reference": "x/y"}, "image": {"docker-manifest-digest": of or digest}, "type": type},
                                     "optional": optional}).encode()
    with open(w.dir + "/payload", "wb") as f:
        f.write(payload)
    w.run("sign", "payload", "--key", key)
    with open(w.dir + "/payload.sigstore.json", encoding="utf-8") as f:
        signature = json.load(f)["messageSignature"]["signature"]
    os.unlink(w.dir + "/payload.sigstore.json")
    config = r.blob(repo, b"{}")
    layer = {"mediaType": media, "digest": r.blob(repo, payload), "size": len(payload), "annotations": {"dev.cosignproject.cosign/signature": signature}}
    r.put(repo, json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2}, "layers": [layer]}).encode(),
          tag or digest.replace(":", "-") + ".sig")


@case
def older_signatures(w):
    """Those under the tag sha256-DIGEST.sig: verified, and good for a policy, also without network."""
    for profile in ("dist2", "zot"):
        r = w.registry(profile)
        digest = r.model("org/m", tiny(), "v1.2.3")
        ref = "oci://%s/org/m:v1.2.3" % r.host
        check("no signature" in w.json("verify", ref, "--key", PUBLIC, status=1)["message"])
        older(w, r, "org/m", digest, optional={"version": "v1.2.3", "n": 1})
        d = w.json("verify", ref, "--key", PUBLIC)
        check(d["digest"] == digest and d["version"] == "v1.2.3", d)
        check("none of the 1 key" in w.json("verify", ref, "--key", OTHER, status=1)["message"])
        policy(w, (r.host, "release-signed", PUBLIC))
        w.json("pull", ref)
        runs(w, ref)
        policy(w, (r.host, "signed", OTHER))
        check("may not be used" in runs(w, ref, status=1)["message"])
    policy(w)
    # what is no signature of this artifact
    for name, more in (("another artifact", {"of": "sha256:" + "0" * 64}), ("another type", {"type": "atomic container signature"}), ("no digest", {"of": "x"}),
                       ("no json", {"payload": b"{"}), ("a list", {"payload": b"[]"}), ("nothing critical", {"payload": b'{"critical": null}'}),
                       ("another layer", {"media": "text/plain"}), ("another tag", {"tag": "sha256-" + "0" * 64 + ".sig"})):
        r = w.registry("zot")
        digest = r.model("org/m", rc.FILES, "v1")
        older(w, r, "org/m", digest, **more)
        e = w.json("verify", "oci://%s/org/m:v1" % r.host, "--key", PUBLIC, status=1)
        check(e["type"] == "integrity_error", name, e)
    # changed after it was signed
    r = w.registry("zot")
    digest = r.model("org/m", rc.FILES, "v1")
    older(w, r, "org/m", digest)
    tag = digest.replace(":", "-") + ".sig"
    doc = json.loads(r.repos["org/m"]["manifests"][r.repos["org/m"]["tags"][tag]][1])
    data = r.blobs[doc["layers"][0]["digest"]] + b" "
    doc["layers"][0].update(digest=r.blob("org/m", data), size=len(data))
    r.put("org/m", json.dumps(doc).encode(), tag)
    check(w.json("verify", "oci://%s/org/m:v1" % r.host, "--key", PUBLIC, status=1)["type"] == "integrity_error")
    for wrong in (None, "", "!", "AAAA", "A" * 10000):
        doc["layers"][0]["annotations"] = {} if wrong is None else {"dev.cosignproject.cosign/signature": wrong}
        r.put("org/m", json.dumps(doc).encode(), tag)
        w.json("verify", "oci://%s/org/m:v1" % r.host, "--key", PUBLIC, status=1)


@case
def bundles_carry_proofs(w):
    """A model that was judged good here is judged from its bundle on a machine without network."""
    r = w.registry("zot")
    r.model("org/m", tiny(), "v1.2.3")
    ref = "oci://%s/org/m:v1.2.3" % r.host
    w.run("sign", ref, "--key", KEY, "--release", "v1.2.3")
    name = w.json("pull", ref)["model"]
    w.run("export", name, "-o", "plain.tar")
    policy(w, ("", "release-signed", PUBLIC))
    w.json("pull", ref)
    w.run("export", name, "-o", "proved.tar")
    here = w.env["HF_HOME"]

    def there(bundle, says=None):
        w.env["HF_HOME"] = w.dir + "/there-" + bundle
        w.run("import", bundle + ".tar")
        d = runs(w, name + "@v1.2.3", status=1 if says else 0)
        check(not says or says in d["message"], bundle, d)
    there("proved")
    there("plain", "no proof of one is in the cache")
    policy(w, ("", "release-signed", OTHER))
    check("may not be used" in runs(w, name + "@v1.2.3", status=1)["message"])
    policy(w, ("", "release-signed", PUBLIC))
    there("proved")                                   # once more: the same
    # A proof that is there stays, whatever a bundle brings.
    own, = glob.glob(w.env["HF_HOME"] + "/hub/*/.mlxk/*.signed")
    with open(own, "w") as f:
        f.write("mine")
    w.run("import", "proved.tar")
    with open(own) as f:
        check(f.read() == "mine")
    check("may not be used" in runs(w, name + "@v1.2.3", status=1)["message"])
    w.env["HF_HOME"] = here


@case
def install_under_a_policy(w):
    """Clients, packages and models are judged before anything is placed."""
    os.makedirs(w.dir + "/ham")
    for name, data in tiny().items():
        with open(w.dir + "/ham/" + name, "wb") as f:
            f.write(data)
    r = w.registry("zot")
    repo = r.host + "/org/ham"
    for more in ([], ["--name", "eggs"]):
        w.run("release", "ham", repo, *more)
    policy(w, (r.host, "release-signed", PUBLIC))
    for tag in ("client-v0", "pkg-v0.1.0", "v0.1.0", "eggs-client-v0", "eggs-pkg-v0", "eggs-v0.1.0"):
        before = set(glob.glob(w.dir + "/lib/**", recursive=True))
        e = w.json("install", repo + ":" + tag, "--target", "lib", status=1)
        check("may not be used" in e["message"], tag, e)
        check(set(glob.glob(w.dir + "/lib/**", recursive=True)) == before and not proofs(w), tag)
    for tag in ("client-v0.1.0", "v0.1.0", "eggs-client-v0.1.0", "eggs-v0.1.0"):
        w.run("sign", "oci://%s:%s" % (repo, tag), "--key", KEY, "--release", "v0.1.0")
    for tag in ("client-v0", "v0.1.0", "eggs-client-v0", "eggs-v0"):
        w.json("install", repo + ":" + tag, "--target", "lib")
    check("may not be used" in w.json("install", repo + ":pkg-v0", "--target", "lib", status=1)["message"])
    w.run("sign", "oci://%s:pkg-v0.1.0" % repo, "--key", KEY, "--release", "v0.1.0")
    w.json("install", repo + ":pkg-v0", "--target", "lib")
    # a signature for another release is none for this one, by whatever name it is asked for
    w.run("release", "ham", repo, "--force-major", "--name", "eggs")
    for tag, said in (("eggs-v1.0.0", "v1.0.1"), ("eggs-client-v1.0.0", "v1.0.1")):
        w.run("sign", "oci://%s:%s" % (repo, tag), "--key", KEY, "--release", said)
        e = w.json("install", repo + ":" + tag, "--target", "lib", status=1)
        check("release v1.0.1, not v1.0.0" in e["message"], tag, e)
    # with a lock, all there: the policy still asks
    w.json("install", repo + ":client-v0", "--target", "lib", "--lock", "lock")
    policy(w, (r.host, "release-signed", OTHER))
    check("may not be used" in w.json("install", repo + ":client-v0", "--target", "lib", "--frozen", "lock", status=1)["message"])


@case
def cards_of_every_kind(w):
    for n, (card, want) in enumerate(((b"", None), (b"license: mit\n", None), (b"---\nlicense: llama3.1\n---\n", [{"license": {"name": "llama3.1"}}]),
                                      (b"---\nlicense: [mit, 'cc-by-4.0']\n---\n", [{"license": {"id": "MIT"}}, {"license": {"id": "CC-BY-4.0"}}]),
                                      (b"---\r\nlicense: \"mit\"\r\n---\r\n", [{"license": {"id": "MIT"}}]), (b"---\nlicense: \xff\n---\n", 1),
                                      (b"---\nlicense_name: x\n", None), (b"---\n" + b"license:\n" + b"- a\n" * 100, 16))):
        r = w.registry()
        r.model("org/m", {"config.json": b"{}", "README.md": card} if card else {"config.json": b"{}"})
        d = w.json("attest", "oci://%s/org/m:v1" % r.host, "--key", KEY, "--type", "sbom")
        got = d["attestations"][0]["predicate"]["metadata"]["component"].get("licenses")
        check(len(got) == want if isinstance(want, int) else got == want, n, got)


def pem(label, der):
    text = base64.b64encode(der).decode()
    lines = [text[i:i + 64] for i in range(0, len(text), 64)]
    return "-----BEGIN %s-----\n%s\n-----END %s-----\n" % (label, "\n".join(lines), label)


def der(tag, *parts):
    body = b"".join(parts)
    n = len(body)
    size = bytes([n]) if n < 128 else bytes([0x80 + (n.bit_length() + 7) // 8]) + n.to_bytes((n.bit_length() + 7) // 8, "big")
    return bytes([tag]) + size + body


def pbes2(rounds):
    """An encrypted key file whose password takes this many rounds."""
    oid = bytes.fromhex
    kdf = der(0x30, der(6, oid("2a864886f70d01050c")), der(0x30, der(4, b"saltsalt"), der(2, rounds), der(0x30, der(6, oid("2a864886f70d0209")), der(5))))
    cipher = der(0x30, der(6, oid("60864801650304012a")), der(4, bytes(16)))
    return pem("ENCRYPTED PRIVATE KEY", der(0x30, der(0x30, der(6, oid("2a864886f70d01050d")), der(0x30, kdf, cipher)), der(4, bytes(160))))


def bundles_of(text):
    """Bundles that are wrong in one thing each, and a word of what must be said; text is a good one for a file."""
    good = json.loads(text)
    message = good["messageSignature"]
    material = good["verificationMaterial"]
    envelope = {"payload": "e30=", "payloadType": "application/vnd.in-toto+json", "signatures": [{"sig": message["signature"]}]}

    def but(**k):
        return json.dumps({key: v for key, v in dict(good, **k).items() if v is not None})
    yield but(messageSignature=None), "exactly one of"
    yield but(dsseEnvelope=envelope), "exactly one of"
    yield but(messageSignature=None, dsseEnvelope=envelope), "statement, not a file"
    yield but(messageSignature=None, dsseEnvelope=dict(envelope, signatures=envelope["signatures"] * 2)), "exactly one signature"
    yield but(messageSignature=None, dsseEnvelope=dict(envelope, signatures=[])), "exactly one signature"
    yield but(messageSignature=None, dsseEnvelope=dict(envelope, payloadType="")), "payloadType"
    yield but(messageSignature=None, dsseEnvelope=dict(envelope, payloadType="x" * 1000)), "payloadType"
    yield but(messageSignature=None, dsseEnvelope=dict(envelope, payload="A" * 800000)), "at most"
    yield but(mediaType=None), "no 'mediaType'"
    yield but(mediaType="application/vnd.dev.sigstore.bundle.v0.9+json"), "up to version 0.3"
    yield but(verificationMaterial={"certificate": {"rawBytes": "AA=="}}), "certificate"
    yield but(verificationMaterial=dict(material, x509CertificateChain={})), "certificate"
    yield but(verificationMaterial={"publicKey": "x"}), "publicKey"
    for digest in ({"algorithm": "SHA2_512", "digest": "AA=="}, {"algorithm": "SHA2_256", "digest": "AA=="}, {"algorithm": "SHA2_256"}, "x"):
        yield but(messageSignature=dict(message, messageDigest=digest)), "digest|Digest"
    raw = base64.b64decode(message["signature"])
    wrong = [raw[:n] for n in range(1, len(raw), 6)] + [raw + b"\0", b"\x30\x80" + raw[2:] + b"\0\0", b"\x30\x81" + raw[1:], raw * 2,
                                                    der(0x30, der(2, b"\0"), der(2, b"\1")), der(0x30, der(2, b"\xff"), der(2, b"\1"))]
    for sig in wrong:
        yield but(messageSignature=dict(message, signature=base64.b64encode(sig).decode())), "names the right key|at most|base64"
    for sig in ("", "====", "!!!!", message["signature"][:-1], message["signature"] + "\n"):
        yield but(messageSignature=dict(message, signature=sig)), "base64"
    yield "[" * 100000, "."
    yield '{"mediaType":' * 5000 + "1" + "}" * 5000, "."
    yield " " * (1 << 20) + but(), "larger|limit|more than"
    yield but().replace('"mediaType"', '"mediaType": "x", "mediaType"', 1), "."
    yield but()[:-1], "."
    yield "", "."
    yield "\0" * 100, "."


@case
def hostile_bundles(w):
    with open(w.dir + "/f", "w") as f:
        f.write("hello\n")
    w.run("sign", "f", "--key", KEY)
    w.run("verify", "f", "--key", PUBLIC)
    text = open(w.dir + "/f.sigstore.json").read()
    for n, (bundle, word) in enumerate(bundles_of(text)):
        with open(w.dir + "/b", "w") as f:
            f.write(bundle)
        w.run("verify", "f", "--key", PUBLIC, "--bundle", "b", status=1)
        check(re.search(word, w.diag) and w.diag.count("\n") <= 2 and len(w.diag) < 700, n, bundle[:200], w.diag)
    # of a file for an artifact, and the other way round; a key of another kind
    r = w.registry("zot")
    digest = r.model("org/m", rc.FILES)
    ref = "oci://%s/org/m:v1" % r.host

    def attached(*bundles):
        r.repos["org/m"]["manifests"] = {digest: r.repos["org/m"]["manifests"][digest]}
        for bundle in bundles:
            doc = {"schemaVersion": 2, "mediaType": rc.MANIFEST, "artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json",
                   "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": r.blob("org/m", b"{}"), "size": 2},
                   "layers": [{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "digest": r.blob("org/m", bundle), "size": len(bundle)}],
                   "subject": {"mediaType": rc.MANIFEST, "digest": digest, "size": len(r.repos["org/m"]["manifests"][digest][1])}}
            r.put("org/m", json.dumps(doc).encode())
    w.run("sign", ref, "--key", KEY)
    bundle = next(b for b in r.blobs.values() if b"dsseEnvelope" in b)
    good = json.loads(bundle)
    other = dict(good, dsseEnvelope=dict(good["dsseEnvelope"], payloadType="application/x"))
    for wrong, word in ((text.encode(), "signs a file"), (json.dumps(other).encode(), "does not fit"), (b"{}", "mediaType"), (b"", "."),
                        (b"[" * 100000, "."), (b" " * (2 << 20), ".")):
        attached(wrong)
        check(re.search(word, w.json("verify", ref, "--key", PUBLIC, status=1)["message"]), wrong[:80], w.out)
        policy(w, (r.host, "signed", PUBLIC))
        check("may not be used" in w.json("pull", ref, status=1)["message"], w.out)
        w.nothing_shown()
    attached(b"{}", text.encode(), bundle, b"junk")     # the good one is found among them
    w.run("verify", ref, "--key", PUBLIC)
    w.json("pull", ref)
    attached(*[b"%d" % n for n in range(100)])          # more than are looked at
    check("of the 64 bundles" in w.json("verify", ref, "--key", PUBLIC, status=1)["message"], w.out)


@case
def hostile_keys(w):
    """Cut and bent key files: told, and told soon."""
    with open(w.dir + "/f", "w") as f:
        f.write("hello\n")
    w.env["MLXK_KEY_PASSWORD"] = "secret"
    whole = open(KEY).read()
    inside = base64.b64decode("".join(whole.split("\n")[1:-2]))
    keys = [pem("PRIVATE KEY", inside[:n]) for n in range(0, len(inside), 7)] + [pem("PRIVATE KEY", inside + b"\0")]
    keys += [whole[:n] for n in range(0, len(whole) - 2, 23)] + [whole + whole, whole.replace("-----END", "Proc-Type: 4\n-----END")]
    keys += [pbes2(n.to_bytes((n.bit_length() + 8) // 8, "big")) for n in (0, 10000001, 1 << 31, (1 << 63) - 1, 1 << 64, 1 << 400)] + [pbes2(b"\xff\xff"), pbes2(b"")]
    for n, key in enumerate(keys):
        with open(w.dir + "/k", "w") as f:
            f.write(key)
        w.run("sign", "f", "--key", "k", "--bundle", "b", status=1, seconds=60)
        check(("key file" in w.diag or "k" in w.diag) and len(w.diag) < 500, n, w.diag)
    check("round" in w.diag or "PBKDF2" in w.diag or "key file" in w.diag, w.diag)
    with open(w.dir + "/k", "w") as f:
        f.write(pbes2((10000001).to_bytes(4, "big")))
    w.run("sign", "f", "--key", "k", "--bundle", "b", status=1)
    check("10000001" in w.diag or "10000000" in w.diag or "10,000,000" in w.diag, w.diag)
    check(not os.path.exists(w.dir + "/b"))


if __name__ == "__main__":
    rc.CASES[:] = CASES
    sys.exit(rc.main("sign"))
