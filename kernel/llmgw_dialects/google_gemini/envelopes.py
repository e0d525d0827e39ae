"""The envelope around a request and a response, in the dialect that has one: Code Assist."""

from __future__ import annotations

from typing import Any, Final

from llmgw import jsons
from llmgw.model import JSON
from llmgw.splice import Kept, splice
from llmgw_dialects.google_gemini.names import NAME

CODE_ASSIST: Final = "google.codeassist"
OWN: Final = frozenset({NAME, CODE_ASSIST})
"""Dialects whose frames hold what is Google's own."""
_KEY: Final = "response"


def response_in(dialect: str, tree: JSON) -> Any:
    """The response in the JSON of a frame or body."""
    if dialect != CODE_ASSIST or not isinstance(tree, dict):
        return tree
    response = tree.get(_KEY)
    return response if isinstance(response, dict) else {}


def converted(data: bytes, dialect: str, to: str) -> bytes:
    """The JSON of a frame or body, put into its envelope or taken out of it.

    Args:
        data: one JSON object.
        dialect: that it is written in.
        to: that it is for.
    """
    if dialect == to:
        return data
    if to == CODE_ASSIST:
        return b'{"response":' + data + b"}"
    tree = jsons.loads(data)
    return splice(data, Kept((_KEY,))) if isinstance(tree, dict) and isinstance(tree.get(_KEY), dict) else b"{}"
