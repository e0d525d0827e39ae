"""What clients ask, in their own words: one conversation told in each of the four dialects, and what a provider gets of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from attrs import field, frozen

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@frozen
class Call:
    """A call of the assistant's; the arguments as a model wrote them."""

    id: str
    name: str = "f"
    arguments: str = '{"a":1}'


@frozen
class Result:
    """What a tool gave."""

    id: str
    text: str = "ok"
    name: str = "f"
    is_error: bool = False


@frozen
class User:
    """What the user says."""

    text: str = "hi"


@frozen
class Assistant:
    """What the assistant says, and calls."""

    text: str = ""
    calls: tuple[Call, ...] = ()


@frozen
class Told:
    """A conversation as a provider gets it.

    Args:
        calls: id, name and arguments of each call, in their order.
        results: id and text of each result, in their order.
    """

    calls: list[tuple[str, str, Any]] = field(factory=list)
    results: list[tuple[str, str]] = field(factory=list)


def asks(front: str, *turns: Any, tools: tuple[str, ...] = (), system: str = "", **rest: Any) -> dict[str, Any]:
    """A request in a client's words.

    Args:
        front: the client's dialect: C, S, A or G.
        turns: what is said; ``User()`` if nothing is.
        tools: names of tools that take the arguments of ``SCHEMA``.
        system: what the deployment says.
        rest: more fields of the body.
    """
    return {**_ASKS[front](turns or (User(),), tools, system), **rest}


def told(back: str, body: dict[str, Any]) -> Told:
    """The calls and results in a request, in a provider's words."""
    out = Told()
    for part in _SPOKEN[back](body):
        match part:
            case Call(id=ident, name=name, arguments=arguments):
                out.calls.append((ident, name, arguments if isinstance(arguments, dict) else _object(arguments)))
            case Result(id=ident, text=text):
                out.results.append((ident, text))
    return out


def named_tools(back: str, body: dict[str, Any]) -> list[str]:
    """The names of the tools that a provider is offered."""
    tools: list[Any] = body.get("tools") or []
    if back == "C":
        return [one["function"]["name"] for one in tools]
    if back == "G":
        return [one["name"] for entry in tools for one in entry.get("functionDeclarations", ())]
    return [one["name"] for one in tools if "name" in one]


def system_of(back: str, body: dict[str, Any]) -> str:
    """What stands before the conversation, in a provider's words."""
    match back:
        case "C":
            texts = [one["content"] for one in body["messages"] if one["role"] in ("system", "developer")]
        case "S":
            items = [one["content"] for one in body["input"] if one.get("role") in ("system", "developer")]
            texts = [body.get("instructions") or "", *items]
        case "A":
            texts = [body.get("system") or ""]
        case _:
            texts = [(body.get("systemInstruction") or {}).get("parts") or ""]
    return "\n".join(one if isinstance(one, str) else "\n".join(part.get("text", "") for part in one) for one in texts)


def limit_of(back: str, body: dict[str, Any]) -> int | None:
    """Tokens that the answer may have."""
    match back:
        case "C":
            found = body.get("max_completion_tokens", body.get("max_tokens"))
        case "S":
            found = body.get("max_output_tokens")
        case "A":
            found = body["max_tokens"]
        case _:
            found = body.get("generationConfig", {}).get("maxOutputTokens")
    return found if found is None else int(found)


