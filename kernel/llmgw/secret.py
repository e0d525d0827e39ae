"""Keys, which stand in the environment and nowhere else."""

from __future__ import annotations

import hmac
from typing import Final

from llmgw.errors import Misconfigured


class Secret:
    """A key that shows itself only to whoever calls ``reveal()``; printing, formatting and logging show its variable.

    Not an attrs class like its neighbours: ``attrs.asdict`` on a plugin would then write the key out.

    Args:
        name: the environment variable it stands in; may be shown.
        value: what stands there; None while the variable is not set.
    """

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str | None = None) -> None:
        self.name: Final = name
        self._value: Final = value

    @classmethod
    def env(cls, name: str) -> Secret:
        """The secret in a variable, not yet looked up: ``api_key: Secret = Secret.env("ACME_API_KEY")``."""
        return cls(name)

    @property
    def is_set(self) -> bool:
        """Whether there is something to reveal; an empty variable holds nothing."""
        return bool(self._value)

    def reveal(self) -> str:
        """The key itself, for the header it belongs in and nothing else.

        Raises:
            Misconfigured: the variable is not set.
        """
        if not self._value:
            raise Misconfigured(f"{self.name} is not set: export it, or name another variable in the configuration")
        return self._value

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same key, told in a time that does not depend on it; one not set equals only itself.

        Otherwise a gateway whose own key is missing would take an empty one for the right one.
        """
        if not isinstance(other, Secret):
            return NotImplemented
        return self is other or (self.is_set and other.is_set and hmac.compare_digest(_bytes(self), _bytes(other)))

    __hash__ = None  # type: ignore[assignment]  # a table of hashes would compare in a time that tells

    def __repr__(self) -> str:
        return f"Secret({self.name!r}, {'set' if self.is_set else 'not set'})"

    def __format__(self, spec: str) -> str:
        return repr(self)


def _bytes(secret: Secret) -> bytes:
    # compare_digest takes no text beyond ASCII; what a terminal pasted or the environment mangled may hold lone surrogates.
    return secret.reveal().encode("utf-8", "surrogatepass")
