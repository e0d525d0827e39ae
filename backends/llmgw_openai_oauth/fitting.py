"""Bodies as ChatGPT's server for Codex takes them: of Responses' fields a few, no state, no system messages, streams alone.

Source: what Codex 0.169.0 sends, and what the server was reported to refuse (openai/codex#26173; opencode, litellm).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from llmgw.model import JSON, Loss
from llmgw.splice import KEEP, merged
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_responses.names import ENCRYPTED

Change = tuple[dict[str, Any], frozenset[str]]
"""New values for fields, as a template, and the fields that go."""

ALLOWED: Final = frozenset({
    "model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "include",
    "prompt_cache_key", "service_tier", "store", "stream", "client_metadata",
})  # fmt: skip
COMPACTED: Final = ALLOWED - {"store", "stream", "include", "tool_choice", "client_metadata"}
"""Where a history is to be shortened."""

_FEATURES: Final[Mapping[str, str]] = {
    "max_output_tokens": "max_output", "user": "end_user", "safety_identifier": "safety_id",
    "previous_response_id": "server_state.previous_response_id", "conversation": "server_state.conversation",
    "prompt": "server_state.prompt_template", "background": "server_state.background",
    "prompt_cache_retention": "cache.retention", "prompt_cache_options": "cache.mode",
}  # fmt: skip
"""What a loss is called, where it is not called as the field."""
_NOTHING: Final[Mapping[str, tuple[JSON, ...]]] = {
    "temperature": (1, 1.0), "top_p": (1, 1.0), "top_logprobs": (0,), "truncation": ("disabled",), "background": (False,),
    "metadata": ({},),
}  # fmt: skip
"""Values that say no more than nothing does."""
_TIERS: Final[Mapping[str, str]] = {"default": "default", "priority": "priority", "fast": "priority"}
_INCLUDED: Final = (ENCRYPTED, "web_search_call.action.sources", "web_search_call.results")
_BOUND: Final[Mapping[str, str]] = {
    "file_search": "file_search", "code_interpreter": "code_execution", "mcp": "mcp", "computer_use_preview": "computer",
}  # fmt: skip
"""Tools that run at OpenAI's API and not here, with the names of their losses."""
_PREFIXES: Final[Mapping[str, str]] = {
    "message": "msg_", "reasoning": "rs_", "function_call": "fc_", "custom_tool_call": "ctc_", "web_search_call": "ws_",
    "image_generation_call": "ig_",
}  # fmt: skip
"""How the ids of items begin, as far as is known; others are refused."""
_UNCHANGED: Final[Change] = ({}, frozenset())


def fitted(tree: Mapping[str, Any], losses: Losses, *, own: bool, compact: bool = False) -> Change:
    """What must change in a body.

    Args:
        tree: the body.
        losses: takes what is left out.
        own: whether the client itself wrote it, in this dialect.
        compact: whether a history is to be shortened, and not a question answered.
    """
    allowed = COMPACTED if compact else ALLOWED
    drop = {name for name in tree if name not in allowed}
    for name in sorted(drop):
        if tree[name] is not None and tree[name] not in _NOTHING.get(name, ()):
            losses.dropped(_FEATURES.get(name, name), _told(tree[name]))
    changes: dict[str, Any] = {}
    changes |= _input(tree, losses, own=own)
    changes |= _tools(tree, losses)
    if tree.get("service_tier") is not None:
        changes["service_tier"] = _tier(tree["service_tier"], losses)
    if not compact:
        changes |= _stateless(tree, losses, own=own)
    drop |= {name for name, value in changes.items() if value is None}
    changes = {name: value for name, value in changes.items() if value is not None and not _is_same(value, tree.get(name))}
    return changes, frozenset(drop & tree.keys())


def keeps(tree: Mapping[str, Any]) -> bool:
    """Whether a client of this dialect relies on its provider to keep the conversation, as is the default.

    Args:
        tree: its body.
    """
    return tree.get("store") is not False


def _is_same(value: Any, before: Any) -> bool:
    return type(value) is type(before) and bool(value == before)


def _told(value: JSON) -> str:
    return str(value)[:80] if isinstance(value, str | int | float) else ""


# ---- what is asked ------------------------------------------------------------------------------


