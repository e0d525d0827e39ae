"""Traps T01 to T18: continuity of reasoning, tool calls and their results. Cases 1 to 34 say more of some of them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from crossings import asked
from oracles import goes_on, heard
from wires import SIGNATURE, Call, Result, Think, asks, data, frames, gave, model, replies, told, user

from llmgw.model import Carrier, Message, Reasoning, Text
from llmgw_dialects import envelope

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
TOOLS = {"Read": SCHEMA, "Find": SCHEMA}
STREAMS = [False, True]
HELLO = [user("Hi")]
KEYS = {"C": "messages", "S": "input", "A": "messages", "G": "contents"}


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("back", ["C", "S", "G"])
def test_t01_every_thinking_block_is_signed(back: str, stream: bool) -> None:
    """A block of thoughts always has its one signature, right before its end, whoever thought."""
    there = asked("A", back, asks("A", HELLO, thinking={"type": "adaptive"}), stream=stream)
    got = there.answered(replies(back, Think("Hm, well."), "So.", stream=stream))
    blocks = [block for block in heard("A", got, stream=stream).raw.content if block.type == "thinking"]
    assert [block.thinking for block in blocks] == ["Hm, well."] and all(block.signature for block in blocks)
    if stream:
        kinds = [event.get("delta", {}).get("type", event["type"]) for event in frames(got)]
        assert kinds.count("signature_delta") == 1
        assert kinds[kinds.index("signature_delta") + 1] == "content_block_stop"


@pytest.mark.parametrize("stream", STREAMS)
def test_t01_an_omitted_thought_stays_empty(stream: bool) -> None:
    """A thought that is only a signature comes back to Anthropic as just that; a redacted one as it was."""
    body = asks("S", HELLO, TOOLS)
    one = asked("S", "A", body, stream=stream)
    said = heard("S", one.answered(replies("A", Think("", SIGNATURE), Call("t1", "Read"), stream=stream)), stream=stream)
    output = asks("S", [gave(Result("t1", "Read"))])["input"]
    blocks = asked("S", "A", goes_on("S", body, said, *output)).body["messages"][1]["content"]
    assert blocks[0] == {"type": "thinking", "thinking": "", "signature": SIGNATURE}


@pytest.mark.parametrize("stream", STREAMS)
def test_t02_only_the_encrypted_content_is_replayed(stream: bool) -> None:
    """The value of the finished item counts; an item goes back without id and content, before its call."""
    body = asks("A", HELLO, TOOLS)
    one = asked("A", "S", body, stream=stream)
    reply = replies("S", Think("Hm.", "gAAAAwhole"), Call("c1", "Read"), stream=stream)
    if stream:  # what is told when the item is announced may be incomplete
        reply = reply.replace(b'"summary": []}', b'"summary": [], "encrypted_content": "gAAAApart"}')
    said = heard("A", one.answered(reply), stream=stream)
    more = asks("A", [gave(Result("c1", "Read"))])["messages"]
    items = asked("A", "S", goes_on("A", body, said, *more)).body["input"]
    [reasoning] = [item for item in items if item["type"] == "reasoning"]
    assert reasoning.keys() == {"type", "summary", "encrypted_content"} and reasoning["encrypted_content"] == "gAAAAwhole"
    assert items[items.index(reasoning) + 1]["type"] == "function_call"


def test_t03_the_order_of_signatures() -> None:
    """A native signature of the client comes first, then what was kept, then the bypass; results are never signed."""
    turns = [user("go"), model(Call("c1", "Read", "{}", seal=SIGNATURE)), gave(Result("c1", "Read")),
             model(Call("c2", "Read"), Call("c3", "Find")), gave(Result("c2", "Read"), Result("c3", "Find"))]  # fmt: skip
    there = asked("C", "G", asks("C", turns, TOOLS)).body["contents"]
    parts = [part for turn in there for part in turn["parts"]]
    signed = [part.get("thoughtSignature") for part in parts if "functionCall" in part]
    assert signed == [SIGNATURE, "skip_thought_signature_validator", None]
    assert not [part for part in parts if "functionResponse" in part and "thoughtSignature" in part]


@pytest.mark.parametrize("alphabet", ["std", "url-safe", "unpadded"])
def test_t04_alphabets(alphabet: str) -> None:
    """An envelope that an SDK encoded anew is still one; a native signature goes out as the client wrote it."""
    sealed = envelope.in_base64(envelope.sealed(Carrier(provider="openai", kind="encrypted_content", payload="gA?>~x"), "hm"))
    raw = base64.b64decode(sealed)
    slot = {"std": base64.b64encode(raw), "url-safe": base64.urlsafe_b64encode(raw),
            "unpadded": base64.urlsafe_b64encode(raw).rstrip(b"=")}[alphabet].decode()  # fmt: skip
    opened = envelope.opened(slot)
    assert opened is not None and opened.carrier is not None and opened.carrier.payload == "gA?>~x"


@pytest.mark.parametrize("front", ["A", "S"])
@pytest.mark.parametrize("stream", STREAMS)
def test_t04_a_signature_on_nothing(front: str, stream: bool) -> None:
    """G→A/S and back: a signature on an empty last part is neither lost nor merged, and stands beside its call."""
    body = asks(front, HELLO, TOOLS)
    one = asked(front, "G", body, stream=stream)
    whole = json.loads(replies("G", "So."))
    whole["candidates"][0]["content"]["parts"].append({"text": "", "thoughtSignature": SIGNATURE})
    reply = data(whole) if stream else json.dumps(whole).encode()
    said = heard(front, one.answered(reply), stream=stream)
    more = asks(front, [user("And?")])[KEYS[front]]
    parts = asked(front, "G", goes_on(front, body, said, *more), kept=one.way.kept if one.way else None).body["contents"][1][
        "parts"
    ]
    assert [part["text"] for part in parts if part.get("text")] == ["So."]
    if front == "S":  # Claude Code gets no thought behind a text (3.13): the vault knows it by the text
        assert [part.get("thoughtSignature") for part in parts][-1] == SIGNATURE


def test_t05_what_was_kept_is_for_its_issuer() -> None:
    """What Gemini signed is not put on the same call when Claude or a model of another family is asked."""
    body = asks("C", HELLO, TOOLS)
    one = asked("C", "G", body)
    one.answered(replies("G", Call("c1", "Read", seal=SIGNATURE)))
    assert one.way is not None and one.way.kept
    turns = [user("Hi"), model(Call("c1", "Read")), gave(Result("c1", "Read"))]
    for back, name in (("A", ""), ("S", ""), ("G", "gemini-2.5-pro")):
        assert SIGNATURE.encode() not in asked("C", back, asks("C", turns, TOOLS), kept=one.way.kept, model=name).data
    assert SIGNATURE.encode() in asked("C", "G", asks("C", turns, TOOLS), kept=one.way.kept).data


def test_t06_an_edit_leaves_opaque_state_alone() -> None:
    """A→A: a filter that rewrites a text leaves thoughts, their signatures and unknown blocks to the byte."""
    block = {"type": "thinking", "thinking": "e\u0301\u2028", "signature": SIGNATURE, "new": 1.50}
    body = {"max_tokens": 5, "messages": [{"role": "user", "content": "secret"}, {"role": "assistant", "content": [
        block, {"type": "hologram", "x": 1.0}]}, {"role": "user", "content": "on"}]}  # fmt: skip
    there = asked("A", "A", body)
    items = there.request.prompt.items
    first = items[0]
    assert isinstance(first, Message) and isinstance(first.parts[0], Text)
    changed = there.request.with_prompt(items=(Message(role="user", parts=(Text("[masked]"),)), *items[1:]))
    written = there.back.write_request(changed)
    assert json.dumps(block).encode() in written and b'{"type": "hologram", "x": 1.0}' in written and b"secret" not in written
    assert there.back.write_request(changed) == written
    assert [part for item in items if isinstance(item, Message) for part in item.parts if isinstance(part, Reasoning)]


@pytest.mark.parametrize("front", ["C", "S"])
def test_t07_thinking_is_not_switched_on_in_a_loop(front: str) -> None:
    """C/S→A: a manual budget is not given while a loop runs whose last step shows no thought, and is once the user speaks."""
    effort = {"C": {"reasoning_effort": "high"}, "S": {"reasoning": {"effort": "high"}}}[front]
    turns = [user("go"), model(Call("c1", "Read")), gave(Result("c1", "Read"))]
    inside = asked(front, "A", asks(front, turns, TOOLS, **effort), model="claude-sonnet-4-5").body
    assert inside.get("thinking", {"type": "disabled"})["type"] == "disabled"
    outside = asked(
        front, "A", asks(front, [*turns, model("Done."), user("more")], TOOLS, **effort), model="claude-sonnet-4-5"
    ).body
    assert outside["thinking"]["type"] == "enabled" and outside["thinking"]["budget_tokens"] < outside["max_tokens"]


@pytest.mark.parametrize("back", ["A", "C", "S"])
def test_t08_gemini_without_ids(back: str) -> None:
    """G→A/C/S: calls get ids made of what they are, the same ones each time, and results find them by name, then by order."""
    calls = [
        {"functionCall": {"name": name, "args": {"path": path}}} for name, path in (("Read", "a"), ("Find", "b"), ("Read", "c"))
    ]
    given = [{"functionResponse": {"name": name, "response": {"output": text}}} for name, text in (
        ("Find", "B"), ("Read", "A"), ("Read", "C"))]  # fmt: skip
    contents = [{"role": "user", "parts": [{"text": "go"}]}, {"role": "model", "parts": calls}, {"role": "user", "parts": given}]
    body = asks("G", [], TOOLS) | {"contents": contents}
    known = told(back, asked("G", back, body).body)
    ids = [ident for ident, *_ in known.calls]
    assert len(set(ids)) == 3 and all(ids)
    assert [(ident, text) for ident, _, text, _ in known.results] == list(zip(ids, "ABC", strict=True))
    assert told(back, asked("G", back, body).body).said == known.said


@pytest.mark.parametrize("back", ["A", "S", "G"])
def test_t09_ids_are_made_not_cut(back: str) -> None:
    """C→*: ids too long or of strange letters become short ones; those with the same beginning stay apart, results follow."""
    ids = ["call_" + "x" * 80 + "1", "call_" + "x" * 80 + "2", "id.with:dots", "call_ok"]
    turns = [
        user("go"),
        model(*(Call(ident, "Read") for ident in ids)),
        gave(*(Result(ident, "Read", ident[-4:]) for ident in ids)),
    ]
    known = told(back, asked("C", back, asks("C", turns, TOOLS)).body)
    made = [ident for ident, *_ in known.calls]
    if back != "G" or made[0] is not None:
        assert len(set(made)) == 4 and made[3] == "call_ok" and max(map(len, made)) <= 29
        assert [ident for ident, *_ in known.results] == made
    assert [text for _, _, text, _ in known.results] == [ident[-4:] for ident in ids]


@pytest.mark.parametrize("back", ["C", "S", "G"])
def test_t10_text_before_results(back: str) -> None:
    """A→*: words before the results of a turn stand behind them, and that is noted."""
    body = asks("A", [user("go"), model(Call("c1", "Read"), Call("c2", "Find"))], TOOLS)
    results = asks("A", [gave(Result("c2", "Find", "2"), Result("c1", "Read", "1"))])["messages"][0]["content"]
    body["messages"].append({"role": "user", "content": [{"type": "text", "text": "look"}, *results]})
    there = asked("A", back, body)
    known = told(back, there.body)
    assert [one[0] for one in known.said if one[0] != "system"] == ["user", "call", "call", "result", "result", "user"]
    assert [text for _, _, text, _ in known.results] == ["1", "2"] and "order" in there.features


def test_t11_one_message_for_one_run() -> None:
    """S→C/A/G: sibling items of the assistant are one message, behind which its results stand."""
    turns = [user("go"), model("One."), model("Two.", Call("c1", "Read")), gave(Result("c1", "Read"))]
    for back, key in (("C", "messages"), ("A", "messages"), ("G", "contents")):
        roles = [turn["role"] for turn in asked("S", back, asks("S", turns, TOOLS)).body[key]]
        assert roles == (
            ["user", "assistant", "tool"] if back == "C" else ["user", "model" if back == "G" else "assistant", "user"]
        )


@pytest.mark.parametrize("stream", STREAMS)
def test_t12_one_call_at_a_time(stream: bool) -> None:
    """C→G: who forbids parallel calls gets the first one alone."""
    there = asked("C", "G", asks("C", HELLO, TOOLS, parallel_tool_calls=False), stream=stream)
    got = there.answered(replies("G", Call("a", "Read"), Call("b", "Find"), stream=stream))
    said = heard("C", got, stream=stream)
    assert (said.done, said.stop) == ([("Read", {})], "tool_calls")
    assert b"Find" not in got and "parallel_tools" in there.features


@pytest.mark.parametrize(("front", "back"), [("C", "A"), ("C", "G"), ("S", "C"), ("S", "A"), ("A", "S"), ("A", "C")])
def test_t13_broken_pairs(front: str, back: str) -> None:
    """any→any: a missing result is an error in its place, one of no call becomes words, of two the last counts."""
    turns = [
        user("go"),
        model(Call("c1", "Read"), Call("c2", "Find")),
        gave(Result("c1", "Read", "old"), Result("c1", "Read", "new")),
        gave(Result("ghost", "Gone", "boo")),
        user("on"),
    ]
    there = asked(front, back, asks(front, turns, TOOLS))
    known = told(back, there.body)
    first, second = known.results
    assert first[2] == "new" and "No result was recorded" in second[2] and second[3] in (True, None)
    assert "boo" in "".join(text for role, text, *_ in known.said if role == "user")
    assert {"tool_result.missing", "tool_result.orphan", "tool_result.duplicate"} <= there.features


@pytest.mark.parametrize("back", ["C", "A", "G", "S"])
def test_t13_calls_at_the_end(back: str) -> None:
    """*→*: calls that nobody has answered at the end are left out; only Responses takes them."""
    front = "A" if back != "A" else "C"
    there = asked(front, back, asks(front, [user("go"), model("So.", Call("c1", "Read"))], TOOLS))
    assert len(told(back, there.body).calls) == (1 if back == "S" else 0)


@pytest.mark.parametrize(("front", "back"), [("C", "A"), ("S", "G")])
def test_t14_the_first_turn(front: str, back: str) -> None:
    """C→A, S→G: a conversation that begins with the assistant gets a user's turn before it."""
    there = asked(front, back, asks(front, [model("Hello."), user("go")]))
    first, second = told(back, there.body).said[:2]
    assert (first, second) == (("user", "(conversation continues)"), ("assistant", "Hello."))
    assert "first_turn" in there.features


