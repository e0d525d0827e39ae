"""Acceptance cases 31 to 40: call ids, order of calls, Anthropic's attribution block, cache marks, media in results."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest
from asking import Assistant, Call, Result, User, asks, named_tools, system_of, told
from crossings import asked
from said import Said, candidate, chunk, data_frames, frames_of, says
from sdk_oracles import heard

CUTS = (0, 1, 7, 64)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def bare(value: Any) -> Any:
    """A body without its cache marks: what the provider's cache compares, which is tokens, however a text stands in JSON."""
    match value:
        case [{"type": "text", "text": str(text), **rest}] if not set(rest) - {"cache_control", "prompt_cache_breakpoint"}:
            return text
        case _:
            pass
    if isinstance(value, dict):
        return {key: bare(one) for key, one in value.items() if key not in ("cache_control", "prompt_cache_breakpoint")}
    return [bare(one) for one in value] if isinstance(value, list) else value


# ---- 31 -----------------------------------------------------------------------------------------

LONG = "x" * 83
IDS = {
    "83 characters": (Call(LONG),),
    "two that begin alike": (Call(LONG + "1"), Call(LONG + "2")),
    "illegal characters": (Call("call:1/ä b"), Call("call.1/ä b")),
    "an empty one": (Call(""),),
}


def matched(back: str, body: Any) -> list[tuple[Any, str]]:
    """Each call's arguments with the text of its result."""
    found = told(back, body)
    results = dict(found.results)
    if back == "G" and not all(ident for ident, _, _ in found.calls):
        return [(arguments, text) for (_, _, arguments), (_, text) in zip(found.calls, found.results, strict=True)]
    assert len(results) == len(found.results) == len({ident for ident, _, _ in found.calls}), found
    return [(arguments, results[ident]) for ident, _, arguments in found.calls]


@pytest.mark.parametrize("ids", list(IDS.values()), ids=list(IDS))
@pytest.mark.parametrize("back", "ASG")
def test_case_31_call_ids_fit_the_target_and_stay_matched(back: str, ids: tuple[Call, ...]) -> None:
    """Whatever ids a client's history has, the provider gets ids that it takes, each call matched with its own result."""
    calls = tuple(Call(one.id, "f", json.dumps({"a": at})) for at, one in enumerate(ids))
    results = tuple(Result(one.id, f"result {at}") for at, one in enumerate(ids))
    body = asks("C", User(), Assistant("", calls), *reversed(results), User("go on"), tools=("f",))
    one = asked("C", back, body)
    limit = {"A": r"[a-zA-Z0-9_-]{1,64}", "S": r".{1,64}", "G": r".{0,64}"}[back]

    assert all(re.fullmatch(limit, ident) for ident, _, _ in told(back, one.body).calls)
    assert [({"a": at}, f"result {at}") for at in range(len(ids))] == matched(back, one.body)
    assert one.data == asked("C", back, body).data


@pytest.mark.parametrize("ident", ["dup", ""])
@pytest.mark.parametrize("back", "ASG")
def test_case_31_ids_that_repeat_in_later_turns_stay_matched(back: str, ident: str) -> None:
    """A second call with the id of an earlier one gets an id of its own, and so does its result; later turns change nothing."""
    history: list[Any] = []
    bodies = []
    for at in range(3):
        history += [User(f"turn {at}"), Assistant("", (Call(ident, "f", json.dumps({"a": at})),)), Result(ident, f"result {at}")]
        bodies.append(asked("C", back, asks("C", *history, tools=("f",))).body)
    found = [told(back, body).calls for body in bodies]

    assert [({"a": at}, f"result {at}") for at in range(3)] == matched(back, bodies[-1])
    assert found[0] == found[1][:1] == found[2][:1] and found[1] == found[2][:2]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("back", "ASG")
def test_case_31_ids_come_back_to_the_client_and_return_as_they_were(back: str, stream: bool, cut: int) -> None:
    """A call that the provider names is named alike when the client sends it back."""
    first = asked("C", back, asks("C", tools=("f",)), stream=stream)
    reply = Said(calls=(("toolu_01", "f", '{"a": 1}'), ("toolu_02", "f", '{"a": 2}')))
    got = heard("C", first.answered(says(back, reply, stream=stream), cut=cut), stream=stream)
    calls = tuple(Call(ident, name, json.dumps(args)) for ident, (name, args) in zip(got.ids, got.calls, strict=True))
    body = asks("C", User(), Assistant("", calls), *(Result(one, f"r{one}") for one in got.ids), tools=("f",))
    again = told(back, asked("C", back, body).body)

    assert 2 == len(set(got.ids)) and all(len(one) <= 64 for one in got.ids)
    assert ["toolu_01", "toolu_02"] == [ident or f"toolu_0{at}" for at, (ident, _, _) in enumerate(again.calls, 1)]
    assert [{"a": 1}, {"a": 2}] == [args for _, _, args in again.calls]


