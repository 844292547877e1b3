"""Client of the model @NAME@, releases of the line v@MAJOR@ (generated for @VERSION@ by mlxk).

    from @MODULE@ import @CLASS@Client

    with @CLASS@Client() as model:                          # on this machine, by the program mlxk
        print(model.chat("Hello").text)

    with @CLASS@Client("http://127.0.0.1:8000") as model:   # a server that speaks OpenAI's protocol
        for piece in model.stream("Hello"):
            print(piece, end="", flush=True)

    @CLASS@Client.version = "@VERSION@"                     # just this release from now on
"""
from ._client import Answer, BaseClient, ModelError, VersionError


class @CLASS@Client(BaseClient):
    """Talks to one release of the model @NAME@; see BaseClient for what it can do."""


Client = @CLASS@Client

__all__ = ["Answer", "Client", "@CLASS@Client", "ModelError", "VersionError"]
