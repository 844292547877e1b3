"""named_cases.py PROGRAM FOLDER [NUMBER...]: the numbered cases of mlx-knife's description, against PROGRAM.

One line `ok mlx-knife N: what` each. Where upstream is known to be wrong the better behaviour is asked
for, and the case says so. Not here: pulls from a hub (30 to 39), servers, and what needs a model that
embeds."""
import json
import os
import shutil
import struct
import sys
import tempfile

from trees import (CONFIG, GOLDEN, GOLDEN_CONFIG, GOLDEN_HASH, LFS, PLAIN, SENTINEL, SHARD, T0, Tree, W, WHOLE, index,
                   tensors)

CASES = []
PHI = "mlx-community/Phi-3-mini-4k-instruct-4bit"
ALPHA = {"MLXK2_ENABLE_ALPHA_FEATURES": "1"}
KEYS = {"name", "hash", "size_bytes", "last_modified", "framework", "model_type", "capabilities", "health",
        "runtime_compatible", "reason", "cached"}


def case(number, title):
    def add(f):
        CASES.append((number, title, f))
        return f
    return add


def check(value, *shown):
    assert value, "\n".join(repr(s) for s in shown)


def fails(r, kind, words=""):
    check(r.exit == 1 and r.document and r.document["status"] == "error" and r.error["type"] == kind
          and words in r.error["message"], kind, words, r)


def refused(r, words=""):
    """A usage error: on stderr for people, a document of type CommandError with --json."""
    if r.document:
        check(r.exit == 2 and r.error["type"] == "CommandError" and words in r.error["message"], words, r)
    else:
        check(r.exit == 2 and not r.out and r.err.startswith("usage: ") and words in r.err, words, r)


def one(t, files, name="o/m"):
    """The only entry of health for a model of these files, and the one of list."""
    t.repo(name, files)
    health = t.mlxk("health", "--json").data
    model = t.mlxk("list", "--json").data["models"][0]
    shutil.rmtree(t.hub)
    return (health["healthy"] + health["unhealthy"])[0], model


def verdict(t, files, status, words, name="o/m"):
    entry, model = one(t, files, name)
    check(entry["status"] == status and words in entry["reason"], status, words, entry)
    check(model["health"] == status and (status == "healthy" or words in model["reason"]), model)


# ---- version and parser ----

@case(1, "version as a document")
def _(t):
    r = t.mlxk("--version", "--json")
    check(r.exit == 0 and r.document["command"] == "version" and r.data["json_api_spec_version"] == "0.2.4", r)
    check(r.data["system"] is None or r.data["system"]["memory_total_bytes"] > 0, r)


@case(2, "version names the program as it was called")
def _(t):
    for name in ("mlxk", "mlxk2"):
        link = os.path.join(t.root, name)
        os.symlink(t.program, link)
        r = t.mlxk("--version", program=link)
        check(r.exit == 0 and r.out.startswith(name + " ") and r.out.count("\n") == 1, r)


@case(3, "list --json")
def _(t):
    r = t.mlxk("list", "--json")
    check(r.exit == 0 and r.document["error"] is None and r.data["models"] == [] and r.data["count"] == 0, r)


@case(4, "no command: help on stdout, status 2")
def _(t):
    r = t.mlxk()
    check(r.exit == 2 and "list" in r.out and not r.err, r)


@case(5, "no command with --json: status 1")
def _(t):
    r = t.mlxk("--json")
    check(r.exit == 1 and r.document["command"] is None and r.error["type"] == "CommandError", r)


@case(6, "show without a model")
def _(t):
    refused(t.mlxk("show", "--json"), "model")
    refused(t.mlxk("show"), "model")


@case(7, "push without folder and name")
def _(t):
    r = t.mlxk("push", "--json", "--private")
    refused(r, "local_dir")
    refused(r, "repo_id")


@case(8, "an unknown command")
def _(t):
    refused(t.mlxk("foo", "--json"), "foo")
    refused(t.mlxk("foo"), "foo")


@case(9, "push without --private")
def _(t):
    refused(t.mlxk("push", "x", "o/m"), "--private")


@case(10, "abbreviated options")
def _(t):
    t.usual()
    check(t.mlxk("list", "--heal", "--al").out == t.mlxk("list", "--health", "--all").out, "")


# ---- names ----

@case(11, "a name of three parts")
def _(t):
    t.repo("org/sub/model", WHOLE)
    check(os.path.isdir(os.path.join(t.hub, "models--org--sub--model")), "")
    check(t.mlxk("show", "org/sub/model", "--json").model["name"] == "org/sub/model", "")


@case(12, "three dashes do not crash")
def _(t):
    t.put("hf/hub/models--org--model---corrupted/x")
    check(t.mlxk("list", "--json").data["models"][0]["name"] == "org/model/-corrupted", "")


@case(13, "four dashes are two separators")
def _(t):
    t.put("hf/hub/models--org----model/x")
    check(t.mlxk("list", "--json").data["models"][0]["name"] == "org//model", "")


@case(14, "a fragment finds its model")
def _(t):
    t.usual()
    check(t.mlxk("show", "Phi-3-mini", "--json").model["name"] == PHI, "")


@case(15, "a short name means mlx-community first")
def _(t):
    t.repo("mlx-community/twin", WHOLE)
    t.repo("zz/twin", WHOLE)
    check(t.mlxk("show", "twin", "--json").model["name"] == "mlx-community/twin", "")


@case(16, "a short hash selects its snapshot")
def _(t):
    t.repo("o/Qwen3", WHOLE, "e96" + "0" * 37, age=100)
    t.repo("o/Qwen3", WHOLE, "b" * 40)
    check(t.mlxk("show", "Qwen3@e96", "--json").model["hash"].startswith("e96"), "")
    check(t.mlxk("show", "Qwen3", "--json").model["hash"] == "b" * 40, "")


@case(17, "fragments ignore case")
def _(t):
    t.usual()
    check(t.mlxk("show", "dialogpt", "--json").model["name"] == "microsoft/DialoGPT-small", "")


