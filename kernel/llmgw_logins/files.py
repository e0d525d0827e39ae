"""A file in which a vendor's client keeps its login: read when it has changed, written as carefully as the client would."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import define, field

from llmgw import jsons
from llmgw.errors import CredentialUnusable

_LARGEST = 2**20
"""Bytes; a file of logins has a few thousand."""


@define(eq=False)
class CredentialFile:
    """One such file.

    Args:
        path: where it is.
        advice: what to do where there is none or it cannot be used: ``Run: acme login``.
    """

    path: Path
    advice: str
    _seen: tuple[int, int, int] | None = field(default=None, init=False)
    _tree: dict[str, Any] = field(factory=dict, init=False, repr=False)

    def read(self) -> dict[str, Any]:
        """What it holds now; it is read again only when it has changed. Never to be changed.

        Raises:
            CredentialUnusable: it is missing, may not be read, or holds no JSON object.
        """
        try:
            seen = _seen(self.path.stat())
            if seen != self._seen:
                self._tree = self._loaded()
                self._seen = seen
        except OSError as error:
            self._seen = None
            why = "there is none" if isinstance(error, FileNotFoundError) else f"it cannot be read ({error.strerror})"
            raise CredentialUnusable(f"No login in {self.shown}: {why}. {self.advice}") from None
        return self._tree

    def merge(self, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> dict[str, Any]:
        """Write what becomes of what it holds at this very moment; whoever reads sees the old or the new, nothing between.

        Args:
            change: given the file's content; keys that it does not know must be in what it returns. None leaves the file as it
                is. It is called again where somebody else writes meanwhile.

        Returns:
            What it holds now.

        Raises:
            CredentialUnusable: it cannot be read or written.
        """
        while True:
            self._seen = None
            tree = self.read()
            made, before = change(tree), self._seen
            if made is None:
                return tree
            if self._replaced(jsons.dumps(made), before):
                self._seen = None
                return made

    def _replaced(self, data: bytes, before: tuple[int, int, int] | None) -> bool:
        """Whether this is now its content; not where somebody else has written since."""
        try:
            path = self.path.resolve()  # of a link, what it points to
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 from the start
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                about = path.stat()
                if _seen(about) != before:
                    return False
                with suppress(PermissionError, AttributeError):  # who runs as root must not take a person's login away
                    os.chown(name, about.st_uid, about.st_gid)
                Path(name).replace(path)
                return True
            finally:
                Path(name).unlink(missing_ok=True)
        except OSError as error:
            raise CredentialUnusable(f"The refreshed login cannot be written to {self.shown}: {error.strerror}.") from None

    @property
    def shown(self) -> str:
        """Its path as a person would write it; a message must not tell whose machine this is."""
        try:
            return f"~/{self.path.relative_to(Path.home())}"
        except (ValueError, RuntimeError):
            return self.path.name

    def _loaded(self) -> dict[str, Any]:
        with self.path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        try:
            tree = jsons.loads(data) if len(data) <= _LARGEST else None
        except jsons.JsonError:
            tree = None
        if not isinstance(tree, dict):
            raise CredentialUnusable(f"The login in {self.shown} is corrupt: it holds no JSON object. {self.advice}")
        return tree


def _seen(about: os.stat_result) -> tuple[int, int, int]:
    return about.st_mtime_ns, about.st_ino, about.st_size
