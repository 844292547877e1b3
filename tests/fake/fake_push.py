"""fake_push.py: the upload half of the fake hub: repositories made, branches, preupload, LFS objects in one piece or in parts, commits.

Used by fake_hub.py. What it takes it checks: sizes, hashes, the number of items in a question, who is asked with which token. A wrong
question is answered with an error and logged as a line "WRONG ...", so that a test can see that there were none."""
import base64
import fnmatch
import hashlib
import json
import re
import time
from urllib.parse import parse_qs, unquote

READ_TOKEN = "hf_readreadreadreadread"
LFS_TYPE = "application/vnd.git-lfs+json"
MOST = 256


class Push:
    def __init__(self, hub, file_class, repo_class, good_token, broken):
        self.hub, self.File, self.Repo, self.good, self.broken = hub, file_class, repo_class, good_token, broken
        self.parts, self.part_bytes, self.n = {}, 1_000_000, 0

    # ---- helpers
    def wrong(self, c, why, status=400):
        self.hub.log(f"WRONG {c.method} {c.target}: {why}")
        c.answer(status, {}, json.dumps({"error": why}).encode())
        return True

    def say(self, c, headers, doc):
        body = json.dumps(doc).encode()
        c.answer(200, headers, self.broken(c.fault["json"], body) if "json" in c.fault else body)
        return True

    def may_write(self, c):
        if c.token == self.good:
            return True
        if c.token == READ_TOKEN:
            c.error(403, "", "You don't have the rights to create a model here")
        else:
            c.error(401, "", "Invalid username or password.")
        return False

    def commit_of(self, name, files, parent):
        self.n += 1
        return hashlib.sha1(f"{name}{parent}{self.n}{[(f.path, f.etag) for f in files]}".encode()).hexdigest()

    def base(self, c):
        return "https://huggingface.co" if "official" in c.fault else self.hub.urls[c.scheme_key] + c.prefix

    def storage(self, c):
        return self.hub.urls[c.scheme_key.replace("HTTP", "CDN")]

    # ---- routes; True when the request was ours
    def route(self, c, path, query):
        if c.where == "cdn":
            return self.put(c, path) if c.method == "PUT" else False
        if c.method != "POST":
            return False
        if path == "/api/repos/create":
            return self.create(c)
        if path == "/api/complete_multipart":
            return self.complete(c, parse_qs(query)["uploadId"][0])
        if path == "/api/validate-yaml":
            c.answer(200, {}, b'{"errors": [], "warnings": []}')
            return True
        m = re.fullmatch(r"/([^/]+(?:/[^/]+)?)\.git/info/lfs/objects/(batch|verify)", path)
        if m:
            return getattr(self, m.group(2))(c, unquote(m.group(1)))
        m = re.fullmatch("/api/models/([^/]+(?:/[^/]+)?)/(preupload|commit|branch)/([^/]+)", path)
        if m:
            repo = self.hub.repo(c, unquote(m.group(1)), "write")
            if not self.may_write(c):
                return True
            return getattr(self, m.group(2))(c, repo, unquote(m.group(3)))
        return False

    def create(self, c):
        if not self.may_write(c):
            return True
        doc = json.loads(c.payload)
        name = (doc["organization"] + "/" if doc.get("organization") else "") + doc["name"]
        if name in self.hub.repos:
            c.answer(409, {}, json.dumps({"error": "You already created this model repo", "url": self.base(c) + "/" + name}).encode())
            return True
        private = doc.get("visibility") == "private" or doc.get("private") is True
        if "makepublic" in c.fault:
            private = False
        self.hub.repos[name] = self.Repo(name, {"main": [self.File(".gitattributes", b"*.safetensors filter=lfs\n")]}, private=private)
        c.answer(200, {}, json.dumps({"url": self.base(c) + "/" + name, "id": name, "name": name}).encode())
        return True

    def branch(self, c, repo, name):
        if name in repo.refs:
            c.error(409, "", "Reference already exists")
            return True
        start = json.loads(c.payload or b"{}").get("startingPoint", "main")
        repo.refs[name] = repo.refs[start]
        c.answer(201, {}, b"{}")
        return True

    def preupload(self, c, repo, rev):
        commit = self.hub.commit(c, repo, rev)
        doc = json.loads(c.payload)
        if not 0 < len(doc["files"]) <= MOST:
            return self.wrong(c, f"{len(doc['files'])} files in a preupload")
        there = {f.path: f for f in repo.commits[commit]}
        out = []
        for f in doc["files"]:
            sample = base64.b64decode(f["sample"], validate=True)
            if len(sample) != min(512, f["size"]):
                return self.wrong(c, f"{f['path']}: a sample of {len(sample)} bytes")
            lfs = f["size"] > 0 and (f["size"] > 10_000_000 or any(fnmatch.fnmatch(f["path"], g) for g in ("*.safetensors", "*.gguf", "*.bin")))
            old = there.get(f["path"])
            out.append({"path": f["path"], "uploadMode": "lfs" if lfs else "regular", "oid": old.oid if old else None,
                        "shouldIgnore": fnmatch.fnmatch(f["path"], c.fault.get("ignore", "//"))})
        if "unlisted" in c.fault:
            out.pop()
        return self.say(c, {}, {"files": out, "commitOid": commit})

    def batch(self, c, name):
        self.hub.repo(c, name, "write")
        if not self.may_write(c):
            return True
        doc = json.loads(c.payload)
        if c.headers.get("accept") != LFS_TYPE or not c.headers.get("content-type", "").startswith(LFS_TYPE):
            return self.wrong(c, "not the types of LFS")
        if doc["operation"] != "upload" or not 0 < len(doc["objects"]) <= MOST or "basic" not in doc["transfers"] or doc.get("hash_algo") != "sha256":
            return self.wrong(c, "a batch that is none")
        out = []
        for o in doc["objects"]:
            oid, size = o["oid"], o["size"]
            entry = {"oid": oid, "size": size}
            if "refuse" in c.fault:
                entry["error"] = {"code": 422, "message": "quota is used up"}
            elif oid not in self.hub.files:
                upload = {"href": f"{self.storage(c)}/upload/{oid}?size={size}&Signature=s%2Bx/", "header": {}}
                if size > self.part_bytes and "multipart" in doc["transfers"]:
                    self.n += 1
                    key = f"u{self.n}"
                    n = -(-size // self.part_bytes)
                    self.parts[key] = {"oid": oid, "size": size, "n": n, "data": {}}
                    header = {"chunk_size": str(self.part_bytes)}
                    header.update({f"{i:05}": f"{self.storage(c)}/part/{key}/{i}?sig=x" for i in range(1, n + 1)})
                    if "fewparts" in c.fault:
                        header.popitem()
                    upload = {"href": f"{self.base(c)}/api/complete_multipart?uploadId={key}", "header": header}
                if "badhref" in c.fault:
                    upload["href"] = "ftp://x/y"
                entry["actions"] = {"upload": upload, "verify": {"href": f"{self.base(c)}/{name}.git/info/lfs/objects/verify", "header": {}}}
            out.append(entry)
        if "stranger" in c.fault:
            out[0]["oid"] = "0" * 64
        return self.say(c, {"Content-Type": LFS_TYPE}, {"transfer": "basic", "objects": out})

    def store(self, c, oid, data):
        if hashlib.sha256(data).hexdigest() != oid:
            return self.wrong(c, f"bytes of another hash for {oid}")
        self.hub.files[oid] = self.File(oid, data, lfs=True)
        return False

    def put(self, c, path):
        if c.headers.get("authorization"):
            return self.wrong(c, "a token for the storage")
        m = re.fullmatch("/upload/([0-9a-f]{64})", path)
        if m:
            if "forget" not in c.fault and self.store(c, m.group(1), c.payload):
                return True
            c.answer(200, {"ETag": '"x"'}, b"")
            return True
        m = re.fullmatch(r"/part/(u\d+)/(\d+)", path)
        if not m or m.group(1) not in self.parts:
            c.answer(403, {"Content-Type": "application/xml"}, b"<Error>expired</Error>")
            return True
        up, i = self.parts[m.group(1)], int(m.group(2))
        want = min(self.part_bytes, up["size"] - (i - 1) * self.part_bytes)
        if len(c.payload) != want:
            return self.wrong(c, f"part {i} has {len(c.payload)} bytes, not {want}")
        up["data"][i] = c.payload
        headers = {} if "noetag" in c.fault else {"ETag": f'"{hashlib.md5(c.payload).hexdigest()}"'}
        c.answer(200, headers, b"")
        return True

    def complete(self, c, key):
        up = self.parts.get(key)
        doc = json.loads(c.payload)
        if up is None:
            c.answer(404, {}, b'{"error": "no such upload"}')
            return True
        if doc["oid"] != up["oid"] or [p["partNumber"] for p in doc["parts"]] != list(range(1, up["n"] + 1)):
            return self.wrong(c, "a completion that does not fit")
        if any(p["etag"].strip('"') != hashlib.md5(up["data"][p["partNumber"]]).hexdigest() for p in doc["parts"]):
            return self.wrong(c, "tags of other parts")
        if self.store(c, up["oid"], b"".join(up["data"][i] for i in range(1, up["n"] + 1))):
            return True
        del self.parts[key]
        if "lost" in c.fault:
            raise c.gone
        c.answer(200, {}, b"{}")
        return True

    def verify(self, c, name):
        if not self.may_write(c):
            return True
        doc = json.loads(c.payload)
        f = self.hub.files.get(doc["oid"])
        if f is None or len(f.data) != doc["size"]:
            c.answer(404, {}, b'{"message": "object is not there"}')
        else:
            c.answer(200, {}, b"{}")
        return True

    def commit(self, c, repo, rev):
        parent = self.hub.commit(c, repo, rev)
        if rev not in repo.refs:
            return self.wrong(c, "a commit on a commit")
        if not c.headers.get("content-type", "").startswith("application/x-ndjson"):
            return self.wrong(c, "not the type of a commit")
        lines = [json.loads(line) for line in c.payload.decode().splitlines()]
        header = lines[0]["value"] if lines and lines[0]["key"] == "header" else None
        if not header or not header.get("summary"):
            return self.wrong(c, "a commit without a header")
        if "race" in c.fault:                # somebody else was faster
            other = [f for f in repo.commits[parent] if f.path != "race.txt"] + [self.File("race.txt", str(self.n).encode())]
            parent = repo.refs[rev] = self.commit_of(repo.name, other, parent)
            repo.commits[parent] = other
        if header.get("parentCommit", parent) != parent:
            c.error(412, "", "A commit has happened since. Please refresh and try again.")
            return True
        files = {f.path: f for f in repo.commits[parent]}
        for line in lines[1:]:
            v = line["value"]
            if line["key"] == "file" and v["encoding"] == "base64":
                files[v["path"]] = self.File(v["path"], base64.b64decode(v["content"], validate=True))
            elif line["key"] == "lfsFile" and v["algo"] == "sha256":
                f = self.hub.files.get(v["oid"])
                if f is None or len(f.data) != v["size"]:
                    return self.wrong(c, f"{v['path']}: a commit of an object that is not there")
                files[v["path"]] = self.File(v["path"], f.data, lfs=True)
            elif line["key"] == "deletedFile":
                del files[v["path"]]
            else:
                return self.wrong(c, f"an operation {line['key']}")
        if "spoil" in c.fault:               # the hub does not keep what it took
            files = {p: self.File(p, b"spoilt", f.lfs) for p, f in files.items()}
        done = [files[p] for p in sorted(files)]
        if "unapplied" not in c.fault:
            commit = self.commit_of(repo.name, done, parent)
            repo.commits[commit] = done
            repo.refs[rev] = commit
        self.hub.log(f"COMMIT {repo.name}@{rev} {json.dumps(header.get('summary'))} operations={len(lines) - 1}")
        if "lost" in c.fault or "unapplied" in c.fault:
            raise c.gone
        if "late" in c.fault:
            time.sleep(float(c.fault["late"]))
        if "lost5xx" in c.fault:
            c.answer(502, {}, b"")
            return True
        body = b"<html>" if "badreply" in c.fault else json.dumps(
            {"success": True, "commitOid": commit, "commitUrl": f"{self.base(c)}/{repo.name}/commit/{commit}", "hookOutput": ""}).encode()
        c.answer(200, {}, body)
        return True
