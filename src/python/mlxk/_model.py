"""_model.py: models and their versions: the words of versioning as calls of the program.

Knows what each command is called and what its document says; derives nothing itself: numbers, hashes, tags and digests
come from the program.
"""
from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ._program import Error, Word, ask, flags


@dataclass(frozen=True)
class Stored:
    """What `store` did: `digest` is kept under `tags`; `n_sent` blobs were missing and were sent."""
    repository: str
    digest: str
    tags: Tuple[str, ...]
    hashes: Mapping[str, str]       # interface, logic, weights, docs: 64 digits each
    n_sent: int
    sent_bytes: int
    data: Mapping[str, Any] = field(repr=False)

    @property
    def uri(self) -> str:
        return f"{self.repository}:{self.tags[0]}"


@dataclass(frozen=True)
class Released:
    """What `release` did: `version` and the tag `adhoc` stand on `digest`; `reasons` say how the number came about."""
    repository: str
    version: str                    # "v1.2.1", off the main branch "v1.2.1-BRANCH"
    tag: str                        # the same, in a repository of several models "NAME-v1.2.1"
    digest: str
    bump: str                       # "none" (the first, or asked for), "patch", "minor", "major"
    base: Optional[str]             # the release it follows
    reasons: Tuple[str, ...]
    adhoc: str
    aliases: Tuple[str, ...]        # "latest", "v1", "v1.2", as far as this version leads them
    git_tag: Optional[str]
    hashes: Mapping[str, str]
    data: Mapping[str, Any] = field(repr=False)

    @property
    def uri(self) -> str:
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True)
class Version:
    """One state in a repository, under all its tags. `version` is None for a state that was never released."""
    repository: str
    version: Optional[str]
    digest: str
    tags: Tuple[str, ...]
    kinds: Tuple[str, ...]          # of the tags: release, pkg, client, img, adhoc, branch, alias, other
    size_bytes: int
    interface: Optional[str]        # the interface's hash
    git: Optional[str]              # first digits of the commit, or "nogit"
    name: Optional[str]             # the model's, where it stands in front of the version
    data: Mapping[str, Any] = field(repr=False)

    @property
    def uri(self) -> str:
        return f"{self.repository}@{self.digest}"


@dataclass(frozen=True)
class Cleaned:
    """What `clean_versions` did or would do with one digest: keep, untag or delete; `kept_by` says why it stays."""
    digest: str
    action: str
    kept_by: Optional[str]
    tags: Tuple[str, ...]


@dataclass(frozen=True)
class Installed:
    """What `install` brought: a "client" or "package" to be imported from `module`, or a "model" in the cache."""
    reference: str                  # what it was settled to: "HOST/REPO:ham-client-v1.4.2"
    kind: str
    digest: str
    version: Optional[str]
    module: Optional[str]           # "ham.client.v1", "ham.v1_2_1"
    alias: Optional[str]            # the same behind the repository's last part: "ml_project.ham.client.v1"
    class_name: Optional[str]       # "HamClient", "Ham"
    path: Optional[str]             # the module's folder
    model_path: Optional[str]       # the model's folder in the cache
    already: bool                   # it was there, to the bit
    data: Mapping[str, Any] = field(repr=False)


def _installed(d: Mapping[str, Any]) -> Installed:
    return Installed(d["reference"], d["kind"], d["digest"], d["version"], d["module"], d["alias"], d["class"], d["path"],
                     d["model_path"], d["already"], d)


def _stored(d: Mapping[str, Any]) -> Stored:
    return Stored(d["repository"], d["digest"], tuple(d["tags"]), d["hashes"], d["n_sent"], d["sent_bytes"], d)


def _released(d: Mapping[str, Any]) -> Released:
    return Released(d["repository"], d["version"], d["tag"], d["digest"], d["bump"], d["base"], tuple(d["reasons"]), d["adhoc"],
                    tuple(d["aliases"]), d["git_tag"], d["hashes"], d)


def _version(repository: str, d: Mapping[str, Any]) -> Version:
    return Version(repository, d["version"], d["digest"], tuple(t["tag"] for t in d["tags"]),
                   tuple(t["kind"] for t in d["tags"]), d["size_bytes"], d["interface"], d["git"], d["name"], d)


