"""Calls of functions and what they gave, as parts of a request."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from llmgw import jsons
from llmgw.model import JSON, Carrier, OpaquePart, Part, Text, ToolCall, ToolResult, texts
from llmgw.splice import Path
from llmgw_dialects.google_gemini import exact
from llmgw_dialects.google_gemini.docs import GeminiDoc
from llmgw_dialects.google_gemini.media import read_media, write_media
from llmgw_dialects.google_gemini.names import NAME, key_of, object_of, objects_of
from llmgw_dialects.google_gemini.signatures import write_signature
from llmgw_dialects.google_gemini.typed import opt_object, opt_string
from llmgw_dialects.ids import minted
from llmgw_dialects.losses import Losses

# ---- calls --------------------------------------------------------------------------------------


def read_call(value: dict[str, Any], doc: GeminiDoc, path: Path, carrier: Carrier | None) -> ToolCall:
    """Read a part with a ``functionCall``."""
    key = key_of(value, "functionCall")
    call, here = object_of(value, "functionCall"), (*path, key)
    name = opt_string(call, "name", here) or ""
    arguments = arguments_text(opt_object(call, "args", here), doc.data, (*here, "args"))
    given = opt_string(call, "id", here) or None
    return ToolCall(
        call_id=given or minted("call_", path, name, arguments),
        native_id=given,
        name=name,
        arguments=arguments,
        carrier=carrier,
    )


def arguments_text(args: dict[str, Any] | None, data: bytes, path: Path) -> str:
    """Arguments as text: compact, in their order, and to the digit.

    Args:
        args: the object.
        data: the text it was read from.
        path: where in it.
    """
    if not args:
        return "{}"
    if data and exact.suspects(args) and (text := exact.text_at(data, path)):
        return text
    return jsons.dumps(args).decode("utf-8", "surrogatepass")


def write_call(call: ToolCall, losses: Losses) -> dict[str, JSON]:
    """A part with a ``functionCall``."""
    for key in ("namespace", "caller", "is_async"):
        if getattr(call, key):
            losses.dropped(f"tool_call.{key}", node=call)
    if call.kind == "custom":
        losses.emulated("tool_call.custom", "a function", call)
        args: JSON = {"input": call.arguments}
    else:
        args = arguments_object(call.arguments, losses, call)
    told = {"id": call.call_id, "name": call.name, "args": args}
    return {"functionCall": _present(told), **write_signature(call.carrier, losses, call)}


def arguments_object(text: str, losses: Losses | None = None, node: ToolCall | None = None) -> JSON:
    """Arguments as the object that they must be; what is none is put into one, under a key that says so."""
    if not text.strip():
        return {}
    try:
        value = exact.value_of(text)
    except jsons.JsonError:
        return _wrapped("_raw", text, losses, node)
    if isinstance(value, dict | jsons.Exact):
        return value
    return {} if value is None else _wrapped("_value", value, losses, node)


def _wrapped(key: str, value: JSON, losses: Losses | None, node: ToolCall | None) -> JSON:
    if losses is not None:
        losses.approximated("tool_call.arguments", "text", f"an object with {key}", node)
    return {key: value}


# ---- results ------------------------------------------------------------------------------------


@define(eq=False)
class Open:
    """The calls of a conversation that wait for their results, which need not name them."""

    _calls: list[ToolCall] = field(factory=list)

    def called(self, call: ToolCall) -> None:
        """A call."""
        self._calls.append(call)

    def answered(self, ident: str | None, name: str, path: Path) -> str:
        """The id of the call that a result is for: the one it names, else the first of its function, else the first."""
        match = [call for call in self._calls if call.call_id == ident] if ident else []
        match = match or ([] if ident else [call for call in self._calls if call.name == name] or self._calls)
        if not match:
            return ident or minted("call_", path, name)
        found = match[0]
        self._calls.remove(found)
        return found.call_id


def read_result(value: dict[str, Any], path: Path, turn: int, waiting: Open) -> ToolResult:
    """Read a part with a ``functionResponse``."""
    key = key_of(value, "functionResponse")
    given, here = object_of(value, "functionResponse"), (*path, key)
    name = opt_string(given, "name", here) or ""
    response = opt_object(given, "response", here)
    media = tuple(_media(part, (*here, "parts", n)) for n, part in enumerate(objects_of(given, "parts")))
    ident = opt_string(given, "id", here) or None
    told: dict[str, Any] = {"call_id": waiting.answered(ident, name, path), "name": name or None, "turn": turn}
    scheduling = given.get("scheduling")
    told["scheduling"] = scheduling if isinstance(scheduling, str) else None
    match list((response or {}).items()):
        case [("output", output)]:
            return ToolResult(parts=(*_output(output), *media), **told)
        case [("error", failure)]:
            return ToolResult(parts=(*_output(failure), *media), is_error=True, **told)
        case [] if response is None:
            return ToolResult(parts=media, **told)
        case _:
            words = (Text(_json(response)),) if media else ()
            return ToolResult(parts=(*words, *media), structured=response, **told)


def write_result(item: ToolResult, losses: Losses) -> dict[str, JSON]:
    """A part with a ``functionResponse``."""
    media: list[JSON] = []
    for part in item.parts:
        if isinstance(part, OpaquePart) and part.dialect == NAME:
            media.append(part.raw)
        elif not isinstance(part, Text):
            written = write_media(part, losses)
            if written is None:
                losses.dropped(f"tool_result.{type(part).__name__.lower()}", node=part)
            else:
                media.append(written)
    told = {
        "id": item.call_id, "name": item.name or "", "response": _response(item),
        "parts": media or None, "scheduling": item.scheduling,
    }  # fmt: skip
    return {"functionResponse": _present(told)}


def _response(item: ToolResult) -> JSON:
    words = texts(item.parts)
    if item.structured is not None and words in ("", _json(item.structured)):
        return item.structured if isinstance(item.structured, dict) else {"output": item.structured}
    return {"error" if item.is_error else "output": words}


def _output(value: JSON) -> tuple[Part, ...]:
    if value == "":
        return ()
    return (Text(value if isinstance(value, str) else _json(value)),)


def _media(value: dict[str, Any], path: Path) -> Part:
    part = read_media(value, path)
    return OpaquePart(dialect=NAME, type=next(iter(value), ""), raw=value) if part is None else part


def _json(value: JSON) -> str:
    return jsons.dumps(value).decode("utf-8", "surrogatepass")


def _present(node: dict[str, JSON]) -> dict[str, JSON]:
    return {key: value for key, value in node.items() if value is not None}