def _stateless(tree: Mapping[str, Any], losses: Losses, *, own: bool) -> dict[str, Any]:
    """A stream, nothing kept, and the thoughts sealed, where nobody but us keeps the conversation."""
    if own and tree.get("store"):
        losses.emulated("server_state.store", "kept by the gateway")
    include = tree.get("include")
    wanted: list[Any] = list(include) if isinstance(include, list) else []
    for name in wanted:
        if name not in _INCLUDED:
            losses.dropped("include", _told(name))
    left = [name for name in wanted if name in _INCLUDED]
    if own and keeps(tree) and ENCRYPTED not in left:
        left.append(ENCRYPTED)
    return {"store": False, "stream": True, "include": left or None}


def _tier(tier: JSON, losses: Losses) -> str | None:
    known = _TIERS.get(tier) if isinstance(tier, str) else None
    if known is None and tier != "auto":
        losses.dropped("tier", _told(tier))
    return known


# ---- input --------------------------------------------------------------------------------------


def _input(tree: Mapping[str, Any], losses: Losses, *, own: bool) -> dict[str, Any]:
    """Instructions, which must be there unless a developer speaks, and items."""
    given = tree.get("input")
    items = [_said(given)] if isinstance(given, str) else given if isinstance(given, list) else []
    edits = [_edit(item, n, losses, stateless=own and not keeps(tree)) for n, item in enumerate(items)]
    out: dict[str, Any] = {}
    if isinstance(given, str) or None in edits:
        out["input"] = [_edited(item, *edit) for item, edit in zip(items, edits, strict=True) if edit is not None]
    elif any(edit != _UNCHANGED for edit in edits):  # all stay in their places, and so what is not changed keeps its text
        pairs = zip(items, edits, strict=True)
        out["input"] = [KEEP if edit is None or edit == _UNCHANGED else merged(item, *edit) for item, edit in pairs]
    left = (item for item, edit in zip(items, edits, strict=True) if edit is not None)
    if tree.get("instructions") is None and not any(map(_speaks, left)):
        out["instructions"] = ""
    return out


def _said(text: str) -> dict[str, JSON]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def _speaks(item: JSON) -> bool:
    return isinstance(item, dict) and item.get("role") in ("developer", "system")


def _edit(item: Any, at: int, losses: Losses, *, stateless: bool) -> Change | None:
    """What must change in an item; None where it goes."""
    if not isinstance(item, dict):
        return _UNCHANGED
    kind = item.get("type") or ("message" if "role" in item else "item_reference" if "id" in item else "")
    if kind == "item_reference":
        losses.found.append(Loss(f"input[{at}]", "server_state.item_reference", "dropped", "", losses.target))
        return None
    if kind == "reasoning" and not item.get("encrypted_content"):  # only the server that has kept it could read it
        losses.found.append(Loss(f"input[{at}]", "reasoning.carrier", "dropped", "", losses.target))
        return None
    foreign = "id" in item and not (stateless and _is_known(item["id"], kind))
    return {"role": "developer"} if item.get("role") == "system" else {}, frozenset({"id"} if foreign else ())


def _edited(item: Any, changes: Mapping[str, Any], drop: frozenset[str]) -> Any:
    return {name: value for name, value in {**item, **changes}.items() if name not in drop} if isinstance(item, dict) else item


def _is_known(ident: JSON, kind: JSON) -> bool:
    """Whether an id is as the server takes it; who keeps its own history, as Codex does, may name its items."""
    return isinstance(ident, str) and ident.startswith(_PREFIXES.get(kind, "") if isinstance(kind, str) else "")


# ---- tools --------------------------------------------------------------------------------------


def _tools(tree: Mapping[str, Any], losses: Losses) -> dict[str, Any]:
    """The tools that there are."""
    given = tree.get("tools")
    if not isinstance(given, list):
        return {}
    gone = [kind for one in given if (kind := _bound(one))]
    if not gone:
        return {}
    for kind in gone:
        losses.dropped(f"tools.{_BOUND[kind]}")
    left = [one for one in given if not _bound(one)]
    out: dict[str, Any] = {"tools": left or None}
    choice = tree.get("tool_choice")
    if choice is not None and (not left or _bound(choice)):
        losses.dropped("tool_choice")
        out["tool_choice"] = None
    return out


def _bound(tool: JSON) -> str:
    """The type of a tool that is not here; empty for any other."""
    kind = tool.get("type") if isinstance(tool, dict) else None
    return kind if isinstance(kind, str) and kind in _BOUND else ""