@case(18, "a fragment of several models is ambiguous, candidates sorted")
def _(t):
    t.usual()
    both = ["Qwen/Qwen3-Coder", "mlx-community/Qwen3-30B-4bit"]
    r = t.mlxk("show", "Qwen", "--json")
    fails(r, "ambiguous_match")
    check(r.error["matches"] == both, r)
    r = t.mlxk("rm", "Qwen", "--json")
    check(r.exit == 1 and r.data["matches"] == both, r)


@case(19, "a model that is not there")
def _(t):
    t.usual()
    fails(t.mlxk("show", "nonexistent-model", "--json"), "model_not_found")
    r = t.mlxk("health", "nonexistent-model", "--json")
    check(r.exit == 0 and r.data["summary"]["total"] == 0, r)


@case(20, "odd @ signs do not crash")
def _(t):
    t.usual()
    for name in ("Phi-3@@abc", "@abc", "Phi-3@"):
        for command in ("show", "health", "list"):
            r = t.mlxk(command, name, "--json")
            check(r.exit in (0, 1) and r.document, name, r)


@case(21, "a name of 97 bytes is refused by pull")
def _(t):
    fails(t.mlxk("pull", "x" * 97, "--json"), "ValidationError")


@case(22, "empty parts of names are refused by pull")
def _(t):
    for name in ("", "//", "/o/m", "o/m/"):
        r = t.mlxk("pull", name, "--json")
        fails(r, "ValidationError")
        check(r.data["download_status"] == "error", r)


# ---- list ----

@case(23, "every model object has its keys")
def _(t):
    t.usual()
    for model in t.mlxk("list", "--json").data["models"]:
        check(KEYS <= set(model) and "size" not in model and "hashes" not in model, model)
        check((model["hash"] is None or len(model["hash"]) == 40) and model["last_modified"].endswith("Z"), model)


@case(24, "patterns ignore case")
def _(t):
    t.usual()
    names = [{m["name"] for m in t.mlxk("list", p, "--json").data["models"]} for p in ("LLAMA", "qwen")]
    check(names[0] and names[1] and not names[0] & names[1], names)


@case(25, "an empty cache")
def _(t):
    os.makedirs(t.hub)
    check(t.mlxk("list", "--json").data["count"] == 0, "")


@case(26, "no cache at all")
def _(t):
    r = t.mlxk("list", "--json", env={"HF_HOME": t.root + "/none"})
    check(r.exit == 0 and r.data["models"] == [], r)


@case(27, "an explicit workspace")
def _(t):
    path = t.workspace("my-model")
    m, = t.mlxk("list", "./my-model", "--json").data["models"]
    check(m["name"] == path and m["hash"] is None and m["cached"] is False and m["display_name"] == "my-model", m)


def gemmas(t):
    for name in ("gemma-a", "gemma-b", "gemma-c", "other"):
        t.workspace(name)
    t.usual()


@case(28, "the beginning of a path")
def _(t):
    gemmas(t)
    check(t.mlxk("list", "./gemma-", "--json").data["count"] == 3, "")


@case(29, "a path never falls through to the cache")
def _(t):
    gemmas(t)
    check(t.mlxk("list", "./Phi-3", "--json").data["count"] == 0, "")


@case(30, "workspaces are sorted by name")
def _(t):
    for name in ("model-c", "model-a", "model-b"):
        t.workspace(name)
    names = [m["display_name"] for m in t.mlxk("list", "./model-", "--json").data["models"]]
    check(names == ["model-a", "model-b", "model-c"], names)


@case(31, "an absolute pattern shows absolute paths")
def _(t):
    path = t.workspace("m")
    m, = t.mlxk("list", path, "--json").data["models"]
    check(m["display_name"] == path, m)


@case(32, ". lists the folder")
def _(t):
    t.workspace("one")
    t.workspace("two")
    t.put("w/nomodel/x")
    check(t.mlxk("list", ".", "--json").data["count"] == 2, "")


@case(33, "an absolute folder is scanned")
def _(t):
    gemmas(t)
    check(t.mlxk("list", t.w, "--json").data["count"] == 4, "")


@case(34, "MLXK_WORKSPACE_HOME is listed with the cache")
def _(t):
    t.workspace("home/alpha")
    t.workspace("home/beta")
    t.repo("o/m", WHOLE)
    home = {"MLXK_WORKSPACE_HOME": t.w + "/home"}
    models = t.mlxk("list", "--json", env=home).data["models"]
    check([m.get("display_name") for m in models if not m["cached"]] == ["alpha", "beta"], models)
    check(t.mlxk("list", "ALPHA", "--json", env=home).data["count"] == 1, "")
    os.symlink("alpha", t.w + "/home/link")
    check(t.mlxk("show", "link", "--json", env=home).model["name"] == t.w + "/home/link", "a link keeps its name")
    os.unlink(t.w + "/home/link")
    check(t.mlxk("list", "--json").data["count"] == 1, "")
    check(t.mlxk("list", "--json", env={**home, "HF_HOME": t.root + "/none"}).data["count"] == 2, "")


@case(35, "the short table: no framework, no organisation, only what runs")
def _(t):
    t.usual()
    out = t.mlxk("list").out
    check("Modified" in out and "Framework" not in out and "mlx-community/" not in out and "GGUF" not in out, out)


@case(36, "the wide table")
def _(t):
    t.usual()
    out = t.mlxk("list", "--all", "--verbose").out
    check("Framework" in out and PHI in out and "TheBloke/Llama-2-7B-Chat-GGUF" in out, out)


@case(37, "base models are listed too")
def _(t):
    t.usual()
    check("Qwen3-30B-4bit" in t.mlxk("list").out, "")


@case(38, "chat+vision")
def _(t):
    t.repo("mlx-community/llava", {"config.json": '{"model_type":"llava"}', W: "x", "preprocessor_config.json": "{}"})
    check("chat+vision" in t.mlxk("list", "--all").out, "")
    t.repo("mlx-community/idefics", {"config.json": '{"model_type":"idefics"}', W: "x", "preprocessor_config.json": "{}"})
    rows = {line.split()[0]: [cell.strip() for cell in line.split("|")] for line in t.mlxk("list", "--all", "--health", "--verbose").out.splitlines()}
    check(rows["mlx-community/llava"][9] == "yes" and rows["mlx-community/idefics"][9] == "no", rows)    # MLX has a loader for one of them


# ---- health ----