# ---- 32 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("back", "ACS")
def test_case_32_calls_without_ids_are_matched_by_order(back: str) -> None:
    """Three calls of one function without ids have, in this order, the three results that follow."""
    calls = tuple(Call("", "f", json.dumps({"a": at})) for at in range(3))
    body = asks("G", User(), Assistant("", calls), *(Result("", f"result {at}") for at in range(3)), tools=("f",))
    one = asked("G", back, body)

    assert [({"a": at}, f"result {at}") for at in range(3)] == matched(back, one.body)
    assert one.data == asked("G", back, body).data
    longer = asks("G", User(), Assistant("", calls), *(Result("", f"result {at}") for at in range(3)), Assistant("x"), User("y"),
                  tools=("f",))  # fmt: skip
    assert told(back, one.body).calls == told(back, asked("G", back, longer).body).calls


@pytest.mark.parametrize("back", "ACS")
def test_case_32_results_that_name_nothing_are_matched_by_order(back: str) -> None:
    """Neither an id nor a function: the first result is the first call's, though the calls have ids."""
    calls = tuple(Call(f"c{at}", "f", json.dumps({"a": at})) for at in range(3))
    results = (Result("", f"result {at}", name="") for at in range(3))
    body = asked("G", back, asks("G", User(), Assistant("", calls), *results, tools=("f",))).body

    assert [({"a": at}, f"result {at}") for at in range(3)] == matched(back, body)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("back", "ACS")
def test_case_32_the_client_gets_ids_and_sends_them_back(back: str, stream: bool, cut: int) -> None:
    """The client's calls have ids, and the next turn has the very ids of the provider."""
    reply = Said(calls=tuple((f"call_{at}", "f", json.dumps({"a": at})) for at in range(3)))
    first = asked("G", back, asks("G", tools=("f",)), stream=stream)
    got = heard("G", first.answered(says(back, reply, stream=stream), cut=cut), stream=stream)
    assert ["call_0", "call_1", "call_2"] == got.ids

    calls = tuple(Call(ident, name, json.dumps(args)) for ident, (name, args) in zip(got.ids, got.calls, strict=True))
    body = asks("G", User(), Assistant("", calls), *(Result(one, f"r {one}") for one in reversed(got.ids)), tools=("f",))
    again = told(back, asked("G", back, body).body)
    assert ["call_0", "call_1", "call_2"] == [ident for ident, _, _ in again.calls]
    assert {(one, f"r {one}") for one in got.ids} == set(again.results)


# ---- 33 -----------------------------------------------------------------------------------------


