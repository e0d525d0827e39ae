"""Acceptance cases 1 to 10: nothing is touched within one dialect; whole tool loops of agents across two."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from crossings import DIALECTS, MODELS, Asked, asked
from oracles import Heard, goes_on, heard
from wires import SIGNATURE, Call, Result, Say, Think, Turn, asks, frames, gave, model, named, replies, texts_of, told, user

CUTS = (0, 1, 7, 64)
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
PATCH = "*** Begin Patch\n*** Update File: a.py\n@@\n-print('a')\n+print(\"b\\n\u2028é😀\")\n*** End Patch"


def untouched(front: str, body: dict[str, Any], *, stream: bool = False, headers: dict[str, str] | None = None) -> Asked:
    """A request within one dialect, which reaches the provider to the byte but for the model's name."""
    one = asked(front, front, body, stream=stream, headers=headers)
    said = {} if front == "G" else {"model": MODELS[front], **({"stream": True} if stream else {})}
    assert one.data == json.dumps({**said, **body}).encode()
    assert one.losses == []
    return one


def relayed(one: Asked, reply: bytes, *, stream: bool) -> None:
    """A reply reaches the client to the byte, however it is cut, read event by event or unread."""
    for cut in CUTS:
        assert one.answered(reply, stream=stream, cut=cut) == reply
    relay = one.back.relay(stream=stream)
    list(relay.feed(reply[:80]))
    through = b"".join([relay.through(reply[at : at + 7]) for at in range(80, len(reply), 7)]) if relay.passing else b""
    assert reply.endswith(through)


# ---- 1 to 4: within one dialect -----------------------------------------------------------------


def test_case_01_anthropic_untouched_request() -> None:
    """A→A: unknown fields, unknown blocks and the client's own headers reach the provider; only the model's name changes."""
    body = {
        "max_tokens": 9, "a_new_field": {"x": [1.50, None]}, "system": [{"type": "text", "text": "s", "cache_control": {
            "type": "ephemeral", "ttl": "1h"}}],
        "messages": [{"role": "user", "content": [{"type": "hologram", "data": "é"}, {"type": "text", "text": ""}]},
                     {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": SIGNATURE},
                                                       {"type": "redacted_thinking", "data": "x"}]},
                     {"role": "user", "content": "go"}],
        "context_management": {"edits": []}, "thinking": {"type": "adaptive"},
    }  # fmt: skip
    headers = {"anthropic-beta": "a-2026-01-01, b-2026-02-02", "anthropic-version": "2026-10-21"}
    for stream in (False, True):
        one = untouched("A", body, stream=stream, headers=headers)
        assert dict(one.back.forwarded(one.request.headers)) == headers


def test_case_01_anthropic_prefix_over_ten_turns() -> None:
    """A→A: what was sent is the beginning of what is sent with the next turn, over ten turns."""
    turns, before = [Turn("system", ["s"])], b""
    for number in range(10):
        turns += [user(f"q{number}"), model(Think("hm"), Call(f"toolu_{number}", "read", '{"path": "a"}'))]
        turns.append(gave(Result(f"toolu_{number}", "read", "é")))
        body = asks("A", turns, {"read": SCHEMA})
        ordered = {"tools": body["tools"], "system": body["system"], "max_tokens": 5, "messages": body["messages"]}
        now = untouched("A", ordered).data
        assert now.startswith(before[:-2])
        before = now


