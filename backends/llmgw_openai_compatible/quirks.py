"""What a provider that is nearly compatible takes otherwise, as data of its preset, and the edits of a request's body for it.

What a model can do stands in a profile; here is what a body looks like. A client of Chat Completions is taken at its word: its
body is edited only where the provider would surely refuse it, all else only in requests written for clients of other dialects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from attrs import field, frozen

from llmgw.model import JSON

_DISABLED: Final = ("none", "off")


@frozen(kw_only=True)
class Quirks:
    """One provider's ways.

    Args:
        renamed: fields that it knows by another name, as ``seed``; a client's own are renamed, too.
        unknown: fields that it does not know, left out for clients of other dialects.
        added: fields that ask it to answer as others do, set for clients of other dialects.
        required: its word for ``tool_choice: required``.
        in_schema: keywords that it does not take in a tool's schema, at any depth.
        in_function: fields that it does not take in a tool's function, as ``strict``.
        in_message: fields that it does not take in a message.
        in_part: fields that it does not take in a part of the content, as ``cache_control``.
        nulls: whether it takes fields of a message that are null.
        lists: whether it takes a list of texts as content.
        echo: which assistant messages must have ``reasoning_content`` while it thinks: all, those with calls, or none.
        unthinking: the fields that switch thinking off, instead of ``reasoning_effort``.
        thinking: the fields that switch it on, instead of ``reasoning_effort``.
        forcing: the fields that go with a forced call where nothing is said of thinking, as it cannot be forced while it thinks.
    """

    renamed: dict[str, str] = field(factory=dict)
    unknown: tuple[str, ...] = field(default=(), converter=tuple)
    added: dict[str, Any] = field(factory=dict)
    required: str = "required"
    in_schema: tuple[str, ...] = field(default=(), converter=tuple)
    in_function: tuple[str, ...] = field(default=(), converter=tuple)
    in_message: tuple[str, ...] = field(default=(), converter=tuple)
    in_part: tuple[str, ...] = field(default=(), converter=tuple)
    nulls: bool = True
    lists: bool = True
    echo: str = ""
    unthinking: dict[str, Any] = field(factory=dict)
    thinking: dict[str, Any] = field(factory=dict)
    forcing: dict[str, Any] = field(factory=dict)

    @property
    def of_own(self) -> bool:
        """Whether a client's own body may have to be edited."""
        return bool(self.renamed or self.echo or not self.nulls)


def edited(tree: dict[str, Any], quirks: Quirks, lost: list[tuple[str, str]], *, own: bool) -> dict[str, Any]:
    """A body as the provider takes it; the one given stays as it is.

    Args:
        tree: the body.
        quirks: the provider's.
        lost: takes the path of each thing that was left out, and its name.
        own: whether the client itself wrote it.
    """
    out = {quirks.renamed.get(key, key): value for key, value in tree.items()}
    if not own:
        lost += [(name, name) for name in quirks.unknown if out.pop(name, None) is not None]
    if "messages" in out and isinstance(out["messages"], list):
        out["messages"] = _messages(out, quirks, lost, own=own)
    if own:
        return out
    out = {**quirks.added, **out}
    if quirks.forcing and _forces(out.get("tool_choice")) and not out.keys() & {"reasoning_effort", *quirks.forcing}:
        out |= quirks.forcing
    if out.get("tool_choice") == "required":
        out["tool_choice"] = quirks.required
    if isinstance(out.get("tools"), list):
        out["tools"] = [_tool(one, quirks, lost) for one in out["tools"]]
    return _reasoning(out, quirks, lost)


# ---- messages


def _messages(tree: Mapping[str, Any], quirks: Quirks, lost: list[tuple[str, str]], *, own: bool) -> list[JSON]:
    echoes = quirks.echo if (_is_told_to_think(tree) if own else not _is_told_not_to_think(tree)) else ""
    return [_message(one, quirks, echoes, lost, own=own) if isinstance(one, dict) else one for one in tree["messages"]]


