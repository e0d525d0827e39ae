"""A file in which a vendor's client keeps its login: read when it has changed, written as carefully as the client would."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
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
            about = self.path.stat()
            seen = (about.st_mtime_ns, about.st_ino, about.st_size)
            if seen != self._seen:
                self._tree = self._loaded()
                self._seen = seen
        except OSError as error:
            self._seen = None
            why = "there is none" if isinstance(error, FileNotFoundError) else f"it cannot be read ({error.strerror})"
            raise CredentialUnusable(f"No login in {self.shown}: {why}. {self.advice}") from None
        return self._tree

    def merge(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """Write what becomes of what it holds at this very moment; whoever reads sees the old or the new, nothing between.

        Args:
            change: given the file's content; keys that it does not know must be in what it returns.

        Returns:
            What was written.

        Raises:
            CredentialUnusable: it cannot be read or written.
        """
        self._seen = None
        tree = change(self.read())
        path = self.path.resolve()  # of a link, what it points to
        try:
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 from the start
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(jsons.dumps(tree))
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise CredentialUnusable(f"The refreshed login cannot be written to {self.shown}: {error.strerror}.") from None
        self._seen = None
        return tree

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
