"""_program.py: finds the mlxk program that came with this package and asks it.

Does not know any command. Every call is one process of `mlxk COMMAND ... --json`; its answer is one document
{"status", "command", "data", "error"}, and a failure becomes Error.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from typing import Any, Dict, List, Optional, Sequence, Union

Word = Union[str, "os.PathLike[str]"]


class Error(Exception):
    """What the program said: `type` is for programs (`unchanged`, `docs_only`, `model_not_found`, ...), the text and
    `hint` are for people. `status` is the exit status: 1 failure, 2 usage."""

    def __init__(self, message: str, type: str = "unknown", hint: Optional[str] = None,
                 command: Optional[str] = None, status: int = 1) -> None:
        super().__init__(message if not hint else f"{message} ({hint})")
        self.message = message
        self.type = type
        self.hint = hint
        self.command = command
        self.status = status


def find_program() -> str:
    """The path of the program: $MLXK_PROGRAM, else the one that was installed with this package, else the one on PATH.
    Raises Error when there is none."""
    asked = os.environ.get("MLXK_PROGRAM")
    if asked:
        return asked
    name = "mlxk" + (sysconfig.get_config_var("EXE") or "")
    folders = [sysconfig.get_path("scripts")]
    if f"{os.name}_user" in sysconfig.get_scheme_names():
        folders.append(sysconfig.get_path("scripts", f"{os.name}_user"))
    # pip install --target DIR puts programs into DIR/bin
    folders.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bin"))
    for folder in folders:
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    found = shutil.which(name)
    if not found:
        raise Error("the program mlxk is nowhere on this machine", "not_found",
                    "pip install mlxk brings it, or MLXK_PROGRAM says where it is", status=127)
    return found


def ask(command: str, *words: Word, options: Sequence[Word] = (), cwd: Optional[Word] = None) -> Dict[str, Any]:
    """Runs `mlxk COMMAND --json OPTIONS -- WORDS` and returns its document's data ({} where it has none). Raises Error."""
    argv = [find_program(), command, "--json", *[os.fspath(o) for o in options], "--", *[os.fspath(w) for w in words]]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              cwd=cwd, check=False)
    except OSError as e:
        raise Error(f"{argv[0]} cannot be started: {e.strerror}", "not_found", command=command, status=126) from e
    text = done.stdout.decode("utf-8", "replace")
    try:
        document = json.loads(text)
        error, data = document["error"], document["data"]
    except (ValueError, KeyError, TypeError):
        said = (done.stderr.decode("utf-8", "replace") or text).strip()
        raise Error(said.split("\n")[0] if said else f"mlxk {command} ended with status {done.returncode}",
                    command=command, status=done.returncode or 1) from None
    if done.returncode or error:
        error = error or {}
        raise Error(error.get("message") or f"mlxk {command} ended with status {done.returncode}",
                    error.get("type") or "unknown", error.get("detail"), command, done.returncode or 1)
    return data if data is not None else {}


def flags(**given: Union[None, bool, Word, Sequence[Word]]) -> List[Word]:
    """Options of the command line: force_major=True is --force-major, branch="x" is --branch=x; False and None are left
    out; a sequence repeats its option."""
    words: List[Word] = []
    for name, value in given.items():
        option = "--" + name.replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            words.append(option)
        elif isinstance(value, (str, os.PathLike)):
            words.append(f"{option}={os.fspath(value)}")
        else:
            words += [f"{option}={os.fspath(v)}" for v in value]
    return words


def become(name: Optional[str] = None) -> None:
    """Turns this process into the program, under the name that was called (mlxk-json, mlxk2, mlx-run)."""
    path = find_program()
    os.execv(path, [name or os.path.basename(sys.argv[0]), *sys.argv[1:]])