@pytest.mark.parametrize("front", ["A", "S", "G"])
def test_t15_nothing_opens_no_block(front: str) -> None:
    """C→*: empty deltas of a provider make no empty blocks, items or parts."""
    there = asked(front, "C", asks(front, HELLO, TOOLS), stream=True)
    reply = replies("C", Call("c1", "Read", '{"path": "a"}'), stream=True)
    reply = reply.replace(b'"delta": {"tool_calls"', b'"delta": {"content": "", "reasoning_content": null, "tool_calls"')
    got = there.answered(reply)
    said = heard(front, got, stream=True)
    assert (said.text, said.done) == ("", [("Read", {"path": "a"})])
    match front:
        case "A":
            assert [event["content_block"]["type"] for event in frames(got) if "content_block" in event] == ["tool_use"]
        case "S":
            assert [event["item"]["type"] for event in frames(got) if event["type"].endswith("item.added")] == ["function_call"]
        case _:
            parts = [part for chunk in frames(got) for part in chunk["candidates"][0]["content"]["parts"]]
            assert [next(iter(part)) for part in parts] in (["functionCall"], ["functionCall", "text"])


def test_t15_empty_blocks_before_claude() -> None:
    """C→A: texts of white space are no blocks, and a user's message that would be empty says so."""
    turns = [user(" "), model("Hm."), user("\n"), user("on")]
    said = told("A", asked("C", "A", asks("C", turns)).body).said
    assert all(text.strip() for _, text in said)
    assert said == [("user", "(empty)"), ("assistant", "Hm."), ("user", "(empty)"), ("user", "on")]


