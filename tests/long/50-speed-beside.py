#!/usr/bin/env python3
"""50-speed-beside.py OURS THEIRS FOLDER: CPU time (user + system) and wall time of both programs on the same caches.

30, 300 and 3,000 repositories of nine files each; median of the runs, the two programs in turns. Prints a table for docs/SPEED.md
and TAP lines: ours takes at most a fifteenth of the time, list of 3,000 at most 50 ms and 32 MB when the machine is quiet."""
import hashlib, os, resource, statistics, struct, subprocess, sys, time

OURS, THEIRS, FOLDER = sys.argv[1:4]
HEADER = b'{"t":{"dtype":"F16","shape":[400],"data_offsets":[0,800]}}'
WEIGHTS = struct.pack("<Q", len(HEADER)) + HEADER + bytes(800)
INDEX = b'{"weight_map":{"t":"model-00001-of-00001.safetensors"}}'


def make(n):
    home = os.path.join(FOLDER, str(n))
    for i in range(n):
        repo = os.path.join(home, "hf/hub/models--org--model-%05d-4bit" % i)
        commit = hashlib.sha1(b"%d" % i).hexdigest()
        files = {"config.json": b'{"model_type":"llama","architectures":["LlamaForCausalLM"],"quantization":{"bits":4,"group_size":64},"x":%d}' % i,
                 "model-00001-of-00001.safetensors": WEIGHTS, "model.safetensors.index.json": INDEX, "tokenizer.json": b"{}",
                 "tokenizer_config.json": b'{"chat_template":"x"}', "special_tokens_map.json": b"{}", "generation_config.json": b"{}", "README.md": b"# model\n", "LICENSE": b"free\n"}
        for d in ("blobs", "refs", "snapshots/" + commit):
            os.makedirs(os.path.join(repo, d))
        for name, data in files.items():
            etag = hashlib.sha256(data).hexdigest()
            with open(os.path.join(repo, "blobs", etag), "wb") as f:
                f.write(data)
            os.symlink("../../blobs/" + etag, os.path.join(repo, "snapshots", commit, name))
        with open(os.path.join(repo, "refs/main"), "w") as f:
            f.write(commit)
    return home


def once(program, arguments, home):
    environment = dict(os.environ, HOME=home, HF_HOME=os.path.join(home, "hf"))
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    r = subprocess.run([program] + arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    assert r.returncode == 0, (program, arguments, r.returncode)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), 1000 * wall


rows, failed = [], 0
for n in (30, 300, 3000):
    home = make(n)
    time.sleep(0.1)
    for arguments in (["--version"], ["list", "--json"], ["health", "--json"], ["show", "model-00007", "--json"]):
        if arguments == ["--version"] and n != 30:
            continue
        once(OURS, arguments, home), once(THEIRS, arguments, home)      # warm
        both = [(once(OURS, arguments, home), once(THEIRS, arguments, home)) for _ in range(3 if n == 3000 else 7)]
        ours, wall, theirs = (statistics.median(x) for x in ([a[0] for a, _ in both], [a[1] for a, _ in both], [b[0] for _, b in both]))
        rows.append((arguments[0], n, ours, wall, theirs))
        ok = ours * 15 <= theirs
        failed += not ok
        print("%s speed/%s_%d" % ("ok" if ok else "not ok", arguments[0].strip("-"), n))
print("#\n# | command | repositories | mlxk CPU ms | mlxk wall ms | mlx-knife CPU ms | ratio |\n# |---|---|---|---|---|---|")
for name, n, ours, wall, theirs in rows:
    print("# | `%s` | %s | %.1f | %.1f | %.0f | %.0f |" % (name, "-" if name == "--version" else n, ours, wall, theirs, theirs / ours))
sys.exit(failed > 0)
