#!/usr/bin/env python3
"""judge_cache.py: is a hub cache whole? Standard library only; knows the layout, asks no program.

  judge_cache.py CACHE [--finished|--strict] [--partial REPO]... [--has REPO[@REVISION]]... [--not REPO[@REVISION]]...

Prints one line per fault; exit status 1 when there is one. What every tool relies on, at any moment:
  - nothing lies in the root that other tools take for damage, and every repository has snapshots/;
  - a ref is 40 hex digits without a newline and names a snapshot that is there;
  - a snapshot holds folders, files and links; a link is relative, leads to a blob of its own
    repository, and the blob is there;
  - a blob's name is the hash of its bytes (64 digits: sha256, 40 digits: as git counts);
  - a file list (trees/) is whole, sorted, and agrees with what the snapshot shows; a snapshot under a ref
    shows all of it (not with --partial REPO);
  - the shared store has its marker, every link into it is listed in the payload's manifest, and
    every listed link's payload is there.
--finished: what was begun is done: no partial blobs, no waste of a removal, whole snapshots also without a ref.
--strict: and no temporary is left over, which after a kill is the work of `gc`."""
import hashlib
import json
import os
import re
import stat
import sys

HEX40, HEX64 = re.compile("[0-9a-f]{40}"), re.compile("[0-9a-f]{64}")
PARTIAL = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?(\.[0-9a-f]{8})?(\.mlxk)?\.incomplete")
TEMPORARY = re.compile(r".*\.incomplete|\..*\.[0-9a-f]{8}\.shared")
MARKER = ".huggingface-shared-blobs"


def digest(path, name):
    """What `name` would be for the bytes of path; None when the name promises nothing."""
    if HEX64.fullmatch(name):
        h = hashlib.sha256()
    elif HEX40.fullmatch(name):
        h = hashlib.sha1(b"blob %d\0" % os.stat(path).st_size)
    else:
        return None
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            h.update(chunk)
    return h.hexdigest()


def walk(top):
    """(path relative to top, lstat) of everything below that is no folder."""
    for dp, dn, fn in os.walk(top):
        for n in fn + [d for d in dn if os.path.islink(os.path.join(dp, d))]:
            p = os.path.join(dp, n)
            yield os.path.relpath(p, top), os.lstat(p)


