"""Four wire formats in a line or two, written by hand: what clients ask, what providers answer, what providers are told.

Nothing here uses a codec, so that a codec is never measured by itself.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

Json = dict[str, Any]
USAGE = {"prompt": 100, "cached": 60, "written": 10, "answer": 20, "thought": 8}
"""Tokens: ``prompt`` counts what was cached and written to the cache, ``answer`` what was thought."""
SIGNATURE = base64.b64encode(b"\x0a\x12signed by its issuer\xfb\xef\xbe").decode()
"""What an issuer might sign with; its base64 has letters in which the two alphabets differ."""


# ---- what is said -------------------------------------------------------------------------------


@frozen
class Say:
    """Text of the assistant."""

    text: str


@frozen
class Think:
    """A thought, and what its issuer signed it with."""

    text: str
    seal: str = SIGNATURE


@frozen
class Call:
    """A tool call; its arguments are JSON text. ``seal`` is Google's signature on it."""

    id: str
    name: str
    arguments: str = "{}"
    seal: str | None = None
    custom: bool = False


@frozen
class Result:
    """What a tool gave."""

    id: str
    name: str
    text: str = "ok"
    failed: bool = False
    custom: bool = False


@frozen
class Turn:
    """One turn of a conversation: ``user``, ``assistant``, ``results`` or ``system``."""

    role: str
    said: Sequence[Any]


def user(text: str) -> Turn:
    """What the user says."""
    return Turn("user", [text])


def model(*said: Any) -> Turn:
    """What the assistant says; a string is text."""
    return Turn("assistant", [Say(one) if isinstance(one, str) else one for one in said])


def gave(*results: Result) -> Turn:
    """What tools gave."""
    return Turn("results", results)


# ---- requests of clients ------------------------------------------------------------------------


def asks(dialect: str, turns: Iterable[Turn], tools: Mapping[str, Any] | None = None, **more: Any) -> Json:
    """A client's request.

    Args:
        dialect: C, S, A or G.
        turns: the conversation.
        tools: JSON Schemas by name; None is a freeform tool.
        more: further fields of the wire format.
    """
    body = {"C": _chat, "S": _responses, "A": _anthropic, "G": _gemini}[dialect](list(turns))
    if tools:
        body["tools"] = {"C": _chat_tools, "S": _flat_tools, "A": _anthropic_tools, "G": _declarations}[dialect](tools)
    if dialect == "A":
        body["max_tokens"] = 4096
    return body | more


def _chat(turns: list[Turn]) -> Json:
    out: list[Json] = []
    for turn in turns:
        match turn.role:
            case "assistant":
                calls = [_chat_call(one) for one in turn.said if isinstance(one, Call)]
                text = "".join(one.text for one in turn.said if isinstance(one, Say))
                out.append({"role": "assistant", "content": text or None, **({"tool_calls": calls} if calls else {})})
            case "results":
                out += [{"role": "tool", "tool_call_id": one.id, "content": one.text} for one in turn.said]
            case role:
                out.append({"role": role, "content": turn.said[0]})
    return {"messages": out}


