#!/bin/sh
# bench.sh: measures the demo's model with `mlxk bench` and appends one row to docs/SPEED.md (make bench).
# Extra words are handed to `mlxk bench`.
set -eu
cd "$(dirname "$0")/../.."
name=HuggingFaceTB/SmolLM2-135M-Instruct
export HF_HOME="$PWD/build/demo/hf"
build/mlxk show "$name" --json >/dev/null 2>&1 || sh src/tools/demo.sh >/dev/null
build/mlxk bench "$name" --json "$@" > build/bench.json
build/mlxk bench "$name" "$@"
python3 - docs/SPEED.md <<'PYTHON'
import json, os, subprocess, sys
page = sys.argv[1]
data = json.load(open("build/bench.json"))["data"]
git = lambda *a: subprocess.run(("git",) + a, capture_output=True, text=True).stdout.strip()
commit = git("log", "-1", "--format=%h") + ("+" if git("status", "--porcelain") else "")
cpu = next((l.split(":", 1)[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "unknown") \
    if os.path.exists("/proc/cpuinfo") else "unknown"
new = not os.path.exists(page) or "| commit |" not in open(page).read()
row = "| %s | %s | %s | %s | %s | |\n" % (commit, cpu, data.get("threads", "?"),
      "%.1f" % data["prompt_tok_s"], "%.1f" % data["decode_tok_s"])
with open(page, "a") as out:
    if new:
        out.write("\n| commit | CPU | threads | prompt tok/s | decode tok/s | note |\n|---|---|---|---|---|---|\n")
    out.write(row)
print(row, end="")
PYTHON
