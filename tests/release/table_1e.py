"""table_1e.py: versions of models, row by row: E1-E22. Each row is a function; it says what must hold and how it is seen.

  table_1e.py PROGRAM WORK [ROW...]

What the program answers is judged by what is on disk and in the registry, and by formulas written here once more: the hash of
what differs from a commit, names made fit for tags, the nearest release in a history. Prints TAP lines and their sum."""
import ast
import hashlib
import http.server
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import unicodedata

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "fake"), os.path.join(ROOT, "src", "python")]
import fake_registry     # noqa: E402
import mlxk              # noqa: E402

PROGRAM, WORK = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
COUNT = {"ok": 0, "not ok": 0, "skip": 0}
ROWS = {}


def ok(row, name, fine, *more):
    word = "ok" if fine else "not ok"
    COUNT[word] += 1
    print(f"{word} {row} {name}")
    for m in more if not fine else ():
        print("#  ", str(m).replace("\n", "\n#   ")[:600])
    sys.stdout.flush()


def row(f):
    ROWS[f.__name__] = f
    return f


def refused(type, call):
    """The Error's type is this one."""
    try:
        return call() and False
    except mlxk.Error as e:
        return e.type == type


def refused_any(call):
    try:
        return call() and False
    except mlxk.Error:
        return True


# ---- models, folders, histories ----------------------------------------------------------------------------------------

def fresh(name):
    path = os.path.join(WORK, name)
    shutil.rmtree(path, ignore_errors=True)
    return path


def tiny(path):
    """A whole model: config, tokenizer, template, weights."""
    golden = os.path.join(ROOT, "tests", "golden", "tiny-a")
    os.makedirs(path)
    for folder in ("llama-q4-g64", "_tokenizer"):
        for name in os.listdir(os.path.join(golden, folder)):
            if name.endswith((".json", ".safetensors")) and not name.startswith("golden"):
                with open(os.path.join(golden, folder, name), "rb") as f, open(os.path.join(path, name), "wb") as g:
                    g.write(f.read())
    put(path, "README.md", "words\n")
    return path


def put(path, name, text):
    with open(os.path.join(path, name), "w" if isinstance(text, str) else "wb") as f:
        f.write(text)


def change(path, name, edit):
    """A JSON file with its document edited."""
    with open(os.path.join(path, name), encoding="utf-8") as f:
        document = json.load(f)
    edit(document)
    put(path, name, json.dumps(document))


def git(path, *words):
    return subprocess.run(["git", *words], cwd=path, check=True, capture_output=True, text=True).stdout.strip()


def commit(path, message="x"):
    git(path, "add", "-A")
    git(path, "commit", "-q", "--allow-empty", "-m", message)
    return git(path, "rev-parse", "HEAD")


def repository(name):
    path = tiny(fresh(name))
    git(path, "init", "-q", "-b", "main")
    commit(path)
    return path


def weights_of(path):
    return next(n for n in sorted(os.listdir(path)) if n.endswith(".safetensors"))


def other_weights(path):
    """The last byte of the weights is another one."""
    name = os.path.join(path, weights_of(path))
    with open(name, "r+b") as f:
        f.seek(-1, 2)
        last = f.read(1)[0]
        f.seek(-1, 2)
        f.write(bytes([last ^ 1]))


def sha(data):
    return hashlib.sha256(data).hexdigest()


def contents(path, name):
    with open(os.path.join(path, name), "rb") as f:
        return f.read()


def model(path, layout=None):
    return mlxk.Model(path, "oci:" + (layout or fresh(os.path.basename(path) + "-layout")), name="ham")


def tags_of(m):
    return {t: v.digest for v in m.versions() for t in v.tags}


def fields(tag):
    return tag.split("-")


# ---- adhoc states ------------------------------------------------------------------------------------------------------

@row
def E1():
    w = repository("e1")
    m = model(w)
    first = m.store()
    g, d, c = fields(first.tags[0])
    ok("E1", "git-hash is the first 12 digits of HEAD", g == git(w, "rev-parse", "HEAD")[:12], first)
    ok("E1", "a clean tree says clean", d == "clean", d)
    ok("E1", "a hash of 12 digits is the client's", re.fullmatch("[0-9a-f]{12}", c) and c == first.hashes["interface"][:12], c)

    def dirty():
        return fields(m.store(dry_run=True).tags[0])[1]

    def formula(*lines):
        text = b"".join(p.encode() + b"\0" + s.encode() + b"\0" + h.encode() + b"\n" for p, s, h in sorted(lines))
        return sha(text)[:12]

    put(w, "new.py", "pass")
    one = dirty()
    os.rename(os.path.join(w, "new.py"), os.path.join(w, "other.py"))
    two = dirty()
    ok("E1", "renaming an untracked file changes the dirty-hash", one != two and two == formula(("other.py", "?", sha(b"pass"))), one, two)
    os.rename(os.path.join(w, "other.py"), os.path.join(w, "new.py"))
    ok("E1", "renaming it back restores the dirty-hash", dirty() == one == formula(("new.py", "?", sha(b"pass"))))
    put(w, "README.md", "changed")
    os.unlink(os.path.join(w, "tokenizer_config.json"))
    want = formula(("new.py", "?", sha(b"pass")), ("README.md", "M", sha(b"changed")), ("tokenizer_config.json", "D", ""))
    ok("E1", "changed, removed and untracked files count by one formula", dirty() == want, dirty(), want)
    git(w, "checkout", "-q", ".")
    os.unlink(os.path.join(w, "new.py"))
    ok("E1", "reverted, it is clean again, under the same digest", m.store().tags == first.tags and m.store().digest == first.digest)
    git(w, "tag", "before")
    put(w, ".gitignore", "*.log\n")
    put(w, "a.lock", "x")
    ok("E1", "what is no part of a model does not count", dirty() == "clean")