def call(index: int | None, ident: str | None, name: str | None, arguments: str | None) -> dict[str, Any]:
    """A fragment of a call, as some provider of Chat streams it."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    told = {"index": index, "id": ident, "type": "function" if ident else None, "function": function}
    return {key: value for key, value in told.items() if value is not None}


ANOMALIES: dict[str, list[dict[str, Any]]] = {
    "all of index 0": [
        {"tool_calls": [call(0, "c1", "f", "")]}, {"tool_calls": [call(0, None, None, '{"a":1}')]},
        {"tool_calls": [call(0, "c2", "g", "")]}, {"tool_calls": [call(0, None, None, '{"a":2}')]},
    ],
    "no index": [{"tool_calls": [call(None, "c1", "f", '{"a":1}'), call(None, "c2", "g", '{"a":2}')]}],
    "index from 1": [{"tool_calls": [call(1, "c1", "f", '{"a":1}')]}, {"tool_calls": [call(2, "c2", "g", '{"a":2}')]}],
    "id and name again and again": [
        {"tool_calls": [call(0, "c1", "f", '{"a"')]}, {"tool_calls": [call(0, "c1", "f", ":1}")]},
        {"tool_calls": [call(1, "c2", "g", '{"a"')]}, {"tool_calls": [call(1, "c2", "g", ":2}")]},
    ],
    "whole in one chunk": [{"tool_calls": [call(0, "c1", "f", '{"a":1}'), call(1, "c2", "g", '{"a":2}')]}],
    "no ids": [{"tool_calls": [call(0, "", "f", '{"a":1}')]}, {"tool_calls": [call(0, "", "g", '{"a":2}')]}],
    "content null in every chunk": [
        {"content": None, "tool_calls": [call(0, "c1", "f", '{"a":1}')]},
        {"content": None, "tool_calls": [call(1, "c2", "g", '{"a":2}')]}, {"content": "", "tool_calls": []},
    ],
}  # fmt: skip
CALLED = {"A": "tool_use", "S": "completed", "G": "STOP"}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("finish", ["stop", "tool_calls"])
@pytest.mark.parametrize("deltas", list(ANOMALIES.values()), ids=list(ANOMALIES))
@pytest.mark.parametrize("front", "ASG")
def test_case_33_anomalies_of_chat_streams_do_not_merge_calls(front: str, deltas: list[Any], finish: str, cut: int) -> None:
    """Two calls remain two calls with their own arguments, and the reply ends in them, whatever the provider says."""
    stream = (
        data_frames(chunk({"role": "assistant", "content": ""}), *map(chunk, deltas), chunk({}, finish)) + b"data: [DONE]\n\n"
    )
    one = asked(front, "C", asks(front, tools=("f", "g")), stream=True)
    got = heard(front, one.answered(stream, cut=cut), stream=True)

    assert [("f", {"a": 1}), ("g", {"a": 2})] == got.calls
    assert 2 == len(set(got.ids)) and all(got.ids)
    assert CALLED[front] == got.stop


@pytest.mark.parametrize("front", "ASG")
def test_case_33_a_whole_reply_that_stops_with_calls_is_one_of_calls(front: str) -> None:
    """``finish_reason: stop`` with calls in a body means calls."""
    one = asked(front, "C", asks(front, tools=("f",)))
    got = heard(front, one.answered(says("C", Said(calls=(("c1", "f", '{"a":1}'),), stop="stop"), stream=False)), stream=False)

    assert ([("f", {"a": 1})], CALLED[front]) == (got.calls, got.stop)


# ---- 34 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("front", "ACS")
def test_case_34_calls_in_chunks_of_their_own_and_a_late_stop(front: str, cut: int) -> None:
    """Two calls in two chunks and an end in a third without parts: calls 0 and 1, and an end in calls."""
    calls = [candidate([{"functionCall": {"name": name, "args": {"a": at}}}]) for at, name in enumerate("fg")]
    stream = data_frames(*calls, candidate([], "STOP", usageMetadata={"promptTokenCount": 3, "totalTokenCount": 3}))
    one = asked(front, "G", asks(front, tools=("f", "g")), stream=True)
    data = one.answered(stream, cut=cut)
    got = heard(front, data, stream=True)

    assert [("f", {"a": 0}), ("g", {"a": 1})] == got.calls
    assert {"A": "tool_use", "C": "tool_calls", "S": "completed"}[front] == got.stop
    assert 2 == len(set(got.ids)) and all(got.ids)
    frames = frames_of(data)
    if front == "C":
        entries = [entry for one in frames for choice in one["choices"] for entry in choice["delta"].get("tool_calls", ())]
        assert [0, 1] == sorted({entry["index"] for entry in entries})
    elif front == "A":
        assert [0, 1] == [one["index"] for one in frames if one["type"] == "content_block_start"]
    else:
        assert [0, 1] == [one["output_index"] for one in frames if one["type"] == "response.output_item.added"]


# ---- 36 -----------------------------------------------------------------------------------------

BILLING = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=abc12;"}
RULES = {"type": "text", "text": "You are an agent."}


@pytest.mark.parametrize("back", "CSG")
def test_case_36_the_attribution_block_does_not_leave_for_another_vendor(back: str) -> None:
    """The block that changes with every request is taken out whole; what follows it is the first of the instructions."""
    bodies = []
    for stamp in ("abc12", "def34"):
        block = {"type": "text", "text": f"x-anthropic-billing-header: cc_version=2.1; cch={stamp};"}
        bodies.append(asked("A", back, asks("A", system=[block, RULES])).data)

    assert b"billing" not in bodies[0] and bodies[0] == bodies[1]
    assert "You are an agent." == system_of(back, json.loads(bodies[0])).strip()


def test_case_36_the_attribution_block_stays_for_anthropic() -> None:
    """Within the dialect the body is byte-equal, the block in it."""
    body = {"model": "m", "max_tokens": 5, "system": [BILLING, RULES], "messages": [{"role": "user", "content": "hi"}]}
    one = asked("A", "A", body, model="m")

    assert json.dumps(body).encode() == one.data and [] == one.losses


# ---- 37 -----------------------------------------------------------------------------------------

MARK = {"type": "ephemeral"}


def marked_turn(number: int) -> dict[str, Any]:
    """A request of Claude Code's in the middle of its work: marks on the instructions and on the last turn."""
    messages: list[dict[str, Any]] = []
    for at in range(number + 1):
        block: dict[str, Any] = {"type": "text", "text": f"question {at}"}
        messages.append({"role": "user", "content": [{**block, "cache_control": MARK} if at == number else block]})
        if at < number:
            messages.append({"role": "assistant", "content": [{"type": "text", "text": f"answer {at}"}]})
    return {"max_tokens": 500, "system": [{**RULES, "cache_control": MARK}], "messages": messages,
            "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": MARK}]}  # fmt: skip


