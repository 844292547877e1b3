"""mlxk: versions of models in any OCI registry, as thin calls of the program `mlxk` that comes with this package.

    from mlxk import Model, install

    ham = Model("./ham", "registry.example/org/ham")
    ham.store(branch=True)                      # this state, under tags that tell it
    ham.release(git_tag=True)                   # the next number, derived from what changed
    ham.versions(compatible=True)               # what fits the interface of this folder
    path = ham.from_version("v1").path          # the highest v1, in the cache
    install("registry.example/org/ham:client-v1")       # its client: from ham.client.v1 import HamClient

Nothing is done in Python: each call is one run of the program with --json, and what it answers comes back as a typed
object; `.data` of it is the whole document. What fails raises Error with the program's own words.
`call("list")` reaches every other command. The package needs nothing but the standard library.
"""
from ._index import Found, Ocidex
from ._model import Cleaned, Installed, Model, Registry, Released, Stored, Version, install
from ._program import Error, ask as call, find_program

__all__ = ["Cleaned", "Error", "Found", "Installed", "Model", "Ocidex", "Registry", "Released", "Stored", "Version", "call", "find_program",
           "install"]


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version
    try:
        return version("mlxk")
    except PackageNotFoundError:                # used from the sources
        return "0+source"
