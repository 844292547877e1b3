#!/usr/bin/env python3
"""terminal.py MLXK MODEL ENDLESS-MODEL FOLDER: the conversation of `run` on a pseudo terminal, as TAP lines."""
import os, pty, select, signal, sys, time

mlxk, model, endless, folder = sys.argv[1:5]


def start(model, *extra):
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", COLUMNS="80", LINES="24", HOME=folder, XDG_STATE_HOME=os.path.join(folder, "state"))
        os.execv(mlxk, [mlxk, "run", model, "--temperature", "0", "--repetition-penalty", "1"] + list(extra))
    return pid, fd


def read_until(fd, text, seconds=20):
    """Everything that was printed until `text` appears; None when it does not."""
    seen, end = b"", time.time() + seconds
    while time.time() < end:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                piece = os.read(fd, 65536)
            except OSError:
                piece = b""
            if not piece:
                return seen if text is None else None
            seen += piece
            if text is not None and text in seen:
                return seen
    return None


def ended(pid, seconds=10):
    """Exit status, or None when it still runs (then it is killed)."""
    end = time.time() + seconds
    while time.time() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def ok(good, name, why=""):
    print(("ok " if good else "not ok ") + "run/terminal_" + name)
    if not good:
        print("# %r" % (why,))


pid, fd = start(model, "--max-tokens", "4")
greeting = read_until(fd, b"> ")
ok(greeting and b"/help" in greeting and os.path.basename(model).encode() in greeting, "greets", greeting)
os.write(fd, b"hallx\x7fo\r")                       # a wrong letter, backspace
answer = read_until(fd, b"tok/s")
ok(answer and b"hallo" in answer, "edits_and_answers", answer)
read_until(fd, b"> ")
os.write(fd, b"\x1b[A")                             # the line before
again = read_until(fd, b"hallo")
ok(again is not None, "recalls_the_line_before", again)
os.write(fd, b"\x15\x04")                           # erase the line, then end of input
status = ended(pid)
ok(status == 0, "ctrl_d_leaves", status)
os.close(fd)
history = os.path.join(folder, "state", "mlxk", "history")
ok(os.path.isfile(history) and os.stat(history).st_mode & 0o777 == 0o600 and b"hallo" in open(history, "rb").read(),
   "history_is_kept_for_its_owner_only")

pid, fd = start(endless)
read_until(fd, b"> ")
os.write(fd, b"hello\r")
read_until(fd, b"hello")
time.sleep(0.3)
os.write(fd, b"\x03")                               # the terminal turns it into SIGINT
stopped = read_until(fd, b"[stopped]")
ok(stopped is not None, "ctrl_c_stops_the_answer", stopped)
ok(read_until(fd, b"> ") is not None, "ctrl_c_keeps_the_conversation")
os.write(fd, b"/help\r")
ok(read_until(fd, b"/clear") is not None, "commands_work_after_ctrl_c")
read_until(fd, b"> ")
os.write(fd, b"\x03")                               # at the prompt it leaves
status = ended(pid)
ok(status == 0, "ctrl_c_at_the_prompt_leaves", status)
os.close(fd)

pid, fd = start(endless, "hello")
time.sleep(0.8)
os.write(fd, b"\x03")
rest = read_until(fd, None)
status = ended(pid)
ok(status == 1, "ctrl_c_ends_a_single_answer", (status, (rest or b"")[-200:]))
