#!/usr/bin/env python3
"""deb.py: the program as a Debian package, with manual page, completions and the mirror's unit for systemd.

  deb.py --program FILE --pages DIR [--number X.Y.Z...] [--out DIR]       prints the path of the package it made

The program's own header says the architecture (amd64, arm64), VERSION the number. DIR has the pages that a program wrote:
mlxk.1, mlxk.bash, mlxk.zsh, mlxk.fish (those of another architecture are the same). What else goes in, and the scripts
that dpkg runs, lie in docs/packaging. Nothing of the machine enters: members stored and not compressed, names sorted, owner root,
time SOURCE_DATE_EPOCH or 1980; no packaging tool whose version would matter.
ref  deb(5), deb-control(5), Debian Policy 3.9, 5.3, 10.7 (configuration files), 12.3 (changelog), 12.5 (copyright)."""
import argparse
import hashlib
import io
import os
import re
import struct
import sys
import tarfile
import time
import zlib

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PACKAGING = os.path.join(ROOT, "docs", "packaging")
ARCHITECTURES = {62: "amd64", 183: "arm64"}
OTHER_NAMES = ("mlxk-json", "mlxk2", "mlx-run")
SCRIPTS = ("postinst", "prerm", "postrm")
STORED = 65535                                  # bytes that one stored block of deflate holds


def text(*path):
    with open(os.path.join(ROOT, *path), "rb") as f:
        return f.read()


def version_of(line):
    """1.2.3, 1.2.3-dev, 1.2.3-rc.4 as dpkg orders them: ~ stands before nothing. Also a nightly 1.2.3.dev20260102."""
    m = re.fullmatch(r"(\d+\.\d+\.\d+)(?:-(dev)|\.(dev\d+)|-(alpha|beta|rc)\.(\d+))?(\+[0-9a-zA-Z.]+)?", line.strip())
    if not m:
        raise SystemExit(f"deb.py: the version is {line.strip()!r}, for which dpkg has no number")
    number, dev, nightly, label, n, local = m.groups()
    tail = "~~dev" if dev else f"~~{nightly}" if nightly else f"~{label}{n}" if label else ""
    return number + tail + (local or "") + "-1"


def architecture_of(program):
    if program[:6] == b"\x7fELF\x02\x01":
        kind = ARCHITECTURES.get(struct.unpack_from("<H", program, 18)[0])
        if kind:
            return kind
    raise SystemExit("deb.py: the program is no ELF file for amd64 or arm64")


def gzipped(data):
    """gzip of stored blocks: the same bytes whichever zlib is there."""
    out = io.BytesIO()
    out.write(b"\x1f\x8b\x08\0\0\0\0\0\x02\x03")
    for at in range(0, max(len(data), 1), STORED):
        piece = data[at:at + STORED]
        out.write(struct.pack("<BHH", at + STORED >= len(data), len(piece), len(piece) ^ 0xFFFF) + piece)
    out.write(struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF))
    return out.getvalue()


def changelog(version, stamp):
    """The one entry that dpkg-parsechangelog wants; what changed is in the project's own list beside it."""
    days, months = "Mon Tue Wed Thu Fri Sat Sun".split(), "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
    t = time.gmtime(stamp)
    when = "%s, %02d %s %d %02d:%02d:%02d +0000" % (days[t.tm_wday], t.tm_mday, months[t.tm_mon - 1], t.tm_year, *t[3:6])
    return (f"mlxk ({version}) unstable; urgency=medium\n\n  * Release of mlxk; what changed is in changelog.gz.\n\n"
            f" -- mlxk maintainers <maintainers@mlxk.invalid>  {when}\n").encode()


