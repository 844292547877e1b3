"""coverage.py FOLDER: lines of the parsers that the fuzz corpora reach (called by ./build.sh coverage).

FOLDER holds the instrumented program `unit`. A target names what it is meant to reach in a line "covers: ROOM/FILE.c
...", or ROOM/FILE.c:PREFIX for the functions whose names begin so. All corpora run in one program; a line counts once,
whichever target reaches it. A target that does not say it well is a failure. Prints a TAP line a file, then the sum; below the aim is a failure. COVERAGE_LINES=1 adds
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

covers, failed = {}, 0                  # file -> targets, prefixes of functions
for path in sorted(glob.glob("tests/fuzz/fuzz_*.c")):
    target = re.sub(r".*fuzz_(.*)\.c", r"\1", path)
    words = " ".join(re.findall(r"^ \* covers: (.*)$", open(path).read(), re.M)).split()
    wrong = [w for w in words if not re.fullmatch(r"[a-z]+/\w+\.c(:\w+)?", w) or not os.path.exists("src/" + w.partition(":")[0])]
    if wrong or not words:
        print("not ok coverage/%s # %s" % (target, "not ROOM/FILE.c or ROOM/FILE.c:PREFIX: " + wrong[0] if wrong else "does not say what it covers"))
        failed += 1
    for word in words if not wrong else []:
        name, _, prefix = word.partition(":")
        covers.setdefault("src/" + name, (set(), set()))[0].add(target)
        covers["src/" + name][1].add(prefix)

data = glob.glob(os.path.join(folder, "*.gcda"))
out = subprocess.run(["gcov", "--stdout", "--json-format", "-o", folder] + data, stdout=subprocess.PIPE, check=True).stdout
lines = {}                              # file -> {number: (function, count)}
for document in out.splitlines():
    for f in json.loads(document)["files"]:
        table = lines.setdefault(os.path.normpath(f["file"]), {})
        for line in f["lines"]:
            seen = table.get(line["line_number"], ("", 0))[1]
            table[line["line_number"]] = (line.get("function_name", ""), max(seen, line["count"]))

n_checks = len(covers) + failed
for name, (targets, prefixes) in covers.items():
    wanted = {n: c for n, (function, c) in lines.get(name, {}).items() if function.startswith(tuple(prefixes))}
    unknown = [p for p in prefixes if not any(f.startswith(p) for f, _ in lines.get(name, {}).values())]
    hit = sum(1 for c in wanted.values() if c)
    percent = 100.0 * hit / len(wanted) if wanted else 0.0
    good = percent >= AIM and not unknown
    failed += not good
    print("%s coverage/%s # %.1f %% of %d lines by %s%s" % ("ok" if good else "not ok", name, percent, len(wanted),
          " ".join(sorted(targets)), "; it has no function " + unknown[0] if unknown else ""))
    if os.environ.get("COVERAGE_LINES"):
        text = open(name, encoding="utf-8").read().split("\n")
        for n in sorted(n for n, c in wanted.items() if not c):
            print("#   %s:%d %s" % (name, n, text[n - 1].strip()))
print("%d passed, %d failed, 0 skipped" % (n_checks - failed, failed))
sys.exit(failed > 0)