@row
def E2():
    w = tiny(fresh("e2"))
    m = model(w)

    def client():
        s = m.store(dry_run=True)
        return fields(s.tags[0])[2], s.hashes

    base, hashes = client()
    other_weights(w)
    now, h = client()
    ok("E2", "other weights: the same client-hash", now == base and h["weights"] != hashes["weights"])
    put(w, "generation_config.json", '{"temperature": 1}')
    change(w, "config.json", lambda d: d.update(rms_norm_eps=0.5, _name_or_path="x", transformers_version="9"))
    put(w, "README.md", "other words")
    ok("E2", "other settings and words: the same client-hash", client()[0] == base)
    moves = [("template", "tokenizer_config.json", lambda d: d.update(chat_template="{{ messages }}!")),
             ("special token id", "config.json", lambda d: d.update(pad_token_id=3)),
             ("context length", "config.json", lambda d: d.update(max_position_embeddings=77)),
             ("task", "config.json", lambda d: d.update(architectures=["LlamaForSequenceClassification"])),
             ("vocabulary", "tokenizer.json", lambda d: d["added_tokens"].append({**d["added_tokens"][0], "id": 999, "content": "<new>"}))]
    seen = {base}
    for what, name, edit in moves:
        old = contents(w, name)
        change(w, name, edit)
        now = client()[0]
        ok("E2", f"another {what}: another client-hash", now not in seen)
        seen.add(now)
        put(w, name, old)
    ok("E2", "all put back: the first client-hash", client()[0] == base)


@row
def E3():
    w = repository("e3")
    git(w, "checkout", "-qb", "Feature/X")
    m = model(w)
    tags = m.store(branch=True).tags
    ok("E3", "branch=True: the adhoc tag and BRANCH-DIRTY-CLIENT", tags == (tags[0], "feature-x-clean-" + fields(tags[0])[2]), tags)
    ok("E3", "versions shows both on one digest", [set(v.tags) for v in m.versions()] == [set(tags)], m.versions())
    n = model(w, fresh("e3-only"))
    tags = n.store(branch_only=True).tags
    ok("E3", "branch_only=True: that tag alone", list(tags_of(n)) == list(tags) and len(tags) == 1 and tags[0].startswith("feature-x-clean-"), tags)
    ok("E3", "its kind is told", n.versions()[0].kinds == ("branch",))


def fit(name, most):
    """A name made fit for a tag, once more."""
    text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    text = re.sub("-+", "-", re.sub("[^a-z0-9._]", "-", text)).lstrip(".-").rstrip(".-") or "b"
    faithful = text == name.replace("/", "-").lower()
    if len(text) <= most and faithful:
        return text
    return text[:most - 9] + "-" + sha(name.encode())[:8]


@row
def E4():
    names = ["main", "feature/x", "Feature/X", "feature/ünïcode x", "日本", "...", "-x-", "a//b", "release/1.2", "ﬁx", "K", "a b", "v1.2.3",
             "fix_#12", "ÅÄÖ/é", "user@host", "Ⅷ", "trailing-", "x" * 64, "x" * 65, "x" * 300, "a" * 60 + "/" + "b" * 60]
    w = tiny(fresh("e4"))
    m = model(w)
    made = {}
    for name in names:
        tag = m.store(branch_only=True, branch_name=name, dry_run=True).tags[0]
        made[name] = "-".join(fields(tag)[:-2])
        fine = re.fullmatch("[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", tag) and len(made[name]) <= 64 and made[name] == fit(name, 64)
        if not fine:
            ok("E4", f"{name[:20]!r} becomes a tag", False, tag, fit(name, 64))
    ok("E4", f"{len(names)} branches become tags by the rule", all(made[n] == fit(n, 64) for n in names))
    ok("E4", "no two become one, but for case", len(set(made.values())) == len({n.lower() for n in names}), made)
    again = {n: m.store(branch_only=True, branch_name=made[n], dry_run=True).tags[0] for n in ("feature/x", "main")}
    ok("E4", "a fit name stays as it is", all(again[n].startswith(made[n] + "-") for n in again))


@row
def E5():
    with open(os.path.join(ROOT, "docs", "VERSIONS.md"), encoding="utf-8") as f:
        page = f.read()
    ok("E5", "the name kept for states that follow a folder is documented", "`sync-<branch>-<client>`" in page)
    w = tiny(fresh("e5"))
    m = model(w)
    client = fields(m.store().tags[0])[2]
    mlxk.call("copy", f"{m.repository}:{m.versions()[0].tags[0]}", f"{m.repository}:sync-main-{client}")
    ok("E5", "cleaning leaves such a state alone", [c.action for c in m.clean_versions(yes=True)] == ["keep"] and len(m.versions()) == 1)


# ---- releases ----------------------------------------------------------------------------------------------------------

@row
def E6():
    w = repository("e6")
    m = model(w)
    r = m.release()
    ok("E6", "the first release is v0.1.0", r.version == "v0.1.0" and r.base is None, r)
    tags = tags_of(m)
    ok("E6", "it stands under the adhoc tag and under its number", tags[r.version] == tags[r.adhoc] == r.digest, tags)
    ok("E6", "latest, v0 and v0.1 lead to it", [tags.get(t) for t in ("latest", "v0", "v0.1")] == [r.digest] * 3)
    put(w, "a.py", "pass")
    commit(w)
    second = m.release()
    tags = tags_of(m)
    ok("E6", "the next one moves the floating tags and never v0.1.0",
       second.version == "v0.2.0" and [tags[t] for t in ("latest", "v0", "v0.2")] == [second.digest] * 3
       and tags["v0.1"] == tags["v0.1.0"] == r.digest, tags)


