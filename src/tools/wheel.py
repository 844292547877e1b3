#!/usr/bin/env python3
"""wheel.py: the program as a Python wheel: `pip install` puts mlxk on PATH and gives `import mlxk`.

  wheel.py --program FILE [--number X.Y.Z...] [--out DIR]       prints the path of the wheel it made

The program's own header (ELF, Mach-O) says for which platform the wheel is; VERSION says its version. The program is
static, so it fits every C library: the tags manylinux_2_17, manylinux2014 and musllinux_1_1 are those that PyPI takes.
A program that is linked dynamically (a build for debugging) becomes a wheel for this machine alone.
Nothing of the machine enters: the same program and sources give the same bytes. Files are stored, not compressed, so no
version of zlib matters; names are sorted; the time is that of SOURCE_DATE_EPOCH, or 1980.
ref  PyPA binary distribution format 1.0, core metadata 2.1, version specifiers (PEP 440), platform tags (PEP 600, 656)."""
import argparse
import base64
import hashlib
import os
import re
import struct
import sys
import time
import zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGE = os.path.join(ROOT, "src", "python", "mlxk")
OTHER_NAMES = ("mlxk-json", "mlxk2", "mlx-run")
ELF = {62: "x86_64", 183: "aarch64"}
MACH = {0x01000007: ("10_12", "x86_64"), 0x0100000C: ("11_0", "arm64")}


def version_of(line):
    """1.2.3, 1.2.3-dev, 1.2.3.dev4+g0123, 1.2.3-alpha.4, -beta.4, -rc.4 as Python writes them."""
    m = re.fullmatch(r"(\d+\.\d+\.\d+)(?:-(dev)|(\.dev\d+)|-(alpha|beta|rc)\.(\d+))?(\+[0-9a-z.]+)?", line.strip())
    if not m:
        raise SystemExit(f"wheel.py: the version is {line.strip()!r}, for which Python has none")
    number, dev, numbered, label, n, local = m.groups()
    tail = ".dev0" if dev else numbered or ({"alpha": "a", "beta": "b", "rc": "rc"}[label] + n if label else "")
    return number + tail + (local or "")


def platforms_of(program):
    """Platform tags for the file, from its first bytes."""
    head = program[:20]
    if head[:6] == b"\x7fELF\x02\x01":
        arch = ELF.get(struct.unpack_from("<H", head, 18)[0])
        if arch:
            if dynamic(program):                    # needs the C library of the machine it was linked on
                return [f"linux_{arch}"]
            return [f"manylinux2014_{arch}", f"manylinux_2_17_{arch}", f"musllinux_1_1_{arch}"]
    if head[:4] == b"\xcf\xfa\xed\xfe":
        kind = MACH.get(struct.unpack_from("<I", head, 4)[0])
        if kind:
            return [f"macosx_{kind[0]}_{kind[1]}"]
    raise SystemExit("wheel.py: the program is of no platform that is known here (ELF or Mach-O, x86-64 or 64-bit ARM)")


def dynamic(program):
    """Does the ELF file ask for an interpreter?"""
    at, size, n = struct.unpack_from("<Q", program, 32)[0], *struct.unpack_from("<HH", program, 54)
    return any(struct.unpack_from("<I", program, at + i * size)[0] == 3 for i in range(n))


def metadata(version):
    with open(os.path.join(ROOT, "docs", "PYTHON.md"), encoding="utf-8") as f:
        readme = f.read()
    # links of the page lead into the tree, which is not here
    readme = re.sub(r"\[([^\]]*)\]\([^)#:]*\.md\)", r"\1", readme)
    return "\n".join([
        "Metadata-Version: 2.1", "Name: mlxk", f"Version: {version}",
        "Summary: Pull, verify, version and run language models: one static program, and its Python module",
        "License: Apache-2.0", "Requires-Python: >=3.8", "Description-Content-Type: text/markdown",
        "Classifier: License :: OSI Approved :: Apache Software License", "Classifier: Programming Language :: Python :: 3",
        "Classifier: Typing :: Typed", "", readme])


def members(program, version, tags):
    """(name, bytes, executable) of everything but RECORD."""
    info = f"mlxk-{version}.dist-info"
    for name in sorted(os.listdir(PACKAGE)):
        if name.endswith((".py", ".typed")):
            with open(os.path.join(PACKAGE, name), "rb") as f:
                yield f"mlxk/{name}", f.read(), False
    yield f"mlxk-{version}.data/scripts/mlxk", program, True
    wheel = ["Wheel-Version: 1.0", "Generator: mlxk wheel.py", "Root-Is-Purelib: false", *[f"Tag: py3-none-{t}" for t in tags], ""]
    yield f"{info}/WHEEL", "\n".join(wheel).encode(), False
    yield f"{info}/METADATA", metadata(version).encode(), False
    entries = ["[console_scripts]", *[f"{n} = mlxk.__main__:main" for n in OTHER_NAMES], ""]
    yield f"{info}/entry_points.txt", "\n".join(entries).encode(), False
    with open(os.path.join(ROOT, "LICENSE"), "rb") as f:
        yield f"{info}/LICENSE", f.read(), False


def record(files, info):
    lines = [f"{n},sha256={base64.urlsafe_b64encode(hashlib.sha256(d).digest()).rstrip(b'=').decode()},{len(d)}" for n, d, _ in files]
    return "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()


def write(path, files, stamp):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as z:
        for name, data, executable in files:
            entry = zipfile.ZipInfo(name, stamp)
            entry.create_system = 3                 # Unix, so that modes count
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            z.writestr(entry, data)


def main():
    parser = argparse.ArgumentParser(description="the program as a Python wheel")
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "mlxk"))
    parser.add_argument("--number", help="another number than VERSION's first line")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "dist"))
    args = parser.parse_args()
    with open(args.program, "rb") as f:
        program = f.read()
    with open(os.path.join(ROOT, "VERSION"), encoding="ascii") as f:
        version = version_of(args.number or f.readline())
    tags = platforms_of(program)
    info = f"mlxk-{version}.dist-info"
    files = sorted(members(program, version, tags))
    files.append((f"{info}/RECORD", record(files, info), False))
    # 1980 is the first year that a zip archive knows
    stamp = time.gmtime(max(int(os.environ.get("SOURCE_DATE_EPOCH") or 0), 315532800))[:6]
    os.makedirs(args.out, exist_ok=True)
    path = os.path.join(args.out, f"mlxk-{version}-py3-none-{'.'.join(tags)}.whl")
    write(path + ".tmp", files, stamp)
    os.replace(path + ".tmp", path)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
