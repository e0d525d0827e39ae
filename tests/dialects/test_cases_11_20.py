"""Acceptance cases 11 to 20: parallel calls, failures, usage, and opaque state that is not the provider's own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from crossings import DIALECTS, PAIRS, asked
from oracles import RAISED, goes_on, heard
from wires import SIGNATURE, Call, Result, Think, asks, data, frames, gave, model, named, replies, told, user

from llmgw.errors import GatewayError
from llmgw.events import Error
from llmgw.model import Carrier
from llmgw_dialects import envelope

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
ALL = [(front, back) for front in DIALECTS for back in DIALECTS]
STREAMS = [False, True]
HELLO = [user("Hi")]


# ---- 11: parallel calls -------------------------------------------------------------------------

FIRST, SECOND = Call("call_1", "Read", '{"path": "a"}'), Call("call_2", "Find", '{"path": "b"}')
OUT_OF_ORDER = [
    user("Look"),
    model("So.", FIRST, SECOND),
    gave(Result("call_2", "Find", "not there", failed=True), Result("call_1", "Read", "words")),
]


@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_case_11_results_out_of_order(front: str, back: str) -> None:
    """any→any: results stand in the order of their calls, where the target wants them, each under its own id and name."""
    body = asks(front, [*OUT_OF_ORDER, user("And?")], {"Read": SCHEMA, "Find": SCHEMA})
    if front in "AG":  # a client of these says it in the same turn, behind the results
        said = body["messages" if front == "A" else "contents"]
        key = "content" if front == "A" else "parts"
        said[-2:] = [{**said[-2], key: [*said[-2][key], *said[-1][key]]}]
    there = asked(front, back, body)
    known = told(back, there.body)
    names = [name for _, name, _ in known.calls]
    assert names == ["Read", "Find"] == [name for _, name, _, _ in known.results]
    if back != "G" or known.calls[0][0] is not None:
        assert [call[0] for call in known.calls] == [result[0] for result in known.results]
        assert len({call[0] for call in known.calls}) == 2
    first, second = known.results
    assert (first[2], "not there" in second[2]) == ("words", True)
    assert known.said[-1][:1] == ("user",) and "And?" in known.said[-1][1]
    if front in "AG":  # others cannot say that a tool failed
        assert second[3] is True if back in "AG" else second[2] != "not there"
        assert first[3] in (False, None)
    match back:
        case "C":
            assert [message["role"] for message in there.body["messages"]] == ["user", "assistant", "tool", "tool", "user"]
        case "A":
            *_, turn = there.body["messages"]
            assert [block["type"] for block in turn["content"]] == ["tool_result", "tool_result", "text"]
        case "G":
            *_, turn = there.body["contents"]
            assert [next(iter(part)) for part in turn["parts"]] == ["functionResponse", "functionResponse", "text"]
        case _:
            assert [one[0] for one in known.said] == ["user", "assistant", "call", "call", "result", "result", "user"]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_case_11_parallel_calls_come_and_go(front: str, back: str, stream: bool) -> None:
    """any→any: two calls of a reply reach the client in their order, and the next request gives the provider its own ids."""
    body = asks(front, [user("Look")], {"Read": SCHEMA, "Find": SCHEMA})
    there = asked(front, back, body, stream=stream)
    reply = replies(back, "So.", FIRST, SECOND, stream=stream)
    said = heard(front, there.answered(reply), stream=stream)
    assert said.done == [("Read", {"path": "a"}), ("Find", {"path": "b"})] and said.text == "So."
    for cut in (1, 7, 64) if stream else (7,):
        assert there.answered(reply, cut=cut) == there.answered(reply)
    results = [Result(call[0] or "", call[1], f"of {call[1]}") for call in said.calls]
    turn = asks(front, [gave(*reversed(results))])
    again = asked(front, back, goes_on(front, body, said, *turn[{"S": "input", "G": "contents"}.get(front, "messages")]))
    known = told(back, again.body)
    assert [(ident, name) for ident, name, *_ in known.calls] == [("call_1", "Read"), ("call_2", "Find")]
    assert [one[:3] for one in known.results] == [("call_1", "Read", "of Read"), ("call_2", "Find", "of Find")]


# ---- 12 to 14: failures -------------------------------------------------------------------------

LAST_WORDS = {"C": b"[DONE]", "S": b"response.completed", "A": b"message_stop", "G": b'"finishReason"'}


@pytest.mark.parametrize(("front", "back"), ALL)
def test_case_12_a_stream_that_breaks_off(front: str, back: str) -> None:
    """any→any: a provider that is gone after three deltas is an error in the client's own words, and never an end."""
    there = asked(front, back, asks(front, HELLO), stream=True)
    whole = replies(back, "Hello there, you", stream=True)
    cut = whole[: whole.index(b'"e, yo')]
    for size in (0, 1, 7, 64):
        got = there.answered(cut, cut=size)
        assert b"Hello" in got and LAST_WORDS[front] not in got and b'"finish_reason":"stop"' not in got
        assert b"error" in got or b"failed" in got
        with pytest.raises(RAISED[front]) if front != "S" else pytest.raises(Exception):
            heard(front, got, stream=True)