ODD = '{"b": 1.0, "a": 12345678901234567890, "é": "\\u00e9", "c": 1e400}'


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("front", "back"), [("S", "C"), ("C", "S"), ("S", "A"), ("C", "A")])
def test_t16_arguments_are_text(front: str, back: str, stream: bool) -> None:
    """C, S, A→C, S: arguments keep their spelling, keys, numbers and all."""
    there = asked(front, back, asks(front, HELLO, TOOLS), stream=stream)
    text = ODD if back != "A" or stream else '{"b":1.0,"a":12345678901234567890}'
    got = there.answered(replies(back, Call("c1", "Read", text), stream=stream))
    call: Any
    if stream:
        events = frames(got)
        if front == "C":
            deltas = [call for event in events for choice in event["choices"] for call in choice["delta"].get("tool_calls", ())]
            arguments = "".join(call["function"]["arguments"] for call in deltas)
        else:
            arguments = "".join(event["delta"] for event in events if event["type"].endswith("arguments.delta"))
    else:
        tree = json.loads(got)
        call = tree["choices"][0]["message"]["tool_calls"][0]["function"] if front == "C" else tree["output"][0]
        arguments = call["arguments"]
    assert arguments.replace(" ", "") == text.replace(" ", "")


def test_t16_arguments_of_gemini() -> None:
    """G→C: an object becomes text in its own order, its numbers as they were spelled."""
    there = asked("C", "G", asks("C", HELLO, TOOLS))
    got = json.loads(there.answered(replies("G", Call("c1", "Read", '{"b": 1.5, "a": "x"}')).replace(b"1.5", b"1.50")))
    assert got["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"].replace(" ", "") == '{"b":1.50,"a":"x"}'


