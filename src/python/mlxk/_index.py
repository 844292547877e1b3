"""_index.py: the index of OCI repositories (Ocidex) as calls of the program: asked once, searched without a network."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, List, Mapping, Optional, Tuple

from ._model import _USUAL, Registry
from ._program import ask, flags


@dataclass(frozen=True)
class Found:
    """One state that the index knows."""
    repository: str
    version: Optional[str]
    digest: str
    tags: Tuple[str, ...]
    size_bytes: int
    interface: Optional[str]
    signed: bool
    data: Mapping[str, Any] = field(repr=False)

    @property
    def uri(self) -> str:
        return f"{self.repository}@{self.digest}"


class Ocidex:
    """The index on this machine.

        index = Ocidex()
        index.update("registry.example/org")        # needs the network
        index.search("ham", releases=True)          # does not
    """

    def __init__(self, registry: Registry = _USUAL) -> None:
        self.registry = registry

    def update(self, *where: str, push: Optional[str] = None) -> List[Mapping[str, Any]]:
        """Asks registries (HOST, HOST/PREFIX), repositories or layouts (oci:DIR) for what is new; without words all that
        were asked before. `push`: the index is stored there afterwards. One report for each repository."""
        d = ask("index", "update", *where, options=flags(push=push) + self.registry.options())
        return list(d["repositories"])

    def search(self, *words: str, releases: bool = False, limit: Optional[int] = None) -> List[Found]:
        """States of which every word tells something: repository, tag, version, name, family, architecture, format, ..."""
        d = ask("index", "search", *words, options=flags(releases=releases, limit=None if limit is None else str(limit)))
        return [Found(r["repository"], r["version"], r["digest"], tuple(r["tags"]), r["size_bytes"], r["interface"], r["signed"], r)
                for r in d["rows"]]

    def list(self) -> List[Mapping[str, Any]]:
        """The repositories that the index knows."""
        repositories: List[Mapping[str, Any]] = ask("index", "list")["repositories"]
        return repositories

    def gc(self, *repositories: str) -> Mapping[str, Any]:
        """Forgets these repositories; without words those that are gone."""
        return ask("index", "gc", *repositories)

    def push(self, reference: str) -> Mapping[str, Any]:
        """Stores the index as an artifact."""
        return ask("index", "push", reference, options=self.registry.options())

    def pull(self, reference: str) -> Mapping[str, Any]:
        """Takes over an index that was pushed."""
        return ask("index", "pull", reference, options=self.registry.options())
