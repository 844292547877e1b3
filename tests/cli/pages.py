#!/usr/bin/env python3
"""pages.py MLXK PAGE...: runs the ```console blocks of the pages and prints TAP lines.

A block has lines `$ COMMAND` and, below each, what it prints (both outputs); `...` stands for anything in a line, a line of
`...` for any lines. A page is one shell in an empty home, from its first block to its last; a line `<!-- run: COMMAND -->`
between blocks is run and not shown. There HF_ENDPOINT is a hub (a mirror of this program) with the models demo/tiny and
demo/tiny-4bit, $TINY a folder with one, $TREE the sources."""
import json, os, re, shutil, signal, subprocess, sys, tempfile, time

MLXK = os.path.abspath(sys.argv[1])
TREE = os.getcwd()
GOLDEN = os.path.join(TREE, "tests/golden/tiny-a")


def environment(root, **more):
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "MLXK", "XDG_"))}
    keep.update(HOME=root, PATH=os.path.join(root, ".bin") + ":" + os.environ["PATH"], TZ="UTC", LC_ALL="C.UTF-8", COLUMNS="110",
                TREE=TREE, NO_COLOR="1", **more)
    return keep


def tiny(folder, model):
    os.makedirs(folder)
    for source in (os.path.join(GOLDEN, model), os.path.join(GOLDEN, "_tokenizer")):
        for name in os.listdir(source):
            if name.endswith((".json", ".safetensors")) and not name.startswith(("expect", "golden")):
                shutil.copy(os.path.join(source, name), folder)


def hub(root):
    """A mirror over a cache of two small models; its process and its address."""
    at = os.path.join(root, ".hub")
    for name, model in (("demo/tiny", "llama-bfloat16"), ("demo/tiny-4bit", "llama-q4-g64")):
        tiny(os.path.join(root, ".models", model), model)
        subprocess.run([MLXK, "import", os.path.join(root, ".models", model), "--name", name, "--quiet"], check=True,
                       env=environment(root, HF_HOME=at), stdout=subprocess.DEVNULL)
    log = open(os.path.join(root, ".hub.log"), "w+")
    server = subprocess.Popen([MLXK, "mirror", "--port", "0", "--serve-partial"], stdout=log, stderr=log, env=environment(root, HF_HOME=at))
    for _ in range(600):
        log.seek(0)
        found = re.search(r"HF_ENDPOINT=(http://\S+)", log.read())
        if found:
            return server, found.group(1)
        if server.poll() is not None:
            break
        time.sleep(0.05)
    log.seek(0)
    sys.exit("the mirror does not start: " + log.read()[-400:])


def steps(page):
    """(command, expected lines or None, line number) of a page."""
    inside, out = False, []
    for number, line in enumerate(open(page, encoding="utf-8").read().split("\n"), 1):
        hidden = re.fullmatch(r"<!-- run: (.*) -->", line)
        if hidden and not inside:
            out.append((hidden.group(1), None, number))
        elif line.startswith("```"):
            inside = line == "```console"
        elif inside and line.startswith("$ "):
            out.append((line[2:], [], number))
        elif inside and line.startswith("> ") and out[-1][1] == []:
            out[-1] = (out[-1][0] + "\n" + line[2:], [], out[-1][2])
        elif inside:
            out[-1][1].append(line)
    return out


def matches(want, got):
    pattern = []
    for line in want:
        pattern.append(r"(?:[^\n]*\n)*?" if line.strip() == "..." else re.escape(line.rstrip()).replace(r"\.\.\.", ".*") + "[ ]*\n")
    return re.fullmatch("".join(pattern), "".join(line.rstrip() + "\n" for line in got)) is not None


def run(page):
    root = tempfile.mkdtemp(prefix="page-", dir=os.environ.get("T"))
    os.makedirs(os.path.join(root, ".bin"))
    for name in ("mlxk", "mlxk-json"):
        os.symlink(MLXK, os.path.join(root, ".bin", name))
    server, endpoint = hub(root)
    todo = steps(page)
    script = "".join(f"{command}\nprintf '\\n\\001%d\\n' $?\n" for command, _, _ in todo)
    try:
        result = subprocess.run(["sh"], input=script.encode(), cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300,
                                env=environment(root, HF_ENDPOINT=endpoint, TINY=os.path.join(root, ".models/llama-q4-g64"),
                                                HF_HUB_DISABLE_XET="1"))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()
        shutil.rmtree(root, ignore_errors=True)
    parts = re.split(r"\n?\x01\d+\n", result.stdout.decode("utf-8", "replace").replace(root, "/home/you").replace(endpoint, "http://hub.example"))
    statuses = re.findall(r"\x01(\d+)\n", result.stdout.decode("utf-8", "replace"))
    bad = 0
    for i, (command, want, number) in enumerate(todo):
        got = parts[i].split("\n") if i < len(statuses) else ["(the shell ended before this)"]
        got = got[:-1] if got and got[-1] == "" else got
        if want is None:
            fine = i < len(statuses) and statuses[i] == "0"
        else:
            while want and want[-1] == "":
                want.pop()
            fine = i < len(statuses) and matches(want, got)
        bad += not fine
        print("%s pages/%s:%d_%s" % ("ok" if fine else "not ok", os.path.basename(page), number, re.sub(r"\W+", "_", command)[:40].strip("_")))
        if not fine or "--show" in sys.argv:
            print("# $ " + command.replace("\n", "\n# > "))
            print("\n".join("# | " + line for line in got[:40]))
    if not todo:
        print("not ok pages/%s has no block that runs" % page)
        bad += 1
    return bad


sys.exit(sum(run(page) for page in sys.argv[2:] if not page.startswith("--")) > 0)