@pytest.mark.parametrize(("text", "sent"), [
    ('{"a":', {"_raw": '{"a":'}), ("[1]", {"_value": [1]}), ('"x"', {"_value": "x"}), ("", {}), ("null", {}),
])  # fmt: skip
@pytest.mark.parametrize("back", ["A", "G"])
def test_t17_arguments_that_are_no_object(back: str, text: str, sent: Any) -> None:
    """C→A/G: what is no object in a history stands in one; the call and its result stay."""
    turns = [user("go"), model(Call("c1", "Read", text)), gave(Result("c1", "Read"))]
    known = told(back, asked("C", back, asks("C", turns, TOOLS)).body)
    assert [json.loads(arguments) for _, _, arguments in known.calls] == [sent] and len(known.results) == 1


@pytest.mark.parametrize(("front", "back"), [("S", "C"), ("C", "S")])
def test_t17_arguments_cut_short(front: str, back: str) -> None:
    """C↔S: arguments that a limit cut reach the client as they are, and the reply says that it was cut."""
    there = asked(front, back, asks(front, HELLO, TOOLS), stream=True)
    got = there.answered(replies(back, Call("c1", "Read", '{"path": "a'), stop="max_tokens", stream=True))
    told_ = [choice["delta"] for event in frames(got) if front == "C" for choice in event["choices"]]
    deltas = [call["function"]["arguments"] for delta in told_ for call in delta.get("tool_calls", ())]
    deltas += [event["delta"] for event in frames(got) if event.get("type") == "response.function_call_arguments.delta"]
    assert "".join(deltas) == '{"path": "a'
    assert (b"response.incomplete" if front == "S" else b'"finish_reason":"length"') in got


