"""release_bundle.py FOLDER [KEY=VALUE...]: a release's folder whose programs are nothing but their build facts; the lists
and the statement as src/tools/release makes them. Values of the facts may be changed (version=..., commit=...)."""
import hashlib
import json
import os
import sys

folder, facts = sys.argv[1], {"version": "1.2.3", "commit": "c" * 40, "tree": "d" * 40, "dirty": "0"}
facts.update(word.split("=", 1) for word in sys.argv[2:])
os.makedirs(folder, exist_ok=True)


def put(name, data):
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def program(name, part, target, more=b""):
    lines = dict(facts, part=part, target=target, commit_time="2026-11-27T22:03:50Z")
    text = "mlxk build facts, version 1\n" + "".join("%s %s\n" % x for x in lines.items()) + "end of build facts\n"
    put(name, b"\x7fELF" + b"\0" * 60 + text.encode() + more)


for cpu in ("x86_64", "aarch64"):
    program("mlxk-1.2.3-%s-linux" % cpu, "whole", cpu + "-linux-musl")
    program("mlxk-client-1.2.3-%s-linux" % cpu, "client", cpu + "-linux-musl")
program("mlxk-1.2.3-aarch64-macos", "whole", "aarch64-macos.11.0")
put("install.sh", b"#!/bin/sh\n")
put("UNSIGNED", b"unsigned\n")


def sums():
    names = sorted(n for n in os.listdir(folder) if not n.startswith("SHA256SUMS"))
    return [(n, hashlib.sha256(open(os.path.join(folder, n), "rb").read()).hexdigest()) for n in names]


put("provenance.intoto.json", json.dumps({
    "_type": "https://in-toto.io/Statement/v1", "subject": [{"name": n, "digest": {"sha256": h}} for n, h in sums()],
    "predicateType": "https://slsa.dev/provenance/v1", "predicate": {}}, separators=(",", ":")).encode())
put("SHA256SUMS", "".join("%s  %s\n" % (h, n) for n, h in sums()).encode())
print("release\tv1.2.3\t%s\t%s\t%s\t2026-11-27T22:03:50Z\tsigned\t%s\t-" % (
    "e" * 40, facts["commit"], facts["tree"], ",".join("%s=%s" % x for x in sums())))
