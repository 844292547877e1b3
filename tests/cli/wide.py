"""wide.py COLUMNS COMMAND...: what a command prints on a terminal of so many columns, without its colours; its exit status."""
import fcntl
import os
import pty
import re
import struct
import sys
import termios

pid, fd = pty.fork()
if pid == 0:
    os.environ.pop("COLUMNS", None)
    fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 40, int(sys.argv[1]), 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
out = b""
while True:
    try:
        piece = os.read(fd, 65536)
    except OSError:
        break
    if not piece:
        break
    out += piece
print(re.sub("\x1b\\[[0-9;]*[A-Za-z]", "", out.decode().replace("\r\n", "\n")), end="")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