class Registry:
    """How a registry is spoken to, where the usual is not enough: http, a certificate of one's own, a mirror.
    Accounts come from the files of docker and podman, as for the program."""

    def __init__(self, *, plain_http: Optional[str] = None, insecure: Optional[str] = None,
                 ca_file: Optional[Word] = None, mirror: Sequence[str] = ()) -> None:
        self._options = flags(plain_http=plain_http, insecure=insecure, ca_file=ca_file, mirror=tuple(mirror))

    def options(self) -> List[Word]:
        return list(self._options)


_USUAL = Registry()


class Model:
    """A model: a folder (or a model of the cache) and the repository that keeps its versions.

        ham = Model("./ham", "registry.example/org/ham")
        ham.store(branch=True)
        ham.release(git_tag=True)

    `repository` is HOST/REPO, oci:DIR (a folder) or oci-archive:FILE. `name` is the model's in git tags and, where a
    repository keeps several models, in the registry's ("NAME-v1.2.1"); left out it follows from the repository. With
    `named` its tags carry the name from the first release on, not only where another model was there before."""

    def __init__(self, path: Word = ".", repository: Optional[str] = None, *, name: Optional[str] = None,
                 version: Optional[str] = None, digest: Optional[str] = None, registry: Registry = _USUAL,
                 named: bool = False) -> None:
        self.path = os.fspath(path)
        self.repository = repository
        self.name = name
        self.version = version
        self.digest = digest
        self.registry = registry
        self.named = named

    def __repr__(self) -> str:
        return f"Model({self.path!r}, {self.repository!r}, version={self.version!r})"

    def __fspath__(self) -> str:
        return self.path

    def _where(self) -> str:
        if self.repository is None:
            raise Error("this model has no repository", "ValidationError", "Model(path, repository) names one", status=2)
        return self.repository

    # ---- keeping ----

    def store(self, branch: bool = False, branch_only: bool = False, *, branch_name: Optional[str] = None,
              dry_run: bool = False) -> Stored:
        """Keeps this state under GIT-DIRTY-CLIENT; with `branch` also under BRANCH-DIRTY-CLIENT, with `branch_only` only
        under that. `branch_name` names the branch where git does not tell it."""
        options = flags(branch=branch, branch_only=branch_only, branch_name=branch_name, dry_run=dry_run, name=self.name,
                        named=self.named)
        return _stored(ask("store", self.path, self._where(), options=options + self.registry.options()))

    def release(self, git_tag: bool = False, force_main: bool = False, force_major: bool = False, patch: bool = False, *,
                version: Optional[str] = None, branch: Optional[str] = None, git_tags: bool = True,
                dry_run: bool = False) -> Released:
        """Gives this state the next number, derived from what changed since the closest release.

        The interface (tokenizer, template, special ids, context, task, format) moved: major, also with `force_major`.
        Weights or settings moved: minor. Documentation alone: patch, and only with `patch`. Otherwise Error of type
        `unchanged` or `docs_only`. Off the main branch the number gets "-BRANCH", unless `force_main`. `git_tag` makes
        the annotated tag mdl-NAME-vX.Y.Z; `git_tags=False` looks for the last release in the repository alone."""
        options = flags(git_tag=git_tag, force_main=force_main, force_major=force_major, patch=patch, version=version,
                        branch=branch, no_git_tags=not git_tags, dry_run=dry_run, name=self.name, named=self.named)
        return _released(ask("release", self.path, self._where(), options=options + self.registry.options()))

    # ---- finding ----

    def versions(self, compatible: Union[bool, str] = False) -> List[Version]:
        """All that the repository holds: releases, highest first, then the other states. With `compatible` only those with
        the interface of this folder; "semver" also takes all releases of that major number."""
        options: List[Word] = flags(compatible=compatible, name=self.name)
        if compatible:
            options += flags(**{"with": self.path})
        d = ask("versions", self._where(), options=options + self.registry.options())
        return [_version(d["repository"], v) for v in d["versions"]]

    def releases(self) -> List[Version]:
        """The releases, highest first."""
        d = ask("releases", self._where(), options=flags(name=self.name) + self.registry.options())
        return [_version(d["repository"], v) for v in d["versions"]]

    def clean_versions(self, yes: bool = False, *, branch: Optional[str] = None, keep: Optional[int] = None,
                       older_than: Optional[str] = None, lock: Sequence[Word] = ()) -> List[Cleaned]:
        """States that were never released leave the repository. Without `yes` it is a plan and nothing is touched; what a
        release, somebody else's tag or a signature needs always stays. `branch`: only states of this branch; `keep`: the
        newest of each branch stay, so many; `older_than`: only states older than "7d"; `lock`: what these files name stays.
        Ages are told by the commits of this folder's work tree, or by a layout."""
        options = flags(yes=yes, branch=branch, name=self.name, keep=None if keep is None else str(keep),
                        older_than=older_than, lock=tuple(lock), git=self.path if os.path.isdir(self.path) else None)
        d = ask("clean-versions", self._where(), options=options + self.registry.options())
        return [Cleaned(x["digest"], x["action"], x["kept_by"], tuple(x["tags"])) for x in d["digests"]]

    def inspect(self, tag: Optional[str] = None) -> Dict[str, Any]:
        """What a tag of the repository names: manifest, files, annotations (this model's version when left out)."""
        what = tag or self.version or "latest"
        return ask("inspect", f"{self._where()}:{what}", options=self.registry.options())

    def diff(self, other: Word) -> Dict[str, Any]:
        """What differs between `other` (the older state: a folder or a model) and this one, and which number that moves."""
        return ask("diff", other, self.path)

    # ---- using ----

    def install(self, version: str = "v1", *, package: bool = False, target: Optional[Word] = None,
                replace: bool = False) -> Installed:
        """The client of a version of this model (or its package) in this Python environment: see the function install."""
        tag = ("pkg-" if package else "client-") + version
        return install(f"{self._where()}:{self.name + '-' if self.name else ''}{tag}", target=target, replace=replace,
                       registry=self.registry)

    @classmethod
    def from_uri(cls, uri: str, *, name: Optional[str] = None, registry: Registry = _USUAL) -> "Model":
        """The model that HOST/REPO:TAG or HOST/REPO@sha256:... names, brought into the cache; its `path` is a folder there.
        A leading oci:// may be there."""
        reference = uri[len("oci://"):] if uri.startswith("oci://") else uri
        d = ask("from", reference, options=registry.options())
        return cls(d["path"], _repository(reference), name=name, version=d["tag"], digest=d["digest"], registry=registry)

    def from_version(self, version: str) -> "Model":
        """A version of this model in the cache: vX.Y.Z, or the highest release of vX, vX.Y, ^X.Y.Z, ~X.Y.Z, latest."""
        d = ask("from", self._where(), version, options=flags(name=self.name) + self.registry.options())
        return type(self)(d["path"], self.repository, name=self.name, version=d["tag"], digest=d["digest"],
                          registry=self.registry, named=self.named)


