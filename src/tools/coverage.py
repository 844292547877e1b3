"""coverage.py FOLDER: lines of the parsers that the fuzz corpora reach (called by ./build.sh coverage).

FOLDER holds the instrumented program `unit`. A target names what it is meant to reach in a line "covers: ROOM/FILE.c
...", or ROOM/FILE.c:PREFIX for the functions whose names begin so. All corpora run in one program; a line counts once,
whichever target reaches it. Prints a TAP line a file, then the sum; below the aim is a failure. COVERAGE_LINES=1 adds
the lines that were not reached.
"""
import glob, json, os, re, subprocess, sys

AIM = 85
folder = sys.argv[1]
for old in glob.glob(os.path.join(folder, "*.gcda")):
    os.remove(old)
with open(os.path.join(folder, "unit.log"), "wb") as log:
    if subprocess.run([os.path.join(folder, "unit"), "--only", "fuzz/"], stdout=log, stderr=log).returncode != 0:
        sys.exit("coverage: the corpora fail, see %s" % log.name)

covers = {}                             # (file, prefix of functions) -> targets
for path in sorted(glob.glob("tests/fuzz/fuzz_*.c")):
    target = re.sub(r".*fuzz_(.*)\.c", r"\1", path)
    line = re.search(r"^ \* covers: (.*)$", open(path).read(), re.M)
    if not line:
        print("# %s does not say what it covers" % path)
        continue
    for word in line.group(1).split():
        name, _, prefix = word.partition(":")
        covers.setdefault(("src/" + name, prefix), []).append(target)

data = glob.glob(os.path.join(folder, "*.gcda"))
out = subprocess.run(["gcov", "--stdout", "--json-format", "-o", folder] + data, stdout=subprocess.PIPE, check=True).stdout
lines = {}                              # file -> {number: (function, count)}
for document in out.splitlines():
    for f in json.loads(document)["files"]:
        table = lines.setdefault(os.path.normpath(f["file"]), {})
        for line in f["lines"]:
            seen = table.get(line["line_number"], ("", 0))[1]
            table[line["line_number"]] = (line.get("function_name", ""), max(seen, line["count"]))

failed = 0
for (name, prefix), targets in covers.items():
    wanted = {n: c for n, (function, c) in lines.get(name, {}).items() if function.startswith(prefix)}
    hit = sum(1 for c in wanted.values() if c)
    percent = 100.0 * hit / len(wanted) if wanted else 0.0
    good = percent >= AIM
    failed += not good
    label = name + (":" + prefix if prefix else "")
    print("%s coverage/%s # %.1f %% of %d lines by %s" % ("ok" if good else "not ok", label, percent, len(wanted), " ".join(targets)))
    if os.environ.get("COVERAGE_LINES"):
        text = open(name, encoding="utf-8").read().split("\n")
        for n in sorted(n for n, c in wanted.items() if not c):
            print("#   %s:%d %s" % (name, n, text[n - 1].strip()))
print("%d passed, %d failed, 0 skipped" % (len(covers) - failed, failed))
sys.exit(failed > 0)
