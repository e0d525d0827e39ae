"""The vocabularies of OpenAI's models, as far as ``tiktoken`` has them in its cache."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

_URL: Final = "https://openaipublic.blob.core.windows.net/encodings/"
_SUMS: Final = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}
"""SHA-256 of the vocabularies (``tiktoken_ext/openai_public.py``)."""
_MODELS: Final = (
    (re.compile(r"gpt-(4o|4\.1|4\.5|[5-9])|o[1-9](-|$)|chatgpt-4o|gpt-oss"), "o200k_base"),
    (re.compile(r"gpt-(4|3\.5)"), "cl100k_base"),
)
"""Which model has which (``tiktoken/model.py``)."""
_PIECE: Final = 4000
"""Characters encoded at once: the time for one long word grows faster than the word."""


def vocabulary(model: str) -> Callable[[str], int] | None:
    """What counts a text as a model does; None where its vocabulary is not at hand.

    Args:
        model: as its back-end calls it; resellers put the vendor before the name.
    """
    name = model.rpartition("/")[2]
    found = next((encoding for pattern, encoding in _MODELS if pattern.match(name)), None)
    return None if found is None else _loaded(found, _folder())


@cache
def _loaded(encoding: str, folder: str) -> Callable[[str], int] | None:
    if not _at_hand(encoding, folder):
        return None
    try:
        import tiktoken  # an optional dependency, and a slow import

        encode = tiktoken.get_encoding(encoding).encode_ordinary
    except (ImportError, ValueError, OSError):
        return None
    return lambda text: sum(len(encode(text[at : at + _PIECE])) for at in range(0, len(text), _PIECE))


def _at_hand(encoding: str, folder: str) -> bool:
    """Whether the cache has the very file: tiktoken would download it where it is missing or broken."""
    name = hashlib.sha1((_URL + encoding + ".tiktoken").encode(), usedforsecurity=False).hexdigest()
    try:
        data = (Path(folder) / name).read_bytes() if folder else b""
    except OSError:
        return False
    return hashlib.sha256(data).hexdigest() == _SUMS[encoding]


def _folder() -> str:
    """Where tiktoken looks (``tiktoken/load.py``), which reads the environment itself; empty where it caches nothing."""
    for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if name in os.environ:
            return os.environ[name]
    return str(Path(tempfile.gettempdir()) / "data-gym-cache")