def install(uri: str, *, target: Optional[Word] = None, replace: bool = False, lock: Optional[Word] = None,
            frozen: Optional[Word] = None, registry: Registry = _USUAL) -> Installed:
    """Brings what HOST/REPO:TAG names: NAME-client-v1 or NAME-pkg-v1.2.1 into this Python environment (or into the folder
    `target`), from where it can be imported at once; a model into the cache. A floating tag (client-v1) is settled to the
    highest release. `replace`: also in place of a module that came from another repository. `lock`: a file that gets the
    digest it was settled to; `frozen`: such a file, and exactly that is installed, without a network where it is there."""
    options = flags(target=target, replace=replace) if target else flags(python=sys.executable, replace=replace)
    options += flags(lock=lock, frozen=frozen)
    reference = uri[len("oci://"):] if uri.startswith("oci://") else uri
    d = ask("install", reference, options=options + registry.options())
    folder = d["target"]
    if d["path"] and not target and folder not in sys.path:
        sys.path.append(folder)                 # the user's own, which this process did not know yet
    importlib.invalidate_caches()
    return _installed(d)


def _repository(reference: str) -> str:
    """A reference without its tag and digest."""
    reference = reference.split("@", 1)[0]
    scheme = reference.split(":", 1)[0] + ":" if reference.startswith(("oci:", "oci-archive:")) else ""
    rest = reference[len(scheme):]
    slash = rest.rfind("/")
    colon = rest.rfind(":")
    return scheme + (rest[:colon] if colon > slash else rest)