class Judge:
    def __init__(self, root, finished=False, partial=(), strict=False, leaks=False):
        self.leaks = leaks           # payloads of the shared store that nobody uses may stay
        self.root, self.finished, self.strict, self.faults = root, finished or strict, strict, []
        self.partial = set(partial)
        self.shared = {}             # payload -> set of repository blobs that lead to it
        self.snapshots = {}          # repository -> set of commits
        self.refs = {}               # repository -> {name: commit}

    def bad(self, text):
        self.faults.append(text)

    def run(self):
        for name in sorted(os.listdir(self.root)):
            path = os.path.join(self.root, name)
            if name == "CACHEDIR.TAG":
                if not open(path).read().startswith("Signature: 8a477f597d28d172789f06886806bc55"):
                    self.bad("CACHEDIR.TAG has no signature")
            elif name == ".locks":
                self.locks(path)
            elif name == "blobs":
                if not os.path.isfile(os.path.join(path, MARKER)):
                    self.bad("blobs: a shared store without its marker")
            elif re.fullmatch(r"(models|datasets|spaces)--.+", name) and os.path.isdir(path):
                self.repo(name, path)
            else:
                self.bad(f"{name}: other tools take this for damage")
        self.store(os.path.join(self.root, "blobs"))
        return self.faults

    def locks(self, path):
        for rel, st in walk(path):
            if ".removed/" in rel or re.search(r"\.removed$", rel):
                if self.finished:
                    self.bad(f".locks/{rel}: waste of a removal")
            elif not rel.endswith((".lock", ".lock.soft")) and self.finished:
                self.bad(f".locks/{rel}: is no lock")
            elif not stat.S_ISREG(st.st_mode):
                self.bad(f".locks/{rel}: is no file")

    def repo(self, name, path):
        repo = name.split("--", 1)[1].replace("--", "/")
        for entry in os.listdir(path):
            if entry == ".mlxk":             # maps of unfinished blobs
                if self.strict and os.listdir(os.path.join(path, entry)):
                    self.bad(f"{name}/.mlxk: maps are left over")
            elif entry not in ("blobs", "refs", "snapshots", "trees", ".no_exist"):
                self.bad(f"{name}/{entry}: does not belong there")
        if not os.path.isdir(os.path.join(path, "snapshots")):
            self.bad(f"{name}: has no snapshots/")
            return
        commits = self.snapshots[repo] = set()
        for commit in os.listdir(os.path.join(path, "snapshots")):
            commits.add(commit)
            if not os.path.isdir(os.path.join(path, "snapshots", commit)):
                self.bad(f"{name}/snapshots/{commit}: is a file")
        refs = self.refs[repo] = {}
        for ref, st in walk(os.path.join(path, "refs")):
            data = open(os.path.join(path, "refs", ref), "rb").read()
            refs[ref] = data.decode("latin-1")
            if not HEX40.fullmatch(refs[ref]):
                self.bad(f"{name}/refs/{ref}: holds {data[:60]!r}")
            elif refs[ref] not in commits:
                self.bad(f"{name}/refs/{ref}: names the commit {refs[ref]} that is not there")
        self.blobs(name, path)
        for commit in sorted(commits):
            self.snapshot(name, path, repo, commit, commit in refs.values())

    def blobs(self, name, path):
        for blob, st in walk(os.path.join(path, "blobs")):
            full = os.path.join(path, "blobs", blob)
            if TEMPORARY.fullmatch(blob):
                if self.strict or (self.finished and PARTIAL.fullmatch(blob)):
                    self.bad(f"{name}/blobs/{blob}: is unfinished")
                continue
            if stat.S_ISLNK(st.st_mode):
                target = os.path.normpath(os.path.join(path, "blobs", os.readlink(full)))
                self.shared.setdefault(target, set()).add(f"{name}/blobs/{blob}")
                if not os.path.isfile(full):
                    self.bad(f"{name}/blobs/{blob}: leads nowhere")
                    continue
            elif not stat.S_ISREG(st.st_mode):
                self.bad(f"{name}/blobs/{blob}: is no file")
                continue
            found = digest(full, blob)
            if found is not None and found != blob:
                self.bad(f"{name}/blobs/{blob}: its bytes have the hash {found}")

    def tree(self, name, path, commit):
        """path -> (size, etag), or None without a list."""
        try:
            text = open(os.path.join(path, "trees", commit + ".json"), encoding="utf-8").read()
        except OSError:
            return None
        try:
            doc = json.loads(text)
            if doc["format_version"] != 1 or list(doc["files"]) != sorted(doc["files"], key=lambda p: p.encode()):
                self.bad(f"{name}/trees/{commit}.json: not version 1, or not sorted")
            return {p: (f["size"], f.get("lfs_sha256") or f["blob_id"]) for p, f in doc["files"].items()}
        except (ValueError, KeyError, TypeError) as e:
            self.bad(f"{name}/trees/{commit}.json: {e!r}")
            return None

    def snapshot(self, name, path, repo, commit, has_ref):
        top = os.path.join(path, "snapshots", commit)
        tree = self.tree(name, path, commit)
        shown = set()
        for rel, st in walk(top):
            where, full = f"{name}/snapshots/{commit}/{rel}", os.path.join(top, rel)
            shown.add(rel)
            size, etag = (tree or {}).get(rel, (None, None))
            if tree is not None and etag is None:
                self.bad(f"{where}: is not in the file list")
            if stat.S_ISLNK(st.st_mode):
                target = os.readlink(full)
                want = "../" * (rel.count("/") + 2) + "blobs/"
                if not target.startswith(want) or "/" in target[len(want):]:
                    self.bad(f"{where}: leads to {target}")
                elif not os.path.isfile(full):
                    self.bad(f"{where}: its blob is missing")
                elif etag and target[len(want):] != etag:
                    self.bad(f"{where}: is {target[len(want):]}, by the list {etag}")
            elif not stat.S_ISREG(st.st_mode):
                self.bad(f"{where}: is neither link nor file")
            elif etag and digest(full, etag) not in (None, etag):
                self.bad(f"{where}: its bytes are not {etag}")
            if size is not None and os.path.isfile(full) and os.stat(full).st_size != size:
                self.bad(f"{where}: has {os.stat(full).st_size} bytes, by the list {size}")
        if tree is not None and repo not in self.partial and (has_ref or self.finished):
            for rel in sorted(set(tree) - shown):
                self.bad(f"{name}/snapshots/{commit}/{rel}: is missing, though a ref or the list promises it")

    def store(self, top):
        payloads = {}
        for rel, st in walk(top):
            if rel == MARKER:
                if open(os.path.join(top, rel)).read() != "1\n":
                    self.bad("blobs/: the marker of the shared store is another one")
            elif m := re.fullmatch("([0-9a-f]{2})/([0-9a-f]{64})", rel):
                payloads[os.path.join(top, rel)] = m.group(2)
                if not m.group(2).startswith(m.group(1)) or not stat.S_ISREG(st.st_mode):
                    self.bad(f"blobs/{rel}: is no payload")
            elif not re.fullmatch(r"[0-9a-f]{2}/[0-9a-f]{64}\.(refs|lock|lock\.soft)", rel) and self.strict:
                self.bad(f"blobs/{rel}: does not belong there")
        for payload, blobs in self.shared.items():
            if payload not in payloads:
                self.bad(f"{sorted(blobs)[0]}: leads out of the shared store")
            try:
                listed = set(open(payload + ".refs").read().splitlines())
            except OSError:
                listed = set()
            for blob in sorted(blobs - listed):
                self.bad(f"{blob}: is not in the manifest of its payload")
        for payload in payloads:
            if self.finished and not self.leaks and payload not in self.shared and os.path.exists(payload + ".refs"):
                self.bad(f"blobs/{os.path.basename(payload)}: nobody uses this payload any more")

    def has(self, spec):
        repo, _, revision = spec.partition("@")
        commit = self.refs.get(repo, {}).get(revision or "main", revision)
        return repo in self.snapshots and (not revision and not self.refs[repo] or commit in self.snapshots[repo])


