"""The keys of a back-end, and what the shared state calls what is kept of them."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field, frozen

from llmgw import Backend, Gateway

_LOOK = 10.0
"""Seconds after which a back-end is asked again which of its credentials can be used."""


@frozen
class Key:
    """One key of a back-end.

    Args:
        backend: its id.
        name: as ``Target.credential`` takes it.
        fingerprint: of its value; marks are of the value, so that another value of the same variable is a new key.
    """

    backend: str
    name: str
    fingerprint: str = ""
    mark: str = field(init=False, repr=False)
    """What rests for all models."""
    uses: str = field(init=False, repr=False)
    id: str = field(init=False)
    """What tells it from the back-end's others."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "id", self.fingerprint or self.name)
        object.__setattr__(self, "mark", f"key-rotation:rest:{self.backend}:{self.id}")
        object.__setattr__(self, "uses", f"key-rotation:uses:{self.backend}:{self.id}:")

    def mark_for(self, model: str) -> str:
        """What rests for one model.

        Args:
            model: shortened.
        """
        return f"{self.mark}:{model}"


@define(eq=False)
class Rings:
    """The usable keys of each back-end, looked up now and then."""

    _known: dict[str, tuple[float, Sequence[Key]]] = field(factory=dict)
    _any: tuple[float, bool] = (0.0, False)
    """Until when it is known whether any back-end offers a choice: each exchange asks, and nearly always for nothing."""

    def any(self, gateway: Gateway) -> bool:
        """Whether there is a choice among keys at any back-end."""
        now = gateway.clock.monotonic()
        until, found = self._any
        if now >= until:
            found = any(self.of(gateway, name) for name in gateway.backends)
            self._any = (now + _LOOK, found)
        return found

    def of(self, gateway: Gateway, name: str) -> Sequence[Key]:
        """The keys of a back-end among which there is a choice; none where there is no choice.

        Args:
            gateway: that has it.
            name: its id.
        """
        now = gateway.clock.monotonic()
        until, keys = self._known.get(name, (0.0, ()))
        if now < until:
            return keys
        backend = gateway.backends.get(name)
        if backend is None:  # a name that somebody made up is not remembered
            return ()
        keys = _usable(backend)
        self._known[name] = (now + _LOOK, keys)
        return keys


def _usable(backend: Backend) -> Sequence[Key]:
    """Variables that hold the same value are one key."""
    keys = [Key(backend.name, one.name, one.fingerprint) for one in backend.credentials if not one.problem]
    different = {key.id: key for key in reversed(keys)}
    found = [key for key in keys if different[key.id] is key]
    return found if len(found) > 1 else ()


@define(eq=False)
class Seen:
    """Models for which a key was seen to rest, by back-end; only the latest are told of.

    Args:
        most: models of all back-ends.
    """

    most: int = 100
    _models: dict[tuple[str, str], None] = field(factory=dict)

    def note(self, backend: str, model: str) -> None:
        """A key rests for this model.

        Args:
            backend: its id.
            model: shortened.
        """
        self._models.pop((backend, model), None)
        self._models[backend, model] = None
        if len(self._models) > self.most:
            del self._models[next(iter(self._models))]

    def of(self, backend: str) -> list[str]:
        """The models of a back-end."""
        return [model for name, model in self._models if name == backend]