HEALTH = {
    39: ("no config.json", {W: "x"}, "unhealthy", "config.json missing"),
    40: ("config.json is no JSON", {"config.json": "invalid json {", W: "x"}, "unhealthy", "invalid JSON"),
    41: ("an empty config", {"config.json": "{}", W: "x"}, "unhealthy", "empty or invalid"),
    42: ("a config alone", {"config.json": PLAIN}, "unhealthy", "No model weights found"),
    43: ("an LFS pointer for weights", {"config.json": PLAIN, W: LFS}, "unhealthy", "LFS pointers"),
    44: ("a partial file", {"config.json": PLAIN, W: "x", "a.partial.tmp": "x"}, "unhealthy", "Partial download marker"),
    45: ("empty weights", {"config.json": PLAIN, W: ""}, "unhealthy", "Empty weight files"),
    46: ("a shard is missing", {"config.json": PLAIN, SHARD[0]: "x", W + ".index.json": index(*SHARD[:2])},
         "unhealthy", "Index/shard mismatch"),
    47: ("an empty shard", {"config.json": PLAIN, SHARD[0]: "x", SHARD[1]: "", W + ".index.json": index(*SHARD[:2])},
         "unhealthy", "Empty weight shards"),
    48: ("all shards", {"config.json": PLAIN, SHARD[0]: "x", SHARD[1]: "x", W + ".index.json": index(*SHARD[:2])},
         "healthy", "Multi-file model complete"),
    49: ("shards 1 and 3 of 3, no index", {"config.json": PLAIN, SHARD[0]: "x", SHARD[2]: "x"}, "unhealthy",
         "2/3 present"),
    50: ("3 shards, no index", {"config.json": PLAIN, **{s: "x" for s in SHARD}}, "unhealthy", "index missing"),
    51: ("a PyTorch shard is missing",
         {"config.json": PLAIN, "a.bin": "x", "pytorch_model.bin.index.json": index("a.bin", "b.bin")}, "unhealthy", ""),
    52: ("all PyTorch shards",
         {"config.json": PLAIN, "a.bin": "x", "b.bin": "x", "pytorch_model.bin.index.json": index("a.bin", "b.bin")},
         "healthy", "complete"),
    53: ("an index without any shard", {"config.json": PLAIN, W + ".index.json": index(*SHARD)}, "unhealthy",
         "No model weights found"),
    54: ("pictures without preprocessor", {"config.json": '{"model_type":"llava"}', W: "x"}, "unhealthy",
         "preprocessor_config.json"),
    55: ("pictures with preprocessor",
         {"config.json": '{"model_type":"llava"}', W: "x", "preprocessor_config.json": "{}"}, "healthy", "healthy"),
    56: ("a broken preprocessor",
         {"config.json": '{"model_type":"llava"}', W: "x", "preprocessor_config.json": "not json"}, "unhealthy",
         "preprocessor_config.json"),
    57: ("tokenizer_config without tokenizer", {"config.json": PLAIN, W: "x", "tokenizer_config.json": "{}"},
         "unhealthy", "tokenizer.json missing"),
    58: ("a broken tokenizer_config",
         {"config.json": PLAIN, W: "x", "tokenizer_config.json": "{", "tokenizer.json": "{}"}, "unhealthy", "invalid"),
    59: ("no tokenizer at all", {"config.json": PLAIN, W: "x"}, "healthy", "healthy"),
    60: ("both tokenizer files",
         {"config.json": PLAIN, W: "x", "tokenizer_config.json": "{}", "tokenizer.json": "{}"}, "healthy", "healthy"),
    61: ("processor_config.json instead", {"config.json": '{"model_type":"llava"}', W: "x", "processor_config.json": "{}"},
         "healthy", "healthy"),
}
for number, (title, files, status, words) in HEALTH.items():
    case(number, title)(lambda t, f=files, s=status, w=words: verdict(t, f, s, w))


@case(62, "the summary stands there unless it is about one model")
def _(t):
    t.usual()
    check("Summary" not in t.mlxk("health", PHI).out, "")
    check("Summary: total 0" in t.mlxk("health", "nothing-like-it").out, "")
    check("Summary: total 6" in t.mlxk("health").out, "")


@case(63, "health of a workspace")
def _(t):
    t.workspace("ws")
    entry, = t.mlxk("health", "./ws", "--json").data["healthy"]
    check(entry["managed"] is False, entry)
    check(t.mlxk("health", "ws", "--json").data["summary"]["healthy_count"] == 1, "health alone takes a bare name")


@case(64, "health of a folder without config")
def _(t):
    t.put("w/ws/" + W, "x")
    r = t.mlxk("health", "./ws", "--json")
    check(not r.data["healthy"], r)


@case(65, "no snapshots")
def _(t):
    t.repo("o/none")
    os.makedirs(t.folder("o/empty") + "/snapshots")
    reasons = [e["reason"] for e in t.mlxk("health", "--json").data["unhealthy"]]
    check(reasons == ["No snapshots found", "No snapshots directory found"], reasons)


@case(66, "status 0 although something is unhealthy")
def _(t):
    t.usual()
    r = t.mlxk("health", "corrupted/model")
    check(r.exit == 0 and r.out.startswith("unhealthy"), r)


@case(67, "workspaces of the home are checked too")
def _(t):
    t.workspace("home/alpha")
    t.repo("o/m", WHOLE)
    r = t.mlxk("health", "--json", env={"MLXK_WORKSPACE_HOME": t.w + "/home"})
    check([e["name"] for e in r.data["healthy"]] == ["alpha", "o/m"], r)


# ---- what kind of model it is ----

@case(68, "GGUF without config: the config is what is missing")
def _(t):
    entry, _ = one(t, {"q.gguf": "GGUF"})
    check("config.json" in entry["reason"] and "GGUF" not in entry["reason"], entry)


@case(69, "old weights without config likewise")
def _(t):
    entry, _ = one(t, {"weights.00.safetensors": "x"})
    check("config.json" in entry["reason"], entry)


def incompatible(t, files, framework):
    _, model = one(t, files)
    check(model["framework"] == framework and not model["runtime_compatible"] and framework in model["reason"], model)


@case(70, "healthy GGUF does not run")
def _(t):
    incompatible(t, {"config.json": PLAIN, "q.gguf": "GGUF"}, "GGUF")