def judge(root, finished=False, partial=(), has=(), not_has=(), strict=False, leaks=False):
    """The faults of a cache, as sentences."""
    if not os.path.isdir(root):
        return [f"{root}: no cache"] if has else []
    j = Judge(root, finished, partial, strict, leaks)
    faults = j.run()
    faults += [f"{spec} is not there" for spec in has if not j.has(spec)]
    faults += [f"{spec} is there" for spec in not_has if j.has(spec)]
    return faults


def fingerprint(top):
    """Everything below top with what makes it the same: kind, mode, owner, time, inode, content."""
    out = {}
    for dp, dn, fn in os.walk(top):
        for n in dn + fn:
            p = os.path.join(dp, n)
            st = os.lstat(p)
            content = os.readlink(p) if stat.S_ISLNK(st.st_mode) else ""
            if stat.S_ISREG(st.st_mode):
                content = hashlib.sha256(open(p, "rb").read()).hexdigest()
            out[os.path.relpath(p, top)] = (st.st_mode, st.st_uid, st.st_gid, content, st.st_ino,
                                            0 if stat.S_ISDIR(st.st_mode) else st.st_mtime_ns)
    return out


def main(argv):
    lists = {"--partial": [], "--has": [], "--not": []}
    plain, i = [], 0
    while i < len(argv):
        if argv[i] in lists:
            lists[argv[i]].append(argv[i + 1])
            i += 1
        else:
            plain.append(argv[i])
        i += 1
    if len([a for a in plain if not a.startswith("--")]) != 1 or any(a.startswith("--") and a not in ("--finished", "--strict") for a in plain):
        print(__doc__, file=sys.stderr)
        return 2
    root = next(a for a in plain if not a.startswith("--"))
    faults = judge(root, "--finished" in plain, lists["--partial"], lists["--has"], lists["--not"], "--strict" in plain)
    print("\n".join(faults), end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