@row
def E7():
    w = repository("e7")
    m = model(w)
    r = m.release(git_tag=True, version="v1.2.1")
    ok("E7", "git_tag=True names the tag mdl-NAME-vX.Y.Z", r.git_tag == "mdl-ham-v1.2.1", r)
    ok("E7", "git cat-file -t says tag", git(w, "cat-file", "-t", "mdl-ham-v1.2.1") == "tag")
    ok("E7", "it stands on the commit that was released", git(w, "rev-parse", "mdl-ham-v1.2.1^{commit}") == git(w, "rev-parse", "HEAD"))
    message = git(w, "cat-file", "tag", "mdl-ham-v1.2.1")
    ok("E7", "its message tells digest and hashes", all(f"{k} {v}" in message for k, v in {**r.hashes, "digest": r.digest}.items()), message)
    put(w, "a.py", "pass")
    ok("E7", "a tree that differs from its commit is not tagged", refused("ValidationError", lambda: m.release(git_tag=True))
       and git(w, "tag") == "mdl-ham-v1.2.1")


@row
def E8():
    w = repository("e8")
    m = model(w)
    m.release(version="v1.2.0")
    git(w, "checkout", "-qb", "Fix/ü_#7")
    put(w, "a.py", "pass")
    commit(w)
    r = m.release(git_tag=True)
    want = "v1.3.0-" + fit("Fix/ü_#7", 64)
    ok("E8", "off the main branch: vX.Y.Z-BRANCH, made fit", r.version == want and r.git_tag == "mdl-ham-" + want, r)
    ok("E8", "which moves no floating tag", r.aliases == () and tags_of(m)["latest"] == tags_of(m)["v1.2.0"])
    ok("E8", "and stands below vX.Y.Z", [v.version for v in m.releases()] == [want, "v1.2.0"])
    r = m.release(force_main=True)
    ok("E8", "force_main=True: the plain number, on the same digest", r.version == "v1.3.0" and tags_of(m)[want] == r.digest, r)
    ok("E8", "highest first", [v.version for v in m.releases()][:2] in (["v1.3.0", "v1.2.0"],), m.releases())


