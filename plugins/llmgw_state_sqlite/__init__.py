"""Keeps state in a file, for several workers on one machine."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from attrs import define, field
from attrs.validators import ge

from llmgw import Gateway, Report, StateStore, hookimpl
from llmgw.state import Degrading
from llmgw_state_sqlite.file import File


@define(eq=False, kw_only=True)
class StateSqlite:
    """Keeps counters, cooldowns and sessions in a SQLite file, which all workers on this machine share.

    The file must lie on a disk of this machine, for SQLite's write-ahead log needs shared memory. When it cannot be used, each
    worker serves on with its own memory, says so once, and comes back to the file by itself.

    Args:
        path: of the file; by default ``llmgw/state.sqlite`` in ``$XDG_STATE_HOME`` or ``~/.local/state``.
        retry: seconds after which a file that could not be used is tried again.
        limit: of values, and of buckets; beyond it the oldest go.
    """

    path: Path | None = None
    retry: float = field(default=1.0, validator=ge(0.0))
    limit: int = field(default=100_000, validator=ge(1))
    _store: Degrading | None = field(default=None, init=False)

    @hookimpl
    def state_store(self, gateway: Gateway) -> StateStore | None:
        """The file; it is opened by its first user, since workers are forked before."""
        path = (self.path or usual(gateway.env)).expanduser()
        self._store = Degrading(File(path, gateway.clock.time, self.limit), gateway.clock, self.retry)
        return self._store

    @hookimpl
    def lifespan(self, gateway: Gateway) -> AbstractAsyncContextManager[None] | None:
        """Closes the file; None where another plugin keeps the state."""
        return None if self._store is None else self._store.held()

    @hookimpl
    def status(self, gateway: Gateway) -> Awaitable[Report] | None:
        """Where state is kept."""
        return None if self._store is None else self._store.report()


def usual(env: Mapping[str, str]) -> Path:
    """Where the file is unless the configuration says it (XDG Base Directory Specification: what persists between restarts).

    Args:
        env: the environment.
    """
    home = env.get("HOME")
    state = env.get("XDG_STATE_HOME") or (Path(home) if home else Path.home()) / ".local" / "state"
    return Path(state) / "llmgw" / "state.sqlite"
