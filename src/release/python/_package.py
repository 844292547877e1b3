"""One release of a model as a Python object; what it does is done by its client."""

from __future__ import annotations

from typing import Any, Iterator, List, Type

from ._client import Answer, BaseClient, Messages


class BasePackage:
    """All methods belong to the class: there is one such release.

    The methods run on this machine; client() gives the class for other places.
    """

    _client: Type[BaseClient] = BaseClient

    @classmethod
    def client(cls) -> Type[BaseClient]:
        """The class of clients of this release: by URL, or without one on this machine."""
        return cls._client

    @classmethod
    def path(cls) -> str:
        """Folder of the model's files on this machine, fetched when they are not there."""
        return cls._client().path()

    @classmethod
    def interface(cls) -> "dict[str, Any]":
        """What programs that use the model rely on: tokens, context, template, task."""
        return cls._client.interface()

    @classmethod
    def chat(cls, messages: Messages, **settings: Any) -> Answer:
        """One answer; settings as of BaseClient.chat."""
        return cls._client().chat(messages, **settings)

    @classmethod
    def stream(cls, messages: Messages, **settings: Any) -> Iterator[str]:
        """The answer piece by piece; settings as of BaseClient.chat."""
        return cls._client().stream(messages, **settings)

    @classmethod
    def embed(cls, texts: "str | List[str]") -> List[List[float]]:
        """One vector for each text; models that embed only."""
        return cls._client().embed(texts)

    @classmethod
    def tokenize(cls, text: str) -> List[int]:
        """Token ids of a text."""
        return cls._client().tokenize(text)
