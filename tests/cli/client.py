"""client.py FOLDER LIBRARY: the installed clients of 94-client.sh in a real Python, as TAP lines.

Here by the program mlxk and the small model; there against a server of our own that speaks just enough of OpenAI's
protocol, in pieces, with comments, errors, redirects and connections that break; then artifacts that lie."""
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading

FOLDER, LIBRARY = sys.argv[1:3]
sys.path[:0] = [LIBRARY, os.path.join(FOLDER, "lib3")]
n_failed = 0


def ok(name, holds, why=""):
    global n_failed
    n_failed += not holds
    print("%s %s" % ("ok" if holds else "not ok", name) + ("" if holds else "\n# %s" % (why,)), flush=True)


def fails(name, error, call, text=""):
    try:
        call()
    except error as e:
        ok(name, text in str(e), e)
    else:
        ok(name, False, "nothing was raised")


def mlxk(*args):
    return subprocess.run(["mlxk", *args], capture_output=True, stdin=subprocess.DEVNULL)


# ---- here ----

def here():
    import ham.client.v0 as v0
    import ham.client.v1 as v1
    from ham.v0_1_0 import Ham
    from ml_project.ham.client.v0 import HamClient as Aliased
    greedy = dict(max_tokens=12, temperature=0.0, seed=1)
    run = json.loads(mlxk("run", os.path.join(FOLDER, "else"), "hello there", "--max-tokens", "12", "--temperature", "0", "--json").stdout)["data"]
    with v0.HamClient() as model:
        answer = model.chat("hello there", **greedy)
        ok("here/chat_is_run", answer.text == run["response"] and answer.prompt_tokens == run["prompt_tokens"] and answer.completion_tokens == 12, answer)
        ok("here/stream_is_chat", "".join(model.stream("hello there", **greedy)) == answer.text)
        again = model.chat([{"role": "user", "content": "hello there"}], **greedy)
        ok("here/messages", again.text == answer.text)
        one = model._command([{"role": "user", "content": "hello there"}], {}, None)
        turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
        several = model.chat(turns, system="s", **greedy)
        want = json.loads(subprocess.run(["mlxk", "template", os.path.join(FOLDER, "else"), "--jsonl"], capture_output=True, text=True, input=json.dumps(
            {"messages": [{"role": "system", "content": "s"}] + turns, "add_generation_prompt": True}) + "\n").stdout)["text"]
        told = json.loads(subprocess.run(["mlxk", "run", os.path.join(FOLDER, "else"), "-", "--no-chat-template", "--max-tokens", "12", "--temperature", "0",
                                          "--json"], capture_output=True, text=True, input=want).stdout)["data"]
        ok("here/conversation", several.text == told["response"] and several.prompt_tokens == told["prompt_tokens"] > answer.prompt_tokens, several)
        ok("here/one_turn_needs_no_template", one == ([], "hello there"), one)
        ok("here/dashes_are_text", model.chat("--help", **greedy).text != "" and model.chat("x", system="--y", stop=["--z", "-"], **greedy) is not None)
        ids = json.loads(mlxk("tokenize", os.path.join(FOLDER, "else"), "hello\nthere", "--json").stdout)["data"]["ids"]
        ok("here/tokenize", model.tokenize("hello\nthere") == ids, model.tokenize("hello\nthere"))
        ok("here/path", os.path.isfile(os.path.join(model.path(), "model.safetensors")))
        fails("here/extra_is_for_servers", v0.ModelError, lambda: model.chat("x", extra={"tools": []}), "tools")
        pieces = model.stream("hello there", max_tokens=2000, temperature=0.0)
        next(pieces)
        pieces.close()
        ok("here/a_stream_can_be_left", True)
    ok("here/package", Ham.chat("hello there", **greedy).text == answer.text and Ham.client()().chat("hello there", **greedy).text == answer.text
       and os.path.isdir(Ham.path()) and Ham.client().__name__ == "HamClient")
    ok("here/alias_is_the_same_module", Aliased.__module__ == "ham.client.v0", Aliased.__module__)
    ok("here/what_it_knows", v0.Client.context() == 2048 and v1.Client.context() == 1024 and v0.Client.special()["eos"] == [2]
       and v1.Client.about()["version"] == "v1.1.0" and v0.Client.interface()["task"] == "causal-lm")
    ok("here/lines_side_by_side", v0.Client.version == "v0.1.0" and v1.Client.version == "v1.1.0" and v1.HamClient is v1.Client)
    ok("here/newest_is_used", v1.Client().reference().endswith("/ham:v1.1.0"), v1.Client().reference())
    v1.Client.version = "v1.0.0"
    path = v1.Client().path()
    ok("here/version_chooses", v1.Client().reference().endswith("/ham:v1.0.0") and not os.path.exists(os.path.join(path, "generation_config.json")), path)
    v1.Client.version = "1"
    path = v1.Client().path()
    ok("here/a_line_is_its_highest", os.path.exists(os.path.join(path, "generation_config.json")), path)
    for bad in ("v0.1.0", "v2", "1.2.3.4", "x", "", "v1.0.0 ", None, 1, "v1.1.0\n", "latest"):
        def choose(version=bad):
            v1.Client.version = version
        fails("here/no_version_%r" % (bad,), v1.VersionError, choose)
    v1.Client.version = "v1.7.0"
    fails("here/version_that_is_not_there", v1.ModelError, v1.Client().path)
    fails("here/version_that_is_not_there_stream", v1.ModelError, lambda: list(v1.Client().stream("x")))
    v1.Client.version = "v1.1.0"
    fails("here/no_program", v0.ModelError, lambda: v0.Client(mlxk=FOLDER + "/none").chat("x"), "cannot be run")
    fails("here/no_model", v0.ModelError, lambda: v0.Client(model=FOLDER + "/none").chat("x"))