def calling(*deltas: Any, finish: str = "tool_calls") -> bytes:
    """A stream of chunks with these tool calls."""
    made = [
        {"id": "x", "model": "m", "choices": [{"index": 0, "delta": {"content": None, "tool_calls": one}, "finish_reason": None}]}
        for one in deltas
    ]
    return (
        data(*made, {"id": "x", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        + b"data: [DONE]\n\n"
    )


def piece(arguments: str = "", ident: str | None = None, name: str | None = None, index: int | None = 0) -> dict[str, Any]:
    """A fragment of a call."""
    told_ = {"id": ident} if ident is not None else {}
    number = {"index": index} if index is not None else {}
    return {**number, **told_, "function": {**({"name": name} if name is not None else {}), "arguments": arguments}}


ANOMALIES = {
    "all of index 0": ([piece('{"path":', "c1", "Read")], [piece(' "a"}')], [piece('{"path": "b"}', "c2", "Find")]),
    "no index": ([piece('{"path": "a"}', "c1", "Read", None), piece('{"path": "b"}', "c2", "Find", None)],),
    "from 1": ([piece('{"path": "a"}', "c1", "Read", 1)], [piece('{"path": "b"}', "c2", "Find", 2)]),
    "repeated": ([piece('{"path":', "c1", "Read")], [piece(' "a"}', "c1", "Read")], [piece('{"path": "b"}', "c2", "Find", 1)]),
    "no ids": ([piece('{"path": "a"}', None, "Read")], [piece('{"path": "b"}', None, "Find")]),
    "nothing between": ([], [piece('{"path": "a"}', "c1", "Read")], [], [piece('{"path": "b"}', "c2", "Find", 1)]),
}  # fmt: skip


@pytest.mark.parametrize("how", list(ANOMALIES))
@pytest.mark.parametrize("front", ["A", "S", "G"])
@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
def test_t18_anomalies_of_chunks(front: str, how: str, finish: str) -> None:
    """C→*: however a provider numbers its calls, they are two, with their own arguments, and the client is to run them."""
    there = asked(front, "C", asks(front, HELLO, TOOLS), stream=True)
    for cut in (0, 1, 7, 64):
        said = heard(front, there.answered(calling(*ANOMALIES[how], finish=finish), cut=cut), stream=True)
        assert said.done == [("Read", {"path": "a"}), ("Find", {"path": "b"})]
        assert said.stop in ("tool_use", "completed", "STOP")