@pytest.mark.parametrize(("model", "supported"), [("gpt-5.6", True), ("gpt-4.1", False)])
@pytest.mark.parametrize("back", "SC")
def test_case_37_marks_become_breakpoints_where_the_model_has_them(back: str, model: str, supported: bool) -> None:
    """OpenAI's models that know breakpoints get the client's; others get none of any kind."""
    data = asked("A", back, marked_turn(2), model=model).data

    assert b"cache_control" not in data
    assert supported == (b"prompt_cache_breakpoint" in data)
    assert data.count(b"prompt_cache_breakpoint") <= 4


@pytest.mark.parametrize("model", ["gpt-5.6", "gpt-4.1"])
@pytest.mark.parametrize("back", "SC")
def test_case_37_what_stands_before_a_mark_is_the_same_in_the_next_turn(back: str, model: str) -> None:
    """Turn by turn the conversation only grows: what a provider has cached begins the next request."""
    key = "input" if back == "S" else "messages"
    bodies = [asked("A", back, marked_turn(number), model=model).body for number in range(4)]
    for before, after in itertools.pairwise(bodies):
        assert bare(before[key]) == bare(after[key])[: len(before[key])]
        assert {name: bare(value) for name, value in before.items() if name != key} == {
            name: bare(value) for name, value in after.items() if name != key
        }


# ---- 38 -----------------------------------------------------------------------------------------


def blocks(body: dict[str, Any]) -> list[tuple[str, bool]]:
    """All that Anthropic's cache sees, in its order, and whether a mark stands behind it."""
    system = [{"type": "text", "text": body["system"]}] if isinstance(body.get("system"), str) else body.get("system", [])
    out = [*body.get("tools", ()), *system]
    for one in body["messages"]:
        content = [{"type": "text", "text": one["content"]}] if isinstance(one["content"], str) else one["content"]
        out += [{"role": one["role"], **block} for block in content]
    return [(json.dumps(bare(block)), "cache_control" in block) for block in out]


def reads_cache(before: dict[str, Any], after: dict[str, Any]) -> int:
    """Blocks of the second request that Anthropic reads from what the first one has written."""
    written = [at for at, (_, mark) in enumerate(blocks(before), 1) if mark]
    marks = [at for at, (_, mark) in enumerate(blocks(after), 1) if mark]
    old, new = [text for text, _ in blocks(before)], [text for text, _ in blocks(after)]
    found = [at for at in written if old[:at] == new[:at] and any(at <= mark <= at + 20 for mark in marks)]
    return max(found, default=0)


@pytest.mark.parametrize("front", "SC")
def test_case_38_marks_of_our_own_let_anthropic_cache(front: str) -> None:
    """A client that marks nothing gets at most four marks, and each turn reads what the one before has written, to its end."""
    history: list[Any] = [User("question 0")]
    bodies = [asked(front, "A", asks(front, *history, tools=("f",), system="You are an agent.")).body]
    for at in range(3):
        history += [Assistant("let me see", (Call(f"call_{at}"),)), Result(f"call_{at}", f"result {at}")]
        bodies.append(asked(front, "A", asks(front, *history, tools=("f",), system="You are an agent.")).body)
    marks = [sum(mark for _, mark in blocks(body)) for body in bodies]

    assert all(1 <= count <= 4 for count in marks), marks
    for before, after in itertools.pairwise(bodies):
        assert len(blocks(before)) == reads_cache(before, after)


# ---- 39 -----------------------------------------------------------------------------------------


def test_case_39_a_client_that_has_four_marks_keeps_four() -> None:
    """Within the dialect nothing is added."""
    messages = [{"role": "user", "content": [{"type": "text", "text": f"{at}", "cache_control": MARK}]} for at in range(4)]
    body = {"model": "m", "max_tokens": 5, "messages": messages}

    assert json.dumps(body).encode() == asked("A", "A", body, model="m").data


