"""A client's own bytes, addressed to the provider's model."""

from __future__ import annotations

import re
from typing import Any, Final

from llmgw import jsons
from llmgw.model import RawDoc
from llmgw.splice import merged, splice

_MODEL: Final = re.compile(rb'"model"\s*+:\s*+("[^"\\]*+")')
# leading members with plain values, then the model; possessive, so that it never looks twice
_LEADING: Final = re.compile(
    rb'\s*+\{\s*+(?:(?!"model")"[^"\\]*+"\s*+:\s*+(?:"[^"\\]*+"|[-0-9.eE+]++|true|false|null)\s*+,\s*+)*+' + _MODEL.pattern
)


def addressed(raw: RawDoc, model: str, changes: dict[str, Any]) -> bytes:
    """The body, for another model and with other fields at its top.

    Args:
        raw: a body whose ``model`` stands at its top.
        model: what it is to name.
        changes: templates (``llmgw.splice``) of other fields.
    """
    if changes:
        return splice(raw.data, merged(raw.tree, changes if model == raw.model else {**changes, "model": model}))
    if model == raw.model:
        return raw.data
    span = _model_span(raw)
    if span is None:
        return splice(raw.data, merged(raw.tree, {"model": model}))
    return raw.data[: span[0]] + jsons.dumps(model) + raw.data[span[1] :]


def _model_span(raw: RawDoc) -> tuple[int, int] | None:
    """Where the model's name stands, if that can be told without reading the body.

    Clients put it first, or once behind the messages. Inside a JSON string a quote is escaped, so ``"model"`` is always a
    whole string; where it stands once it is the key at the top, unless that one is spelt with escapes.
    """
    data = raw.data
    found = _LEADING.match(data)
    if found is None:
        at = data.find(b'"model"')
        found = _MODEL.match(data, at)
        if found is None or data.find(b'"model"', found.end()) >= 0 or b"\\u006" in data:
            return None
    elif raw.is_read and data.rfind(b'"model"') > found.end():  # the key is repeated, perhaps: the last one counts
        return None
    return found.span(1) if jsons.loads(found[1]) == raw.model else None
