"""sign_real.py PROGRAM FOLDER SERVER NAME: signatures and attestations at a real registry server, plain, with passwords, with tokens
and with TLS, beside cosign, as TAP lines. Without cosign its part is left out; no network but loopback is asked."""
import glob
import json
import os
import shutil
import sys

import registry_real as rr
from registry_real import tell

PROGRAM, FOLDER = rr.PROGRAM, rr.FOLDER
COSIGN = shutil.which("cosign")


def keys(name):
    rr.openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", name + ".pem")
    rr.openssl("pkey", "-in", name + ".pem", "-pubout", "-out", name + ".pub.pem")


def cosign(r, *args):
    """Exit status; what it said in r.said."""
    env = dict(r.env, COSIGN_PASSWORD="x", TUF_ROOT=FOLDER + "/no-tuf", HTTPS_PROXY="http://127.0.0.1:1", NO_PROXY="127.0.0.1")
    how = ["--allow-http-registry", "--allow-insecure-registry"] if r.kind != "tls" and args[0] != "import-key-pair" else []
    code, out, diag = rr.sh(COSIGN, args[0], *how, *args[1:], env=env)
    r.said = (out + diag).decode(errors="replace")
    r.out = out.decode(errors="replace")
    return code


def by_mlxk(r, repo, digest):
    """Everything by mlxk alone: sign, find, attest, copy, policy."""
    ref = "oci://%s:v1" % repo
    r.tell(r.mlxk("verify", ref, "--key", FOLDER + "/a.pub.pem") == 1 and "no signature" in r.said, "unsigned")
    d = r.json("sign", ref, "--key", FOLDER + "/a.pem", "--release", "v1.0.0")
    r.tell(d and d["digest"] == digest, "signed")
    again = r.json("sign", ref, "--key", FOLDER + "/a.pem", "--release", "v1.0.0")
    r.tell(again == d, "signed_again_is_the_same")
    r.tell(r.mlxk("verify", ref, "--key", FOLDER + "/a.pub.pem") == 0 and "Release: v1.0.0" in r.said, "verified")
    r.tell(r.mlxk("verify", ref, "--key", FOLDER + "/b.pub.pem") == 1, "stranger")
    d = r.json("attest", ref, "--key", FOLDER + "/a.pem", "--release", "v1.0.0")
    r.tell(d and len(d["attestations"]) == 2, "attested")
    d = r.json("verify", ref, "--key", FOLDER + "/a.pub.pem")
    r.tell(d and len(d["attestations"]) == 2, "attestations_found")
    r.tell(r.mlxk("copy", repo + ":v1", r.host + "/signed/copy", "--referrers") == 0
           and r.mlxk("verify", "oci://%s/signed/copy:v1" % r.host, "--key", FOLDER + "/a.pub.pem") == 0, "copied_with_signatures")
    r.tell(r.mlxk("copy", repo + ":v1", "oci:air", "--referrers") == 0 and r.mlxk("verify", "oci:air:v1", "--key", FOLDER + "/a.pub.pem") == 0, "copied_to_a_layout")
    with open(r.dir + "/policy.json", "w") as f:
        json.dump({"rules": [{"prefix": r.host + "/org", "require": "signed", "keys": [FOLDER + "/a.pub.pem"]},
                             {"prefix": r.host + "/signed", "require": "signed", "keys": [FOLDER + "/b.pub.pem"]}]}, f)
    env, r.env = r.env, dict(r.env, MLXK_POLICY=r.dir + "/policy.json")
    r.tell(r.mlxk("pull", ref) == 0 and glob.glob(r.dir + "/hf/hub/*/.mlxk/*.signed"), "policy_lets_in")
    r.tell(r.mlxk("pull", "oci://%s/signed/copy:v1" % r.host) == 1 and "may not be used" in r.said, "policy_keeps_out")
    r.env = env