def test_case_01_anthropic_untouched_reply() -> None:
    """A→A: frames of a stream and a whole body reach the client to the byte, unknown events and blocks included."""
    odd = [{"type": "content_block_start", "index": 0, "content_block": {"type": "hologram", "data": 1.50}},
           {"type": "content_block_delta", "index": 0, "delta": {"type": "hologram_delta", "x": "é"}},
           {"type": "content_block_stop", "index": 0}, {"type": "a_new_event", "n": 1}]  # fmt: skip
    plain = replies("A", "Hello", stream=True)
    at = plain.index(b"event: content_block_start")
    body = {"max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    moved = plain[at:].replace(b'"index": 0', b'"index": 1')
    relayed(untouched("A", body, stream=True), plain[:at] + named(*odd) + moved, stream=True)
    whole = json.loads(replies("A", Think("hm"), "Hello", Call("toolu_1", "f", '{"a": 1.50}')))
    whole["content"].append({"type": "hologram"})
    relayed(untouched("A", body), json.dumps({**whole, "new": 1}).encode(), stream=False)


def test_case_02_responses_untouched() -> None:
    """S→S: unknown items and events are passed on, and the provider's sequence numbers stay."""
    body = {"input": [{"type": "hologram", "id": "h1"}, {"type": "message", "role": "user", "content": "hi", "x": 1},
                      {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAx", "id": "rs_1"}],
            "store": False, "include": ["reasoning.encrypted_content"], "new_field": {"a": 1.0}}  # fmt: skip
    one = untouched("S", body, stream=True)
    plain = replies("S", Think("hm", "gAAAAy"), "Hello", Call("c1", "f", '{"a": 1.0}'), stream=True)
    odd = named({"type": "response.hologram.delta", "sequence_number": 77, "x": "é"})
    at = plain.index(b"event: response.output_item.added")
    relayed(one, plain[:at] + odd + plain[at:], stream=True)
    relayed(untouched("S", body), replies("S", "Hello"), stream=False)


def test_case_03_chat_untouched() -> None:
    """C→C: vendors' own fields survive both ways, and none is added."""
    details = [{"type": "reasoning.encrypted", "data": "x", "index": 0}]
    signed = {"google": {"thought_signature": SIGNATURE}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": signed}
    body = {"messages": [{"role": "user", "content": "hi"},
                         {"role": "assistant", "content": None, "reasoning_details": details, "tool_calls": [call]},
                         {"role": "tool", "tool_call_id": "c1", "content": "ok"}],
            "provider": {"order": ["x"]}, "temperature": 1.0}  # fmt: skip
    usage = {"stream_options": {"include_usage": True}}
    one = untouched("C", body | usage, stream=True)
    plain = replies("C", Think("hm"), "Hello", Call("c1", "f", '{"a": 1.0}', seal=SIGNATURE), stream=True)
    more = {"choices": [{"index": 0, "delta": {"reasoning_details": details}, "finish_reason": None}], "id": "chatcmpl-1"}
    at = plain.index(b"data: ", 10)
    relayed(one, plain[:at] + b"data: " + json.dumps(more).encode() + b"\n\n" + plain[at:], stream=True)
    relayed(untouched("C", body), replies("C", "Hello"), stream=False)


def test_case_04_gemini_untouched() -> None:
    """G→G: both spellings and the signatures' own alphabet reach the provider as they were written."""
    url_safe = SIGNATURE.replace("+", "-").replace("/", "_")
    body = {"contents": [{"role": "user", "parts": [{"text": "hi"}]},
                         {"role": "model", "parts": [
                             {"function_call": {"name": "f", "args": {"a": 1.50}}, "thought_signature": url_safe},
                             {"text": "", "thoughtSignature": SIGNATURE}]},
                         {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": 1}}}]}],
            "generation_config": {"thinkingConfig": {"include_thoughts": True}, "maxOutputTokens": 5}, "new_field": 1,
            "tools": [{"functionDeclarations": [{"name": "f", "parameters_json_schema": {"type": "object"}}]}]}  # fmt: skip
    call = Call("", "f", '{"a": 1}', seal=url_safe)
    for stream in (False, True):
        relayed(untouched("G", body, stream=stream), replies("G", "Hello", call, stream=stream), stream=stream)


# ---- 5 to 9: loops of agents --------------------------------------------------------------------


def claude_code(turns: list[Turn]) -> dict[str, Any]:
    """A request as Claude Code makes it."""
    names = [f"Tool{number}" for number in range(19)]
    body = asks("A", turns, {"Read": SCHEMA} | dict.fromkeys(names, SCHEMA), thinking={"type": "adaptive"})
    mark = {"cache_control": {"type": "ephemeral"}}
    return body | {"system": [{"type": "text", "text": "You are an agent."}, {"type": "text", "text": "Rules.", **mark}]}


def flow(one: Asked, reply: bytes) -> list[bytes]:
    """What the client gets for each of the provider's frames."""
    reader, writer, way, out = one.back.reader(stream=True), one.front.writer(one.request, one.losses), one.unused(), []
    for piece in reply.replace(b"\r\n", b"\n").split(b"\n\n"):
        events = [made for event in reader.feed(piece + b"\n\n") for made in (way.back(event) if way else [event])]
        out.append(b"".join(writer.feed(event) for event in events))
    return out


def answer(one: Asked, reply: bytes, *, stream: bool, front: str) -> Heard:
    """What the client's SDK understands, which is the same however the bytes are cut."""
    made = [one.answered(reply, cut=cut) for cut in (CUTS if stream else (0, 7))]
    assert len(set(made)) == 1
    return heard(front, made[0], stream=stream)


@pytest.mark.parametrize("stream", [False, True])
def test_case_05_claude_code_on_chat(stream: bool) -> None:
    """A→C: one assistant message with text and call, the result right behind it; the client is told to run the tool."""
    body = claude_code([user("Read a.py")])
    one = asked("A", "C", body, stream=stream)
    assert [message["role"] for message in one.body["messages"]] in (["system", "user"], ["developer", "user"])
    assert len(one.body["tools"]) == 20
    said = answer(one, replies("C", "Let me look.", Call("call_1", "Read", '{"path": "a.py"}'), stream=stream), stream=stream,
                  front="A")  # fmt: skip
    assert (said.text, said.calls, said.stop) == ("Let me look.", [("call_1", "Read", {"path": "a.py"})], "tool_use")
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "print(1)"}
    two = asked("A", "C", goes_on("A", body, said, {"role": "user", "content": [result]}), stream=stream)
    *_, assistant, tool = two.body["messages"]
    assert (assistant["role"], texts_of(assistant["content"])) == ("assistant", "Let me look.")
    assert [call["id"] for call in assistant["tool_calls"]] == ["call_1"]
    assert (tool["role"], tool["tool_call_id"], texts_of(tool["content"])) == ("tool", "call_1", "print(1)")
    last = answer(two, replies("C", "It prints 1.", stream=stream), stream=stream, front="A")
    assert (last.text, last.stop, last.usage["input_tokens"]) == ("It prints 1.", "end_turn", 30)


def test_case_05_fragments_are_not_held_back() -> None:
    """A→C: a call's arguments leave fragment by fragment, the blocks are numbered without a gap."""
    one = asked("A", "C", claude_code([user("go")]), stream=True)
    reply = replies("C", "So.", Call("c1", "Read", '{"path": "a.py"}'), Call("c2", "Read", '{"path": "b"}'), stream=True)
    sent = flow(one, reply)
    with_arguments = [number for number, made in enumerate(sent) if b"input_json_delta" in made]
    of_upstream = [number for number, piece in enumerate(reply.split(b"\n\n")) if b'"index": 0, "function"' in piece]
    assert with_arguments[0] < of_upstream[-1] and len(with_arguments) > 3
    events = frames(b"".join(sent))
    starts = [event["index"] for event in events if event["type"] == "content_block_start"]
    assert starts == list(range(3)) == [event["index"] for event in events if event["type"] == "content_block_stop"]
    fragments = [event["delta"]["partial_json"] for event in events if event.get("delta", {}).get("type") == "input_json_delta"]
    assert "".join(fragments) == '{"path": "a.py"}{"path": "b"}' and len([one for one in fragments if one]) > 4


@pytest.mark.parametrize("text", ["I should read it.", ""])
@pytest.mark.parametrize("stream", [False, True])
def test_case_06_claude_code_on_responses(stream: bool, text: str) -> None:
    """A→S: reasoning of the first turn comes back with its encrypted content right before its call, without ids of items."""
    body = claude_code([user("Read a.py")])
    one = asked("A", "S", body, stream=stream)
    assert (one.body["store"], "reasoning.encrypted_content" in one.body["include"]) == (False, True)
    assert {tool["strict"] for tool in one.body["tools"]} == {False}
    call = Call("call_1", "Read", '{"path": "a.py"}')
    said = answer(one, replies("S", Think(text, "gAAAAsecret"), call, stream=stream), stream=stream, front="A")
    assert (said.thoughts, said.stop, said.done) == (text, "tool_use", [("Read", {"path": "a.py"})])
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "x"}
    two = asked("A", "S", goes_on("A", body, said, {"role": "user", "content": [result]}), stream=stream)
    reasoning, called, output = two.body["input"][-3:]
    assert (reasoning["type"], reasoning["encrypted_content"]) == ("reasoning", "gAAAAsecret")
    assert [part["text"] for part in reasoning["summary"]] == ([text] if text else [])
    assert (called["type"], called["call_id"], json.loads(called["arguments"])) == ("function_call", "call_1", {"path": "a.py"})
    assert (output["type"], output["call_id"], texts_of(output["output"])) == ("function_call_output", "call_1", "x")
    assert not [item for item in two.body["input"] if "id" in item]


CODEX_TOOLS = [
    {"type": "function", "name": "shell", "description": "d", "parameters": SCHEMA, "strict": False},
    {"type": "custom", "name": "apply_patch", "description": "edit",
     "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch"'}},
]  # fmt: skip
CODEX = {
    "instructions": "You are Codex.", "store": False, "include": ["reasoning.encrypted_content"], "tools": CODEX_TOOLS,
    "reasoning": {"effort": "medium", "summary": "auto"}, "tool_choice": "auto", "parallel_tool_calls": True,
    "prompt_cache_key": "k", "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]}],
}  # fmt: skip


def codex_accepts(stream: bytes) -> list[dict[str, Any]]:
    """What Codex insists on in a stream; the items that are done."""
    events = frames(stream)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created"
    last = events[-1]
    assert last["type"] == "response.completed" and last["response"]["id"] == events[0]["response"]["id"]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert last["response"]["output"] == done
    usage = last["response"]["usage"]
    assert {type(usage[key]) for key in ("input_tokens", "output_tokens", "total_tokens")} == {int}
    assert "cached_tokens" in usage["input_tokens_details"] and "reasoning_tokens" in usage["output_tokens_details"]
    return done


@pytest.mark.parametrize("stream", [False, True])
def test_case_07_codex_on_claude(stream: bool) -> None:
    """S→A: the thought and its signature come back to the letter; the patch is one of a freeform tool."""
    one = asked("S", "A", CODEX, stream=stream)
    assert texts_of(one.body["system"]) == "You are Codex."
    assert one.body["tools"][1]["input_schema"]["required"] == ["input"]
    reply = replies(
        "A",
        Think("I must\npatch. ", SIGNATURE),
        "Now.",
        Call("toolu_1", "apply_patch", json.dumps({"input": PATCH})),
        stream=stream,
    )
    said = answer(one, reply, stream=stream, front="S")
    if stream:
        kinds = [item["type"] for item in codex_accepts(one.answered(reply))]
        assert kinds == ["reasoning", "message", "custom_tool_call"]
    assert (said.thoughts, said.text, said.calls) == ("I must\npatch. ", "Now.", [("toolu_1", "apply_patch", PATCH)])
    assert said.usage["input_tokens"] == 100 and said.usage["output_tokens"] == 20
    output = {"type": "custom_tool_call_output", "call_id": "toolu_1", "output": "Done"}
    two = asked("S", "A", goes_on("S", CODEX, said, output), stream=stream)
    assistant, results = two.body["messages"][-2:]
    thinking, text, called = assistant["content"]
    assert thinking == {"type": "thinking", "thinking": "I must\npatch. ", "signature": SIGNATURE}
    assert (text["text"], called["name"], called["input"], called["id"]) == ("Now.", "apply_patch", {"input": PATCH}, "toolu_1")
    assert [block["tool_use_id"] for block in results["content"]] == ["toolu_1"]


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_case_08_claude_code_on_gemini(stream: bool, lost: bool) -> None:
    """A→G: the signature of a step's first call comes back from the envelope, or from the vault where the client lost it."""
    body = claude_code([user("Read both")])
    one = asked("A", "G", body, stream=stream)
    declared = [tool for entry in one.body["tools"] for tool in entry["functionDeclarations"]]
    assert len(declared) == 20 and all("parametersJsonSchema" in tool for tool in declared)
    calls = [Call("", "Read", '{"path": "a"}', seal=SIGNATURE), Call("", "Read", '{"path": "b"}')]
    said = answer(one, replies("G", Think("Both."), *calls, stream=stream), stream=stream, front="A")
    assert (said.stop, said.done) == ("tool_use", [("Read", {"path": "a"}), ("Read", {"path": "b"})])
    results = [{"type": "tool_result", "tool_use_id": call[0], "content": str(call[2])} for call in said.calls]
    next_body = goes_on("A", body, said, {"role": "user", "content": results})
    kept = dict(one.way.kept) if one.way is not None and lost else None
    if lost:
        blocks = next_body["messages"][-2]["content"]
        next_body["messages"][-2]["content"] = [block for block in blocks if block["type"] == "tool_use"]
    two = asked("A", "G", next_body, stream=stream, kept=kept)
    step, answered = two.body["contents"][-2:]
    called = [part for part in step["parts"] if "functionCall" in part]
    assert base64.b64decode(called[0]["thoughtSignature"]) == base64.b64decode(SIGNATURE)
    assert "thoughtSignature" not in called[1]
    assert [part["functionResponse"]["response"]["output"] for part in answered["parts"]] == ["{'path': 'a'}", "{'path': 'b'}"]


@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_case_09_codex_on_chat(stream: bool, usage: bool) -> None:
    """S→C: a freeform tool is a function for the model, its text is unwrapped as it comes; usage is never left out."""
    one = asked("S", "C", CODEX, stream=stream, model="kimi-k2")
    assert {tool["type"] for tool in one.body["tools"]} == {"function"}
    called = Call("call_1", "apply_patch", json.dumps({"input": PATCH}))
    reply = replies("C", Think("Hm."), called, stream=stream, **({} if usage else {"usage": None}))
    said = answer(one, reply, stream=stream, front="S")
    assert said.calls == [("call_1", "apply_patch", PATCH)]
    assert (said.usage["input_tokens"] == 100) if usage else (said.usage["total_tokens"] >= 0)
    if stream:
        codex_accepts(one.answered(reply))
        sent = flow(one, reply)
        assert sum(b"custom_tool_call_input.delta" in made for made in sent) > 5


# ---- 10: freeform tools -------------------------------------------------------------------------


@pytest.mark.parametrize("spelled", [True, False], ids=["escaped", "plain"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("back", ["C", "A", "G"])
def test_case_10_patches_are_byte_exact(back: str, stream: bool, spelled: bool) -> None:
    """S→C/A/G: quotes, backslashes, line separators and surrogate pairs of a patch arrive, and come back wrapped the same."""
    text = PATCH + '\n\\u0041 \\\\ "q" \t\r\n\u2029\x7f\U0001d4b3'
    one = asked("S", back, CODEX, stream=stream)
    ident = {"C": "call_1", "A": "toolu_1", "G": "g1"}[back]
    reply = replies(back, Call(ident, "apply_patch", json.dumps({"input": text}, ensure_ascii=spelled)), stream=stream)
    said = answer(one, reply, stream=stream, front="S")
    assert said.done == [("apply_patch", text)]
    if stream and back != "G":
        sent = flow(one, reply)
        first = next(number for number, made in enumerate(sent) if b"custom_tool_call_input.delta" in made)
        assert first < next(number for number, made in enumerate(sent) if b"custom_tool_call_input.done" in made) - 3
    output = {"type": "custom_tool_call_output", "call_id": said.calls[0][0], "output": "Done"}
    wrapped = [told(back, asked("S", back, goes_on("S", CODEX, said, output)).body) for _ in range(2)]
    assert wrapped[0].calls == wrapped[1].calls
    [(_, name, arguments)] = wrapped[0].calls
    assert (name, json.loads(arguments)) == ("apply_patch", {"input": text})
    assert [result[2] for result in wrapped[0].results] == ["Done"]


def test_wires_say_what_they_should() -> None:
    """The tests' own wire formats are such as the SDKs read."""
    for dialect in DIALECTS:
        for stream in (False, True):
            said = heard(dialect, replies(dialect, Think("hm so"), Say("Hello"), Call("c1", "f", '{"a": 1}'), stream=stream),
                         stream=stream)  # fmt: skip
            assert (said.text, said.thoughts, said.calls) == ("Hello", "hm so", [("c1", "f", {"a": 1})])
