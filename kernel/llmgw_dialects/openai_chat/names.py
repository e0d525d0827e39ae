"""Words that the modules of this dialect share."""

from __future__ import annotations

import hashlib
from typing import Final

from llmgw.model import JSON
from llmgw.splice import Path

NAME: Final = "openai.chat"


def minted(prefix: str, *told: JSON) -> str:
    """An id where the provider or the client gave none: always the same for the same content and place."""
    digest = hashlib.sha256("\0".join(map(str, told)).encode("utf-8", "surrogatepass"))
    return prefix + digest.hexdigest()[:24]


def spelled(path: Path) -> str:
    """A path as OpenAI writes it in ``param``: ``messages[3].content[0].type``."""
    out = ""
    for step in path:
        out += f"[{step}]" if isinstance(step, int) else f".{step}" if out else step
    return out