def _object(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


# ---- Chat ---------------------------------------------------------------------------------------


def _chat(turns: tuple[Any, ...], tools: tuple[str, ...], system: str) -> dict[str, Any]:
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    for turn in turns:
        match turn:
            case User(text=text):
                messages.append({"role": "user", "content": text})
            case Assistant(text=text, calls=calls):
                made = [
                    {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": one.arguments}}
                    for one in calls
                ]
                messages.append({"role": "assistant", "content": text, **({"tool_calls": made} if made else {})})
            case Result():
                messages.append({"role": "tool", "tool_call_id": turn.id, "content": turn.text})
            case _:
                messages.append(turn)
    made = [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in tools]
    return {"messages": messages, **({"tools": made} if made else {})}


def _of_chat(body: dict[str, Any]) -> Iterator[Any]:
    for one in body["messages"]:
        for call in one.get("tool_calls") or ():
            yield Call(call["id"], call["function"]["name"], call["function"]["arguments"])
        if one["role"] == "tool":
            yield Result(one["tool_call_id"], _text(one["content"]))


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


# ---- Responses ----------------------------------------------------------------------------------


def _responses(turns: tuple[Any, ...], tools: tuple[str, ...], system: str) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    for turn in turns:
        match turn:
            case User(text=text):
                items.append({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
            case Assistant(text=text, calls=calls):
                content = [{"type": "output_text", "text": text, "annotations": []}]
                items += [{"type": "message", "role": "assistant", "content": content}] if text else []
                items += [
                    {"type": "function_call", "call_id": one.id, "name": one.name, "arguments": one.arguments} for one in calls
                ]
            case Result():
                items.append({"type": "function_call_output", "call_id": turn.id, "output": turn.text})
            case _:
                items.append(turn)
    made = [{"type": "function", "name": name, "parameters": SCHEMA, "strict": False} for name in tools]
    return {"input": items, **({"tools": made} if made else {}), **({"instructions": system} if system else {})}


def _of_responses(body: dict[str, Any]) -> Iterator[Any]:
    for one in body["input"]:
        if one.get("type") in ("function_call", "custom_tool_call"):
            yield Call(one["call_id"], one["name"], one["arguments"] if "arguments" in one else one["input"])
        elif one.get("type") in ("function_call_output", "custom_tool_call_output"):
            yield Result(one["call_id"], _text(one["output"]))


# ---- Messages -----------------------------------------------------------------------------------


def _messages(turns: tuple[Any, ...], tools: tuple[str, ...], system: str) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []

    def add(role: str, *blocks: dict[str, Any]) -> None:
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += blocks
        else:
            messages.append({"role": role, "content": list(blocks)})

    for turn in turns:
        match turn:
            case User(text=text):
                add("user", {"type": "text", "text": text})
            case Assistant(text=text, calls=calls):
                blocks: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
                blocks += [
                    {"type": "tool_use", "id": one.id, "name": one.name, "input": json.loads(one.arguments)} for one in calls
                ]
                add("assistant", *blocks)
            case Result():
                block = {"type": "tool_result", "tool_use_id": turn.id, "content": turn.text}
                add("user", {**block, "is_error": True} if turn.is_error else block)
            case _:
                messages.append(turn)
    made = [{"name": name, "input_schema": SCHEMA} for name in tools]
    body = {"max_tokens": 1000, "messages": messages}
    return {**body, **({"tools": made} if made else {}), **({"system": system} if system else {})}


def _of_messages(body: dict[str, Any]) -> Iterator[Any]:
    for one in body["messages"]:
        for block in [] if isinstance(one["content"], str) else one["content"]:
            if block["type"] == "tool_use":
                yield Call(block["id"], block["name"], block["input"])
            elif block["type"] == "tool_result":
                yield Result(block["tool_use_id"], _text(block.get("content", "")))


# ---- Gemini -------------------------------------------------------------------------------------


def _gemini(turns: tuple[Any, ...], tools: tuple[str, ...], system: str) -> dict[str, Any]:
    contents: list[dict[str, Any]] = []

    def add(role: str, *parts: dict[str, Any]) -> None:
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": list(parts)})

    for turn in turns:
        match turn:
            case User(text=text):
                add("user", {"text": text})
            case Assistant(text=text, calls=calls):
                parts: list[dict[str, Any]] = [{"text": text}] if text else []
                for one in calls:
                    call = {"name": one.name, "args": json.loads(one.arguments), **({"id": one.id} if one.id else {})}
                    parts.append({"functionCall": call})
                add("model", *parts)
            case Result():
                key = "error" if turn.is_error else "output"
                given = {"name": turn.name, "response": {key: turn.text}, **({"id": turn.id} if turn.id else {})}
                add("user", {"functionResponse": given})
            case _:
                contents.append(turn)
    made = [{"name": name, "parametersJsonSchema": SCHEMA} for name in tools]
    body: dict[str, Any] = {"contents": contents}
    if made:
        body["tools"] = [{"functionDeclarations": made}]
    return {**body, **({"systemInstruction": {"parts": [{"text": system}]}} if system else {})}


def _of_gemini(body: dict[str, Any]) -> Iterator[Any]:
    for one in body["contents"]:
        for part in one["parts"]:
            if "functionCall" in part:
                call = part["functionCall"]
                yield Call(call.get("id", ""), call["name"], call.get("args", {}))
            elif "functionResponse" in part:
                given = part["functionResponse"]
                said = given["response"]
                yield Result(given.get("id", ""), str(next(iter(said.values()), "")))


_ASKS = {"C": _chat, "S": _responses, "A": _messages, "G": _gemini}
_SPOKEN = {"C": _of_chat, "S": _of_responses, "A": _of_messages, "G": _of_gemini}
