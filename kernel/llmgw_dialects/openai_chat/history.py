"""What an assistant thought and called, as it stands in the messages of a request."""

from __future__ import annotations

from typing import Any, TypeGuard

from llmgw import jsons
from llmgw.model import JSON, Carrier, OpaquePart, Part, Reasoning, ToolCall
from llmgw.splice import Path
from llmgw_dialects.envelope import Opened, is_sealed, opened
from llmgw_dialects.fields import invalid, opt_list, opt_string, string
from llmgw_dialects.ids import minted
from llmgw_dialects.losses import Losses
from llmgw_dialects.openai_chat.names import NAME
from llmgw_dialects.openai_chat.reasoning import (
    carried_details,
    details_carrier,
    details_text,
    opened_detail,
    sealed_detail,
)
from llmgw_dialects.openai_marks import read_mark, write_mark

PLAIN = ("reasoning_content", "reasoning")


def read_reasoning(message: dict[str, Any], path: Path) -> list[tuple[Reasoning, str]]:
    """Read what was thought, each with the key it stands under."""
    blocks = opt_list(message, "thinking_blocks", path)
    if blocks:  # LiteLLM; the plain text beside it says the same
        return [(_block(block, (*path, "thinking_blocks", n)), "thinking_blocks") for n, block in enumerate(blocks)]
    plain = [(key, text) for key in PLAIN if (text := opt_string(message, key, path))]
    details = opt_list(message, "reasoning_details", path)
    if not plain and not details:
        return []
    ours = [found for entry in details or () if (found := opened_detail(entry)) is not None]
    if ours:
        return [(part, "reasoning_details") for part in _unsealed(ours, "".join(dict.fromkeys(text for _, text in plain)))]
    told = tuple(dict.fromkeys(text for _, text in plain)) or tuple(filter(None, [details_text(details or [])]))
    part = Reasoning(raw_text=told, carrier=details_carrier(details) if details else None)
    return [(part, plain[0][0] if plain else "reasoning_details")]


def _unsealed(ours: list[Opened], shown: str) -> list[Reasoning]:
    """Thoughts of another vendor, one for each envelope; a thought that its client changed has lost its state."""
    out: list[Reasoning] = []
    for found in ours:
        text = found.thought(shown)
        redacted = found.carrier is not None and found.carrier.kind == "redacted"
        whole = text is not None and found.carrier is not None
        out.append(
            Reasoning(
                summary=() if redacted or not (text or shown) else (text or shown,),
                carrier=found.carrier if whole else None,
                redacted=redacted,
            )
        )
    return out


def write_reasoning(parts: list[Reasoning], like: dict[str, Any], losses: Losses) -> dict[str, JSON]:
    """The keys for what was thought.

    Args:
        parts: in their order.
        like: a message whose spelling to follow.
        losses: takes what Chat cannot say.
    """
    out: dict[str, JSON] = {}
    text = "".join("".join(part.raw_text) or "\n\n".join(part.summary) for part in parts)
    details = [entry for part in parts for entry in carried_details(part.carrier)]
    if like.get("reasoning_details"):  # the client's own message: what is in it may stay
        details += [sealed_detail(part.carrier, "".join(part.summary)) for part in parts if _is_foreign(part.carrier)]
    keys = [key for key in PLAIN if isinstance(like.get(key), str) and like[key]]
    blocks = bool(like.get("thinking_blocks"))
    if text and not keys and not blocks and not like.get("reasoning_details"):
        keys = ["reasoning_content"]
    if text:
        out.update(dict.fromkeys(keys, text))
    if details:
        out["reasoning_details"] = details
    if blocks and parts:
        out["thinking_blocks"] = [_write_block(part) for part in parts]
    for part in parts:
        if part.carrier is not None and part.carrier.kind != "details" and not blocks and not details:
            losses.dropped(f"reasoning.{part.carrier.kind}", node=part)
    return out


def _is_foreign(carrier: Carrier | None) -> TypeGuard[Carrier]:
    return carrier is not None and carrier.kind != "details"


