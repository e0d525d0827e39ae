"""What a provider would take a request without, told from the words of its refusal.

Each provider has its own way to say that it does not know a field, or that it cannot read opaque state which another account or
model has issued. Where the field is not what the request is about, asking again without it is better than failing.
"""

from __future__ import annotations

import re
from typing import Final, Literal

_STRANGER: Final = (
    # Anthropic: "temperature: Extra inputs are not permitted", "`top_p` is not supported for this model"
    re.compile(r"^(?P<path>[a-z_]+(?:\.[a-z_]+)*): Extra inputs are not permitted"),
    re.compile(r"[`'\"](?P<path>[a-z_]+(?:\.[a-z_]+)*)[`'\"](?: is| are)? (?:not supported|deprecated|no longer supported)"),
    # OpenAI and those who copy it: "Unsupported parameter: 'temperature' is not supported with this model."
    re.compile(
        r"(?:Unsupported|Unrecognized|Unknown) (?:parameter|value|request argument)s?(?: supplied)?: ?"
        r"'?(?P<path>[a-z_]+(?:\.[a-z_]+)*)(?!\w|\[|\.\w)"
    ),
    re.compile(r"Unsupported value: '(?P<path>[a-z_]+(?:\.[a-z_]+)*)' does not support"),
)
# Google: Invalid JSON payload received. Unknown name "seed" at 'generation_config': Cannot find field.
_GOOGLE: Final = re.compile(r"Unknown name \"(?P<name>\w+)\"(?: at '(?P<at>[\w.]+)')?: Cannot find field")
_CARRIERS: Final = re.compile(
    r"Invalid [`']?signature[`']? in [`']?thinking|Corrupted thought signature|thought_?signature|encrypted content .*could not"
    r"|Item with id '?\w+'? not found",
    re.IGNORECASE,
)
_MISSING: Final = re.compile(r"missing (?:a |the )?[`']?thought_?signature", re.IGNORECASE)
"""To leave out others would not help."""
_CODES: Final = frozenset({"unsupported_parameter", "unsupported_value", "unknown_parameter"})
_ESSENTIAL: Final = frozenset(
    {"model", "messages", "input", "contents", "system", "systemInstruction", "instructions", "tools", "stream", "max_tokens"}
)
"""What a request is about; what cannot be left out without asking something else."""


def cure(message: str, code: str, param: str | None) -> tuple[Literal["field", "carriers"] | None, str | None]:
    """What to leave out, and the field's path if it is one.

    Args:
        message: the provider's words.
        code: its code for them.
        param: the path that it names beside them.
    """
    if code == "invalid_encrypted_content" or (_CARRIERS.search(message) and not _MISSING.search(message)):
        return "carriers", param
    path = param if code in _CODES else None
    if path is None:
        path = _google(message) or next((found["path"] for one in _STRANGER if (found := one.search(message))), None)
    if path is None or path.partition(".")[0] in _ESSENTIAL or "[" in path:
        return None, param
    return "field", path


def _google(message: str) -> str | None:
    found = _GOOGLE.search(message)
    if found is None:
        return None
    steps = [*(found["at"] or "").split("."), found["name"]]
    return ".".join(_camel(step) for step in steps if step)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