@case(71, "PyTorch does not run")
def _(t):
    incompatible(t, {"config.json": PLAIN, "pytorch_model.bin": "x"}, "PyTorch")


def legacy(t, name):
    entry, model = one(t, {"config.json": PLAIN, name: "x" * 300}, "mlx-community/m")
    check(entry["status"] == "healthy" and not model["runtime_compatible"]
          and "Legacy format not supported" in model["reason"], model)


@case(72, "weights.00.safetensors is an old name")
def _(t):
    legacy(t, "weights.00.safetensors")


@case(73, "pytorch_model-00001.safetensors is an old name")
def _(t):
    legacy(t, "pytorch_model-00001.safetensors")


@case(74, "an old name beside the new one is no matter")
def _(t):
    _, model = one(t, {"config.json": PLAIN, W: "x", "weights.00.safetensors": "x"}, "mlx-community/m")
    check("Legacy" not in (model["reason"] or ""), model)


@case(75, "library_name: mlx in the README")
def _(t):
    _, model = one(t, {"config.json": PLAIN, W: "x", "README.md": "---\nlibrary_name: mlx\n---\n"})
    check(model["framework"] == "MLX", model)


TYPES = {
    76: ("a template in tokenizer_config.json", {"tokenizer_config.json": '{"chat_template":"x"}', "tokenizer.json": "{}"},
         "model_type", "chat"),
    77: ("chat_template.jinja alone", {"chat_template.jinja": "x"}, "model_type", "chat"),
    78: ("a template in tokenizer.json alone", {"tokenizer.json": '{"chat_template":"x"}'}, "model_type", "chat"),
    79: ("llava sees", {"config.json": '{"model_type":"llava"}', "preprocessor_config.json": "{}"}, "+vision", True),
}
for number, (title, files, key, value) in TYPES.items():
    def typed(t, f=files, k=key, v=value):
        _, model = one(t, {"config.json": PLAIN, W: "x", **f}, "mlx-community/m")
        check("vision" in model["capabilities"] if k == "+vision" else model[k] == v, model)
    case(number, title)(typed)


def capability(t, what, yes, config, name="mlx-community/m"):
    _, model = one(t, {"config.json": json.dumps({"model_type": "llama", **config}), W: "x"}, name)
    check((what in model["capabilities"]) == yes, what, yes, model)


@case(80, "audio_config: null and {} are no sign, a dict is")
def _(t):
    for value, yes in ((None, False), ({}, False), ({"a": 1}, True)):
        capability(t, "audio", yes, {"audio_config": value})


@case(81, "vision_config: null and {} are no sign, a dict is")
def _(t):
    for value, yes in ((None, False), ({}, False), ({"a": 1}, True)):
        capability(t, "vision", yes, {"vision_config": value})


@case(82, "audio_seq_length is no sign")
def _(t):
    capability(t, "audio", False, {"audio_seq_length": 100})


@case(83, "vibevoice hears")
def _(t):
    capability(t, "audio", True, {"model_type": "vibevoice_asr"})


@case(84, "which whisper translates")
def _(t):
    for name, kind, yes in (("whisper-large-v3-4bit", "whisper", True), ("whisper-large-v3-turbo", "whisper", False),
                            ("whisper-small.en-mlx", "whisper", False), ("Voxtral", "voxtral", False)):
        capability(t, "audio-translate-en", yes, {"model_type": kind}, "mlx-community/" + name)


@case(85, "embedders")
def _(t):
    causal = ["Qwen3ForCausalLM"]
    for name, config, kind in (("bge", {"model_type": "bert"}, "embedding"),
                               ("Qwen3-Embedding-8B", {"model_type": "qwen3", "architectures": causal}, "embedding"),
                               ("Qwen3-8B", {"model_type": "qwen3", "architectures": causal}, "base"),
                               ("bge-m3", {"model_type": "xlm-roberta"}, "embedding")):
        _, model = one(t, {"config.json": json.dumps(config), W: "x"}, "mlx-community/" + name)
        check(model["model_type"] == kind, name, model)
        check(name != "bge-m3" or not model["runtime_compatible"], model)


@case(86, "a causal gemma3_text is no embedder")
def _(t):
    capability(t, "embeddings", False, {"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"]})


# ---- show ----

@case(87, "show: the model and its metadata")
def _(t):
    t.usual()
    data = t.mlxk("show", PHI, "--json").data
    check(KEYS <= set(data["model"]) and data["workspace_metadata"] is None, data)
    check(data["metadata"] == {"model_type": "llama", "architecture": "LlamaForCausalLM", "context_length": 4096,
                               "hidden_size": 768}, data)


@case(88, "files or config, then no metadata")
def _(t):
    t.usual()
    for flag in ("files", "config"):
        data = t.mlxk("show", PHI, "--json", "--" + flag).data
        check(flag in data and data["metadata"] is None and ("files" in data) != ("config" in data), data)
    check("config" not in t.mlxk("show", PHI, "--json", "--files", "--config").data, "")


@case(89, "tokenizer_config.json is a tokenizer file")
def _(t):
    t.usual()
    kinds = {f["name"]: f["type"] for f in t.mlxk("show", PHI, "--files", "--json").data["files"]}
    check(kinds == {"config.json": "config", W: "weights", "tokenizer.json": "tokenizer",
                    "tokenizer_config.json": "tokenizer"}, kinds)


@case(90, "show of a managed workspace")
def _(t):
    t.workspace("ws", GOLDEN, SENTINEL)
    data = t.mlxk("show", "./ws", "--json").data
    check(data["model"]["quantization"] == {"bits": 4, "group_size": 64}, data)
    check(data["workspace_metadata"]["managed"] is True and data["workspace_metadata"]["operation"] == "clone", data)


@case(91, "an unknown hash")
def _(t):
    t.usual()
    fails(t.mlxk("show", PHI + "@fff", "--json"), "model_not_found")


def rehash(t, path="./ws"):
    return t.mlxk("show", path, "--recalc-hash", "--json")


@case(92, "the golden content hash; a change is seen")
def _(t):
    path = t.workspace("ws", GOLDEN, SENTINEL)
    data = rehash(t).data
    check(data["hash_updated"] and data["model"]["content_hash"] == GOLDEN_HASH and data["model"]["clean"], data)
    t.put(path + "/config.json", GOLDEN_CONFIG.replace("4", "8"))
    check(t.mlxk("show", "./ws", "--json").model["clean"] is False, "")