def resharded(path):
    """The same tensors in two files."""
    name = weights_of(path)
    data = contents(path, name)
    n = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8:8 + n]), data[8 + n:]
    header.pop("__metadata__", None)
    os.unlink(os.path.join(path, name))
    keys = sorted(header)
    for i, part in enumerate((keys[:len(keys) // 2], keys[len(keys) // 2:])):
        at, new, blob = 0, {"__metadata__": {"format": "mlx"}}, b""
        for k in part:
            start, end = header[k]["data_offsets"]
            new[k] = {**header[k], "data_offsets": [at, at + end - start]}
            blob += body[start:end]
            at += end - start
        text = json.dumps(new).encode()
        put(path, f"model-0000{i + 1}-of-00002.safetensors", len(text).to_bytes(8, "little") + text + blob)


@row
def E9():
    base = tiny(fresh("e9"))
    put(base, "old.py", "pass")
    top = fresh("e9-layout")
    model(base, top).release(version="v1.2.3")
    tok, conf, gen = "tokenizer.json", "config.json", "generation_config.json"

    def nothing(w): pass
    def docs(w): put(w, "README.md", "other words")
    def logic(w): put(w, gen, '{"temperature": 1}')
    def template(w): change(w, "tokenizer_config.json", lambda d: d.update(chat_template="{{ messages }}!"))
    def context(w): change(w, conf, lambda d: d.update(max_position_embeddings=77))
    def special(w): change(w, conf, lambda d: d.update(pad_token_id=3))
    def tokens(w): change(w, tok, lambda d: d["added_tokens"].append({**d["added_tokens"][0], "id": 999, "content": "<new>"}))
    def removed(w): os.unlink(os.path.join(w, "old.py"))
    def spaces(w): put(w, conf, " " + contents(w, conf).decode())
    def everything(w): [f(w) for f in (docs, logic, context, other_weights)]

    table = [(nothing, {}, "unchanged"), (nothing, {"patch": True}, "unchanged"), (nothing, {"force_major": True}, "v2.0.0"),
             (docs, {}, "docs_only"), (docs, {"patch": True}, "v1.2.4"), (docs, {"force_major": True}, "v2.0.0"),
             (logic, {}, "v1.3.0"), (logic, {"patch": True}, "ValidationError"), (logic, {"force_major": True}, "v2.0.0"),
             (other_weights, {}, "v1.3.0"), (other_weights, {"patch": True}, "ValidationError"),
             (template, {}, "v2.0.0"), (template, {"patch": True}, "ValidationError"), (context, {}, "v2.0.0"), (special, {}, "v2.0.0"),
             (tokens, {}, "v2.0.0"), (removed, {}, "v1.3.0"), (spaces, {}, "docs_only"), (spaces, {"patch": True}, "v1.2.4"),
             (resharded, {}, "docs_only"), (resharded, {"patch": True}, "v1.2.4"), (everything, {}, "v2.0.0"),
             (everything, {"version": "v7.0.0"}, "v7.0.0"), (docs, {"version": "v1.2.3"}, "already_exists")]
    for edit, wish, want in table:
        w = fresh("e9-now")
        shutil.copytree(base, w)
        edit(w)
        try:
            r = model(w, top).release(dry_run=True, **wish)
            got = r.version
        except mlxk.Error as e:
            got = e.type
        name = " and ".join([edit.__name__.replace("_", " ")] + [k.replace("_", "-") for k in wish])
        ok("E9", f"{name}: {want}", got == want, got)


def nearest(parents, marks, head):
    """The nearest ancestor with a release, the highest where several are equally near."""
    seen, now = {head}, [head]
    while now:
        found = [m for c in now for m in marks.get(c, [])]
        if found:
            return max(found)
        now = [p for c in now for p in parents[c]]
        now = [p for i, p in enumerate(now) if p not in seen and p not in now[:i]]
        seen.update(now)
    return None


@row
def E10():
    w = repository("e10")
    m = model(w)
    m.release(git_tag=True, version="v1.0.0")
    git(w, "checkout", "-qb", "a")
    put(w, "a.py", "1")
    commit(w)
    m.release(git_tag=True, version="v2.0.0")
    git(w, "checkout", "-qb", "b", "main")
    put(w, "b.py", "1")
    commit(w)
    m.release(git_tag=True, version="v3.0.0")
    git(w, "merge", "-q", "--no-ff", "-m", "m", "a")
    r = m.release(force_main=True, dry_run=True)
    ok("E10", "a diamond: of two equally near the higher", (r.base, r.version) == ("v3.0.0", "v3.1.0"), r)
    git(w, "checkout", "-q", "a")
    git(w, "merge", "-q", "--no-ff", "-m", "m", "b~1")
    ok("E10", "whichever parent comes first", m.release(force_main=True, dry_run=True).base == "v3.0.0")
    ok("E10", "without tags of git, by the commits that the registry's tags tell: the same",
       m.release(force_main=True, git_tags=False, dry_run=True).base == "v3.0.0")
    git(w, "checkout", "-q", "main")
    put(w, "c.py", "1")
    commit(w)
    ok("E10", "a higher release that is no ancestor does not count", m.release(dry_run=True).base == "v1.0.0")
    ok("E10", "nor in the registry alone", m.release(git_tags=False, dry_run=True).base == "v1.0.0")
    # Histories by chance: forks, merges of two and three, releases anywhere.
    dice = random.Random(20)
    w = repository("e10-many")
    root = git(w, "rev-parse", "HEAD")
    m = model(w)
    known = m.store()
    message = "ham\n\n" + "".join(f"{k} {v}\n" for k, v in {"digest": known.digest, **known.hashes}.items())
    parents, marks, heads = {root: []}, {}, [root]
    for i in range(60):
        chosen = dice.sample(heads[-12:], min(len(heads[-12:]), dice.choice((1, 1, 1, 2, 2, 3))))
        c = git(w, "commit-tree", f"{root}^{{tree}}", "-m", str(i), *[x for p in chosen for x in ("-p", p)])
        parents[c] = chosen
        heads.append(c)
        if dice.random() < 0.25:
            version = (dice.randrange(3), dice.randrange(12), 0)
            if version not in [v for vs in marks.values() for v in vs]:
                marks.setdefault(c, []).append(version)
                git(w, "tag", "-a", "-m", message, "mdl-ham-v%d.%d.%d" % version, c)
    wrong, trials = [], dice.sample(heads, 24)
    for c in trials:
        git(w, "checkout", "-q", c)
        try:
            got = m.release(branch="main", force_major=True, dry_run=True).base
        except mlxk.Error as e:
            got = str(e)
        found = nearest(parents, marks, c)
        want = "v%d.%d.%d" % found if found else None
        if got != want:
            wrong.append((c[:8], got, want))
    ok("E10", f"{len(trials)} places in a history of {len(heads)} commits: the nearest release", not wrong, *wrong)


@row
def E11():
    for profile in ("dist2", "dist3", "zot"):
        r = fake_registry.Registry(profile)
        w = tiny(fresh("e11"))
        m = mlxk.Model(w, r.host + "/org/ham")
        first = m.release()
        puts = [e["line"].split()[1].split("/")[-1] for e in r.requests(r"^PUT .*/manifests/")]
        states = [p for p in puts if not re.match("(.*-)?(client|pkg)-|claim\\.", p)]
        ok("E11", f"{profile}: the adhoc tag comes first, then {first.version}", states[:2] == [first.adhoc, "v0.1.0"], puts)
        repo = r.repos["org/ham"]
        ok("E11", f"{profile}: both on one digest", repo["tags"][first.adhoc] == repo["tags"]["v0.1.0"] == first.digest)
        put(w, "a.py", "pass")
        state = m.store()
        r.log.clear()
        second = m.release()
        sent = [e["line"] for e in r.requests(r"^(PUT|PATCH|POST) .*/blobs/")]
        ours = {x["digest"] for x in r.document(second.digest)["layers"]}
        ok("E11", f"{profile}: a stored state is released without sending a file of it", second.digest == state.digest
           and not [x for x in sent if any(d.split(":")[1] in x for d in ours)] and second.data["n_sent"] == 0, sent)
        r.log.clear()
        again = m.store()
        ok("E11", f"{profile}: stored once more, nothing is sent at all", again.digest == second.digest and again.n_sent == 0
           and not r.requests(r"^(PUT|PATCH|POST|DELETE) "), r.requests("."))
        ok("E11", f"{profile}: released once more, it is refused and nothing is sent", refused("unchanged", m.release)
           and not r.requests(r"^(PUT|PATCH|POST|DELETE) "))
        r.close()


def states(m, **wanted):
    """Versions of the model itself, without the clients and packages beside them."""
    return [v for v in m.versions(**wanted) if not {"client", "pkg"} & set(v.kinds)]


# ---- finding -----------------------------------------------------------------------------------------------------------

@row
def E14():
    w = repository("e14")
    m = model(w)
    m.release()
    put(w, "a.py", "pass")
    m.store()
    change(w, "config.json", lambda d: d.update(max_position_embeddings=77))
    commit(w)
    m.release()
    put(w, "b.py", "pass")
    m.store()
    every = states(m)
    ok("E14", "versions() lists all states", [v.version for v in every] == ["v1.0.0", "v0.1.0", None, None], every)
    fitting = states(m, compatible=True)
    ok("E14", "compatible=True: those with the interface of the folder", [v.version for v in fitting] == ["v1.0.0", None]
       and len({v.interface for v in fitting}) == 1, fitting)
    ok("E14", "and what is left out has another one", not {v.interface for v in every if v not in fitting} & {v.interface for v in fitting})
    git(w, "checkout", "-q", "HEAD~1")
    ok("E14", "an older folder: the older ones", [v.version for v in states(m, compatible=True)] == ["v0.1.0", None])
    ok("E14", "semver: all of that major number", [v.version for v in states(m, compatible="semver")] == ["v0.1.0", None])


@row
def E15():
    w = repository("e15")
    m = model(w)
    for i, version in enumerate(("v0.9.0", "v0.10.0", "v1.0.0-side", "v0.9.1")):
        put(w, "a.py", str(i))
        m.release(version=version)
        put(w, "a.py", f"between {i}")
        m.store(branch=True)
    ok("E15", "releases() lists releases alone, highest first", [v.version for v in m.releases()] == ["v1.0.0-side", "v0.10.0", "v0.9.1", "v0.9.0"])
    ok("E15", "each with its tags", all(v.version in v.tags for v in m.releases()))


@row
def E16():
    for profile in (None, "dist2", "dist3", "zot"):
        r = fake_registry.Registry(profile) if profile else None
        where = profile or "layout"
        w = tiny(fresh("e16"))
        m = mlxk.Model(w, r.host + "/org/ham" if r else "oci:" + fresh("e16-layout"), name="ham")
        released = m.release()
        put(w, "a.py", "1")
        loose = m.store(branch=True, branch_name="one")
        put(w, "a.py", "2")
        foreign = m.store()
        mlxk.call("copy", f"{m.repository}:{foreign.tags[0]}", f"{m.repository}:mine")
        before = tags_of(m)
        plan = m.clean_versions()
        ok("E16", f"{where}: first a plan, and nothing is touched", tags_of(m) == before
           and {c.digest: c.action for c in plan}[loose.digest] == "delete" and [c.action for c in plan].count("delete") == 1, plan)
        told = mlxk.call("clean-versions", m.repository, options=["--dry-run"])
        ok("E16", f"{where}: --dry-run says the same", told["dry_run"] and [(x["digest"], x["action"]) for x in told["digests"]] == [(c.digest, c.action) for c in plan])
        kept = {c.digest: (c.action, c.kept_by) for c in m.clean_versions(keep=1)}[loose.digest]
        young = {c.digest: (c.action, c.kept_by) for c in m.clean_versions(older_than="1d")}[loose.digest]
        want = ("it is one of the newest", "it is young") if profile is None else ("nobody knows how old it is",) * 2
        ok("E16", f"{where}: keep and older_than keep what is new, or of unknown age", (kept, young) == (("keep", want[0]), ("keep", want[1])), kept, young)
        m.clean_versions(yes=True)
        after = tags_of(m)
        ok("E16", f"{where}: what was never released is gone", loose.digest not in after.values() and set(before) - set(after) == set(loose.tags), after)
        ok("E16", f"{where}: the digest that a release shares with its adhoc tag stays, with both", after[released.adhoc] == after["v0.1.0"] == released.digest)
        ok("E16", f"{where}: what somebody else tagged stays", after.get("mine") == foreign.digest)
        copy = fresh("e16-copy")
        mlxk.call("copy", f"{m.repository}:v0.1.0", f"oci:{copy}:v0.1.0")
        ok("E16", f"{where}: the release is whole", os.path.isdir(copy))
        if r:
            r.close()


# ---- using -------------------------------------------------------------------------------------------------------------

@row
def E17():
    r, w, m = released(versions=("v1.2.1", "v1.4.2"))
    put(w, "a.py", "# later")
    state = m.store()
    index = mlxk.Ocidex()
    told = index.update(m.repository)
    ok("E17", "update reads a repository", [x["status"] for x in told] == ["ok"], told)
    r.log.clear()
    index.update(m.repository)
    manifests = [e["line"] for e in r.requests("^GET .*/manifests/")]
    ok("E17", "once more: no manifest is read again", not manifests, manifests)
    r.close()
    every = index.search("ml-project")
    ok("E17", "search finds states and releases with digest, size and interface", {"v1.2.1", "v1.4.2", None} <= {x.version for x in every}
       and state.digest in {x.digest for x in every} and all(x.size_bytes > 0 for x in every), every)
    ok("E17", "its interface is the model's", {x.interface for x in every if x.digest == state.digest} == {state.hashes["interface"]}, every)
    ok("E17", "releases alone", {"v1.2.1", "v1.4.2"} == {x.version for x in index.search("ml-project", releases=True)}, index.search("ml-project", releases=True))
    argv = [PROGRAM, "index", "search", "ml-project", "--json"]
    if os.getuid() == 0 and subprocess.run(["unshare", "-n", "true"], check=False, capture_output=True).returncode == 0:
        argv = ["unshare", "-n", *argv]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    ok("E17", "with the registry gone and no network the search answers", said.returncode == 0
       and len(json.loads(said.stdout)["data"]["rows"]) == len(every), said.stdout, said.stderr)
    ok("E17", "what is not there is not found", not index.search("eggs"))


@row
def E18():
    w = tiny(fresh("e18"))
    m = model(w)
    first = m.release(version="v1.2.1")
    put(w, "a.py", "pass")
    m.release(version="v1.4.2")
    uri = mlxk.Model.from_uri(f"{m.repository}:v1.2.1")
    version = m.from_version("v1.2.1")
    ok("E18", "from_uri and from_version: one folder in the cache", uri.path == version.path and os.path.isdir(uri.path), uri, version)
    ok("E18", "which holds the files of that release", sorted(os.listdir(uri.path)) == sorted(n for n in os.listdir(w) if n != "a.py")
       and all(contents(uri.path, n) == contents(w, n) for n in os.listdir(uri.path)))
    ok("E18", "floating versions: the highest release", [m.from_version(v).version for v in ("v1", "v1.2", "^1.2.1", "latest")] == ["v1.4.2", "v1.2.1", "v1.4.2", "v1.4.2"])
    shown = mlxk.call("show", uri.path)
    ok("E18", "show takes the folder", shown["model"]["health"] == "healthy", shown)
    r = fake_registry.Registry()
    mlxk.call("copy", f"{m.repository}:v1.4.2", f"{r.host}/org/ham:v1.4.2")
    for what, name in (("the folder", uri.path), ("oci://HOST/REPO:v1", f"oci://{r.host}/org/ham:v1")):
        said = subprocess.run([PROGRAM, "run", name, "a", "--max-tokens", "1", "--json"], capture_output=True, text=True, check=False)
        ok("E18", f"run takes {what}", said.returncode == 0 and json.loads(said.stdout)["status"] == "success", said.stdout, said.stderr)
    r.close()
    ok("E18", "from_uri by digest: the same folder", mlxk.Model.from_uri(f"{m.repository}@{first.digest}").path == uri.path)


def released(name="ml-project", versions=("v1.2.1",)):
    """A registry with a repository of that name, where the model ham has these versions."""
    r = fake_registry.Registry()
    w = tiny(fresh("using"))
    m = mlxk.Model(w, f"{r.host}/acme/{name}", name="ham")
    for i, version in enumerate(versions):
        put(w, "a.py", f"# {i}")
        m.release(version=version)
    return r, w, m


def python(script, *paths, **env):
    """A Python of its own, with these folders on its path; (status, what it printed)."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=WORK,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1", **env})
    return done.returncode, done.stdout + done.stderr


@row
def E12():
    r, w, m = released()
    seen = {}
    for kind in ("client", "pkg"):
        for tag in (f"{kind}-v1.2.1", f"ham-{kind}-v1.2.1", f"{kind}-v1", f"ham-{kind}-v1"):
            try:
                seen[tag] = m.inspect(tag)
            except mlxk.Error as e:
                seen[tag] = {"digest": str(e)}
        digests = {seen[t]["digest"] for t in seen if f"{kind}-" in t}
        ok("E12", f"{kind}-v1.2.1, ham-{kind}-v1.2.1, {kind}-v1, ham-{kind}-v1 are one artifact", len(digests) == 1, seen)
    types = [r.document(seen[f"{k}-v1.2.1"]["digest"]).get("artifactType") for k in ("client", "pkg")]
    ok("E12", "of types of their own", len(set(types)) == 2 and all(t.startswith("application/vnd.mlxk.") for t in types), types)
    files = {os.path.basename(x["path"]) for x in seen["client-v1.2.1"]["layers"]}
    ok("E12", "a client brings Python, OpenAPI, a C header and the interface", {"__init__.py", "openapi.json", "model.h", "interface.json"} <= files, files)
    release = {x["digest"] for x in r.document(tags_of(m)["v1.2.1"])["layers"]}
    package = {x["digest"] for x in r.document(seen["pkg-v1.2.1"]["digest"])["layers"]}
    client = {x["digest"] for x in r.document(seen["client-v1.2.1"]["digest"])["layers"]}
    weights = {"sha256:" + sha(contents(w, weights_of(w)))}
    ok("E12", "a package brings the very blobs of the release, a client no weights", release <= package and not weights & client)
    ok("E12", "the names that the repository's list has", set(seen) <= set(r.repos["acme/ml-project"]["tags"]))
    before = dict(r.repos["acme/ml-project"]["tags"])
    eggs = tiny(fresh("eggs"))
    put(eggs, "generation_config.json", '{"temperature": 1}')
    m2 = mlxk.Model(eggs, m.repository, name="eggs")
    second = m2.release()
    ok("E12", "another model in the repository: its name in front of all its tags", (second.version, second.tag, second.base, second.aliases)
       == ("v0.1.0", "eggs-v0.1.0", None, ("eggs-latest", "eggs-v0", "eggs-v0.1")) and all(t.startswith("eggs-") for t in set(r.repos["acme/ml-project"]["tags"]) - set(before)), second)
    ok("E12", "and those of the first stay", all(r.repos["acme/ml-project"]["tags"][t] == d for t, d in before.items()))
    ok("E12", "each has its own versions", ([v.version for v in m.releases()], [v.version for v in m2.releases()]) == (["v1.2.1"], ["v0.1.0"])
       and m2.from_version("v0").digest == second.digest and m2.install("v0", target=fresh("e12-lib")).module == "eggs.client.v0")
    r.close()


@row
def E13():
    r, w, m = released(versions=("v1.2.1", "v1.4.2"))
    tags = r.repos["acme/ml-project"]["tags"]
    numbers = {k: sorted(t.rsplit("-", 1)[-1] for t in tags if re.fullmatch(rf"{k}v\d+\.\d+\.\d+", t)) for k in ("", "client-", "pkg-")}
    ok("E13", "model, client and package carry the same numbers", len({tuple(v) for v in numbers.values()}) == 1
       and numbers[""] == ["v1.2.1", "v1.4.2"], numbers)
    versions = {k: r.document(tags[f"{k}v1.4.2"])["annotations"].get("dev.mlxk.version") for k in ("client-", "pkg-")}
    ok("E13", "and say so themselves", set(versions.values()) == {"v1.4.2"}, versions)
    r.close()


@row
def E19():
    r, w, m = released(versions=("v1.2.1", "v1.4.2", "v2.0.0"))
    target = fresh("e19-lib")
    got = mlxk.install(f"{m.repository}:ham-client-v1", target=target)
    ok("E19", "install HOST/REPO:ham-client-v1 settles on the highest v1", (got.kind, got.version) == ("client", "v1.4.2")
       and got.digest == r.repos["acme/ml-project"]["tags"]["client-v1.4.2"], got)
    again = mlxk.install(f"{m.repository}:ham-client-v1", target=target)
    ok("E19", "once more: nothing changes", again.already and again.digest == got.digest)
    said = subprocess.run([PROGRAM, "install", f"{m.repository}:ham-pkg-v1.2.1", "--target", fresh("e19-other")], capture_output=True, text=True, check=False)
    ok("E19", "the command does the same", said.returncode == 0 and "ham.v1_2_1" in said.stdout, said.stdout, said.stderr)
    lock = os.path.join(WORK, "e19.lock")
    first = mlxk.call("pull", f"oci://{m.repository}:v1", options=[f"--lock={lock}"])
    with open(lock, encoding="utf-8") as f:
        text = f.read()
    ok("E19", "pull :v1 --lock writes the digest that it was settled to", first["digest"] in text and first["digest"] == r.repos["acme/ml-project"]["tags"]["v1.4.2"], text)
    put(w, "a.py", "# later")
    m.release(version="v1.9.0")
    r.log.clear()
    second = mlxk.call("pull", f"oci://{m.repository}:v1", options=[f"--frozen={lock}"])
    ok("E19", "--frozen: the same digest, although v1 has moved", second["digest"] == first["digest"])
    path = mlxk.Model.from_uri(f"{m.repository}@{first['digest']}").path
    frozen, other = (os.path.join(WORK, n) for n in ("e19-client.lock", "e19-pkg.lock"))
    lib = fresh("e19-frozen")
    one = mlxk.install(f"{m.repository}:ham-client-v1", target=lib, lock=frozen)
    two = mlxk.install(f"{m.repository}:ham-pkg-v1", target=lib, lock=other)
    locked = {d["repo"]: d for d in json.loads(open(frozen, encoding="utf-8").read())["repos"]}
    entry, = locked.values()
    ok("E19", "install --lock writes the digest it was settled to, and every file", (entry["digest"], entry["revision"], len(entry["files"]))
       == (r.repos["acme/ml-project"]["tags"]["client-v1.9.0"], "ham-client-v1", len(r.document(one.digest)["layers"])), entry)
    put(w, "a.py", "# much later")
    m.release(version="v1.10.0")
    new = fresh("e19-new")
    got = [mlxk.install(f"{m.repository}:ham-{k}-v1", target=new, frozen=f).digest for k, f in (("client", frozen), ("pkg", other))]
    ok("E19", "install --frozen: those digests, although the tags have moved", got == [one.digest, two.digest]
       and r.repos["acme/ml-project"]["tags"]["client-v1"] != one.digest, got)
    r.log.clear()
    got = [mlxk.install(f"{m.repository}:ham-{k}-v1", target=new, frozen=f) for k, f in (("client", frozen), ("pkg", other))]
    ok("E19", "once more: nobody is asked", [(g.digest, g.already, g.module, g.model_path) for g in got]
       == [(one.digest, True, one.module, None), (two.digest, True, two.module, two.model_path)] and not r.requests("."), got)
    ok("E19", "a lock file says nothing of another tag", refused("model_not_found", lambda: mlxk.install(f"{m.repository}:ham-client-v2", target=new, frozen=frozen)))
    r.close()
    got = mlxk.call("pull", f"oci://{m.repository}:v1", options=[f"--frozen={lock}"])
    ok("E19", "with the registry gone, pull --frozen gives that digest", (got["digest"], got["snapshot"]) == (first["digest"], first["snapshot"]), got)
    got = [mlxk.install(f"{m.repository}:ham-{k}-v1", target=new, frozen=f) for k, f in (("client", frozen), ("pkg", other))]
    ok("E19", "and install --frozen those", [g.digest for g in got] == [one.digest, two.digest], got)
    put(new, "ham/client/v1/interface.json", "{}")
    ok("E19", "what was changed meanwhile is not taken for it", refused_any(lambda: mlxk.install(f"{m.repository}:ham-client-v1", target=new, frozen=frozen)))
    said = subprocess.run([PROGRAM, "run", path, "a", "--max-tokens", "1", "--json"], capture_output=True, text=True, check=False)
    ok("E19", "with the registry gone, the model of that digest runs", said.returncode == 0 and path == first["snapshot"], said.stdout, said.stderr)


@row
def E20():
    r, w, m = released(versions=("v1.2.1", "v1.4.2"))
    lib = fresh("e20-lib")
    mlxk.install(f"{m.repository}:ham-client-v1", target=lib)
    mlxk.install(f"{m.repository}:ham-pkg-v1.2.1", target=lib)
    for module in ("ham", "ml_project.ham"):
        status, said = python(f"from {module}.client.v1 import HamClient\nwith HamClient() as ham:\n    print(len(ham.tokenize('a b')), ham.context())", lib)
        ok("E20", f"from {module}.client.v1 import HamClient", status == 0 and said.split()[0].isdigit(), said)
        status, said = python(f"from {module}.v1_2_1 import Ham\nprint(len(Ham.tokenize('a b')))\nwith Ham.client()() as ham:\n    print(ham.path())", lib)
        ok("E20", f"from {module}.v1_2_1 import Ham, and Ham.client()", status == 0 and os.path.isdir(said.split()[-1]), said)
    status, said = python("from ham.client.v1 import HamClient\nHamClient.version = 'v1.2.1'\nwith HamClient() as ham:\n    print(ham.path())", lib)
    old = m.from_version("v1.2.1").path
    ok("E20", "HamClient.version = 'v1.2.1' chooses at run time", status == 0 and said.strip() == old, said, old)
    status, said = python("from ham.client.v1 import HamClient, VersionError\ntry:\n    HamClient.version = 'v2.0.0'\n    HamClient().path()\nexcept VersionError as e:\n    print('refused')", lib)
    ok("E20", "a version of another major number is refused", "refused" in said, said)
    status, said = python("import ham.client.v1 as a, ham.v1_2_1 as b\nprint(a.HamClient.__doc__ is not None, b.Ham.__doc__ is not None)", lib)
    ok("E20", "and all of it is documented", said.split() == ["True", "True"], said)
    r.close()


class Engine(http.server.BaseHTTPRequestHandler):
    """A server that speaks OpenAI's protocol and answers with the program's own words."""
    answer = ""

    def log_message(self, *a):
        pass

    def reply(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply({"object": "list", "data": [{"id": "ham", "object": "model"}]})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked = asked
        self.reply({"id": "x", "object": "chat.completion", "created": 0, "model": "ham", "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
                    "choices": [{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": self.answer}}]})


@row
def E21():
    r, w, m = released()
    lib = fresh("e21-lib")
    mlxk.install(f"{m.repository}:ham-client-v1", target=lib)
    use = "import sys\nfrom ham.client.v1 import HamClient\nwith HamClient(*sys.argv[1:]) as ham:\n    a = ham.chat('a', max_tokens=2, temperature=0.0)\nprint(repr(a.text), sorted(vars(a)))"
    status, here = python(use, lib)
    ok("E21", "without a URL the client runs the model on this machine", status == 0, here)
    Engine.answer = ast.literal_eval(re.match(r"('.*?'|\".*?\") \[", here).group(1)) if status == 0 else ""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    status, there = python(use.replace("*sys.argv[1:]", f"'http://127.0.0.1:{server.server_port}'"), lib)
    ok("E21", "with one it asks a server, by the same calls", status == 0 and server.asked["max_tokens"] == 2 and server.asked["messages"][-1]["content"] == "a", there)
    ok("E21", "and both answers have one form", here == there, here, there)
    server.shutdown()
    r.close()


@row
def E22():
    r, w, m = released(versions=("v1.2.1",))
    weights = "sha256:" + sha(contents(w, weights_of(w)))
    m.from_version("v1.2.1")
    put(w, "a.py", "# other")
    m.release(version="v1.3.0")
    r.log.clear()
    m.from_version("v1.3.0")
    fetched = [e["line"].split("/")[-1] for e in r.requests("^GET .*/blobs/")]
    ok("E22", "of another version only the files that differ are fetched", fetched == ["sha256:" + sha(b"# other")], fetched)
    os.environ["HF_HOME"] = fresh("e22-hf")
    for words, wanted in ((["--include=*.json"], lambda n: n.endswith(".json")), (["--include=*.json", "--exclude=tok*"], lambda n: n.endswith(".json") and not n.startswith("tok")),
                          (["--exclude=*.json"], lambda n: not n.endswith(".json"))):
        shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)
        r.log.clear()
        d = mlxk.call("pull", f"oci://{m.repository}:v1.3.0", options=words)
        layers = r.document(tags_of(m)["v1.3.0"])["layers"]
        names = {x["annotations"]["org.cncf.model.filepath"]: x["digest"] for x in layers}
        fetched = {e["line"].split("/")[-1].split()[0] for e in r.requests("^GET .*/blobs/")}
        ok("E22", f"pull {' '.join(words)}: only these files come over the wire", fetched == {h for n, h in names.items() if wanted(n)}
           and set(os.listdir(d["snapshot"])) == {n for n in names if wanted(n)}, fetched, os.listdir(d["snapshot"]))
    rest = [h for n, h in names.items() if n.endswith(".json")]
    r.log.clear()
    d = mlxk.call("pull", f"oci://{m.repository}:v1.3.0")
    fetched = {e["line"].split("/")[-1].split()[0] for e in r.requests("^GET .*/blobs/")}
    ok("E22", "without a filter the rest follows", fetched == set(rest) and set(os.listdir(d["snapshot"])) == set(names), fetched, rest)
    ok("E22", "a filter that fits nothing is refused", refused("model_not_found", lambda: mlxk.call("pull", f"oci://{m.repository}:v1.3.0", options=["--include=none*"])))
    r.log.clear()
    got = mlxk.install(f"{m.repository}:ham-client-v1", target=fresh("e22-lib"))
    fetched = [e["line"].split("/")[-1] for e in r.requests("^GET .*/blobs/")]
    ok("E22", "a client is fetched without the weights", fetched and weights not in fetched, fetched)
    sizes = sum(len(r.blobs[d]) for d in fetched)
    ok("E22", "and is a fraction of the model", got.kind == "client" and sizes < sum(len(r.blobs[x["digest"]]) for x in r.document(tags_of(m)["v1.3.0"])["layers"]), sizes)
    r.close()


def main():
    for name in [k for k in os.environ if k.startswith(("HF_", "MLXK_", "GIT_"))]:
        del os.environ[name]
    os.makedirs(WORK, exist_ok=True)
    os.environ.update({"HOME": WORK, "HF_HOME": os.path.join(WORK, "hf"), "XDG_STATE_HOME": os.path.join(WORK, "state"), "DOCKER_CONFIG": WORK,
                       "MLXK_PROGRAM": PROGRAM, "MLXK_RETRY_BASE_MS": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
                       **{f"GIT_{w}_{k}": v for w in ("AUTHOR", "COMMITTER") for k, v in (("NAME", "a"), ("EMAIL", "a@b"))}})
    os.chdir(WORK)
    wanted = sys.argv[3:]
    for name, f in sorted(ROWS.items(), key=lambda r: int(r[0][1:])):
        if wanted and name not in wanted:
            continue
        try:
            f()
        except Exception as e:       # one row's end is not the others'
            ok(name, "goes through", False, f"{type(e).__name__}: {e}", f"line {e.__traceback__.tb_next and e.__traceback__.tb_next.tb_lineno}")
    print(f"{COUNT['ok']} passed, {COUNT['not ok']} failed, {COUNT['skip']} skipped")
    return COUNT["not ok"] > 0


if __name__ == "__main__":
    sys.exit(main())