@pytest.mark.parametrize("count", [1, 4, 6])
def test_case_39_a_client_of_another_dialect_never_gets_more_than_four(count: int) -> None:
    """Its own marks are kept, the latest four of them, and none is added beside them."""
    parts = [{"type": "text", "text": f"{at}", "cache_control": MARK} for at in range(count)]
    body = asked("C", "A", {"messages": [{"role": "system", "content": "rules"}, {"role": "user", "content": parts}]}).body

    assert [False] * (1 + count - min(count, 4)) + [True] * min(count, 4) == [mark for _, mark in blocks(body)]


# ---- 40 -----------------------------------------------------------------------------------------

IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
SHOWN = {
    "max_tokens": 100,
    "tools": [{"name": name, "input_schema": {"type": "object"}} for name in ("look", "read")],
    "messages": [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "t1", "name": "look", "input": {}},
            {"type": "tool_use", "id": "t2", "name": "read", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "a view"}, IMAGE]},
            {"type": "tool_result", "tool_use_id": "t2", "content": [IMAGE]},
            {"type": "text", "text": "and now?"},
        ]},
    ],
}  # fmt: skip


def texts_in(value: Any) -> list[str]:
    """All that a model would read as text."""
    if isinstance(value, dict):
        own = [one for key, one in value.items() if key in ("text", "output", "content", "result") and isinstance(one, str)]
        return own + [text for one in value.values() for text in texts_in(one)]
    return [text for one in value for text in texts_in(one)] if isinstance(value, list) else []


def test_case_40_pictures_in_results_for_chat() -> None:
    """Tool messages have text only; one message of the user's behind the last one shows the pictures and says whose they are."""
    body = asked("A", "C", SHOWN).body
    roles = [one["role"] for one in body["messages"]]

    assert ["user", "assistant", "tool", "tool"] == roles[:4] and set(roles[4:]) == {"user"}
    assert ["t1", "t2"] == [one["tool_call_id"] for one in body["messages"][2:4]]
    assert "a view" in body["messages"][2]["content"] and body["messages"][3]["content"]
    shown = body["messages"][4]["content"]
    assert [f"data:image/png;base64,{PNG}"] * 2 == [one["image_url"]["url"] for one in shown if one["type"] == "image_url"]
    words = " ".join(one["text"] for one in shown if one["type"] == "text")
    assert "look" in words and "read" in words and "t1" not in words
    assert not any(PNG[:20] in text for text in texts_in(body))


def test_case_40_pictures_in_results_for_responses() -> None:
    """Outputs are lists with the pictures in them."""
    body = asked("A", "S", SHOWN).body
    outputs = [one for one in body["input"] if one["type"] == "function_call_output"]

    assert ["t1", "t2"] == [one["call_id"] for one in outputs]
    assert ["input_text", "input_image"] == [part["type"] for part in outputs[0]["output"]]
    assert all(f"data:image/png;base64,{PNG}" == one["output"][-1]["image_url"] for one in outputs)
    assert not any(PNG[:20] in text for text in texts_in(body))


@pytest.mark.parametrize("model", ["gemini-3-pro", "gemini-2.5-flash"])
def test_case_40_pictures_in_results_for_gemini(model: str) -> None:
    """The third generation has them inside the response, older models behind all responses of the turn."""
    body = asked("A", "G", SHOWN, model=model).body
    turn = next(one for one in body["contents"] if any("functionResponse" in part for part in one["parts"]))
    given = [part["functionResponse"] for part in turn["parts"] if "functionResponse" in part]

    assert ["look", "read"] == [one["name"] for one in given]
    inside = [part["inlineData"] for one in given for part in one.get("parts", ())]
    beside = [part["inlineData"] for part in turn["parts"] if "inlineData" in part]
    pictures = [{"mimeType": "image/png", "data": PNG}] * 2
    assert (pictures, []) == ((inside, beside) if model == "gemini-3-pro" else (beside, inside))
    if beside:
        kinds = ["functionResponse" in part for part in turn["parts"]]
        assert kinds[:2] == [True, True] and not any(kinds[2:])
    assert not any(PNG[:20] in text for text in texts_in(body))


def test_tools_are_told_by_name() -> None:
    """The means of these tests: each dialect's tools are found."""
    for front in "CSAG":
        assert ["f"] == named_tools(front, asks(front, tools=("f",)))
