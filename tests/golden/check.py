#!/usr/bin/env python3
"""Runs mlxk against golden data and says what differs.

usage: check.py --mlxk PATH [--root DIR] [--set a|b] [--what tiny,smollm2,tokenizers,templates,quantizer]
                [--tokenizer-files DIR] [--smollm2 DIR] [--jinja DIR:DIR]
                [--only NAME] [--verbose]

The commands used (part of the program's interface, also handy for people who debug a model):
  mlxk logits DIR --ids 1,2,3 --exact --out FILE [--greedy N] --json
        FILE: little-endian float32 [n_ids, vocab]; data.greedy: N token ids continued greedily, end-of-sequence ignored
  mlxk tokenize DIR --jsonl [--no-special]     stdin: one JSON string a line   stdout: one JSON array of ids a line
  mlxk detokenize DIR --jsonl [--keep-special] stdin: one JSON array a line    stdout: one JSON string a line
  mlxk template FILE.jinja|DIR --jsonl         stdin: one JSON object a line: messages, tools?, add_generation_prompt, bos_token, eos_token,
                                                      now ("YYYY-MM-DD HH:MM:SS", what strftime_now sees) and any further variable
                                               stdout: {"text": …} or {"error": …} a line
  mlxk convert SRC DST --quantize BITS --q-group-size G --q-mode affine|mxfp4|mxfp8|nvfp4 --skip-health
  mlxk convert SRC DST --dequantize --skip-health
Prints one line per failing case and last 'N passed, N failed'.
"""
import argparse, array, glob, json, math, os, struct, subprocess, sys, tempfile

P = F = 0
ARGS = None


def ok(cond, name, why=""):
    global P, F
    if cond:
        P += 1
        if ARGS.verbose:
            print("ok  ", name)
    else:
        F += 1
        print("FAIL", name, str(why)[:300])
    return cond


