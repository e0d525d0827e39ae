"""Ids where nobody gave one."""

from __future__ import annotations

import hashlib

from llmgw.model import JSON


def minted(prefix: str, *told: JSON) -> str:
    """An id where the provider or the client gave none: always the same for the same content and place."""
    digest = hashlib.sha256("\0".join(map(str, told)).encode("utf-8", "surrogatepass"))
    return prefix + digest.hexdigest()[:24]
