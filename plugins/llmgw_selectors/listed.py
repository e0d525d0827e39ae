"""Names without a back-end, found in the lists of models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from llmgw_routes.patterns import folded

_VERSION: Final = re.compile(r"(?:-(20\d{6}|20\d\d-\d\d-\d\d)|@([\w.-]+)|-latest)$")
"""How vendors mark one of the versions of a model: a date, ``@`` and a date at Vertex, or the newest one."""

_LONGEST: Final = 500
"""A name longer than this is none; clients make them up for free."""


def by_backend(names: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Lists of models by back-end.

    Args:
        names: as ``backend:model``.
    """
    lists: dict[str, list[str]] = {}
    for name in names:
        backend, _, model = name.partition(":")
        lists.setdefault(backend, []).append(model)
    return lists


def found(asked: str, lists: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Where a model is listed, as back-end and name there: as it was asked for, else with other capitals, else of any version.

    Args:
        asked: a model's name.
        lists: of models by back-end, in the order in which they are preferred.
    """
    if len(asked) > _LONGEST:
        return []
    for same in (_exactly, _folded, _versioned):
        hits = {backend: [model for model in models if same(asked, model)] for backend, models in lists.items()}
        found = [(backend, models[0]) for backend, models in hits.items() if len(set(models)) == 1]
        if found:
            return found
    return []


def _exactly(asked: str, model: str) -> bool:
    return asked == model


def _folded(asked: str, model: str) -> bool:
    return folded(asked) == folded(model)


def _versioned(asked: str, model: str) -> bool:
    """Whether both are the same but for the version, which one of them does not say."""
    (one, first), (other, second) = _parted(folded(asked)), _parted(folded(model))
    return one == other and (not first or not second)


def _parted(name: str) -> tuple[str, str]:
    """A name without its version, and the version; that of the newest one is empty."""
    match = _VERSION.search(name)
    return (name, "") if match is None else (name[: match.start()], match[1] or match[2] or "")