REFUSALS = {
    "C": (429, {"error": {"message": "Slow down. Please try again in 7s.", "type": "requests", "param": None,
                          "code": "rate_limit_exceeded"}}),
    "S": (429, {"error": {"message": "Slow down. Please try again in 7s.", "type": "requests", "param": None,
                          "code": "rate_limit_exceeded"}}),
    "A": (429, {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down."}, "request_id": "r"}),
    "G": (429, {"error": {"code": 429, "message": "Slow down.", "status": "RESOURCE_EXHAUSTED", "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}]}}),
}  # fmt: skip


@pytest.mark.parametrize(("front", "back"), ALL)
def test_case_13_too_many_requests(front: str, back: str) -> None:
    """any→any: a 429 is one in the client's dialect, with the time to wait where its clients look for it."""
    status, body = REFUSALS[back]
    error = DIALECTS[back].read_error(status, {"retry-after": "7"}, json.dumps(body).encode())
    assert (error.kind, error.retry_after) == ("rate_limited", 7)
    one = DIALECTS[front]
    assert one.error_status(error) == 429
    got = json.loads(one.write_error(error))["error"]
    match front:
        case "C" | "S":
            assert (got["code"], "Slow down" in got["message"]) == ("rate_limit_exceeded", True)
            assert front == back or front == "C" or "try again in 7s" in got["message"]
        case "A":
            assert got["type"] == "rate_limit_error"
        case _:
            assert (got["code"], got["status"]) == (429, "RESOURCE_EXHAUSTED")
            delays = [detail["retryDelay"] for detail in got["details"] if detail["@type"].endswith("RetryInfo")]
            assert delays == ["7s"]


IN_BAND = {
    "C": data({"error": {"message": "Overloaded", "type": "server_error", "code": "server_is_overloaded", "param": None}}),
    "S": named({"type": "error", "code": "server_is_overloaded", "message": "Overloaded", "param": None, "sequence_number": 0}),
    "A": named({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    "G": data({"error": {"code": 503, "message": "Overloaded", "status": "UNAVAILABLE"}}),
}


@pytest.mark.parametrize(("front", "back"), ALL)
def test_case_14_an_error_first(front: str, back: str) -> None:
    """any→any: an error at the head of a stream comes before anything of meaning, and has a status of its own."""
    there = asked(front, back, asks(front, HELLO), stream=True)
    for cut in (0, 1, 7, 64):
        *before, last = there.events(IN_BAND[back], cut=cut)
        assert isinstance(last, Error) and not [event for event in before if event.__class__.__name__.startswith("Block")]
        assert last.error.kind == "overloaded" and there.front.error_status(last.error) in (502, 503, 529)


# ---- 15, 16: usage ------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("back", ["C", "S", "A", "G"])
def test_case_15_usage_for_compaction(back: str, stream: bool) -> None:
    """A→*: the last word on usage has the input without what was cached, and the cache beside it; never all zeros."""
    there = asked("A", back, asks("A", HELLO), stream=stream)
    if back == "C" and stream:
        assert there.body["stream_options"]["include_usage"] is True
    got = there.answered(replies(back, Think("hm"), "Hello", stream=stream))
    if stream:
        [usage] = [event["usage"] for event in frames(got) if event["type"] == "message_delta"]
        [start] = [event["message"]["usage"] for event in frames(got) if event["type"] == "message_start"]
        assert type(start["input_tokens"]) is int and type(start["output_tokens"]) is int
    else:
        usage = json.loads(got)["usage"]
    written = 0 if back == "G" else 10
    assert usage["input_tokens"] == 100 - 60 - written > 0
    assert (usage["cache_read_input_tokens"], usage["output_tokens"]) == (60, 20)
    assert (usage.get("cache_creation_input_tokens") or 0) == written
    assert heard("A", got, stream=stream).usage["input_tokens"] == usage["input_tokens"]


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("back", ["C", "S", "A", "G"])
def test_case_16_include_usage(back: str, wanted: bool) -> None:
    """C→*: one last chunk with the usage for who asked for it, none for others; the gateway knows it in any case."""
    if back == "C":
        pytest.skip("C to C is relayed: see test_case_16_within_chat")
    body = asks("C", HELLO, **({"stream_options": {"include_usage": True}} if wanted else {}))
    there = asked("C", back, body, stream=True)
    reply = replies(back, "Hello", stream=True)
    chunks = frames(there.answered(reply))
    with_usage = [chunk for chunk in chunks if chunk.get("usage")]
    if wanted:
        assert [chunk["choices"] for chunk in with_usage] == [[]] and with_usage[0] is chunks[-1]
        assert with_usage[0]["usage"]["prompt_tokens"] == 100 and with_usage[0]["usage"]["completion_tokens"] == 20
    else:
        assert with_usage == [] and all(chunk["choices"] for chunk in chunks)
    known = [event.usage for event in there.events(reply) if getattr(event, "usage", None)]
    assert known[-1].input_total == 100 and known[-1].output_total == 20


@pytest.mark.parametrize("wanted", [True, False])
def test_case_16_within_chat(wanted: bool) -> None:
    """C→C: the usage chunk of a provider that is always asked for one is passed on only to who asked for it."""
    body = asks("C", HELLO, **({"stream_options": {"include_usage": True}} if wanted else {}))
    there = asked("C", "C", body, stream=True)
    reply = replies("C", "Hello", stream=True, **({} if wanted else {"usage": None}))
    chunks = frames(there.answered(reply))
    assert len([chunk for chunk in chunks if chunk.get("usage")]) == int(wanted)
    known = [event.usage for event in there.events(replies("C", "Hello", stream=True)) if getattr(event, "usage", None)]
    assert known[-1].input_total == 100


# ---- 17 to 20: opaque state ---------------------------------------------------------------------


def sealed(provider: str, kind: Any, payload: str = "gAAAAx") -> str:
    """An envelope with what another vendor issued."""
    return envelope.sealed(Carrier(provider=provider, kind=kind, payload=payload), "hm")


FOREIGN = [sealed("openai", "encrypted_content"), sealed("google", "thought_signature"), envelope.sealed(None, "hm")]


@pytest.mark.parametrize("seal", FOREIGN, ids=["openai", "google", "minted"])
def test_case_17_a_switch_back_to_claude(seal: str) -> None:
    """A→A: thoughts in envelopes of others are taken out, native ones stay to the byte, and no text is lost."""
    native = {"type": "thinking", "thinking": "mine\u2028", "signature": SIGNATURE, "new": 1.50}
    body = {
        "max_tokens": 9, "thinking": {"type": "adaptive"},
        "messages": [{"role": "user", "content": "go"},
                     {"role": "assistant", "content": [native, {"type": "text", "text": "one"}]},
                     {"role": "user", "content": "on"},
                     {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": seal},
                                                       {"type": "redacted_thinking", "data": seal},
                                                       {"type": "text", "text": "two", "x": 2.0}]},
                     {"role": "user", "content": "on"}],
    }  # fmt: skip
    there = asked("A", "A", body)
    blocks = [block for turn in there.body["messages"] if turn["role"] == "assistant" for block in turn["content"]]
    assert blocks == [native, {"type": "text", "text": "one"}, {"type": "text", "text": "two", "x": 2.0}]
    assert json.dumps(native).encode() in there.data and b'"x": 2.0' in there.data and b"llmgw" not in there.data


THOUGHTS = {
    "A": [{"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": SIGNATURE},
                                            {"type": "redacted_thinking", "data": "EmwK"},
                                            {"type": "text", "text": "So."},
                                            {"type": "tool_use", "id": "call_1", "name": "Read", "input": {"path": "a"}}]}],
    "S": [{"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gAAAAx"},
          {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "So.", "annotations": []}]},
          {"type": "function_call", "call_id": "call_1", "name": "Read", "arguments": '{"path": "a"}'}],
    "G": [{"role": "model", "parts": [{"text": "hm", "thought": True}, {"text": "So.", "thoughtSignature": SIGNATURE},
                                      {"functionCall": {"id": "call_1", "name": "Read", "args": {"path": "a"}},
                                       "thoughtSignature": SIGNATURE}]}],
}  # fmt: skip


@pytest.mark.parametrize(("front", "back"), [("A", "S"), ("S", "A"), ("A", "G"), ("G", "A")])
def test_case_18_foreign_thoughts(front: str, back: str) -> None:
    """A→S, S→A, A→G, G→A: thoughts of another vendor are left out with a note; text, call and result stay paired."""
    key = {"S": "input", "G": "contents"}.get(front, "messages")
    body = asks(front, [user("go")], {"Read": SCHEMA})
    rest = asks(front, [gave(Result("call_1", "Read", "words"))])[key]
    there = asked(front, back, {**body, key: [*body[key], *THOUGHTS[front], *rest]})
    known = told(back, there.body)
    assert [one[0] for one in known.said if one[0] != "system"] == ["user", "assistant", "call", "result"]
    assert known.results[0][:3] == ("call_1", "Read", "words") and SIGNATURE.encode() not in there.data
    assert not known.of("thought") and b"gAAAAx" not in there.data and b"EmwK" not in there.data
    assert any("carrier" in feature or feature.startswith("reasoning") for feature in there.features)


@pytest.mark.parametrize("said", ["thinking", "nothing"])
def test_case_18_thinking_is_off_where_no_thought_can_be_shown(said: str) -> None:
    """S→A: in the middle of a loop whose thoughts are lost a model with a budget does not think; one that adapts may."""
    loop = [*asks("S", [user("go")])["input"], *THOUGHTS["S"], *asks("S", [gave(Result("call_1", "Read"))])["input"]]
    reasoning = {"reasoning": {"effort": "high"}} if said == "thinking" else {}
    body = {"input": loop, "store": False, "tools": asks("S", [], {"Read": SCHEMA})["tools"], **reasoning}
    budget = asked("S", "A", body, model="claude-sonnet-4-5").body
    assert budget.get("thinking", {"type": "disabled"})["type"] == "disabled"
    adaptive = asked("S", "A", body, model="claude-opus-4-6").body
    assert adaptive.get("thinking", {}).get("type") == ("adaptive" if said == "thinking" else None)


@pytest.mark.parametrize("words", [
    (400, {"error": {"message": "The encrypted content could not be verified.", "code": "invalid_encrypted_content"}}, "S"),
    (404, {"error": {"message": "Item with id 'rs_1' not found.", "type": "invalid_request_error", "code": None}}, "S"),
    (400, {"type": "error", "error": {"type": "invalid_request_error", "message":
           "messages.1.content.0: Invalid `signature` in `thinking` block"}}, "A"),
    (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "Corrupted thought signature."}}, "G"),
])  # fmt: skip
def test_case_19_refusals_of_opaque_state(words: tuple[int, Any, str]) -> None:
    """A provider that refuses opaque state is known to do so, for a second try without (``tests/frontends``)."""
    status, body, back = words
    error = DIALECTS[back].read_error(status, {}, json.dumps(body).encode())
    assert isinstance(error, GatewayError) and error.cure == "carriers"