@case(93, "no hash for a folder that is not managed")
def _(t):
    t.workspace("ws", GOLDEN)
    r = rehash(t)
    check(r.exit == 0 and r.model["content_hash"] is None and "hash_updated" not in r.data and r.err, r)


@case(93, "no hash where two names differ in their Unicode form only")
def _(t):
    t.workspace("ws", {**GOLDEN, "e\u0301.txt": "x", "\u00e9.txt": "y"}, SENTINEL)
    r = rehash(t)
    check(r.exit == 0 and r.model["content_hash"] is None and r.model["clean"] is None and "\u00e9.txt" in r.err, r)


# ---- rm ----

@case(94, "rm --force asks nothing")
def _(t):
    folder = t.repo("o/m", WHOLE)
    r = t.mlxk("rm", "o/m", "--force", "--json")
    check(r.exit == 0 and r.data["action"] == "deleted" and not os.path.exists(folder), r)


@case(95, "rm of nothing")
def _(t):
    t.usual()
    r = t.mlxk("rm", "nope-nope", "--json")
    fails(r, "model_not_found", "found")


@case(96, "a fragment is not enough for rm")
def _(t):
    t.usual()
    r = t.mlxk("rm", "Phi-3", "--json")
    check(r.exit in (0, 1) and r.data["action"] == "requires_confirmation" and r.data["requires_confirmation"], r)
    r = t.mlxk("rm", "Phi-3")
    check("nothing was deleted" in r.err and os.path.isdir(t.folder(PHI)), r)


@case(97, "locks of an unfinished download")
def _(t):
    t.repo("o/m", WHOLE)
    t.put("hf/hub/.locks/models--o--m/x.lock")
    r = t.mlxk("rm", "o/m", "--json")
    fails(r, "locks_present")
    check(r.data["lock_files"] == [".locks/models--o--m/x.lock"] and r.data["locks_detected"], r)
    r = t.mlxk("rm", "o/m", "-f", "--json")
    check(r.exit == 0 and r.data["lock_files_cleaned"] == 1 and not os.path.exists(t.folder("o/m")), r)


@case(98, "rm without permission")
def _(t):
    t.repo("o/m", WHOLE)
    os.chmod(t.hub, 0o500)
    os.chmod(t.folder("o/m"), 0o500)
    r = t.mlxk("rm", "o/m", "--json", plain=True)
    os.chmod(t.hub, 0o700)
    fails(r, "permission_denied")


@case(99, "rm never removes a workspace")
def _(t):
    os.makedirs(t.hub)
    path = t.workspace("ws")
    r = t.mlxk("rm", "./ws", "-f", "--json")
    fails(r, "workspace_model", "rm -rf")
    check(os.path.exists(path + "/config.json"), "")


@case(100, "rm without a cache")
def _(t):
    fails(t.mlxk("rm", "o/m", "--json"), "cache_not_found")


# ---- pull without a hub ----

@case(101, "a healthy model is there already")
def _(t):
    t.repo("o/m", WHOLE)
    r = t.mlxk("pull", "o/m", "--json")
    check(r.exit == 0 and r.data["download_status"] == "already_exists", r)


@case(102, "an unhealthy model wants a decision")
def _(t):
    t.repo("o/m", {"config.json": PLAIN})
    r = t.mlxk("pull", "o/m", "--json")
    check(r.exit == 0 and r.data["download_status"] == "requires_confirmation", r)
    check(t.mlxk("pull", "o/m").exit == 1, "")


# ---- clone and convert ----

@case(106, "clone without a target and without a home")
def _(t):
    t.repo("o/m", WHOLE)
    r = t.mlxk("clone", "o/m")
    check(r.exit == 1 and "arget" in r.err, r)
    r = t.mlxk("clone", "o/m", "--json")             # upstream prints no document here
    check(r.exit == 1 and r.document["status"] == "error", r)


@case(107, "clone into what is not empty")
def _(t):
    t.put("w/full/x")
    t.put("w/file")
    for target in ("./full", "./file"):
        fails(t.mlxk("clone", "o/m", target, "--json"), "InvalidTargetError")


def convert(t, *arguments):
    return t.mlxk("convert", *arguments, "--json")


THREE = {"config.json": CONFIG, SHARD[0]: tensors(a=4, b=4), SHARD[1]: tensors(c=8), SHARD[2]: tensors(d=2),
         "tokenizer.json": "{}"}


@case(111, "repair an index")
def _(t):
    t.workspace("a", THREE)
    r = convert(t, "./a", "./b", "--repair-index")
    check(r.exit == 0, r)
    with open(t.w + "/b/" + W + ".index.json") as f:
        check(json.load(f)["weight_map"] == {"a": SHARD[0], "b": SHARD[0], "c": SHARD[1], "d": SHARD[2]}, "")
    check(not [n for n in os.listdir(t.w + "/b") if n.endswith(".tmp")], "")
    t.workspace("one")
    r = convert(t, "./one", "./c", "--repair-index")
    check(r.exit == 0 and not os.path.exists(t.w + "/c/" + W + ".index.json"), r)


@case(112, "convert neither from nor into the cache")
def _(t):
    t.workspace("a")
    path = t.repo("o/m", WHOLE)
    for r in (convert(t, path, "./b", "--repair-index"), convert(t, "./a", t.hf + "/x", "--repair-index")):
        check(r.exit == 1 and r.document["status"] == "error", r)


@case(113, "convert from nothing, or into a full folder")
def _(t):
    t.workspace("a")
    t.put("w/full/x")
    for r in (convert(t, "./none", "./b", "--repair-index"), convert(t, "./a", "./full", "--repair-index")):
        check(r.exit == 1 and r.document["status"] == "error", r)


@case(114, "convert writes where a model came from")
def _(t):
    t.workspace("a", THREE, {**SENTINEL, "source_revision": "abc"})
    convert(t, "./a", "./b", "--repair-index")
    with open(t.w + "/b/.mlxk_workspace.json") as f:
        s = json.load(f)
    check(s["operation"] == "convert" and s["mode"] == "repair-index" and s["source_repo"] == "o/m"
          and s["source_revision"] == "abc", s)


