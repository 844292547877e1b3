#!/bin/sh
# 69-du-doctor.sh: du against coreutils' du, and doctor: every line with what to do, the token never, status 1 only for bad.
set -u
. tests/fake/hub.sh
# shellcheck disable=SC2119      # the faults it can be given are for other tests
hub_start
doc() { name=$1; shift; if python3 -c 'import json, sys
d = json.load(open(sys.argv[1], encoding="utf-8")); x = d["data"]; e = d["error"]
r = {i["name"]: i for i in x.get("repositories", [])}; o = {i["name"]: i["total_bytes"] for i in x.get("others", [])}
k = {(i["area"], i["name"]): i for i in x.get("checks", [])}
assert eval("(" + sys.argv[2] + ")"), d' "$T/out" "$1" 2> "$T/json"; then ok "$name"; else bad "$name" "$(tail -n 1 "$T/json" | cut -c1-900)"; fi; }
same() { if [ "$2" = "$3" ]; then ok "$1"; else bad "$1" "not the same"; fi; }
bytes() { du -sB1 "$1" | cut -f1; }

# ---- du ----------------------------------------------------------------------------------------------------------------
run du --json
doc "du of an empty cache" 'd["status"] == "success" and not r and x["root_bytes"] == 0'
run pull o/model@v1; run pull o/model; run pull o/small
HF_HUB_DISABLE_SYMLINKS=1 run pull bare
repo=$cache/models--o--small
head -c 20000 /dev/zero > "$repo/blobs/$(printf a | sha256sum | cut -c1-64)"
head -c 9000 /dev/zero > "$repo/blobs/$(printf b | sha256sum | cut -c1-64).incomplete"
printf mine > "$repo/notes.txt"
mkdir -p "$cache/datasets--o--d/blobs" "$cache/datasets--o--d/snapshots/x"; head -c 5000 /dev/zero > "$cache/datasets--o--d/blobs/$(printf c | sha256sum | cut -c1-64)"
ln "$cache"/datasets--o--d/blobs/* "$cache/models--o--small/blobs/$(printf c | sha256sum | cut -c1-64)"
mkdir -p "$HF_HOME/xet/logs"; head -c 70000 /dev/zero > "$HF_HOME/xet/logs/log"
printf x > "$cache/stray"
ln -s nowhere "$repo/snapshots/$(basename "$(echo "$repo"/snapshots/*)")/dead"
run du --json
for name in o/model o/small bare; do
    doc "du of $name as du -s says" "abs(r['$name']['total_bytes'] - $(bytes "$cache/models--$(echo $name | sed 's|/|--|')")) <= 4096"
done
doc "du of a dataset" "r['datasets/o/d']['total_bytes'] == $(bytes "$cache/datasets--o--d")"
doc "du of everything" "abs(x['root_bytes'] - $(bytes "$cache")) <= 4096"
doc "the parts add up" 'all(i["total_bytes"] == sum(i[p + "_bytes"] for p in ("linked", "shared", "unlinked", "partial", "meta", "foreign")) for i in r.values())'
doc "unlinked, partial, foreign" "r['o/small']['unlinked_bytes'] >= 20000 and r['o/small']['partial_bytes'] >= 9000 and r['o/small']['foreign_bytes'] >= 4096"
doc "what two revisions share" 'r["o/model"]["shared_bytes"] > 0 and r["o/model"]["revisions"] == 2 and r["o/model"]["linked_bytes"] > 0'
doc "files without links are linked" 'r["bare"]["linked_bytes"] > 0 and r["bare"]["unlinked_bytes"] == 0'
doc "repositories that other tools hide are counted" 'r["o/small"]["hidden"] and not r["o/model"]["hidden"]'
doc "what is beside them" "o['xet cache'] >= 70000 and o['locks'] > 0 and o['stray'] >= 4096"
succeeds "du for people" du
check "with bars" grep -q '█' "$T/out"
run du small --json
doc "du of one model" 'list(r) == ["o/small"]'
fails "du of what is not there" "No model found" du o/none

# ---- doctor -------------------------------------------------------------------------------------------------------------------
succeeds "doctor" doctor
check "a table" grep -q '^ok .*| paths .*| cache ' "$T/out"
check "and a count" grep -Eq '^[0-9]+ ok, [0-9]+ to look at, 0 bad$' "$T/out"
run doctor --json
doc "paths and who set them" "k['paths','cache']['value'] == '$cache' and k['paths','cache']['from'] == 'HF_HOME' and k['hub','endpoint']['from'] == 'HF_ENDPOINT'"
doc "what was measured" 'all(k["file system", n]["value"] == "yes" for n in ("rename", "memory maps", "locks", "symbolic links", "case"))'
doc "machine" 'k["processor","kernels"]["value"] and k["machine","memory"]["value"] and int(k["TLS","trusted roots"]["value"]) > 50 and k["TLS","trusted roots"]["from"] == "built in"'
doc "warnings say what to do" 'all(i["advice"] or i["name"] == "not ready" for i in x["checks"] if i["state"] != "ok")'
doc "models that are not ready offline" 'k["models","ready for offline use"]["state"] == "warn" and "broken links" in k["models","not ready"]["value"]'
check "nothing stays beside the cache" test -z "$(find "$HF_HOME" -name '.mlxk-probe*')"
before=$(find "$HF_HOME" -printf '%P %s %T@\n' | grep -v '^hub 4' | sort | sha256sum)
run doctor
same "the cache is as it was" "$(find "$HF_HOME" -printf '%P %s %T@\n' | grep -v '^hub 4' | sort | sha256sum)" "$before"
HF_TOKEN=hf_goodgoodgoodgoodgood run doctor --json
doc "a token is present" 'k["hub","token"]["value"] == "present" and k["hub","token"]["from"] == "HF_TOKEN"'
HF_TOKEN=hf_goodgoodgoodgoodgood run doctor
check "and is shown nowhere" not grep -rq goodgood "$T/out" "$T/err"
echo hf_goodgoodgoodgoodgood > "$HF_HOME/token"; chmod 644 "$HF_HOME/token"
run doctor --json
doc "a token file that others can read" 'k["hub","token file"]["state"] == "warn"'
rm "$HF_HOME/token"
SSL_CERT_FILE=$T/none.pem run doctor --json
check "certificates that are not there are bad" test $status = 1
doc "and told" 'd["status"] == "error" and e["type"] == "bad_environment" and k["TLS","trusted roots"]["state"] == "bad" and k["TLS","trusted roots"]["from"] == "SSL_CERT_FILE"'
: > "$T/empty.pem"
SSL_CERT_FILE=$T/empty.pem run doctor --json
doc "a file without certificates is bad" 'k["TLS","trusted roots"]["value"] == "0" and k["TLS","trusted roots"]["state"] == "bad"'
http_proxy=http://user:secret@127.0.0.1:3128 run doctor --json
doc "a proxy, without its password" 'k["hub","proxy"]["value"] == "127.0.0.1:3128"'
check "nowhere" not grep -q secret "$T/out"
HF_HUB_CACHE=$T/file run doctor --json
mkdir -p "$T/bin"; printf '#!/bin/sh\n' > "$T/bin/mlxk"; chmod +x "$T/bin/mlxk"
PATH="$T/bin:$PATH" run doctor --json
doc "another program of this name" "k['programs','mlxk']['state'] == 'warn' and k['programs','mlxk']['value'] == '$T/bin/mlxk' and k['programs','mlxk']['from'] == 'a script'"
cp "$T/bin/mlxk" "$T/bin/mlxk2"
PATH="$T/bin:$PATH" run doctor --json
doc "another program under another name is no mistake" "k['programs','mlxk2']['state'] == 'ok' and k['programs','mlxk2']['from'] == 'a script'"
: > "$T/file"
HF_HUB_CACHE=$T/file run doctor --json
doc "a cache that is a file" 'k["paths","cache"]["state"] == "bad" and e["type"] == "bad_environment"'
HF_HOME=$T/new/home run doctor --json
doc "a cache that is not there yet" 'd["status"] == "success" and k["paths","cache exists"]["value"] == "not yet"'
check "is not made" not test -e "$T/new"
MLXK_WORKSPACE_HOME=$T/no run doctor --json
doc "a workspace home that is none" 'k["paths","workspaces"]["state"] == "warn"'
# shellcheck disable=SC3045      # dash and bash have it
(ulimit -n 256; run doctor --json; doc "few open files" 'k["machine","open files"] == {"state": "warn", "area": "machine", "name": "open files", "value": "256", "from": None, "advice": "raise it: ulimit -n 4096"}')
run version --json
doc "version knows the memory" 'x["system"]["memory_total_bytes"] > 1000000'

# ---- on a terminal: as wide as it is, and nothing is lost --------------------------------------------------------------
run pull o/model
for columns in 80 100 132; do
    for command in doctor du gc verify; do
        python3 tests/cli/wide.py $columns "$MLXK" $command > "$T/wide" 2>&1
        check "$command on $columns columns" python3 -c 'import sys; sys.exit(max(len(x.rstrip()) for x in open(sys.argv[1])) > int(sys.argv[2]))' "$T/wide" $columns
    done
done
python3 tests/cli/wide.py 80 "$MLXK" doctor > "$T/narrow"
"$MLXK" doctor > "$T/piped"
check "all of doctor is told on 80 columns" test "$(grep -c '^ok\|^warn\|^bad' "$T/narrow")" = "$(grep -c '^ok\|^warn\|^bad' "$T/piped")"
check "what goes on stands in a line of its own" grep -q '^ *|' "$T/narrow"
check "through a pipe nothing is broken" not grep -q '^ *|' "$T/piped"
python3 tests/cli/wide.py 60 "$MLXK" du o/model > "$T/narrow"
check "du spares what says nothing" not grep -q Foreign "$T/narrow"
