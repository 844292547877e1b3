"""Talks to one line of releases of a model: on this machine through the program mlxk, or to a
server by URL that speaks OpenAI's protocol. Needs Python 3.8 or newer and its standard library.

Everything that differs between models is data in files beside this one:
  client.json     name, version, digest      interface.json  what programs rely on
  openapi.json    the server's description   files/          tokenizer and chat template
  origin.json     where it was installed from (written by `mlxk install`)
"""

from __future__ import annotations

import codecs
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, IO, Iterable, Iterator, List, Optional, Sequence, Union

Message = Dict[str, Any]
Messages = Union[str, Sequence[Message]]

_BROKEN = (OSError, http.client.HTTPException)
_MAX_BODY = 64 << 20
_MAX_LINE = 8 << 20
_MAX_ARGUMENT = 64 << 10
_VERSION = re.compile(r"v?(\d{1,9})(?:\.(\d{1,9})(?:\.(\d{1,9})(-[A-Za-z0-9._-]+)?)?)?")
_SETTINGS = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "seed",
    "stop",
)


class ModelError(Exception):
    """What went wrong; type is the word of the program or server for it, status HTTP's or 0."""

    def __init__(self, message: str, type: str = "error", hint: str = "", status: int = 0) -> None:
        super().__init__(message + (" (%s)" % hint if hint else ""))
        self.message, self.type, self.hint, self.status = message, type, hint, status


class VersionError(ModelError):
    """The version that was chosen does not belong to this client, or is not offered."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, "version", hint)


@dataclass
class Answer:
    """One answer. Counts are 0 where nobody told them."""

    text: str
    finish_reason: Optional[str] = None
    reasoning: Optional[str] = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    raw: Dict[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        return self.text


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A key would follow a redirect to whatever host it names."""

    def redirect_request(self, *args: Any) -> None:
        return None


def _own(name: str) -> Any:
    """A data file beside this one."""
    with open(Path(__file__).parent / name, encoding="utf-8") as f:
        return json.load(f)


def _as_messages(messages: Messages, system: Optional[str]) -> List[Message]:
    turns = (
        [{"role": "user", "content": messages}]
        if isinstance(messages, str)
        else [dict(m) for m in messages]
    )
    return ([{"role": "system", "content": system}] if system is not None else []) + turns


class _Checked(type):
    """Makes `Client.version = ...` fail where it is written when the version cannot fit."""

    def __setattr__(cls, name: str, value: Any) -> None:
        if name == "version":
            value = cls._checked(value)  # type: ignore[attr-defined]
        super().__setattr__(name, value)