def members(program, pages, version, stamp):
    """{path: bytes, or the text of a symbolic link} and which paths are executable."""
    def page(name):
        with open(os.path.join(pages, name), "rb") as f:
            return f.read()
    systemd = os.path.join("docs", "packaging", "systemd")
    doc = "usr/share/doc/mlxk/"
    files = {
        "etc/default/mlxk-mirror": text(systemd, "mlxk-mirror.default"),
        "usr/bin/mlxk": program,
        "usr/lib/systemd/system/mlxk-mirror.service": text(systemd, "mlxk-mirror.service"),
        "usr/lib/sysusers.d/mlxk.conf": text(systemd, "mlxk.sysusers"),
        "usr/lib/tmpfiles.d/mlxk.conf": text(systemd, "mlxk.tmpfiles"),
        "usr/share/bash-completion/completions/mlxk": page("mlxk.bash"),
        "usr/share/fish/vendor_completions.d/mlxk.fish": page("mlxk.fish"),
        "usr/share/zsh/vendor-completions/_mlxk": page("mlxk.zsh"),
        "usr/share/man/man1/mlxk.1.gz": gzipped(page("mlxk.1")),
        doc + "changelog.gz": gzipped(text("CHANGELOG.md")),
        doc + "changelog.Debian.gz": gzipped(changelog(version, stamp)),
        doc + "copyright": text("docs", "packaging", "debian", "copyright") + libraries(),
    }
    for name in OTHER_NAMES:
        files["usr/bin/" + name] = "mlxk"
        files[f"usr/share/man/man1/{name}.1.gz"] = "mlxk.1.gz"
    return files, {"usr/bin/mlxk"}


def libraries():
    """What is linked in, from vendor/lock."""
    rows = [line.split() for line in text("vendor", "lock").decode().splitlines() if line.startswith("library ")]
    rows = [r for r in rows if r[1] not in ("ziglang", "bearssl")]
    return "".join(f"Files: {r[1]}\nCopyright: the authors of {r[1]}\nLicense: {r[3]}\n Linked in, version {r[2]}.\n\n"
                   for r in rows).encode()


def tar(files, executable, stamp):
    """A ustar archive with its folders, everything root's."""
    out = io.BytesIO()
    folders = {p[:i] for p in files for i, c in enumerate(p) if c == "/"}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as t:
        for path in ["", *sorted(folders | set(files))]:
            entry = tarfile.TarInfo("./" + path)
            entry.mtime, entry.uname, entry.gname = stamp, "root", "root"
            data = files.get(path)
            if data is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(data, str):
                entry.type, entry.mode, entry.linkname = tarfile.SYMTYPE, 0o777, data
            else:
                entry.mode, entry.size = (0o755 if path in executable else 0o644), len(data)
            t.addfile(entry, io.BytesIO(data) if isinstance(data, bytes) else None)
    return out.getvalue()


def control(version, arch, files):
    size = sum((len(d) + 1023) // 1024 for d in files.values() if isinstance(d, bytes)) + len(files)
    lines = text("docs", "packaging", "debian", "control").decode()
    for key, value in (("VERSION", version), ("ARCH", arch), ("SIZE", str(size))):
        lines = lines.replace(f"@{key}@", value)
    fields = {"control": lines.encode(), "conffiles": b"/etc/default/mlxk-mirror\n"}
    fields["md5sums"] = "".join(f"{hashlib.md5(d).hexdigest()}  {p}\n" for p, d in sorted(files.items())
                                if isinstance(d, bytes) and not p.startswith("etc/")).encode()
    for name in SCRIPTS:
        fields[name] = text("docs", "packaging", "debian", name)
    return fields


def ar(parts, stamp):
    out = io.BytesIO()
    out.write(b"!<arch>\n")
    for name, data in parts:
        out.write(b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name.encode(), stamp, 0, 0, b"100644", len(data)))
        out.write(data + (b"\n" if len(data) % 2 else b""))
    return out.getvalue()


def main():
    parser = argparse.ArgumentParser(description="the program as a Debian package")
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "mlxk"))
    parser.add_argument("--pages", required=True)
    parser.add_argument("--number", help="another number than VERSION's first line")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "dist"))
    args = parser.parse_args()
    with open(args.program, "rb") as f:
        program = f.read()
    number = args.number or text("VERSION").decode("ascii").split("\n")[0]
    version = version_of(number)
    arch = architecture_of(program)
    stamp = max(int(os.environ.get("SOURCE_DATE_EPOCH") or 0), 315532800)
    files, executable = members(program, args.pages, version, stamp)
    fields = control(version, arch, files)
    package = ar([("debian-binary", b"2.0\n"), ("control.tar.gz", gzipped(tar(fields, set(SCRIPTS), stamp))),
                  ("data.tar.gz", gzipped(tar(files, executable, stamp)))], stamp)
    os.makedirs(args.out, exist_ok=True)
    path = os.path.join(args.out, f"mlxk_{number}_{arch}.deb")
    with open(path + ".tmp", "wb") as f:
        f.write(package)
    os.replace(path + ".tmp", path)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