@case(115, "quantize declines models that also see or hear")
def _(t):
    for i, config in enumerate(({"model_type": "gemma3n", "vision_config": {"a": 1}, "audio_config": {"a": 1}},
                                {"model_type": "zzz", "vision_config": {}})):
        t.workspace("a%d" % i, {"config.json": json.dumps(config), W: tensors(a=4)})
        fails(convert(t, "./a%d" % i, "./b", "--quantize", "4"), "unsupported_multimodal")
        check(not os.path.exists(t.w + "/b"), "")


@case(116, "quantize declines speech")
def _(t):
    t.workspace("a", {"config.json": '{"model_type":"whisper"}', W: tensors(a=4)})
    fails(convert(t, "./a", "./b", "--quantize", "4"), "not_implemented")


@case(117, "quantize of gemma3 takes its language model out of what also sees, of llama all there is")
def _(t):
    names = {"language_model.model.layers.0.mlp.up_proj.weight": [64, 64], "vision_tower.blocks.0.weight": [64, 64]}
    for i, (config, kept) in enumerate((({"model_type": "gemma3", "vision_config": {"a": 1}, "text_config": {"hidden_size": 64}}, "language_model."),
                                        ({"model_type": "llama"}, "model."))):
        header = {n.removeprefix("language_model." if i else ""): {"dtype": "F16", "shape": s, "data_offsets": [8192 * k, 8192 * k + 8192]}
                  for k, (n, s) in enumerate(list(names.items())[:2 - i])}
        text = json.dumps(header).encode()
        t.workspace("a%d" % i, {"config.json": json.dumps(config), W: struct.pack("<Q", len(text)) + text + bytes(8192 * (2 - i))})
        r = convert(t, "./a%d" % i, "./b%d" % i, "--quantize", "4")
        check(r.exit == 0 and ("1 tensors that are not part of the language model" in (r.data.get("warning") or "")) == (i == 0), r)
        with open(os.path.join(t.w, "b%d" % i, "model.safetensors"), "rb") as f:
            made = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        check({n.rpartition(".")[2] for n in made if n.startswith(kept)} == {"weight", "scales", "biases"}, made)
        check(not any("vision" in n for n in made), made)


@case(118, "convert wants exactly one thing")
def _(t):
    t.workspace("a")
    fails(convert(t, "./a", "./b"), "InvalidArgumentError")
    fails(convert(t, "./a", "./b", "--repair-index", "--quantize", "4"), "InvalidArgumentError")
    fails(convert(t, "./a", "./b", "--quantize", "7"), "InvalidArgumentError")


@case(119, "quantize takes nothing out of the cache")
def _(t):
    path = t.repo("o/m", WHOLE)
    check(convert(t, path, "./b", "--quantize", "4").exit == 1, "")


# ---- content hash ----

def hashed(t, files, name="ws"):
    shutil.rmtree(os.path.join(t.w, name), ignore_errors=True)
    t.workspace(name, {**GOLDEN, **files}, SENTINEL)
    return rehash(t, "./" + name).model["content_hash"]


@case(120, "headers of length 0 and above 100 MiB end the hashing")
def _(t):
    for bad in (bytes(8), b"\xff" * 8 + b"x", b"\x10"):
        check(hashed(t, {"z.safetensors": bad}) is None, bad)


@case(121, "the bytes of tensors do not count")
def _(t):
    check(hashed(t, {W: GOLDEN[W][:-1] + b"\x01"}) == GOLDEN_HASH, "")


def remembered(t, path="config.json"):
    """A workspace whose sentinel names `path` first in its index."""
    folder = t.workspace("ws", GOLDEN, SENTINEL)
    rehash(t)
    with open(folder + "/.mlxk_workspace.json") as f:
        s = json.load(f)
    s["file_index"][0]["path"] = path
    t.put(folder + "/.mlxk_workspace.json", json.dumps(s))
    return t.mlxk("show", "./ws", "--json").model["clean"]


@case(122, "unsafe paths in a sentinel are not believed")
def _(t):
    for path in ("../x", "/etc/passwd", "a\\b", "", "C:/x", "a\0b", "a/../b"):
        check(remembered(t, path) is None, path)
        shutil.rmtree(t.w + "/ws")
    check(remembered(t) is True, "")


@case(123, "links: inside they count by their target, outside they end the hashing")
def _(t):
    for target, inside in (("config.json", True), ("nothing", True), ("../out", False), ("../nothing", False)):
        t.put("w/out", "x")
        path = t.workspace("ws", GOLDEN, SENTINEL)
        os.symlink(target, path + "/link")
        value = rehash(t).model["content_hash"]
        check(bool(value) == inside and value != GOLDEN_HASH, target, value)
        shutil.rmtree(path)


@case(124, "names count, their order does not")
def _(t):
    first = hashed(t, {"a": "1", "b": "2"})
    check(first == hashed(t, {"b": "2", "a": "1"}) and first != hashed(t, {"a": "1", "c": "2"}), first)


@case(125, "every file of the tokenizer counts")
def _(t):
    seen = {hashed(t, {name: text}) for name in ("processor_config.json", "chat_template.jinja", "tokenizer.json",
                                                 W + ".index.json") for text in ("{}", "{ }")}
    check(len(seen) == 8, seen)


@case(126, "what is not the model's does not count")
def _(t):
    check(hashed(t, {"x.tmp": "1", "x.log": "1", ".git/c": "1", "a~": "1", ".DS_Store": "1", "venv/x": "1"})
          == GOLDEN_HASH, "")


@case(127, "another time stamp alone is no change")
def _(t):
    path = t.workspace("ws", GOLDEN, SENTINEL)
    rehash(t)
    os.utime(path + "/config.json", (T0, T0))
    check(t.mlxk("show", "./ws", "--json").model["clean"] is True, "")


@case(128, "a hash of version 1 says nothing until it is made anew")
def _(t):
    t.workspace("ws", GOLDEN, {**SENTINEL, "content_hash": "ab" * 32})
    check(t.mlxk("show", "./ws", "--json").model["clean"] is None, "")
    check(rehash(t).model["content_hash"] == GOLDEN_HASH, "")