def _chat_call(call: Call) -> Json:
    if call.custom:
        return {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    made: Json = {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
    return made | ({"extra_content": {"google": {"thought_signature": call.seal}}} if call.seal else {})


def _responses(turns: list[Turn]) -> Json:
    out: list[Json] = []
    for turn in turns:
        for one in turn.said:
            match one:
                case str():
                    out.append({"type": "message", "role": turn.role, "content": [{"type": "input_text", "text": one}]})
                case Say():
                    content = [{"type": "output_text", "text": one.text, "annotations": []}]
                    out.append({"type": "message", "role": "assistant", "content": content})
                case Think():
                    summary = [{"type": "summary_text", "text": one.text}] if one.text else []
                    out.append({"type": "reasoning", "summary": summary, "encrypted_content": one.seal})
                case Call(custom=True):
                    out.append({"type": "custom_tool_call", "call_id": one.id, "name": one.name, "input": one.arguments})
                case Call():
                    out.append({"type": "function_call", "call_id": one.id, "name": one.name, "arguments": one.arguments})
                case Result():
                    kind = "custom_tool_call_output" if one.custom else "function_call_output"
                    out.append({"type": kind, "call_id": one.id, "output": one.text})
    return {"input": out, "store": False}


def _anthropic(turns: list[Turn]) -> Json:
    out: list[Json] = []
    body: Json = {"messages": out}
    for turn in turns:
        if turn.role == "system":
            body["system"] = turn.said[0]
            continue
        blocks = [_block(one) for one in turn.said]
        out.append({"role": "assistant" if turn.role == "assistant" else "user", "content": blocks})
    return body


def _block(one: Any) -> Json:
    match one:
        case Say():
            return {"type": "text", "text": one.text}
        case Think():
            return {"type": "thinking", "thinking": one.text, "signature": one.seal}
        case Call():
            return {"type": "tool_use", "id": one.id, "name": one.name, "input": json.loads(one.arguments)}
        case Result():
            failed = {"is_error": True} if one.failed else {}
            return {"type": "tool_result", "tool_use_id": one.id, "content": one.text, **failed}
        case _:
            return {"type": "text", "text": one}


def _gemini(turns: list[Turn]) -> Json:
    out: list[Json] = []
    body: Json = {"contents": out}
    for turn in turns:
        if turn.role == "system":
            body["systemInstruction"] = {"parts": [{"text": turn.said[0]}]}
            continue
        out.append({"role": "model" if turn.role == "assistant" else "user", "parts": [_part(one) for one in turn.said]})
    return body


def _part(one: Any) -> Json:
    match one:
        case Say():
            return {"text": one.text}
        case Think():
            return {"text": one.text, "thought": True}
        case Call():
            signed = {"thoughtSignature": one.seal} if one.seal else {}
            return {"functionCall": {"id": one.id, "name": one.name, "args": json.loads(one.arguments)}, **signed}
        case Result():
            given = {"error" if one.failed else "output": one.text}
            return {"functionResponse": {"id": one.id, "name": one.name, "response": given}}
        case _:
            return {"text": one}


def _chat_tools(tools: Mapping[str, Any]) -> list[Json]:
    return [
        {"type": "custom", "custom": {"name": name, "description": f"about {name}"}}
        if schema is None
        else {"type": "function", "function": {"name": name, "description": f"about {name}", "parameters": schema}}
        for name, schema in tools.items()
    ]


def _flat_tools(tools: Mapping[str, Any]) -> list[Json]:
    return [
        {"type": "custom", "name": name, "description": f"about {name}"}
        if schema is None
        else {"type": "function", "name": name, "description": f"about {name}", "parameters": schema, "strict": False}
        for name, schema in tools.items()
    ]


def _anthropic_tools(tools: Mapping[str, Any]) -> list[Json]:
    return [{"name": name, "description": f"about {name}", "input_schema": schema} for name, schema in tools.items()]


def _declarations(tools: Mapping[str, Any]) -> list[Json]:
    made = [{"name": name, "description": f"about {name}", "parametersJsonSchema": schema} for name, schema in tools.items()]
    return [{"functionDeclarations": made}]


# ---- what providers are told --------------------------------------------------------------------


@frozen
class Told:
    """What of a conversation stands in a provider's body, in its order: ``("user", text)``, ``("assistant", text)``,
    ``("call", id, name, arguments)``, ``("result", id, name, text, failed)``, ``("thought", seal)``; and its tools."""

    said: list[tuple[Any, ...]]
    tools: dict[str, Any] = field(factory=dict)

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        """What is of one kind."""
        return [one for one in self.said if one[0] == kind]

    @property
    def calls(self) -> list[tuple[Any, ...]]:
        """Id, name and arguments of each."""
        return [one[1:] for one in self.of("call")]

    @property
    def results(self) -> list[tuple[Any, ...]]:
        """Id, name, text and whether it failed, of each."""
        return [one[1:] for one in self.of("result")]


def told(dialect: str, body: Json) -> Told:
    """What a body says."""
    return {"C": _of_chat, "S": _of_responses, "A": _of_anthropic, "G": _of_gemini}[dialect](body)


def texts_of(content: Any) -> str:
    """The text of a content that may be a string or parts."""
    if isinstance(content, list):
        return "".join(part.get("text", "") if isinstance(part, dict) else part for part in content)
    return content or ""


def _of_chat(body: Json) -> Told:
    said: list[tuple[Any, ...]] = []
    names: dict[str, str] = {}
    for message in body["messages"]:
        if message["role"] == "tool":
            ident = message["tool_call_id"]
            said.append(("result", ident, names.get(ident, "?"), texts_of(message["content"]), None))
            continue
        if text := texts_of(message.get("content")):
            said.append((message["role"], text))
        for call in message.get("tool_calls") or ():
            inner = call.get("function") or call["custom"]
            names[call["id"]] = inner["name"]
            said.append(("call", call["id"], inner["name"], inner.get("arguments", inner.get("input"))))
    tools = {(tool.get("function") or tool["custom"])["name"]: tool for tool in body.get("tools", ())}
    return Told(said, tools)


def _of_responses(body: Json) -> Told:
    said: list[tuple[Any, ...]] = [("system", body["instructions"])] if body.get("instructions") else []
    names: dict[str, str] = {}
    items = body["input"]
    for item in [{"type": "message", "role": "user", "content": items}] if isinstance(items, str) else items:
        match item.get("type", "message"):
            case "message":
                said.append((item["role"], texts_of(item["content"])))
            case "function_call" | "custom_tool_call":
                names[item["call_id"]] = item["name"]
                said.append(("call", item["call_id"], item["name"], item.get("arguments", item.get("input"))))
            case "function_call_output" | "custom_tool_call_output":
                ident = item["call_id"]
                said.append(("result", ident, names.get(ident, "?"), texts_of(item["output"]), None))
            case "reasoning":
                said.append(("thought", item.get("encrypted_content")))
            case other:
                said.append((other, item))
    return Told(said, {tool.get("name", tool["type"]): tool for tool in body.get("tools", ())})


def _of_anthropic(body: Json) -> Told:
    said: list[tuple[Any, ...]] = [("system", texts_of(body["system"]))] if body.get("system") else []
    names: dict[str, str] = {}
    for message in body["messages"]:
        content = message["content"]
        for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            match block["type"]:
                case "text":
                    said.append((message["role"], block["text"]))
                case "tool_use":
                    names[block["id"]] = block["name"]
                    said.append(("call", block["id"], block["name"], json.dumps(block["input"])))
                case "tool_result":
                    ident = block["tool_use_id"]
                    text = texts_of(block.get("content"))
                    said.append(("result", ident, names.get(ident, "?"), text, block.get("is_error", False)))
                case "thinking":
                    said.append(("thought", block["signature"]))
                case "redacted_thinking":
                    said.append(("thought", block["data"]))
                case other:
                    said.append((other, block))
    return Told(said, {tool["name"]: tool for tool in body.get("tools", ())})


def _of_gemini(body: Json) -> Told:
    said: list[tuple[Any, ...]] = []
    if body.get("systemInstruction"):
        said.append(("system", texts_of(body["systemInstruction"]["parts"])))
    for content in body["contents"]:
        role = "assistant" if content["role"] == "model" else "user"
        for part in content["parts"]:
            if "functionCall" in part:
                call = part["functionCall"]
                said.append(("call", call.get("id"), call["name"], json.dumps(call["args"])))
            elif "functionResponse" in part:
                given = part["functionResponse"]
                response = given["response"]
                failed = "error" in response
                text = response["error"] if failed else response.get("output", json.dumps(response))
                said.append(("result", given.get("id"), given["name"], text, failed))
            elif "text" in part:
                said.append((role, part["text"]))
    tools = {one["name"]: one for tool in body.get("tools", ()) for one in tool.get("functionDeclarations", ())}
    return Told(said, tools)


# ---- replies of providers -----------------------------------------------------------------------


def replies(dialect: str, *said: Any, stop: str = "", stream: bool = False, usage: Json | None = USAGE) -> bytes:
    """A provider's reply.

    Args:
        dialect: C, S, A or G.
        said: ``Say``, ``Think`` and ``Call``; a string is text.
        stop: ``end``, ``tool_use``, ``max_tokens``; by what is said, if not given.
        stream: as a stream; the texts and arguments in pieces of a few characters.
        usage: tokens; None for none.
    """
    parts = [Say(one) if isinstance(one, str) else one for one in said]
    stop = stop or ("tool_use" if any(isinstance(one, Call) for one in parts) else "end")
    made = {"C": _from_chat, "S": _from_responses, "A": _from_anthropic, "G": _from_gemini}[dialect]
    return made(parts, stop, stream, usage)


def pieces(text: str, size: int = 5) -> list[str]:
    """A text, as a model gives it."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def data(*trees: Json) -> bytes:
    """Frames without a name."""
    return b"".join(b"data: " + json.dumps(tree).encode() + b"\n\n" for tree in trees)


def named(*trees: Json) -> bytes:
    """Frames named by their type."""
    return b"".join(f"event: {tree['type']}\ndata: {json.dumps(tree)}\n\n".encode() for tree in trees)


CHAT_STOPS = {"end": "stop", "tool_use": "tool_calls", "max_tokens": "length"}
ANTHROPIC_STOPS = {"end": "end_turn", "tool_use": "tool_use", "max_tokens": "max_tokens"}
GEMINI_STOPS = {"end": "STOP", "tool_use": "STOP", "max_tokens": "MAX_TOKENS"}


def _from_chat(parts: list[Any], stop: str, stream: bool, usage: Json | None) -> bytes:
    counted = usage and {
        "prompt_tokens": usage["prompt"], "completion_tokens": usage["answer"], "total_tokens": usage["prompt"] + usage["answer"],
        "prompt_tokens_details": {"cached_tokens": usage["cached"], "cache_write_tokens": usage["written"]},
        "completion_tokens_details": {"reasoning_tokens": usage["thought"]},
    }  # fmt: skip
    head = {"id": "chatcmpl-1", "created": 5, "model": "gpt-4.1-2025"}
    calls = [_chat_call(one) for one in parts if isinstance(one, Call)]
    if not stream:
        text = "".join(one.text for one in parts if isinstance(one, Say))
        thought = "".join(one.text for one in parts if isinstance(one, Think))
        message = {"role": "assistant", "content": text or None, "refusal": None}
        message |= {"tool_calls": calls} if calls else {}
        message |= {"reasoning_content": thought} if thought else {}
        choice = {"index": 0, "message": message, "finish_reason": CHAT_STOPS[stop], "logprobs": None}
        told = {"usage": counted} if counted else {}
        return json.dumps({**head, "object": "chat.completion", "choices": [choice], **told}).encode()
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    number = -1
    for one in parts:
        match one:
            case Say():
                deltas += [{"content": piece} for piece in pieces(one.text)]
            case Think():
                deltas += [{"reasoning_content": piece} for piece in pieces(one.text)]
            case Call():
                number += 1
                first = {"index": number, **_chat_call(one)}
                kind, key = ("custom", "input") if one.custom else ("function", "arguments")
                first[kind] = {"name": one.name, key: ""}
                deltas.append({"tool_calls": [first]})
                deltas += [{"tool_calls": [{"index": number, kind: {key: piece}}]} for piece in pieces(one.arguments)]
    chunk = {**head, "object": "chat.completion.chunk"}
    out = [{**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    out.append({**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": CHAT_STOPS[stop]}]})
    out += [{**chunk, "choices": [], "usage": counted}] if counted else []
    return data(*out) + b"data: [DONE]\n\n"


def _from_responses(parts: list[Any], stop: str, stream: bool, usage: Json | None) -> bytes:
    counted = usage and {
        "input_tokens": usage["prompt"], "output_tokens": usage["answer"], "total_tokens": usage["prompt"] + usage["answer"],
        "input_tokens_details": {"cached_tokens": usage["cached"], "cache_write_tokens": usage["written"]},
        "output_tokens_details": {"reasoning_tokens": usage["thought"]},
    }  # fmt: skip
    head: Json = {
        "id": "resp_1", "object": "response", "created_at": 5, "model": "gpt-5.2", "parallel_tool_calls": True,
        "tool_choice": "auto", "tools": [], "error": None, "incomplete_details": None, "instructions": None, "metadata": {},
    }  # fmt: skip
    items = [_item(one, number) for number, one in enumerate(parts)]
    status = "incomplete" if stop == "max_tokens" else "completed"
    why = {"incomplete_details": {"reason": "max_output_tokens"}} if status == "incomplete" else {}
    whole = {**head, "status": status, "output": items, "usage": counted, **why}
    if not stream:
        return json.dumps(whole).encode()
    events: list[Json] = [
        {"type": "response.created", "response": {**head, "status": "in_progress", "output": [], "usage": None}},
        {"type": "response.in_progress", "response": {**head, "status": "in_progress", "output": [], "usage": None}},
    ]
    for number, (one, item) in enumerate(zip(parts, items, strict=True)):
        events += _item_events(one, item, number)
    events.append({"type": f"response.{status}", "response": whole})
    return named(*({**event, "sequence_number": number} for number, event in enumerate(events)))


def _item(one: Any, number: int) -> Json:
    match one:
        case Say():
            content = [{"type": "output_text", "text": one.text, "annotations": [], "logprobs": []}]
            return {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": content}
        case Think():
            summary = [{"type": "summary_text", "text": one.text}] if one.text else []
            return {"id": f"rs_{number}", "type": "reasoning", "summary": summary, "encrypted_content": one.seal}
        case Call(custom=True):
            return {"id": f"ctc_{number}", "type": "custom_tool_call", "status": "completed", "call_id": one.id,
                    "name": one.name, "input": one.arguments}  # fmt: skip
        case _:
            return {"id": f"fc_{number}", "type": "function_call", "status": "completed", "call_id": one.id,
                    "name": one.name, "arguments": one.arguments}  # fmt: skip


def _item_events(one: Any, item: Json, number: int) -> list[Json]:
    at = {"output_index": number, "item_id": item["id"]}
    empty = {key: value for key, value in item.items() if key != "encrypted_content"}
    key = next((key for key in ("content", "summary", "arguments", "input") if key in item), "content")
    empty |= {key: "" if isinstance(item[key], str) else []} | ({"status": "in_progress"} if "status" in item else {})
    out: list[Json] = [{"type": "response.output_item.added", "output_index": number, "item": empty}]
    match one:
        case Say():
            at |= {"content_index": 0}
            part = item["content"][0]
            out.append({"type": "response.content_part.added", **at, "part": {**part, "text": ""}})
            out += [{"type": "response.output_text.delta", **at, "delta": piece, "logprobs": []} for piece in pieces(one.text)]
            out.append({"type": "response.output_text.done", **at, "text": one.text, "logprobs": []})
            out.append({"type": "response.content_part.done", **at, "part": part})
        case Think() if one.text:
            at |= {"summary_index": 0}
            part = item["summary"][0]
            out.append({"type": "response.reasoning_summary_part.added", **at, "part": {**part, "text": ""}})
            out += [{"type": "response.reasoning_summary_text.delta", **at, "delta": piece} for piece in pieces(one.text)]
            out.append({"type": "response.reasoning_summary_text.done", **at, "text": one.text})
            out.append({"type": "response.reasoning_summary_part.done", **at, "part": part})
        case Call():
            kind, name = ("custom_tool_call_input", "input") if one.custom else ("function_call_arguments", "arguments")
            out += [{"type": f"response.{kind}.delta", **at, "delta": piece} for piece in pieces(one.arguments)]
            out.append({"type": f"response.{kind}.done", **at, name: one.arguments})
    return [*out, {"type": "response.output_item.done", "output_index": number, "item": item}]


def _from_anthropic(parts: list[Any], stop: str, stream: bool, usage: Json | None) -> bytes:
    usage = usage or {"prompt": 0, "cached": 0, "written": 0, "answer": 0, "thought": 0}
    counted = {
        "input_tokens": usage["prompt"] - usage["cached"] - usage["written"], "cache_read_input_tokens": usage["cached"],
        "cache_creation_input_tokens": usage["written"], "output_tokens": usage["answer"],
        "output_tokens_details": {"thinking_tokens": usage["thought"]},
    }  # fmt: skip
    head: Json = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_sequence": None}
    if not stream:
        content = [_block(one) for one in parts]
        whole = {**head, "content": content, "stop_reason": ANTHROPIC_STOPS[stop], "usage": counted}
        return json.dumps(whole).encode()
    begun = {**head, "content": [], "stop_reason": None, "usage": {**counted, "output_tokens": 1}}
    events: list[Json] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for number, one in enumerate(parts):
        block = _block(evolve(one, arguments="{}") if isinstance(one, Call) else one)
        deltas: list[Json] = []
        match one:
            case Say():
                deltas = [{"type": "text_delta", "text": piece} for piece in pieces(one.text)]
                block = {**block, "text": ""}
            case Think():
                deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces(one.text)]
                deltas.append({"type": "signature_delta", "signature": one.seal})
                block = {**block, "thinking": "", "signature": ""}
            case Call():
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ["", *pieces(one.arguments)]]
        events.append({"type": "content_block_start", "index": number, "content_block": block})
        events += [{"type": "content_block_delta", "index": number, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": number})
    ended = {"stop_reason": ANTHROPIC_STOPS[stop], "stop_sequence": None}
    events += [{"type": "message_delta", "delta": ended, "usage": counted}, {"type": "message_stop"}]
    return named(*events)


def _from_gemini(parts: list[Any], stop: str, stream: bool, usage: Json | None) -> bytes:
    counted = usage and {
        "promptTokenCount": usage["prompt"], "cachedContentTokenCount": usage["cached"],
        "candidatesTokenCount": usage["answer"] - usage["thought"], "thoughtsTokenCount": usage["thought"],
        "totalTokenCount": usage["prompt"] + usage["answer"],
    }  # fmt: skip
    head = {"modelVersion": "gemini-3-pro", "responseId": "r1", **({"usageMetadata": counted} if counted else {})}
    made = [_answered(one) for one in parts]
    if not stream:
        candidate = {"index": 0, "content": {"role": "model", "parts": made}, "finishReason": GEMINI_STOPS[stop]}
        return json.dumps({"candidates": [candidate], **head}).encode()
    out: list[list[Json]] = []
    for part in made:
        if "text" in part:
            out += [[{**part, "text": piece}] for piece in pieces(part["text"])]
        else:
            out.append([part])
    chunks: list[Json] = [{"candidates": [{"index": 0, "content": {"role": "model", "parts": one}}], **head} for one in out]
    last = {"index": 0, "content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": GEMINI_STOPS[stop]}
    return data(*chunks, {"candidates": [last], **head}).replace(b"\n\n", b"\r\n\r\n")


def _answered(one: Any) -> Json:
    part = _part(one)
    if isinstance(one, Call) and not one.id:
        del part["functionCall"]["id"]
    return part


# ---- frames of streams --------------------------------------------------------------------------


def frames(stream: bytes) -> list[Json]:
    """The JSON of a stream's frames, but for ``[DONE]``."""
    lines = [line[6:] for line in stream.decode().replace("\r\n", "\n").split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]
