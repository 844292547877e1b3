"""people.py PROGRAM FOLDER: what a person at a terminal is asked, and the flags of upstream's version 1."""
import os
import pty
import select
import sys
import tempfile
import time

from trees import CONFIG, Tree, WHOLE

PHI = "mlx-community/Phi-3-mini-4k-instruct-4bit"


def typed(t, answer, *arguments):
    """Runs the program on a pseudo terminal and answers its first question; (exit status, all it said)."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(t.w)
        os.environ.update(HOME=t.home, HF_HOME=t.hf, TERM="dumb")
        os.execv(t.program, [t.program] + list(arguments))
    said, end, asked = b"", time.time() + 30, False
    while time.time() < end:
        if not select.select([fd], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(fd, 4096)
        except OSError:
            break
        if not piece:
            break
        said += piece
        if b"[y/N]" in said and not asked:
            asked = True
            os.write(fd, answer)
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return os.WEXITSTATUS(status), said.decode()


def check_rm(t, ok):
    t.repo("o/m", WHOLE)
    folder = t.folder("o/m")
    status, said = typed(t, b"n\n", "rm", "o/m")
    ok("rm_asks", "Delete o/m (" in said and os.path.isdir(folder) and status == 0, said)
    status, said = typed(t, b"\x04", "rm", "o/m")
    ok("rm_end_of_input_is_no", os.path.isdir(folder), said)
    status, said = typed(t, b"y\n", "rm", "o/m")
    ok("rm_yes", status == 0 and not os.path.exists(folder), said)
    t.repo("o/m", WHOLE)
    status, said = typed(t, b"", "rm", "-f", "m")
    ok("rm_force_asks_nothing", status == 0 and not os.path.exists(folder) and "[y/N]" not in said, said)
    t.repo("o/m", WHOLE, "a" * 40)
    t.repo("o/m", WHOLE, "b" * 40)
    status, said = typed(t, b"yes\n", "rm", "o/m@aaa")
    ok("rm_asks_for_a_snapshot", "Delete o/m@aaaaaaaaaaaa" in said and os.listdir(folder + "/snapshots") == ["b" * 40], said)
    t.put("hf/hub/.locks/models--o--m/x.lock")
    status, said = typed(t, b"n\n", "rm", "o/m")
    ok("rm_asks_about_locks", "1 lock files" in said and status == 1 and os.path.isdir(folder), said)
    r = t.mlxk("rm", "o/m", "-f", "--dry-run", "--json")
    ok("rm_dry_run", r.exit == 0 and r.data["action"] == "dry_run" and os.path.isdir(folder), r)


def check_health(t, ok):
    t.repo("o/broken", {"config.json": CONFIG})
    folder = t.folder("o/broken")
    _, said = typed(t, b"n\n", "health", "broken")
    ok("health_offers_to_delete", "Delete o/broken?" in said and os.path.isdir(folder), said)
    _, said = typed(t, b"y\n", "health", "broken")
    ok("health_deletes", "freed" in said and not os.path.exists(folder), said)
    t.repo("o/whole", WHOLE)
    _, said = typed(t, b"", "health", "whole")
    ok("health_offers_nothing_for_whole_ones", "[y/N]" not in said, said)
    ok("health_all", t.mlxk("health", "--all", "whole").out == t.mlxk("health").out, "")


def check_list(t, ok):
    t.usual()
    t.repo("o/tok", {"tokenizer.json": "{}"})

    def names(kind):
        return [m["name"] for m in t.mlxk("list", "--framework", kind, "--json").data["models"]]
    ok("list_framework_gguf", names("GGUF") == ["TheBloke/Llama-2-7B-Chat-GGUF"], names("gguf"))
    ok("list_framework_mlx", names("mlx") == [PHI, "mlx-community/Qwen3-30B-4bit"], names("mlx"))
    ok("list_framework_tokenizer", names("tokenizer") == ["o/tok"], names("tokenizer"))
    ok("list_framework_shows_what_cannot_run", "DialoGPT" in t.mlxk("list", "--framework", "pytorch").out, "")
    r = t.mlxk("list", "--framework", "x", "--json")
    ok("list_framework_refused", r.exit == 2 and r.error["type"] == "CommandError", r)
    t.put("hf/models--old--one/x")
    ok("list_tells_of_the_old_place", "1 models lie in" in t.mlxk("list").err and not t.mlxk("list", "--json").err, "")


def check_words(t, ok):
    t.usual()
    for arguments, words in ((("lst",), "did you mean list?"), (("remove",), "did you mean rm?"),
                             (("list", "--helth"), "did you mean --health?"), (("help", "shwo"), "did you mean show?"),
                             (("show", "Ph1-3-mini"), "did you mean " + PHI), (("rm", "Qwen3-codr"), "did you mean Qwen/Qwen3-Coder")):
        r = t.mlxk(*arguments)
        ok("suggests_" + words.split()[3].rstrip("?").replace("/", "_"), r.exit and words in r.err, r)
    r = t.mlxk("show", "Ph1-3-mini", "--json")
    ok("json_suggests_nothing", sorted(r.error) == ["message", "type"], r)
    ok("no_wild_guesses", "did you mean" not in t.mlxk("show", "nope").err, "")
    r = t.mlxk("embed", "nothing", "y", env={"MLXK_EXPERIMENTAL": "1"})
    ok("experimental_in_help", "experimental (MLXK_EXPERIMENTAL=1)" in t.mlxk("help").out and "MLXK_EXPERIMENTAL" in
       t.mlxk("help", "embed").out and "not found" in r.err, r)
    kinds = {c["name"]: c["experimental"] for c in t.mlxk("help", "--json").data["commands"]}
    ok("experimental_in_json", kinds["embed"] and kinds["embed-serve"] and not kinds["list"], kinds)


def main():
    n_failed = 0

    def ok(name, value, shown):
        nonlocal n_failed
        n_failed += not value
        print("%s people/%s" % ("ok" if value else "not ok", name))
        if not value:
            print("# " + str(shown)[:600].replace("\r", "").replace("\n", "\n# "))
    for f in (check_rm, check_health, check_list, check_words):
        f(Tree(tempfile.mkdtemp(dir=sys.argv[2]) + "/t", os.path.abspath(sys.argv[1])), ok)
    return n_failed != 0


sys.exit(main())
