"""trees.py: caches and workspaces as the tests need them, made in an empty folder.

A Tree has a home (HOME), a cache (HF_HOME) and a working folder; mlxk() runs the program there. Every
time stamp is the same, so that what is printed is too."""
import hashlib
import json
import os
import struct
import subprocess

T0 = 1700000000                 # 2023-11-14 22:13:20 UTC
CONFIG = json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 768,
                     "max_position_embeddings": 4096, "quantization": {"bits": 4, "group_size": 64}})
PLAIN = '{"model_type":"llama"}'
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 9\n"
W = "model.safetensors"
SHARD = ["model-%05d-of-%05d.safetensors" % (i, 3) for i in (1, 2, 3)]


def tensors(**shapes):
    """A safetensors file of zeros."""
    header, at = {}, 0
    for name, n in shapes.items():
        header[name] = {"dtype": "F16", "shape": [n], "data_offsets": [at, at + 2 * n]}
        at += 2 * n
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def index(*shards):
    return json.dumps({"metadata": {}, "weight_map": {"t%d" % i: s for i, s in enumerate(shards)}})


# The vector of mlx-knife's content hash: a config without a newline, one tensor of 16 zero bytes.
GOLDEN_CONFIG = '{"model_type":"llama","quantization":{"bits":4,"group_size":64}}'
GOLDEN = {"config.json": GOLDEN_CONFIG, W: tensors(t=8)}
GOLDEN_HASH = "sha256:f5b826f4ae9535a1d5d75c94eb86680222951e1d2d68949b534df91bcf686b0d"
WHOLE = {"config.json": CONFIG, "tokenizer.json": "{}", W: tensors(w=64),
         "tokenizer_config.json": '{"chat_template":"x"}'}
SENTINEL = {"mlxk_version": "2.0.8", "created_at": "2026-01-01T00:00:00Z", "source_repo": "o/m",
            "source_revision": None, "managed": True, "operation": "clone"}


def as_others():
    """Takes CAP_DAC_OVERRIDE away from root."""
    if os.geteuid() == 0:
        import ctypes
        pr_capbset_drop, cap_dac_override = 24, 1
        if ctypes.CDLL(None).prctl(pr_capbset_drop, cap_dac_override, 0, 0, 0) != 0:
            raise OSError("the capability could not be dropped")


class Result:
    def __init__(self, done):
        self.exit, self.out, self.err = done.returncode, done.stdout.decode(), done.stderr.decode()
        try:
            self.document = json.loads(self.out)
        except ValueError:
            self.document = None

    @property
    def data(self):
        return self.document["data"]

    @property
    def error(self):
        return self.document["error"]

    @property
    def model(self):
        return self.data["model"]

    def __repr__(self):
        return "exit %s\nout: %.1500s\nerr: %.800s" % (self.exit, self.out, self.err)


class Tree:
    def __init__(self, root, program):
        self.root, self.program = os.path.abspath(root), program
        self.hf, self.w, self.home = (os.path.join(self.root, d) for d in ("hf", "w", "home"))
        self.hub = os.path.join(self.hf, "hub")
        self.env = {}
        for d in (self.w, self.home):
            os.makedirs(d)

    def put(self, path, content=b""):
        path = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return path

    def folder(self, name):
        return os.path.join(self.hub, "models--" + name.replace("/", "--"))

    def repo(self, name, files=None, commit="a" * 40, links=False, ref=None, age=0):
        """files None: a folder without snapshots. links: blobs and relative links, as clients write."""
        folder = self.folder(name)
        os.makedirs(folder, exist_ok=True)
        if files is None:
            return folder
        snapshot = os.path.join(folder, "snapshots", commit)
        os.makedirs(snapshot, exist_ok=True)
        for path, content in files.items():
            content = content if isinstance(content, bytes) else content.encode()
            if not links:
                self.put(os.path.join(snapshot, path), content)
                continue
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            blob = hashlib.sha256(content).hexdigest() if path.endswith(".safetensors") else git
            self.put(os.path.join(folder, "blobs", blob), content)
            os.symlink(os.path.relpath(os.path.join(folder, "blobs", blob),
                                       os.path.dirname(os.path.join(snapshot, path))),
                       os.path.join(snapshot, path))
        if ref:
            self.put(os.path.join(folder, "refs", ref), commit)
        os.utime(snapshot, (T0 - age, T0 - age))
        return snapshot

    def workspace(self, path, files=None, sentinel=None):
        path = os.path.join(self.w, path)
        os.makedirs(path, exist_ok=True)
        for name, content in (WHOLE if files is None else files).items():
            self.put(os.path.join(path, name), content)
        if sentinel is not None:
            self.put(os.path.join(path, ".mlxk_workspace.json"),
                     sentinel if isinstance(sentinel, str) else json.dumps(sentinel))
        return path

    def usual(self):
        """A cache as people have it: a few kinds, one of them broken."""
        self.repo("mlx-community/Phi-3-mini-4k-instruct-4bit", WHOLE, "e9675aa3def456789abcdef0123456789abcdef0")
        self.repo("mlx-community/Qwen3-30B-4bit", {"config.json": CONFIG, W: tensors(w=4)})
        self.repo("Qwen/Qwen3-Coder", {"config.json": PLAIN, W: "x"}, "b" * 40)
        self.repo("microsoft/DialoGPT-small", {"config.json": '{"model_type":"gpt2"}', "pytorch_model.bin": "x"}, "c" * 40)
        self.repo("TheBloke/Llama-2-7B-Chat-GGUF", {"config.json": PLAIN, "q.gguf": "GGUFxx"}, "d" * 40)
        self.repo("corrupted/model", {"config.json": "{", W: "x"}, "f" * 40)

    def mlxk(self, *arguments, env=None, stdin=b"", program=None, cwd=None, plain=False):
        """plain: also root is bound by permissions."""
        e = {"PATH": os.environ["PATH"], "HOME": self.home, "HF_HOME": self.hf, "TZ": "UTC", "LC_ALL": "C.UTF-8",
             "HF_ENDPOINT": "http://127.0.0.1:9", "NO_COLOR": "1"}
        e.update(self.env)
        e.update(env or {})
        e = {k: v for k, v in e.items() if v is not None}
        return Result(subprocess.run([program or self.program] + list(arguments), cwd=cwd or self.w, env=e,
                                     input=stdin, capture_output=True, timeout=120,
                                     preexec_fn=as_others if plain else None))