def _message(message: dict[str, Any], quirks: Quirks, echoes: str, lost: list[tuple[str, str]], *, own: bool) -> dict[str, Any]:
    out = dict(message)
    assistant = out.get("role") == "assistant"
    if assistant and not quirks.nulls:
        out = {key: value for key, value in out.items() if value is not None or key == "content"}
    if assistant and echoes and (echoes == "all" or out.get("tool_calls")) and not out.get("reasoning_content"):
        out["reasoning_content"] = " "  # what was thought is not known, and nothing is not taken
    if own:
        return out
    for name in quirks.in_message:
        if out.get(name) is not None and not (name == "name" and out.get("role") == "tool"):
            lost.append((f"messages.{name}", f"message.{name}"))
            del out[name]
    content = out.get("content")
    if isinstance(content, list):
        out["content"] = _content(content, quirks, lost)
    return out


def _content(parts: list[JSON], quirks: Quirks, lost: list[tuple[str, str]]) -> JSON:
    parts = [_part(one, quirks, lost) for one in parts]
    texts = [
        one["text"] for one in parts if isinstance(one, dict) and one.get("type") == "text" and isinstance(one.get("text"), str)
    ]
    return parts if quirks.lists or len(texts) != len(parts) else "\n\n".join(texts)


def _part(part: JSON, quirks: Quirks, lost: list[tuple[str, str]]) -> JSON:
    if not isinstance(part, dict) or not any(name in part for name in quirks.in_part):
        return part
    lost += [(f"messages.content.{name}", f"content.{name}") for name in quirks.in_part if name in part]
    return {key: value for key, value in part.items() if key not in quirks.in_part}


# ---- tools


def _tool(tool: JSON, quirks: Quirks, lost: list[tuple[str, str]]) -> JSON:
    if not isinstance(tool, dict) or not isinstance(tool.get("function"), dict):
        return tool
    function = {key: value for key, value in tool["function"].items() if key not in quirks.in_function}
    lost += [(f"tools.{name}", f"tools.{name}") for name in quirks.in_function if tool["function"].get(name)]
    if isinstance(function.get("parameters"), dict) and quirks.in_schema:
        function["parameters"] = _schema(function["parameters"], frozenset(quirks.in_schema), lost)
    return {**{key: value for key, value in tool.items() if key not in quirks.in_part}, "function": function}


def _schema(schema: JSON, refused: frozenset[str], lost: list[tuple[str, str]]) -> JSON:
    """A schema without some of its keywords; a property may well be called like one."""
    if isinstance(schema, list):
        return [_schema(one, refused, lost) for one in schema]
    if not isinstance(schema, dict):
        return schema
    lost += [(f"tools.schema.{name}", f"tools.schema.{name}") for name in sorted(refused & schema.keys())]
    return {key: _within(key, value, refused, lost) for key, value in schema.items() if key not in refused}


def _within(keyword: str, value: JSON, refused: frozenset[str], lost: list[tuple[str, str]]) -> JSON:
    if keyword in ("const", "enum", "default", "examples", "required"):  # data, no schema
        return value
    if keyword in ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas") and isinstance(value, dict):
        return {name: _schema(one, refused, lost) for name, one in value.items()}
    return _schema(value, refused, lost)


# ---- thinking


def _forces(choice: JSON) -> bool:
    return choice == "required" or (isinstance(choice, dict) and choice.get("type") == "function")


def _reasoning(tree: dict[str, Any], quirks: Quirks, lost: list[tuple[str, str]]) -> dict[str, Any]:
    effort = tree.get("reasoning_effort")
    said = quirks.unthinking if effort in _DISABLED else quirks.thinking
    if effort is None or not said:
        return tree
    if effort not in _DISABLED:
        lost.append(("reasoning_effort", "reasoning.effort"))
    return {**{key: value for key, value in tree.items() if key != "reasoning_effort"}, **said}


def _is_told_to_think(tree: Mapping[str, Any]) -> bool:
    """Whether the body says so itself."""
    return _kind(tree) in ("enabled", "adaptive") or tree.get("reasoning_effort") not in (None, *_DISABLED)


def _is_told_not_to_think(tree: Mapping[str, Any]) -> bool:
    return _kind(tree) == "disabled" or tree.get("reasoning_effort") in _DISABLED


def _kind(tree: Mapping[str, Any]) -> JSON:
    thinking = tree.get("thinking")
    return thinking.get("type") if isinstance(thinking, dict) else None


def distinct(lost: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each once: a keyword that is in every schema is one loss."""
    return list(dict.fromkeys(lost))