@case(129, "the stored exclusions hold")
def _(t):
    path = t.workspace("ws", GOLDEN, SENTINEL)
    rehash(t)
    with open(path + "/.mlxk_workspace.json") as f:
        s = json.load(f)
    s["exclude_patterns"].append("*.mine")
    t.put(path + "/.mlxk_workspace.json", json.dumps(s))
    t.put(path + "/a.mine", "x")
    check(t.mlxk("show", "./ws", "--json").model["clean"] is True, "")
    t.put(path + "/a.other", "x")
    check(t.mlxk("show", "./ws", "--json").model["clean"] is False, "")


# ---- run ----

def tiny(t, name="tiny"):
    """A whole small model in the working folder."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../golden/tiny-a")
    files = {}
    for folder in ("llama-q4-g64", "_tokenizer"):
        for f in os.listdir(os.path.join(source, folder)):
            if f.endswith((".json", ".safetensors")):
                with open(os.path.join(source, folder, f), "rb") as opened:
                    files[f] = opened.read()
    return t.workspace(name, files)


GREEDY = ("--temperature", "0", "--repetition-penalty", "1", "--max-tokens", "8")


@case(130, "run of a model that is not there")
def _(t):
    r = t.mlxk("run", "nonexistent-model", "hi")
    check(r.exit == 1 and "Error:" in r.err and not r.out, r)
    fails(t.mlxk("run", "nonexistent-model", "hi", "--json"), "execution_error")


@case(131, "run of several models")
def _(t):
    t.usual()
    fails(t.mlxk("run", "Qwen", "hi", "--json"), "execution_error", "Qwen")


@case(132, "a conversation has no JSON form")
def _(t):
    tiny(t)
    r = t.mlxk("run", "./tiny", "--json")
    fails(r, "execution_error", "Interactive")
    check(not r.err, r)


def prompt(t, *arguments, stdin=b""):
    return t.mlxk("run", "./tiny", *arguments, *GREEDY, "--json", stdin=stdin)


@case(133, "standard input, two newlines, the words")
def _(t):
    tiny(t)
    check(prompt(t, "-", "extra", "text", stdin=b"from-stdin").data["prompt"] == "from-stdin\n\nextra text", "")


@case(134, "standard input alone, empty, and with --prompt")
def _(t):
    tiny(t)
    check(prompt(t, "-", stdin=b"from-stdin\n").data["prompt"] == "from-stdin\n", "")
    check(prompt(t, "-", "text").data["prompt"] == "\n\ntext", "")
    check(prompt(t, "-", "--prompt", "p", stdin=b"a").data["prompt"] == "a\n\np", "")
    fails(prompt(t, "-"), "execution_error", "empty")


@case(135, "pipes need no gate")
def _(t):
    tiny(t)
    check(t.mlxk("run", "./tiny", "-", *GREEDY, stdin=b"hi", env={"MLXK2_ENABLE_PIPES": None}).exit == 0, "")


@case(136, "on a pipe the answer is whole and ends with a newline")
def _(t):
    tiny(t)
    a, b = (t.mlxk("run", "./tiny", "hi", *GREEDY, *more) for more in ((), ("--no-stream",)))
    check(a.exit == 0 and a.out == b.out and a.out.endswith("\n") and not a.err, a, b)


@case(137, "what takes no text is told what it is for")
def _(t):
    t.repo("mlx-community/whisper", {"config.json": '{"model_type":"whisper"}', W: tensors(a=4)})
    t.repo("mlx-community/bge", {"config.json": '{"model_type":"bert"}', W: tensors(a=4)})
    fails(t.mlxk("run", "whisper", "hi", "--json"), "execution_error", "--audio FILE")
    fails(t.mlxk("run", "bge", "hi", "--json"), "execution_error", "mlxk embed")


@case(138, "recordings that are not there or too large")
def _(t):
    t.usual()
    fails(t.mlxk("run", "Phi-3", "--audio", "no.wav", "--json"), "CommandError", "Audio file not found: no.wav")
    with open(t.put("w/big.wav"), "r+b") as f:
        f.truncate((50 << 20) + 1)
    fails(t.mlxk("run", "Phi-3", "--audio", "big.wav", "--json"), "CommandError", "Audio file too large (>50MB)")
    t.put("w/a.wav", "x")
    fails(t.mlxk("run", "Phi-3", "--audio", "a.wav", "a.wav", "--json"), "CommandError", "Multiple audio files")
    with open(t.put("w/big.png"), "r+b") as f:
        f.truncate((10 << 20) + 1)
    fails(t.mlxk("run", "Phi-3", "--image", "big.png", "--json"), "CommandError", "Image too large (>10MB)")


@case(139, "--translate: into English, with a recording, by a model that can")
def _(t):
    t.put("w/a.wav", "x")
    t.repo("mlx-community/whisper-x", {"config.json": '{"model_type":"whisper"}', W: tensors(a=4)})
    t.repo("mlx-community/whisper-turbo", {"config.json": '{"model_type":"whisper"}', W: tensors(a=4)})
    for language in ("de", "DE"):
        fails(t.mlxk("run", "whisper-x", "--audio", "a.wav", "--translate", language, "--json"), "execution_error",
              "English")
    fails(t.mlxk("run", "whisper-x", "hi", "--json", "--translate"), "execution_error", "requires --audio")
    fails(t.mlxk("run", "whisper-turbo", "--audio", "a.wav", "--translate", "--json"), "execution_error",
          "audio-translate-en")


@case(140, "pictures for a model that does not see")
def _(t):
    t.usual()
    t.put("w/a.png", "x")
    fails(t.mlxk("run", "Phi-3", "hi", "--image", "a.png", "--json"), "execution_error", "vision")


@case(141, "the conversation: exit, quit, q, empty lines, the end of input")
def _(t):
    tiny(t)
    for stdin in (b"exit\n", b"QUIT\n", b"q\n", b"\n\nexit\n", b""):
        r = t.mlxk("run", "./tiny", stdin=stdin, *GREEDY)
        check(r.exit == 0 and not r.out.strip(), stdin, r)
    r = t.mlxk("run", "./tiny", "-i", "hi", stdin=b"again\n", *GREEDY)
    check(r.exit == 0 and r.out.count("\n") >= 2, r)


@case(142, "the longest answer is bounded by the context")
def _(t):
    tiny(t)
    r = t.mlxk("run", "./tiny", "hi", "--context", "32", "--temperature", "0", "--json")
    check(r.exit == 0 and r.data["prompt_tokens"] + r.data["tokens_generated"] <= 33, r)


# ---- push, where it needs no network ----

def push(t, *arguments, **env):
    return t.mlxk("push", *arguments, "o/m", "--private", "--json", env=env.get("env", {"HF_TOKEN": "hf_x"}))


@case(156, "push without a token")
def _(t):
    t.workspace("ws")
    fails(push(t, "./ws", env={}), "auth_error")


@case(157, "push of nothing")
def _(t):
    fails(push(t, "./none", "--check-only"), "workspace_not_found")


@case(158, "push --check-only tells what is wrong")
def _(t):
    for i, (files, code) in enumerate((({"config.json": "{", W: "x"}, "config_invalid_json"),
                                       ({"config.json": PLAIN, SHARD[0]: "x", W + ".index.json": index(*SHARD[:2])},
                                        "index_missing_shard"),
                                       ({"config.json": PLAIN, W: LFS}, "lfs_pointer_detected"),
                                       ({"config.json": PLAIN, "q.gguf": "x"}, None))):
        t.workspace("w%d" % i, files)
        health = push(t, "./w%d" % i, "--check-only").data["workspace_health"]
        codes = [a["code"] for a in health["anomalies"]]
        check((code in codes if code else health["weights"]["formats"] == ["gguf"]) and health["healthy"] == (not code),
              health)


@case(159, "push of a beginning")
def _(t):
    gemmas(t)
    r = push(t, "./gemma-", "--check-only")
    fails(r, "ambiguous_workspace")
    check(len(r.error["matches"]) == 3, r)
    check(push(t, "./oth", "--check-only").exit == 0 and push(t, "./other/.", "--check-only").exit == 0, "")


# ---- experimental ----

@case(162, "embed is closed")
def _(t):
    for arguments in (("embed", "o/m", "hi"), ("embed-serve", "o/m")):
        r = t.mlxk(*arguments)
        check(r.exit == 1 and "MLXK2_ENABLE_ALPHA_FEATURES" in r.err and not r.err.startswith("None"), r)
        fails(t.mlxk(*arguments, "--json"), "CommandError", "MLXK2_ENABLE_ALPHA_FEATURES")


@case(163, "embed is open: a model that is not there")
def _(t):
    r = t.mlxk("embed", "nope", "hi", "--json", env=ALPHA)
    fails(r, "ModelNotFound", "not found")
    check(r.document["command"] == "embed", r)
    for name, value, open_ in (("MLXK_EXPERIMENTAL", "1", True), ("MLXK2_ENABLE_ALPHA_FEATURES", " Yes ", True),
                               ("MLXK2_ENABLE_ALPHA_FEATURES", "0", False), ("MLXK_EXPERIMENTAL", "", False)):
        r = t.mlxk("embed", "nope", "hi", "--json", env={name: value})
        check(r.error["type"] == ("ModelNotFound" if open_ else "CommandError"), name, value, r)


@case(164, "embed: which models, which input")
def _(t):
    t.usual()
    t.repo("x/bge-m3", {"config.json": '{"model_type":"xlm-roberta","quantization":{"bits":4}}', W: "x"})
    t.repo("x/bert", {"config.json": '{"model_type":"bert"}', W: "x"})
    fails(t.mlxk("embed", "Phi-3", "hi", "--json", env=ALPHA), "NotAnEmbedder")
    fails(t.mlxk("embed", "bge-m3", "hi", "--json", env=ALPHA), "NotImplemented", "xlm-roberta")
    fails(t.mlxk("embed", "Qwen", "hi", "--json", env=ALPHA), "AmbiguousMatch")
    fails(t.mlxk("embed", "x/bert", "--json", env=ALPHA), "CommandError", "stdin")
    for stdin, words in ((b"{bad\n", "Malformed JSONL on line 1"), (b'\n{"a":1}\n', "JSONL line 2 missing 'text'"),
                         (b"\n\n", "No input records found")):
        fails(t.mlxk("embed", "x/bert", "--batch", "--json", env=ALPHA, stdin=stdin), "ValidationError", words)


@case(167, "serve --embed-backend is closed; a bad address is refused; plain serve has no gate")
def _(t):
    fails(t.mlxk("serve", "--embed-backend", "http://x", "--json"), "CommandError", "MLXK2_ENABLE_ALPHA_FEATURES")
    fails(t.mlxk("serve", "--embed-backend", "ftp://x", "--json", env=ALPHA), "InternalError", "http(s) URL")
    fails(t.mlxk("server", "--model", "nope", "--json"), "InternalError", "not found")
    for value in ("0", "65536", "x"):
        refused(t.mlxk("serve", "--port", value, "--json"), "--port")
    refused(t.mlxk("serve", "--log-level", "loud", "--json"), "loud")


def main():
    program, folder = os.path.abspath(sys.argv[1]), sys.argv[2]
    chosen = {int(n) for n in sys.argv[3:]}
    known = set(t for t in t_commands(program))
    n_failed = 0
    for number, title, f in CASES:
        if chosen and number not in chosen:
            continue
        root = tempfile.mkdtemp(dir=folder)
        name = "mlx-knife %d: %s" % (number, title)
        needs = {106: "clone", 107: "clone", 156: "push", 157: "push", 158: "push", 159: "push", 7: "push", 9: "push"}
        if number in needs and needs[number] not in known:
            continue                 # the command is not in this program yet
        try:
            f(Tree(root + "/t", program))
            print("ok " + name)
        except Exception as e:       # pylint: disable=broad-except
            n_failed += 1
            print("not ok " + name)
            print("\n".join("# " + line for line in ("%s: %s" % (type(e).__name__, e)).replace("\\n", "\n").split("\n")[:24]))
        shutil.rmtree(root)
    return n_failed != 0


def t_commands(program):
    import subprocess
    out = subprocess.run([program, "help", "--json"], capture_output=True, check=True).stdout
    return [c["name"] for c in json.loads(out)["data"]["commands"]]


if __name__ == "__main__":
    sys.exit(main())