class BaseClient(metaclass=_Checked):
    """A model of one line of releases (vX): the same interface, other answers.

    url      a server, "http://HOST:PORT" with or without /v1; None: the program mlxk, here
    model    here: a path, a name, oci://...; there: the server's name; None: what the version says
    mlxk     the program; None: $MLXK_PROGRAM, then PATH, then beside this Python
    api_key  sent to the server as a bearer token
    timeout  seconds that one step of the network, or a whole local answer, may take

    version is the class's: "vX.Y.Z" is one release, "vX.Y" and "vX" the highest of theirs.
    """

    version: str = _own("client.json")["version"]

    def __init__(
        self,
        url: Optional[str] = None,
        *,
        model: Optional[str] = None,
        mlxk: Optional[str] = None,
        api_key: Optional[str] = None,
        timeout: float = 600.0,
    ) -> None:
        if url is not None and not re.match(r"https?://[^/]", url):
            raise ModelError("%r is no URL of a server" % (url,), hint="http://HOST:PORT")
        self.url = re.sub(r"(/v1)?/*$", "", url) if url is not None else None
        self.model, self.api_key, self.timeout = model, api_key, timeout
        self.version = self._checked(type(self).version)
        self._program = mlxk
        self._asked: Optional[str] = None

    def __enter__(self) -> "BaseClient":
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held open between two calls; it is there for `with`."""

    def __repr__(self) -> str:
        return "%s(%r, version=%r)" % (type(self).__name__, self.url, self.version)

    # ---- what is known without asking anybody ----

    @classmethod
    def about(cls) -> Dict[str, Any]:
        """Name, version, interface hash and digest that this client was made for."""
        return dict(_own("client.json"))

    @classmethod
    def interface(cls) -> Dict[str, Any]:
        """What programs that use the model rely on: tokens, context, template, task."""
        return dict(_own("interface.json"))

    @classmethod
    def openapi(cls) -> Dict[str, Any]:
        """The description (OpenAPI 3.1) of a server of this model."""
        return dict(_own("openapi.json"))

    @classmethod
    def context(cls) -> Optional[int]:
        """Tokens that question and answer may have together, or None where nobody knows."""
        return cls.interface().get("context")

    @classmethod
    def special(cls) -> Dict[str, Any]:
        """Special tokens: what each is for, and its id or ids."""
        return dict(cls.interface().get("special", {}))

    @classmethod
    def _checked(cls, version: Any) -> str:
        about = _own("client.json")
        major = about["version"][1:].split(".")[0]
        found = _VERSION.fullmatch(version) if isinstance(version, str) else None
        if not found:
            raise VersionError("%r is no version" % (version,), "vX.Y.Z, vX.Y or vX")
        if found.group(1) != major:
            raise VersionError(
                "this client is for v%s and not for %s" % (major, version),
                "`mlxk install` brings the client of v%s; both can be installed" % found.group(1),
            )
        return version if version.startswith("v") else "v" + version

    # ---- what a model does ----

    def chat(
        self,
        messages: Messages,
        *,
        system: Optional[str] = None,
        max_tokens: Optional[int] = None,
        temperature: Optional[float] = None,
        top_p: Optional[float] = None,
        top_k: Optional[int] = None,
        min_p: Optional[float] = None,
        repetition_penalty: Optional[float] = None,
        seed: Optional[int] = None,
        stop: Union[None, str, List[str]] = None,
        extra: Optional[Dict[str, Any]] = None,
    ) -> Answer:
        """One answer to a text or to messages ({"role", "content"}). extra: more members of the
        request to a server, such as tools."""
        settings = self._settings(locals())
        turns = _as_messages(messages, system)
        if self.url is None:
            return self._run(turns, settings, extra)
        body = self._post(
            "/v1/chat/completions",
            dict(extra or {}, model=self._name(), messages=turns, **settings),
        )
        choice = self._first(body)
        message = choice.get("message") or {}
        usage = body.get("usage") or {}
        return Answer(
            message.get("content") or "",
            choice.get("finish_reason"),
            message.get("reasoning_content") or message.get("reasoning"),
            usage.get("prompt_tokens") or 0,
            usage.get("completion_tokens") or 0,
            body,
        )

    def stream(
        self,
        messages: Messages,
        *,
        system: Optional[str] = None,
        max_tokens: Optional[int] = None,
        temperature: Optional[float] = None,
        top_p: Optional[float] = None,
        top_k: Optional[int] = None,
        min_p: Optional[float] = None,
        repetition_penalty: Optional[float] = None,
        seed: Optional[int] = None,
        stop: Union[None, str, List[str]] = None,
        extra: Optional[Dict[str, Any]] = None,
    ) -> Iterator[str]:
        """The answer piece by piece, as it is made. Who stops asking stops the model."""
        settings = self._settings(locals())
        turns = _as_messages(messages, system)
        if self.url is None:
            return self._run_stream(turns, settings, extra)
        return self._post_stream(
            dict(extra or {}, model=self._name(), messages=turns, stream=True, **settings)
        )

    def embed(self, texts: Union[str, List[str]]) -> List[List[float]]:
        """One vector for each text; models that embed only."""
        wanted = [texts] if isinstance(texts, str) else list(texts)
        if self.url is None:
            lines = "".join(json.dumps({"text": text}) + "\n" for text in wanted)
            out = self._call(
                ["embed", self.reference(), "--batch"], lines, {"MLXK_EXPERIMENTAL": "1"}
            )
            return [json.loads(line)["embedding"] for line in out.splitlines() if line]
        body = self._post("/v1/embeddings", {"model": self._name(), "input": wanted})
        rows = sorted(body.get("data") or [], key=lambda row: row.get("index", 0))
        if len(rows) != len(wanted):
            raise ModelError("the server sent %d vectors for %d texts" % (len(rows), len(wanted)))
        return [list(map(float, row["embedding"])) for row in rows]

    def tokenize(self, text: str) -> List[int]:
        """Token ids of a text, by the tokenizer that came with this client and the program mlxk."""
        answer = self._document(["tokenize", self._files(), "-"], text)
        return [int(i) for i in answer["ids"]]

    def models(self) -> List[str]:
        """Names of the models that are offered: the server's, or the one reference here."""
        if self.url is None:
            return [self.reference()]
        return [str(row["id"]) for row in self._get("/v1/models").get("data") or []]

    def path(self) -> str:
        """Folder of the model's files on this machine, fetched when they are not there."""
        origin, version = self._origin()
        return str(self._document(["from", origin, version], "")["path"])

    # ---- on this machine ----

    def _origin(self) -> "tuple[str, str]":
        try:
            repository = str(_own("origin.json")["repository"])
        except FileNotFoundError:
            raise ModelError(
                "nobody knows where this client came from",
                hint="install it with `mlxk install`, or name the model: model=...",
            ) from None
        # In a repository of several models the name stands in front of the version.
        return repository, str(_own("client.json").get("prefix", "")) + self.version

    def reference(self) -> str:
        """What the program mlxk is asked for: model, or the repository with the version."""
        if self.model is not None:
            return self.model
        origin, version = self._origin()
        return origin + ":" + version

    def _files(self) -> str:
        return str(Path(__file__).parent / "files")

    def _find(self) -> str:
        beside = Path(sys.executable or "").parent / "mlxk"
        for program in (
            self._program,
            os.environ.get("MLXK_PROGRAM"),
            shutil.which("mlxk"),
            str(beside),
        ):
            if program and (program == self._program or os.access(program, os.X_OK)):
                return program
        raise ModelError(
            "the program mlxk was not found", hint="put it on PATH, or name it: mlxk=..."
        )

    def _call(self, arguments: List[str], text: str, env: Optional[Dict[str, str]] = None) -> str:
        try:
            done = subprocess.run(
                [self._find()] + arguments,
                input=text.encode("utf-8", "surrogatepass"),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=self.timeout,
                env=dict(os.environ, NO_COLOR="1", **(env or {})),
            )
        except subprocess.TimeoutExpired:
            raise ModelError("no answer after %g seconds" % self.timeout, "timeout") from None
        except OSError as e:
            raise ModelError("the program mlxk cannot be run: %s" % e) from None
        out = done.stdout.decode("utf-8", "replace")
        if done.returncode != 0:
            raise self._failure(out, done.stderr.decode("utf-8", "replace"), done.returncode)
        return out

    @staticmethod
    def _failure(out: str, err: str, status: int) -> ModelError:
        try:
            error = json.loads(out)["error"]
            return ModelError(
                str(error["message"]),
                str(error.get("type", "error")),
                str(error.get("detail") or ""),
            )
        except (ValueError, KeyError, TypeError):
            lines = [line for line in err.splitlines() if line.strip()]
            return ModelError(
                lines[0] if lines else "mlxk ended with %d" % status,
                hint=" ".join(lines[1:2]).strip(),
            )

    def _document(
        self, arguments: List[str], text: str, env: Optional[Dict[str, str]] = None
    ) -> Dict[str, Any]:
        return dict(
            json.loads(self._call(arguments[:1] + ["--json"] + arguments[1:], text, env))["data"]
        )

    @staticmethod
    def _settings(given: Dict[str, Any]) -> Dict[str, Any]:
        return {name: given[name] for name in _SETTINGS if given[name] is not None}

    def _command(
        self, turns: List[Message], settings: Dict[str, Any], extra: Optional[Dict[str, Any]]
    ) -> "tuple[List[str], str]":
        """Arguments and standard input of `mlxk run`; conversations go into the template first."""
        if extra:
            raise ModelError("extra is for servers: %s" % ", ".join(sorted(extra)))
        arguments = []
        for name, value in settings.items():
            for one in value if isinstance(value, (list, tuple)) else [value]:
                arguments.append("--%s=%s" % (name.replace("_", "-"), one))
        roles = [m.get("role") for m in turns]
        texts = [str(m.get("content")) for m in turns]
        if not all(isinstance(m.get("content"), str) for m in turns):
            raise ModelError("a message without text", hint="this version runs text only")
        if roles[-1:] == ["user"] and roles[:-1] in ([], ["system"]) and texts[-1]:
            if len(texts) == 1 or len(texts[0].encode("utf-8", "replace")) < _MAX_ARGUMENT:
                return arguments + ["--system=" + texts[0]][: len(texts) - 1], texts[-1]
        line = json.dumps({"messages": turns, "add_generation_prompt": True}) + "\n"
        rendered = json.loads(self._call(["template", self._files(), "--jsonl"], line))
        if "text" not in rendered:
            raise ModelError(str(rendered.get("error")), "template_error")
        return arguments + ["--no-chat-template"], str(rendered["text"])

    def _run(
        self, turns: List[Message], settings: Dict[str, Any], extra: Optional[Dict[str, Any]]
    ) -> Answer:
        arguments, text = self._command(turns, settings, extra)
        data = self._document(["run"] + arguments + [self.reference(), "-"], text)
        return Answer(
            data["response"],
            data.get("finish_reason"),
            data.get("reasoning"),
            data.get("prompt_tokens") or 0,
            data.get("tokens_generated") or 0,
            data,
        )

    def _run_stream(
        self, turns: List[Message], settings: Dict[str, Any], extra: Optional[Dict[str, Any]]
    ) -> Iterator[str]:
        arguments, text = self._command(turns, settings, extra)
        with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as said:
            asked.write(text.encode("utf-8", "surrogatepass"))
            asked.seek(0)
            try:
                child = subprocess.Popen(
                    [self._find(), "run"] + arguments + [self.reference(), "-"],
                    stdin=asked,
                    stdout=subprocess.PIPE,
                    stderr=said,
                    env=dict(os.environ, NO_COLOR="1"),
                )
            except OSError as e:
                raise ModelError("the program mlxk cannot be run: %s" % e) from None
            assert child.stdout is not None
            try:
                yield from self._pieces(child.stdout)
                if child.wait() != 0:
                    said.seek(0)
                    raise self._failure(
                        "", said.read(1 << 16).decode("utf-8", "replace"), child.returncode
                    )
            finally:
                child.stdout.close()
                if child.poll() is None:
                    child.terminate()
                    child.wait()

    @staticmethod
    def _pieces(out: "IO[bytes]") -> Iterator[str]:
        """Text as it comes; the line feed that ends the output is not the model's."""
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        held = ""
        while True:
            chunk = os.read(out.fileno(), 1 << 16)
            held += decode(chunk, not chunk)
            if not chunk:
                held = held[:-1] if held.endswith("\n") else held
            keep = "\n" if chunk and held.endswith("\n") else ""
            piece = held[: len(held) - len(keep)]
            if piece:
                yield piece
            held = keep
            if not chunk:
                return

    # ---- a server ----

    def _name(self) -> str:
        """The server's name for the model: as given, NAME@VERSION, or the only one that fits."""
        if self.model is not None:
            return self.model
        if self._asked is not None:
            return self._asked
        about, offered = self.about(), self.models()
        pinned = [i for i in offered if i.endswith("@" + self.version)]
        plain = [i for i in offered if "@" not in i] if self.version == about["version"] else []
        ours = [i for i in pinned + plain if self._is_ours(i, about["name"])]
        choice = (
            ours[:1] or (pinned if len(pinned) == 1 else []) or (plain if len(offered) == 1 else [])
        )
        if not choice:
            raise VersionError(
                "the server does not offer %s %s" % (about["name"], self.version),
                "it has: %s; model=... takes one of them" % (", ".join(offered[:8]) or "nothing"),
            )
        self._asked = choice[0]
        return choice[0]

    @staticmethod
    def _is_ours(offered: str, name: str) -> bool:
        return re.split(r"/|__", offered.split("@")[0].lower())[-1] == name

    def _open(self, path: str, body: Optional[Dict[str, Any]]) -> Any:
        headers = {
            "Accept": "application/json, text/event-stream",
            "Content-Type": "application/json",
        }
        if self.api_key is not None:
            headers["Authorization"] = "Bearer " + self.api_key
        data = None if body is None else json.dumps(body).encode("ascii")
        request = urllib.request.Request(
            str(self.url) + path, data, headers, method="GET" if body is None else "POST"
        )
        try:
            return urllib.request.build_opener(_NoRedirects).open(request, timeout=self.timeout)
        except urllib.error.HTTPError as e:
            with e:
                raise self._refusal(e.code, e.read(1 << 20)) from None
        except _BROKEN as e:
            raise ModelError(
                "%s cannot be reached: %s" % (self.url, getattr(e, "reason", e)), "network_error"
            ) from None

    @staticmethod
    def _refusal(status: int, body: bytes) -> ModelError:
        message, kind = "the server answered with %d" % status, "http_error"
        try:
            error = json.loads(body)["error"]
            if isinstance(error, str):
                message = error
            else:
                message, kind = str(error["message"]), str(error.get("type") or kind)
        except (ValueError, KeyError, TypeError):
            pass
        return ModelError(message, kind, status=status)

    def _read(self, path: str, body: Optional[Dict[str, Any]]) -> Dict[str, Any]:
        with self._open(path, body) as answer:
            try:
                text = answer.read(_MAX_BODY + 1)
            except _BROKEN as e:
                raise ModelError("the answer broke off: %s" % e, "network_error") from None
        if len(text) > _MAX_BODY:
            raise ModelError("the answer is longer than %d bytes" % _MAX_BODY, "limit_exceeded")
        try:
            value = json.loads(text)
        except ValueError:
            raise ModelError("the answer is no JSON", "invalid_format") from None
        if not isinstance(value, dict):
            raise ModelError("the answer is no JSON object", "invalid_format")
        return value

    def _get(self, path: str) -> Dict[str, Any]:
        return self._read(path, None)

    def _post(self, path: str, body: Dict[str, Any]) -> Dict[str, Any]:
        return self._read(path, body)

    @staticmethod
    def _first(body: Dict[str, Any]) -> Dict[str, Any]:
        choices = body.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            raise ModelError("the answer has no choice", "invalid_format")
        return choices[0]

    @staticmethod
    def _events(answer: Iterable[bytes]) -> Iterator[str]:
        """Data of server-sent events: lines end in LF or CR LF, several are joined."""
        held: List[str] = []
        size = 0
        while True:
            line = answer.readline(_MAX_LINE + 1)  # type: ignore[attr-defined]
            size += len(line)
            if size > _MAX_LINE:
                raise ModelError("an event is longer than %d bytes" % _MAX_LINE, "limit_exceeded")
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if not text:
                if held:
                    yield "\n".join(held)
                held, size = [], 0
                if not line:
                    return
            elif text.startswith("data:"):
                held.append(text[6:] if text[5:6] == " " else text[5:])

    def _post_stream(self, body: Dict[str, Any]) -> Iterator[str]:
        finished = False
        with self._open("/v1/chat/completions", body) as answer:
            try:
                for event in self._events(answer):
                    if event == "[DONE]":
                        return
                    finished = self._is_last(event) or finished
                    yield from self._deltas(event)
            except _BROKEN as e:
                raise ModelError("the answer broke off: %s" % e, "network_error") from None
        if not finished:
            raise ModelError("the answer broke off", "network_error")

    @staticmethod
    def _parsed(event: str) -> Dict[str, Any]:
        try:
            value = json.loads(event)
        except ValueError:
            raise ModelError("an event is no JSON", "invalid_format") from None
        return value if isinstance(value, dict) else {}

    def _is_last(self, event: str) -> bool:
        choices = self._parsed(event).get("choices") or [{}]
        return bool(isinstance(choices[0], dict) and choices[0].get("finish_reason"))

    def _deltas(self, event: str) -> Iterator[str]:
        value = self._parsed(event)
        if value.get("error"):
            raise self._refusal(0, event.encode("utf-8", "replace"))
        for choice in value.get("choices") or []:
            piece = (choice.get("delta") or {}).get("content") if isinstance(choice, dict) else None
            if piece:
                yield str(piece)
