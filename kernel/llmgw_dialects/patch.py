"""Only what was changed changes: a three-way merge on JSON, written as a template for ``llmgw.splice``.

A node is written from its fields in one spelling, but a body may have used another: a string for a list of one text,
``max_tokens`` for ``max_completion_tokens``, keys we do not know. So a changed node is not compared with the body. It is
written twice, as it was read (``before``) and as it is now (``after``); what differs between these two is put into the
original, and everything else keeps its bytes.
"""

from __future__ import annotations

from typing import Any

from llmgw.model import JSON
from llmgw.splice import KEEP, Kept, Path, same


def patched(original: JSON, before: JSON, after: JSON, moved: Path | None = None) -> Any:
    """A template that turns ``original`` into what ``after`` says.

    Args:
        original: as in the body.
        before: what was read, written.
        after: what it is now, written.
        moved: where the original stands, if not at the place the template is for.
    """
    if same(before, after):
        return KEEP if moved is None else Kept(moved)
    if isinstance(original, dict) and isinstance(before, dict) and isinstance(after, dict):
        return _object(original, before, after, moved)
    if _alike(original, before, after):
        triples = zip(original, before, after, strict=True)
        return [patched(*each, _below(moved, number)) for number, each in enumerate(triples)]
    return after


def _object(original: dict[str, Any], before: dict[str, Any], after: dict[str, Any], moved: Path | None) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in original.items():
        if key in before and key not in after:
            continue
        below = _below(moved, key)
        if key in after and not (key in before and same(before[key], after[key])):
            out[key] = patched(value, before.get(key), after[key], below)
        else:
            out[key] = KEEP if below is None else Kept(below)
    new = {key: value for key, value in after.items() if key not in original and not (key in before and same(before[key], value))}
    return {**out, **new}


def _alike(original: JSON, before: JSON, after: JSON) -> bool:
    """Whether these are lists whose entries answer to one another."""
    if not (isinstance(original, list) and isinstance(before, list) and isinstance(after, list)):
        return False
    return len(original) == len(before) == len(after)


def _below(path: Path | None, step: str | int) -> Path | None:
    return None if path is None else (*path, step)