def read_call(value: JSON, path: Path) -> Part:
    """Read an entry of ``tool_calls``."""
    if not isinstance(value, dict):
        raise invalid(path, "an object", value)
    mark = read_mark(value)
    match value.get("type"):
        case "function" | None if isinstance(value.get("function"), dict):
            inner = value["function"]
            name, arguments = string(inner, "name", (*path, "function")), _arguments(inner, (*path, "function"))
            return ToolCall(
                call_id=_id(value, path, name, arguments),
                name=name,
                arguments=arguments,
                carrier=_signature(value),
                cache=mark,
            )
        case "custom" if isinstance(value.get("custom"), dict):
            inner = value["custom"]
            name, text = string(inner, "name", (*path, "custom")), string(inner, "input", (*path, "custom"))
            return ToolCall(call_id=_id(value, path, name, text), name=name, arguments=text, kind="custom", cache=mark)
        case kind:
            return OpaquePart(dialect=NAME, type=kind if isinstance(kind, str) else "", raw=value, cache=mark)


def write_call(part: Part, losses: Losses) -> dict[str, JSON] | None:
    """An entry of ``tool_calls``; None where Chat has none for it."""
    match part:
        case ToolCall(kind="function" | "custom"):
            key, text = ("custom", "input") if part.kind == "custom" else ("function", "arguments")
            call = {"name": part.name, text: part.arguments}
            out: dict[str, JSON] = {"id": part.call_id, "type": key, key: call, **write_mark(part.cache, losses, part)}
            _lost_fields(part, losses)
            if part.carrier is not None and part.carrier.kind == "thought_signature":
                out["extra_content"] = {"google": {"thought_signature": part.carrier.payload}}
            return out
        case OpaquePart(dialect=dialect, raw=raw) if dialect == NAME:
            return raw  # type: ignore[no-any-return]  # an entry of tool_calls, as it was read
        case _:
            losses.dropped(f"tool_call.{getattr(part, 'kind', type(part).__name__)}", node=part)
            return None


def read_legacy_call(value: JSON, path: Path) -> ToolCall:
    """Read ``function_call``, which has no id."""
    if not isinstance(value, dict):
        raise invalid(path, "an object", value)
    name, arguments = string(value, "name", path), _arguments(value, path)
    return ToolCall(call_id=_id({}, path, name, arguments), name=name, arguments=arguments)


def _arguments(inner: dict[str, Any], path: Path) -> str:
    value = inner.get("arguments")
    if value is None or isinstance(value, dict):  # some clients send the object itself
        return "" if value is None else jsons.dumps(value).decode()
    return string(inner, "arguments", path)


def _id(value: dict[str, Any], path: Path, name: str, text: str) -> str:
    return opt_string(value, "id", path) or minted("call_", path, name, text)


def _signature(value: dict[str, Any]) -> Carrier | None:
    match value.get("extra_content"):
        case {"google": {"thought_signature": str(payload)}} if is_sealed(payload):
            found = opened(payload)
            return None if found is None else found.carrier
        case {"google": {"thought_signature": str(payload)}}:
            return Carrier(provider="google", kind="thought_signature", payload=payload)
        case _:
            return None


def _lost_fields(call: ToolCall, losses: Losses) -> None:
    for key in ("namespace", "caller", "is_async"):
        if getattr(call, key):
            losses.dropped(f"tool_call.{key}", node=call)
    if call.carrier is not None and call.carrier.kind != "thought_signature":
        losses.dropped(f"tool_call.{call.carrier.kind}", node=call)


def _block(block: JSON, path: Path) -> Reasoning:
    if not isinstance(block, dict):
        raise invalid(path, "an object", block)
    if block.get("type") == "redacted_thinking":
        return Reasoning(
            redacted=True, carrier=Carrier(provider="anthropic", kind="redacted", payload=string(block, "data", path))
        )
    signature = opt_string(block, "signature", path)
    return Reasoning(
        summary=(string(block, "thinking", path),),
        carrier=Carrier(provider="anthropic", kind="signature", payload=signature) if signature else None,
    )


def _write_block(part: Reasoning) -> dict[str, JSON]:
    carrier = part.carrier
    if part.redacted and carrier is not None:
        return {"type": "redacted_thinking", "data": carrier.payload}
    out: dict[str, JSON] = {"type": "thinking", "thinking": "".join(part.summary or part.raw_text)}
    return out | ({"signature": carrier.payload} if carrier is not None and carrier.kind == "signature" else {})
