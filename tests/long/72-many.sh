#!/bin/sh
# 72-many.sh: a repository of 100,000 files: every reading command within a bound of memory, and its removal.
set -u
. tests/tap.sh
export HF_HOME="$T/hf"
python3 - "$HF_HOME/hub" <<'END'
import json, os, sys
top = os.path.join(sys.argv[1], "models--o--many")
commit = "0123456789abcdef0123456789abcdef01234567"
for d in ("blobs", "refs", "trees", ".no_exist"):
    os.makedirs(os.path.join(top, d))
empty = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"      # git's name of nothing
open(os.path.join(top, "blobs", empty), "w").close()
files = {}
for i in range(100_000):
    if i % 1000 == 0:
        os.makedirs(os.path.join(top, "snapshots", commit, f"folder{i // 1000:03}"))
    name = f"folder{i // 1000:03}/file-with-a-name-of-some-length-{i:06}.json"
    os.symlink("../../../blobs/" + empty, os.path.join(top, "snapshots", commit, name))
    files[name] = {"blob_id": empty, "size": 0}
json.dump({"files": files, "format_version": 1}, open(os.path.join(top, "trees", commit + ".json"), "w"))
open(os.path.join(top, "refs", "main"), "w").write(commit)
END
# bounded MB COMMAND...: ends with 0 and never held more
bounded() {
    limit=$1; shift
    python3 - "$limit" "$MLXK" "$@" > "$T/bounded" 2>&1 <<'END'
import resource, subprocess, sys
p = subprocess.run(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(f"# {' '.join(sys.argv[3:])}: {used:.0f} MB, status {p.returncode} {p.stderr[:200]}")
sys.exit(p.returncode != 0 or used > int(sys.argv[1]))
END
    status=$?
    cat "$T/bounded"
    ok $status "100,000 files: $* in $limit MB"
}
bounded 96 list --all --json
bounded 96 show o/many --json
bounded 256 show o/many --files --json
bounded 96 health --json
bounded 256 verify --json
bounded 256 du --json
bounded 256 gc --json
bounded 128 rm o/many
ok "$(if [ -e "$HF_HOME/hub/models--o--many" ]; then echo 1; else echo 0; fi)" "and it is gone"