def run(args, stdin=None, timeout=120):
    try:
        p = subprocess.run([ARGS.mlxk] + args, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
        return p.returncode, p.stdout, p.stderr.decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        return 124, b"", "no answer in %d s" % timeout


def f32(path_or_bytes):
    b = path_or_bytes if isinstance(path_or_bytes, bytes) else open(path_or_bytes, "rb").read()
    a = array.array("f")
    a.frombytes(b[: len(b) // 4 * 4])
    return a


def check_model(name, d, g, exp_logits, tol, other=None):
    """logits close (worst error relative to the logits' own spread) and greedy tokens equal as far as the margins are safe;
    other: logits that are right too (phi3 longrope with the short factors, as transformers does it): then the greedy tokens are not compared"""
    with tempfile.TemporaryDirectory() as t:
        out = os.path.join(t, "l.f32")
        n = len(g["greedy_ids"])
        rc, so, se = run(["logits", d, "--ids", ",".join(map(str, g["prompt_ids"])), "--exact", "--out", out, "--greedy", str(n), "--json"])
        if not ok(rc == 0, name + " runs", se):
            return
        got = f32(out) if os.path.exists(out) else []
        if not ok(len(got) == len(exp_logits), name + " shape", "%d floats for %d" % (len(got), len(exp_logits))):
            return
        std = g.get("logit_std") or 1.0
        worst = max(abs(x - y) for x, y in zip(got, exp_logits))
        if other is not None and worst / std > tol:
            ok(max(abs(x - y) for x, y in zip(got, other)) / std <= tol, name + " logits (short factors)")
            return
        ok(not any(math.isnan(x) for x in got) and worst / std <= tol, name + " logits", "worst error %.4g at spread %.4g" % (worst, std))
        try:
            data = json.loads(so)["data"]
        except Exception as e:
            ok(False, name + " json", e)
            return
        k = g.get("greedy_safe_prefix", n)
        ok(data.get("greedy", [])[:k] == g["greedy_ids"][:k], name + " greedy", "%s for %s" % (data.get("greedy", [])[:k], g["greedy_ids"][:k]))


def tiny(root, which):
    for d in sorted(glob.glob(os.path.join(root, "tiny-" + which, "*"))):
        if os.path.isfile(os.path.join(d, "golden.json")) and (not ARGS.only or ARGS.only in d):
            g = json.load(open(os.path.join(d, "golden.json")))
            tol = 1e-3
            short = os.path.join(d, "golden.short_factor.f32")
            check_model("tiny-%s/%s" % (which, os.path.basename(d)), d, g, f32(os.path.join(d, g["logits_file"])), tol, f32(short) if os.path.exists(short) else None)


def smollm2(root, which):
    if not ARGS.smollm2:
        print("smollm2 left out: --smollm2 DIR (the imported repo) is needed")
        return
    files = sorted(glob.glob(os.path.join(root, "smollm2", "*.json")))
    for i, p in enumerate(files):
        g = json.load(open(p))
        if "prompt_ids" not in g:
            continue
        name = "smollm2/" + g["name"]
        if isinstance(g.get("prompt"), list):
            rc, so, se = run(["template", ARGS.smollm2, "--jsonl"], (json.dumps({"messages": g["prompt"], "add_generation_prompt": True}) + "\n").encode())
            ok(rc == 0 and json.loads(so or b"{}").get("text") == g["rendered"], name + " template", se or so)
        text = g.get("rendered") or g.get("prompt")
        rc, so, se = run(["tokenize", ARGS.smollm2, "--jsonl", "--no-special"], (json.dumps(text) + "\n").encode())
        ok(rc == 0 and json.loads(so or b"[]") == g["prompt_ids"], name + " tokens", se or so[:200])
        with tempfile.TemporaryDirectory() as t:
            out = os.path.join(t, "l.f32")
            greedy = g.get("greedy_ids") or g.get("greedy", {}).get("ids") or []
            rc, so, se = run(["logits", ARGS.smollm2, "--ids", ",".join(map(str, g["prompt_ids"])), "--exact", "--out", out, "--greedy", str(len(greedy)), "--json"], timeout=600)
            if not ok(rc == 0, name + " runs", se):
                continue
            a = f32(out)
            vocab = len(a) // max(1, len(g["prompt_ids"]))
            last = a[-vocab:] if vocab else []
            bad = [(r["id"], r["logit"], last[r["id"]]) for r in g["top20_last"] if r["id"] >= len(last) or abs(last[r["id"]] - r["logit"]) > 5e-3]
            ok(not bad, name + " top20", bad[:3])
            got = json.loads(so)["data"].get("greedy", [])
            k = g.get("greedy_safe_prefix", len(greedy))
            ok(got[:k] == greedy[:k], name + " greedy", "%s for %s" % (got[:k], greedy[:k]))


def tokenizers(root, which):
    base = os.path.join(root, "tokenizers", which)
    strings = {x["id"]: x["text"] for x in json.load(open(os.path.join(base, "strings.json")))}
    for p in sorted(glob.glob(os.path.join(base, "*.json"))):
        fam = os.path.basename(p)[:-5]
        if fam == "strings" or (ARGS.only and ARGS.only != fam):
            continue
        g = json.load(open(p))
        if fam == "smollm2":
            d = ARGS.smollm2
        elif fam == "tiny":
            d = os.path.join(root, "tiny-" + which, "_tokenizer")
            d = d if os.path.isdir(d) else os.path.join(root, "tiny-a", "_tokenizer")
        else:
            d = os.path.join(ARGS.tokenizer_files or "", fam)
        if not d or not os.path.isdir(d):
            print("tokenizers/%s left out: no files (tests/data/fetch.sh, --tokenizer-files DIR)" % fam)
            continue
        cs = g["cases"]
        inp = "".join(json.dumps(strings[c["id"]]) + "\n" for c in cs).encode()
        for flag, key in ((["--no-special"], "ids"), ([], "special")):
            rc, so, se = run(["tokenize", d, "--jsonl"] + flag, inp)
            lines = so.decode("utf-8", "replace").splitlines()
            if not ok(rc == 0 and len(lines) == len(cs), "tokenizers/%s %s" % (fam, key), se or "%d lines for %d" % (len(lines), len(cs))):
                continue
            for c, l in zip(cs, lines):
                ok(json.loads(l) == c.get(key, c["ids"]), "tokenizers/%s %s %s" % (fam, key, c["id"]), "%s for %s" % (l[:80], str(c.get(key, c["ids"]))[:80]))
        inp = "".join(json.dumps(c["ids"]) + "\n" for c in cs).encode()
        for flag, key in (([], "decode"), (["--keep-special"], "decode_raw")):
            rc, so, se = run(["detokenize", d, "--jsonl"] + flag, inp)
            lines = so.decode("utf-8", "replace").splitlines()
            if not ok(rc == 0 and len(lines) == len(cs), "tokenizers/%s %s" % (fam, key), se or "%d lines for %d" % (len(lines), len(cs))):
                continue
            for c, l in zip(cs, lines):
                want = c.get("decode", strings[c["id"]])
                if key == "decode_raw":
                    want = c.get("decode_raw", want)
                ok(json.loads(l) == want, "tokenizers/%s %s %s" % (fam, key, c["id"]), "%r for %r" % (l[:60], want[:60]))


def templates(root, which):
    base = os.path.join(root, "templates", which)
    conv = json.load(open(os.path.join(base, "conversations.json")))
    for p in sorted(glob.glob(os.path.join(base, "*.json"))):
        n = os.path.basename(p)[:-5]
        if n == "conversations" or (ARGS.only and ARGS.only not in n):
            continue
        g = json.load(open(p))
        file = next((f for f in (os.path.join(x, g["template"]) for x in ARGS.jinja.split(":")) if os.path.isfile(f)), None)
        if not file:
            print("templates/%s left out: no file (tests/data/fetch.sh, --jinja DIR:DIR)" % n)
            continue
        rows, want = [], []
        for c in g["cases"]:
            k = conv[c["conv"]]
            for gen in ([True, False] if c["add_generation_prompt"] is None else [c["add_generation_prompt"]]):
                r = {"messages": k["messages"], "add_generation_prompt": gen, "bos_token": g["bos_token"], "eos_token": g["eos_token"], "now": g["now"]}
                if "tools" in k:
                    r["tools"] = k["tools"]
                r.update(k.get("args", {}))
                rows.append(json.dumps(r))
                want.append((c, gen))
        rc, so, se = run(["template", file, "--jsonl"], ("\n".join(rows) + "\n").encode())
        lines = so.decode("utf-8", "replace").splitlines()
        if not ok(len(lines) == len(want), "templates/" + n, se or "%d lines for %d" % (len(lines), len(want))):
            continue
        for (c, gen), l in zip(want, lines):
            try:
                got = json.loads(l)
            except ValueError:
                got = {"error": "not JSON: " + l[:80]}
            name = "templates/%s %s %s" % (n, c["conv"], "gen" if gen else "")
            if "expected" in c:
                ok(got.get("text") in (c["expected"], c.get("expected_transformers")), name, "%r for %r" % (str(got)[:120], c["expected"][:120]))
            elif c["error_kind"] == "raise":
                ok(c["error"] in str(got.get("error", "")), name, "%s for error %s" % (str(got)[:120], c["error"]))
            else:
                ok("error" in got or got.get("text") == c.get("expected_transformers", 0), name, "%s where the reference fails" % str(got)[:120])


def read_safetensors(path):
    b = open(path, "rb").read()
    n = struct.unpack("<Q", b[:8])[0]
    h = json.loads(b[8:8 + n])
    return {k: (v["dtype"], b[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]) for k, v in h.items() if k != "__metadata__"}


def write_model(d, tensors):
    """tensors: [(name, dtype, shape, bytes)]"""
    os.mkdir(d)
    h, at = {}, 0
    for name, dtype, shape, raw in tensors:
        h[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(raw)]}
        at += len(raw)
    head = json.dumps(h).encode()
    with open(os.path.join(d, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + b"".join(t[3] for t in tensors))
    with open(os.path.join(d, "config.json"), "w") as f:
        json.dump({"model_type": "llama", "hidden_size": 64, "num_hidden_layers": len(tensors), "num_attention_heads": 1, "vocab_size": 8}, f)


def quantizer(root, which):
    """One model per mode, bits and group, a layer for each input; what convert writes of it, quantised and back, byte by byte."""
    short = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
    inputs = {x["name"]: x for x in json.load(open(os.path.join(root, "quantizer", "inputs.json")))}
    groups = {}
    for c in json.load(open(os.path.join(root, "quantizer", "cases.json"))):
        if not (c["mode"].startswith("mxfp") and "denormal" in c["input"]):   # the reference wraps the exponent byte there
            groups.setdefault((c["mode"], c["bits"], c["group_size"]), []).append(c)
    for (mode, bits, group), cases in groups.items():
        name = "quantizer/%s b%s g%s" % (mode, bits, group)
        if ARGS.only and ARGS.only not in name:
            continue
        path = "model.layers.%d.mlp.up_proj."
        with tempfile.TemporaryDirectory() as t:
            src, dst, back = (os.path.join(t, x) for x in ("src", "dst", "back"))
            xs = [inputs[c["input"]] for c in cases]
            write_model(src, [(path % i + "weight", short[x["dtype"]], x["shape"], bytes.fromhex(x["data"])) for i, x in enumerate(xs)])
            rc, so, se = run(["convert", src, dst, "--quantize", str(bits), "--q-group-size", str(group), "--q-mode", mode, "--skip-health"])
            if not ok(rc == 0, name, se):
                continue
            rc, so, se = run(["convert", dst, back, "--dequantize", "--skip-health"])
            if not ok(rc == 0, name + " back", se):
                continue
            got, whole = read_safetensors(os.path.join(dst, "model.safetensors")), read_safetensors(os.path.join(back, "model.safetensors"))
            for i, c in enumerate(cases):
                for part in ("weight", "scales", "biases"):
                    if c.get(part) is not None:
                        b = got.get(path % i + part, (None, b""))[1]
                        ok(b.hex() == c[part], "%s %s %s" % (name, c["input"], part), "differs")
                b = whole.get(path % i + "weight", (None, b""))
                ok(b == (short[c["dequantized_dtype"]], bytes.fromhex(c["dequantized"])), "%s %s dequantized" % (name, c["input"]), "differs")


def main():
    global ARGS
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--mlxk", required=True)
    a.add_argument("--root", default=os.path.dirname(os.path.abspath(__file__)))
    a.add_argument("--set", default="a")
    a.add_argument("--what", default="tiny,smollm2,tokenizers,templates")
    a.add_argument("--tokenizer-files")
    a.add_argument("--smollm2")
    a.add_argument("--jinja", default="")
    a.add_argument("--only")
    a.add_argument("--verbose", action="store_true")
    ARGS = a.parse_args()
    for w in ARGS.what.split(","):
        globals()[w](ARGS.root, ARGS.set)
    print("%d passed, %d failed" % (P, F))
    sys.exit(1 if F or not P else 0)


main()
