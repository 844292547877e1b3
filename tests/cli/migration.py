#!/usr/bin/env python3
"""migration.py MLXK [--before]: runs the blocks of docs/MIGRATION.md and prints TAP lines.

Each block has its own small cache. MLXK is the program to try, also under the name mlxk-json; with --before it is
mlx-knife's and the `before` lines are judged. Blocks that need a hub get the tests' own on loopback."""
import json, os, re, shutil, struct, subprocess, sys, tempfile, time

MLXK, BEFORE = os.path.abspath(sys.argv[1]), "--before" in sys.argv
T0 = 1_700_000_000
CONFIG = '{"model_type":"llama","quantization":{"bits":4,"group_size":64}}'
HEADER = b'{"t":{"dtype":"F16","shape":[8],"data_offsets":[0,16]}}'
WEIGHTS = struct.pack("<Q", len(HEADER)) + HEADER + bytes(16)
WHOLE = {"config.json": CONFIG, "model.safetensors": WEIGHTS, "tokenizer.json": "{}", "tokenizer_config.json": "{}"}
REPOS = [("good", "a" * 40, WHOLE, T0), ("two", "1" * 40, WHOLE, T0), ("two", "2" * 40, WHOLE, T0 + 1000),
         ("spm", "b" * 40, {**{k: v for k, v in WHOLE.items() if k != "tokenizer.json"}, "tokenizer.model": "x"}, T0),
         ("partial", "c" * 40, {**WHOLE, "partial_rotary.json": "{}"}, T0), ("five", "d" * 40, WHOLE, T0)]


def tree(root):
    for name, commit, files, when in REPOS:
        repo = os.path.join(root, "hf/hub/models--org--" + name)
        snapshot = os.path.join(repo, "snapshots", commit)
        os.makedirs(snapshot)
        os.makedirs(os.path.join(repo, "refs"), exist_ok=True)
        for path, data in files.items():
            with open(os.path.join(snapshot, path), "wb") as f:
                f.write(data if isinstance(data, bytes) else data.encode())
        os.utime(snapshot, (when, when))
        if commit[0] != "2":
            with open(os.path.join(repo, "refs/main"), "w") as f:
                f.write(commit)
    for program in ("mlxk", "mlxk-json"):
        os.makedirs(os.path.join(root, "bin"), exist_ok=True)
        real = os.path.join(os.path.dirname(MLXK), program) if BEFORE else MLXK
        os.symlink(real, os.path.join(root, "bin", program))


def hub(root):
    server = subprocess.Popen([sys.executable, "tests/fake/fake_hub.py", "serve", os.path.join(root, "hub")],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ready = os.path.join(root, "hub/ready")
    for _ in range(300):
        if os.path.exists(ready):
            return server, re.search(r"HUB_HTTP=(\S+)", open(ready).read()).group(1).strip("'\"")
        time.sleep(0.1)
    server.kill()
    sys.exit("the fake hub does not start")


def run(block, root):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "MLXK", "XDG_"))}
    environment.update(HOME=root, HF_HOME=os.path.join(root, "hf"), HF_HUB_DISABLE_XET="1", TZ="UTC", LC_ALL="C.UTF-8", COLUMNS="100",
                       PATH=os.path.join(root, "bin") + ":" + os.environ["PATH"], TINY=os.path.abspath("tests/golden/tiny-a/llama-bfloat16"),
                       GOOD="hf/hub/models--org--good/snapshots/" + "a" * 40)
    for key in ("PYTHONPATH",):
        if key in os.environ:
            environment[key] = os.environ[key]
    server = None
    if "hub" in block.get("needs", ""):
        server, environment["HF_ENDPOINT"] = hub(root)
    try:
        if block.get("setup"):
            subprocess.run(["sh", "-c", block["setup"]], cwd=root, env=environment, check=True)
        return subprocess.run(["sh", "-c", block["$"]], cwd=root, env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=120)
    finally:
        if server:
            server.kill()
            server.wait()


def judge(expression, result, root):
    names = {"status": result.returncode, "out": result.stdout.decode("utf-8", "replace"), "err": result.stderr.decode("utf-8", "replace"),
             "d": None, "has": lambda path: os.path.exists(os.path.join(root, path))}
    try:
        names["d"] = json.JSONDecoder().raw_decode(names["out"])[0]
    except ValueError:
        pass
    d = names["d"] if isinstance(names["d"], dict) else {}
    names["x"], names["e"] = d.get("data") or {}, d.get("error") or {}
    try:
        return bool(eval(expression, {"str": str}, names)), names
    except (KeyError, TypeError):
        return False, names


failed = 0
text = open("docs/MIGRATION.md", encoding="utf-8").read()
for number, body in enumerate(re.findall(r"```migration\n(.*?)```", text, re.S), 1):
    block = {}
    for line in body.strip().split("\n"):
        key, _, value = line.partition(" ")
        block[key.rstrip(":")] = value
    root = tempfile.mkdtemp(prefix="migration-", dir=os.environ.get("T"))
    try:
        tree(root)
        result = run(block, root)
        ok, seen = judge(block["before" if BEFORE else "after"], result, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    failed += not ok
    print("%s migration/%02d_%s%s" % ("ok" if ok else "not ok", number, re.sub(r"\W+", "_", block["$"])[:50].strip("_"), "_before" if BEFORE else ""))
    if not ok:
        print("# expected %s" % block["before" if BEFORE else "after"])
        print("# status %d\n# out %r\n# err %r" % (seen["status"], seen["out"][:400], seen["err"][:400]))
sys.exit(failed > 0)