def by_cosign(r, repo, digest):
    """What mlxk signed cosign takes, and the other way round; each in both forms that cosign writes."""
    at, a, b = "%s@%s" % (repo, digest), FOLDER + "/a.pub.pem", FOLDER + "/b.pub.pem"
    offline = ["--insecure-ignore-tlog"]
    r.tell(cosign(r, "verify", "--key", a, *offline, at) == 0 and '"version":"v1.0.0"' in r.out, "cosign_verifies")
    r.tell(cosign(r, "verify", "--key", a, *offline, "-a", "version=v1.0.0", at) == 0, "cosign_verifies_the_release")
    r.tell(cosign(r, "verify", "--key", b, *offline, at) != 0, "cosign_refuses_a_stranger")
    r.tell(cosign(r, "verify", "--key", a, *offline, "%s/signed/copy@%s" % (r.host, digest)) == 0, "cosign_verifies_the_copy")
    for kind in ("cyclonedx", "slsaprovenance1"):
        r.tell(cosign(r, "verify-attestation", "--key", a, "--type", kind, *offline, at) == 0, "cosign_verifies_" + kind)
        r.tell(cosign(r, "verify-attestation", "--key", b, "--type", kind, *offline, at) != 0, "cosign_refuses_a_strangers_" + kind)
    quiet = ["--key", FOLDER + "/cosign.key", "--tlog-upload=false", "--use-signing-config=false", "-y"]
    r.tell(r.mlxk("verify", "oci://%s:v1" % repo, "--key", b) == 1, "not_by_the_other_yet")
    r.tell(cosign(r, "sign", *quiet, at) == 0, "cosign_signs")
    r.tell(r.mlxk("verify", "oci://%s:v1" % repo, "--key", b) == 0, "mlxk_verifies_cosign")
    with open(r.dir + "/predicate.json", "w") as f:
        f.write('{"bomFormat":"CycloneDX","specVersion":"1.6","version":1}')
    r.tell(cosign(r, "attest", *quiet, "--type", "cyclonedx", "--predicate", r.dir + "/predicate.json", at) == 0, "cosign_attests")
    r.tell(r.mlxk("verify", "oci://%s:v1" % repo, "--key", b, "--type", "sbom") == 0, "mlxk_verifies_cosigns_attestation")
    r.tell(r.mlxk("verify", "oci://%s:v1" % repo, "--key", a) == 0 and cosign(r, "verify", "--key", a, *offline, at) == 0, "all_beside_each_other")
    # The older kind: a tag sha256-DIGEST.sig, here of an artifact that has nothing else.
    older = "%s/signed/older" % r.host
    r.tell(r.mlxk("copy", "oci:%s/source:v1" % FOLDER, older) == 0, "older_there")
    at = "%s@%s" % (older, digest)
    r.tell(r.mlxk("verify", "oci://%s:v1" % older, "--key", b) == 1, "older_not_signed_yet")
    r.tell(cosign(r, "sign", *quiet, "--new-bundle-format=false", "-a", "version=v1.0.0", at) == 0, "cosign_signs_the_older_way")
    r.tell(r.mlxk("verify", "oci://%s:v1" % older, "--key", b) == 0 and "Release: v1.0.0" in r.said, "mlxk_verifies_the_older_way")
    r.tell(r.mlxk("verify", "oci://%s:v1" % older, "--key", a) == 1, "mlxk_refuses_a_stranger_the_older_way")


def main():
    rr.certificates()
    keys("a")
    keys("b")
    files = {"config.json": b"{}", "sub/a.bin": os.urandom(300000), "README.md": b"---\nlicense: mit\n---\n"}
    source = FOLDER + "/source"
    digest = rr.layout(source, files)
    for kind in ("plain", "basic", "token", "tls"):
        r = rr.Rig(kind)
        try:
            if COSIGN and not os.path.exists(FOLDER + "/cosign.key"):
                tell(cosign(r, "import-key-pair", "--key", FOLDER + "/b.pem", "--output-key-prefix", FOLDER + "/cosign") == 0, "cosign_takes_the_key", r.said)
            repo = r.host + "/org/m"
            r.tell(r.mlxk("copy", "oci:%s:v1" % source, repo) == 0, "there")
            by_mlxk(r, repo, digest)
            if COSIGN and r.issuer:
                print("ok real/%s/%s/cosign # SKIP cosign refuses a realm on loopback" % (rr.NAME, kind))
            elif COSIGN:
                by_cosign(r, repo, digest)
        finally:
            r.stop()
    return bool(rr.FAILED)


if __name__ == "__main__":
    sys.exit(main())
