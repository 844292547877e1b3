"""zsh_completes.py SCRIPT BIN LINE...: types each LINE and a tab into a zsh with SCRIPT sourced, and prints
what stands on the line then, one a line. BIN: the folder in which zsh finds mlxk."""
import os
import pty
import re
import select
import sys
import time


def main():
    script, folder, lines = sys.argv[1], sys.argv[2], sys.argv[3:]
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(PS1="", TERM="dumb", PATH=folder + ":" + os.environ["PATH"])
        os.execvp("zsh", ["zsh", "-f", "-i"])

    def until(pattern, seconds=15):
        text, end = "", time.time() + seconds
        while not re.search(pattern, text, re.S) and time.time() < end:
            if select.select([fd], [], [], 0.2)[0]:
                text += os.read(fd, 65536).decode("utf-8", "replace")
        return text

    def type_in(text):
        os.write(fd, text.encode())

    # What is on the line is shown by a widget of our own, so that no escape sequence has to be read.
    type_in("PS1=; unsetopt zle_bracketed_paste 2>/dev/null; unset zle_bracketed_paste\n"
            "autoload -U compinit; compinit -u -D; source %s; setopt no_list_beep; zstyle ':completion:*' menu no\n"
            "show() { print -r -- \"\"; print -r -- \"<<$BUFFER>>\"; BUFFER=; }; zle -N show; bindkey '^Xz' show\n"
            "bindkey '^I' complete-word; print -r -- rea''dy\n" % script)
    if "ready" not in until("ready"):
        sys.exit("zsh did not start")
    for line in lines:
        type_in(line + "\t")
        time.sleep(0.3)
        type_in("\x18z")
        found = re.findall("<<([^\n]*)>>", until("<<[^\n]*>>"))
        print(found[-1].rstrip() if found else "nothing")
    type_in("exit\n")
    os.close(fd)
    os.waitpid(pid, 0)


main()