BYPASS = "skip_thought_signature_validator"


def test_case_20_the_bypass() -> None:
    """A→G: it stands on the first call of each step of the running loop, and nowhere else."""
    turns = [
        user("one"),
        model(Call("a1", "Read", '{"path": "a"}')), gave(Result("a1", "Read")), model("Done."),
        user("two"),
        model(Call("b1", "Read", '{"path": "b"}'), Call("b2", "Find", '{"path": "b"}')),
        gave(Result("b1", "Read"), Result("b2", "Find")),
        model("Further.", Call("c1", "Read", '{"path": "c"}')), gave(Result("c1", "Read")),
    ]  # fmt: skip
    there = asked("A", "G", asks("A", turns, {"Read": SCHEMA, "Find": SCHEMA}))
    found = [
        (part.get("functionCall", part.get("functionResponse", {})).get("id") or part.get("text"), part.get("thoughtSignature"))
        for content in there.body["contents"]
        for part in content["parts"]
        if "functionCall" in part or "functionResponse" in part or "thoughtSignature" in part
    ]
    signatures = [signature for _, signature in found]
    # a1, its result; b1, b2, their results; c1, its result
    assert signatures == [None, None, BYPASS, None, None, None, BYPASS, None]
    assert "tool_call.carrier" in there.features


def test_case_20_a_signature_that_is_known_is_used() -> None:
    """A→G: a step whose signature the gateway kept needs no bypass, and the next one that lacks it does."""
    body = asks("A", [user("go")], {"Read": SCHEMA})
    one = asked("A", "G", body)
    said = heard("A", one.answered(replies("G", Call("g1", "Read", '{"path": "a"}', seal=SIGNATURE))), stream=False)
    assert one.way is not None
    ident = said.calls[0][0] or ""
    turns = [user("go"), model(Call(ident, "Read", '{"path": "a"}')), gave(Result(ident, "Read")),
             model(Call("other", "Read", '{"path": "a"}')), gave(Result("other", "Read"))]  # fmt: skip
    there = asked("A", "G", asks("A", turns, {"Read": SCHEMA}), kept=one.way.kept)
    signed = [part.get("thoughtSignature") for turn in there.body["contents"] for part in turn["parts"] if "functionCall" in part]
    assert signed == [SIGNATURE, BYPASS]
