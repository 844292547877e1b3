"""help_examples.py PROGRAM FOLDER: runs every example of every command's help, as TAP lines.

The examples of one command run one after the other in a folder that has what they name: a small model
under the names of the examples, texts, a bundle. Those that need a hub, a token, a server or a file that
is not made here must at least be understood: they may fail, but not with the status of a usage error."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

from trees import Tree

# Words that tell an example of the second kind, by command ("" is every example of it).
ELSEWHERE = {"pull": "", "push": "", "login": "", "logout": "", "whoami": "", "mirror": "", "serve": "", "embed": "",
             "embed-serve": "", "clone": "org/name", "copy": "", "inspect": "", "tags": "", "store": "registry", "release": "registry", "versions": "", "releases": "", "from": "", "install": "", "clean-versions": "", "import": "gguf", "convert": "gguf", "verify": "--repair", "gc": ""}
ELSEWHERE["sign"] = "oci:"
ELSEWHERE["index"] = "registry"
ELSEWHERE["attest"] = ""
ELSEWHERE["version"] = "0.1.0"
ELSEWHERE["verify-release"] = ELSEWHERE["image"] = ""


def model_files(here, model="llama-q4-g64"):
    files = {}
    for folder in (model, "_tokenizer"):
        path = os.path.join(here, "../golden/tiny-a", folder)
        for name in os.listdir(path):
            if name.endswith((".json", ".safetensors")):
                with open(os.path.join(path, name), "rb") as f:
                    files[name] = f.read()
    return files


def furnish(t, files, whole):
    """What the examples name."""
    for name, commit in (("mlx-community/Qwen3-0.6B-4bit", "73e3e38d" + "0" * 32), ("HuggingFaceTB/SmolLM2-135M", "a" * 40),
                         ("o/llama-tiny", "b" * 40)):
        t.repo(name, files, commit, links=True, ref="main")
    for path in ("my-model", "workspaces/one"):
        t.workspace(path, files)
    t.workspace("model", whole)          # not quantised: the examples of convert do that
    t.put("w/notes.txt", "Some notes.\n")
    t.put("w/texts.jsonl", '{"text":"a"}\n')
    t.put("w/strings.jsonl", '"Hello"\n"world"\n')
    t.put("w/cases.jsonl", '{"messages":[{"role":"user","content":"Hi"}]}\n')
    t.put("w/chat.jinja", "{{ messages[0].content }}")
    os.makedirs(t.home + "/.config/fish/completions")
    t.mlxk("export", "llama", "-o", "models.tar")
    t.put("w/archive.tar", "An archive.\n")
    keys = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/sign")
    for name, key in (("key.pem", "p256.pem"), ("key.pub.pem", "p256.pub.pem"), ("minisign.key", "mini.key")):
        shutil.copy(os.path.join(keys, key), os.path.join(t.w, name))
    t.mlxk("sign", "archive.tar", "--key", "key.pem")


def run(t, line, seconds):
    e = {"PATH": t.root + "/bin:" + os.environ["PATH"], "HOME": t.home, "HF_HOME": t.hf, "TZ": "UTC", "LC_ALL": "C.UTF-8",
         "HF_ENDPOINT": "http://127.0.0.1:9", "MLXK_EXPERIMENTAL": "1"}
    p = subprocess.Popen(["bash", "-o", "pipefail", "-c", line], cwd=t.w, env=e, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        out, _ = p.communicate(timeout=seconds)
        return p.returncode, out
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, 9)
        return None, p.communicate()[0]


def main():
    program, folder = os.path.abspath(sys.argv[1]), sys.argv[2]
    here = os.path.dirname(os.path.abspath(__file__))
    files, whole = model_files(here), model_files(here, "llama-bfloat16")
    commands = json.loads(subprocess.run([program, "help", "--json"], capture_output=True, check=True).stdout)["data"]["commands"]
    n_failed = 0
    for command in (c["name"] for c in commands):
        t = Tree(tempfile.mkdtemp(dir=folder) + "/t", program)
        os.makedirs(t.root + "/bin")
        os.symlink(program, t.root + "/bin/mlxk")
        furnish(t, files, whole)
        text = subprocess.run([program, "help", command], capture_output=True, check=True).stdout.decode()
        examples = [line.strip() for line in text.split("\nexamples:\n")[1].split("\n") if line.startswith("  ")]
        for number, line in enumerate(examples, 1):
            line = line.split("   ")[0]                 # what stands behind is a remark
            elsewhere = command in ELSEWHERE and ELSEWHERE[command] in line or line.startswith("ssh ")
            status, out = run(t, line, 2 if command in ("mirror", "serve") else 60)
            ok = status not in (2, 126, 127) if elsewhere else status == 0
            n_failed += not ok
            print("%s help/example_%d_of_%s" % ("ok" if ok else "not ok", number, command))
            if not ok:
                print("# %s: status %s\n# %s" % (line, status, out[-300:].decode("utf-8", "replace").replace("\n", "\n# ")))
        shutil.rmtree(t.root)
    return n_failed != 0


sys.exit(main())