# ---- there ----

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    offers, seen, elsewhere, behave = ["org/ham"], [], None, ""

    def log_message(self, *args):
        pass

    def send(self, status, body, kind="application/json", headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        Server.seen.append((self.path, None, self.headers.get("Authorization")))
        self.send(200, {"object": "list", "data": [{"id": i, "object": "model"} for i in Server.offers]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Server.seen.append((self.path, body, self.headers.get("Authorization")))
        if Server.behave == "redirect":
            return self.send(307, b"", headers=[("Location", Server.elsewhere)])
        if Server.behave == "refuse":
            return self.send(429, {"error": {"message": "slow down", "type": "rate_limited"}})
        if Server.behave == "page":
            return self.send(500, b"<html>oh</html>", "text/html")
        if Server.behave == "list":
            return self.send(200, [1])
        if self.path.endswith("embeddings"):
            rows = [{"index": i, "embedding": [i, 0.5]} for i in range(len(body["input"]))]
            return self.send(200, {"data": rows[::-1]})
        if not body.get("stream"):
            return self.send(200, {"choices": [{"index": 0, "message": {"role": "assistant", "content": "näh"}, "finish_reason": "stop"}],
                                   "usage": {"prompt_tokens": 3, "completion_tokens": 1}})
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        chunk = lambda text, last=None: json.dumps({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": last}]}, ensure_ascii=False)
        events = [": a comment\r\n\r\n", "event: message\r\ndata: %s\r\n\r\n" % chunk("n"), "data:%s\n\n" % chunk("äh"),
                  "data: %s\n\n" % json.dumps({"choices": [{"delta": {"role": "assistant"}}]}), "data: %s\n\n" % json.dumps({"choices": [], "usage": {}})]
        if Server.behave == "error":
            events += ["data: %s\n\n" % json.dumps({"error": {"message": "out of memory", "type": "insufficient_memory"}})]
        elif Server.behave != "cut":
            first, second = chunk("!", "stop").split("}", 1)
            events += ["data: %s}\ndata: %s\n\n" % (first, second), "data: [DONE]\n\n", "data: %s\n\n" % chunk("never")]
        try:
            for b in "".join(events).encode():           # byte by byte: nothing may rest on how it arrives
                self.wfile.write(bytes([b]))
        except OSError:                                  # who has read the end goes away
            pass
        self.close_connection = True


def there():
    from ham.client.v1 import Client, ModelError, VersionError
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    for s in (server, other):
        threading.Thread(target=s.serve_forever, daemon=True).start()
    url = "http://127.0.0.1:%d" % server.server_port
    Server.elsewhere = "http://127.0.0.1:%d/v1/chat/completions" % other.server_port
    with Client(url, api_key="secret") as model:
        answer = model.chat("hé\"llo\n", system="s", max_tokens=5, temperature=0, stop=["x"], extra={"tools": []})
        path, body, key = Server.seen[-1]
        ok("there/chat", answer.text == "näh" and answer.finish_reason == "stop" and (answer.prompt_tokens, answer.completion_tokens) == (3, 1), answer)
        ok("there/what_is_sent", path == "/v1/chat/completions" and key == "Bearer secret" and body == {
            "model": "org/ham", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hé\"llo\n"}],
            "max_tokens": 5, "temperature": 0, "stop": ["x"], "tools": []}, body)
        ok("there/stream", list(model.stream("x")) == ["n", "äh", "!"] and Server.seen[-1][1]["stream"] is True, list(model.stream("x")))
        ok("there/models", model.models() == ["org/ham"])
        ok("there/embed", model.embed(["a", "b"]) == [[0.0, 0.5], [1.0, 0.5]] and model.embed("a") == [[0.0, 0.5]])
        for behave, text in (("refuse", "slow down"), ("page", "500"), ("list", "no JSON object")):
            Server.behave = behave
            fails("there/" + behave, ModelError, lambda: model.chat("x"), text)
        Server.behave, n = "redirect", len(Server.seen)
        fails("there/redirect_is_not_followed", ModelError, lambda: model.chat("x"), "307")
        ok("there/the_key_stays", len(Server.seen) == n + 1)
        got = []
        for behave, text in (("cut", "broke off"), ("error", "out of memory")):
            Server.behave = behave
            got.clear()
            fails("there/stream_" + behave, ModelError, lambda: got.extend(model.stream("x")), text)
            ok("there/what_came_before_%s" % behave, got == ["n", "äh"], got)
        Server.behave = ""
    for offers, version, want in ((["x/y"], "v1.1.0", "x/y"), (["x/y", "org__ham"], "v1.1.0", "org__ham"), (["ham@v1.0.0", "ham@v1.1.0"], "v1.0.0", "ham@v1.0.0"),
                                  (["ham", "ham@v1.0.0"], "v1.0.0", "ham@v1.0.0"), (["ham", "ham@v1.1.0"], "v1.1.0", "ham@v1.1.0"),
                                  (["ham"], "v1.0.0", None), (["x/y", "x/z"], "v1.1.0", None), ([], "v1.1.0", None)):
        Server.offers, Client.version = offers, version
        if want is None:
            fails("there/no_%s_in_%d" % (version, len(offers)), VersionError, lambda: Client(url).chat("x"), "does not offer ham " + version)
        else:
            Client(url).chat("x")
            ok("there/%s_in_%s" % (version, "_".join(offers)), Server.seen[-1][1]["model"] == want, Server.seen[-1][1])
    Client.version = "v1.1.0"
    Client(url + "/v1/", model="mine").chat("x")
    ok("there/model_is_taken_as_it_is", Server.seen[-1][:2][1]["model"] == "mine" and Server.seen[-1][0] == "/v1/chat/completions")
    fails("there/nobody_listens", ModelError, lambda: Client("http://127.0.0.1:1").models(), "cannot be reached")
    for bad in ("127.0.0.1:8000", "ftp://x", "file:///etc/passwd", "", "http://"):
        fails("there/no_url_%r" % bad, ModelError, lambda: Client(bad), "no URL")
    for s in (server, other):
        s.shutdown()
        s.server_close()


# ---- the description ----

def described():
    from ham.client.v1 import Client
    d = Client.openapi()

    def walk(v, path):
        if isinstance(v, dict):
            if "$ref" in v:
                at = d
                for part in v["$ref"].split("/")[1:]:
                    at = at[part]
                refs.append(v["$ref"])
            for k, x in v.items():
                walk(x, path + [k])
        elif isinstance(v, list):
            for x in v:
                walk(x, path)

    refs = []
    walk(d, [])
    ok("described/openapi", d["openapi"] == "3.1.0" and d["info"]["version"] == "1.1.0" and len(refs) > 8 and set(d["paths"]) == {"/v1/models", "/v1/chat/completions"})
    ok("described/from_the_interface", d["components"]["schemas"]["ChatRequest"]["properties"]["max_tokens"]["maximum"] == 1024
       and d["info"]["x-mlxk-interface"] == Client.interface() and d["info"]["x-mlxk-interface-sha256"] == Client.about()["interface"])
    doc = open(os.path.join(LIBRARY, "ham/client/v1/interface.json"), "rb").read().rstrip(b"\n")
    ok("described/hash_is_that_of_the_document", hashlib.sha256(doc).hexdigest() == Client.about()["interface"])
    header = open(os.path.join(LIBRARY, "ham/client/v1/model.h")).read()
    ok("described/header", "#define HAM_CONTEXT 1024\n" in header and "#define HAM_TOKEN_EOS 2\n" in header, header)


# ---- names and texts that want to be code ----

def hostile_models():
    evil = '"""\'\'\'\\\n@CLASS@ @NAME@\nimport os; os.system("touch %s/evil")\n#*/ */ \u2028 {{' % FOLDER
    w = os.path.join(FOLDER, "evil-model")
    shutil.copytree(os.path.join(FOLDER, "else"), w)
    config = json.load(open(w + "/config.json"))
    config.update(architectures=[evil], _name_or_path=evil)
    json.dump(config, open(w + "/config.json", "w"))
    tc = json.load(open(w + "/tokenizer_config.json"))
    tc.update(chat_template="{# %s #}{{ messages[0].content }}" % evil.replace("#", "").replace("{{", ""), extra=evil, eos_token="</s>\n\"'''")
    json.dump(tc, open(w + "/tokenizer_config.json", "w"))
    lib = os.path.join(FOLDER, "lib-evil")
    names = {"class": ("class_", "Class"), "test": ("test_", "Test"), "3b.x_y-1": ("m3b_x_y_1", "M3bXY_1"), "none": ("none_", "None_"), "_": ("_", "M"),
             "json": ("json_", "Json")}
    plain = open(os.path.join(LIBRARY, "ham/client/v0/_client.py"), "rb").read()
    for patch, (name, (module, cls)) in enumerate(names.items()):
        p = mlxk("release", w, "oci:" + os.path.join(FOLDER, "evil"), "--name", name, "--version", "v3.0.%d" % patch, "--json")
        d = json.loads(p.stdout)
        if d["status"] != "success":
            ok("names/%s_release" % name, False, d)
            continue
        i = json.loads(mlxk("install", "oci:%s/evil:%s" % (FOLDER, d["data"]["client"]["tag"]), "--target", lib, "--json").stdout)
        code = "import %s.client.v3 as m; c = m.%sClient; assert c is m.Client and c.about()['name'] == %r and c.version == 'v3.0.%d'; print(c.interface()['architecture'])" % (
            module, cls, name, patch)
        q = subprocess.run([sys.executable, "-c", code], env=dict(os.environ, PYTHONPATH=lib), capture_output=True, text=True, cwd=FOLDER)
        ok("names/%s" % name, q.returncode == 0 and i["data"]["alias"] == "evil.%s.client.v3" % module, q.stderr + str(i))
        same = open(os.path.join(lib, module, "client/v3/_client.py"), "rb").read() == plain
        ok("names/%s_has_the_same_code" % name, same)
    ok("names/nothing_ran", not os.path.exists(FOLDER + "/evil") or os.path.isdir(FOLDER + "/evil"))
    texts = [open(os.path.join(d, f)).read() for d, _, fs in os.walk(lib) for f in fs if f.endswith((".py", ".h"))]
    ok("names/no_text_of_the_model_in_code", len(texts) >= 24 and not any("os.system" in t or "@CLASS@" in t for t in texts), len(texts))
    ok("names/the_text_is_data", any(evil in json.load(open(os.path.join(d, "interface.json")))["architecture"] for d, _, fs in os.walk(lib) if "interface.json" in fs))


# ---- artifacts that lie ----

def artifact(layout, files, annotations, kind="application/vnd.mlxk.client.v1+json", damage=None):
    shutil.rmtree(layout, ignore_errors=True)
    os.makedirs(layout + "/blobs/sha256")

    def blob(data):
        digest = hashlib.sha256(data).hexdigest()
        with open(layout + "/blobs/sha256/" + digest, "wb") as f:
            f.write(data if data != damage else data[:-1] + b"!")
        return "sha256:" + digest

    layers = [{"mediaType": "text/x-python", "digest": blob(d), "size": len(d), "annotations": {"org.opencontainers.image.title": p}} for p, d in files]
    m = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": kind,
         "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": blob(b"{}"), "size": 2}, "layers": layers, "annotations": annotations}
    data = json.dumps(m).encode()
    index = {"schemaVersion": 2, "manifests": [{"mediaType": m["mediaType"], "digest": blob(data), "size": len(data),
                                                "annotations": {"org.opencontainers.image.ref.name": "client-v1.0.0"}}]}
    json.dump(index, open(layout + "/index.json", "w"))
    json.dump({"imageLayoutVersion": "1.0.0"}, open(layout + "/oci-layout", "w"))


def hostile_artifacts():
    good = [("ham/client/v1/__init__.py", b"x = 1\n"), ("ham/client/v1/client.json", b'{"name": "ham"}')]
    notes = {"dev.mlxk.name": "ham", "dev.mlxk.version": "v1.0.0"}
    layout, lib = os.path.join(FOLDER, "lies"), os.path.join(FOLDER, "lib-lies")
    os.makedirs(lib)

    def refused(name, files=good, annotations=notes, **more):
        artifact(layout, files, annotations, **more)
        p = mlxk("install", "oci:%s:client-v1.0.0" % layout, "--target", lib, "--json")
        left = [os.path.join(d, f) for d, _, fs in os.walk(lib) for f in fs if "/.mlxk" not in d]
        ok("lies/" + name, p.returncode == 1 and json.loads(p.stdout)["status"] == "error" and not left, (p.stdout.decode()[-300:], left))

    for path in ("../evil.py", "/tmp/evil.py", "ham/client/v1/../../../evil.py", "ham/client/v2/evil.py", "ham/__init__.py", "ham/client/__init__.py", "os.py",
                 "sitecustomize.py", "evil.pth", "ham/client/v1", "ham/client/v1/", "ham/client/v1//x.py", "ham/client/v1/origin.json", "ham/client/v1/./x.py",
                 "ham/client/v1/a\\b.py", "ham/client/v1/a\nb.py", "", "ham/client/v10/x.py", "ham/client/v1/__init__.py"):
        refused("path_%r" % path, good + [(path, b"import evil\n")])
    for note in ({}, {"dev.mlxk.name": "ham"}, {"dev.mlxk.version": "v1.0.0"}, dict(notes, **{"dev.mlxk.version": "v1"}), dict(notes, **{"dev.mlxk.version": "v2.0.0"}),
                 dict(notes, **{"dev.mlxk.name": "Ham"}), dict(notes, **{"dev.mlxk.name": "../ham"}), dict(notes, **{"dev.mlxk.name": "os"}),
                 dict(notes, **{"dev.mlxk.name": "ham-client"}), dict(notes, **{"dev.mlxk.name": "h" * 300}), dict(notes, **{"dev.mlxk.name": ""}),
                 dict(notes, **{"dev.mlxk.min-version": "99.0.0"}), dict(notes, **{"dev.mlxk.min-version": "new"})):
        refused("notes_%s" % "_".join("%s" % v[:9] for v in note.values()), annotations=note)
    refused("no_module", good[1:])
    refused("package_without_a_model", kind="application/vnd.mlxk.package.v1+json")
    refused("damaged_file", damage=b"x = 1\n")
    artifact(layout, good, notes)
    p = mlxk("install", "oci:%s:client-v1.0.0" % layout, "--target", lib, "--json")
    ok("lies/the_honest_one_is_taken", p.returncode == 0 and os.path.isfile(lib + "/ham/client/v1/__init__.py"), p.stdout)


for part in (here, there, described, hostile_models, hostile_artifacts):
    part()
sys.exit(n_failed != 0)
