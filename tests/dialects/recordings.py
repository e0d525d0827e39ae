"""Recorded provider traffic: all of it where it is to be had, beside the repository or where LLMGW_RECORDINGS says.

Elsewhere the few recordings that are committed in ``tests/recorded`` must do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

SMALL = Path(__file__).parents[1] / "recorded"
ROOT = Path(os.environ.get("LLMGW_RECORDINGS") or Path(__file__).parents[2].parent / "shared" / "recordings")


@frozen
class Recording:
    """One exchange."""

    name: str
    request: bytes | None
    status: int
    headers: dict[str, str]
    body: bytes
    stream: bool
    endpoint: str


@lru_cache(maxsize=8)
def load(dialect: str) -> tuple[Recording, ...]:
    """All recordings of a dialect, or the committed ones.

    Raises:
        Skipped: there are none here.
    """
    root = ROOT if is_complete(dialect) else SMALL
    if not (root / dialect).is_dir():
        pytest.skip(f"recordings not found at {ROOT / dialect}")
    return tuple(_load(path) for path in sorted((root / dialect).glob("*.json")))


def is_complete(dialect: str) -> bool:
    """Whether all recordings of a dialect are here."""
    return (ROOT / dialect).is_dir()


def written(value: Any, number: int) -> bytes:
    """JSON in one of several styles of white space, so that a law about bytes has something to say."""
    if number % 3 == 0:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return json.dumps(value, indent=None if number % 3 == 1 else 1, ensure_ascii=number % 2 == 0).encode("utf-8", "replace")


def _load(path: Path) -> Recording:
    exchange = json.loads(path.read_bytes())
    response, asked = exchange["response"], (exchange["request"] or {}).get("body")
    number = sum(path.name.encode())
    body = response["body"]
    return Recording(
        name=path.stem,
        request=None if asked is None else written(asked, number),
        status=response["status"],
        headers=response["headers"] or {},
        body=body.encode() if isinstance(body, str) else written(body, number),
        stream=response["framing"] == "sse",
        endpoint=exchange["endpoint"],
    )


def completions(dialect: str, endpoint: str, *, stream: bool) -> Iterator[Recording]:
    """The replies among them, errors left out."""
    for one in load(dialect):
        if one.status == 200 and one.endpoint == endpoint and one.stream == stream:
            yield one
