"""Acceptance cases 41 to 50: media, prefill, instructions, forced choices, effort, schemas, stop sequences, refusals."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest
from asking import Assistant, Call, Result, User, asks, limit_of, named_tools, system_of
from crossings import Asked, asked
from said import Said, chunk, data_frames, event_frames, message, response, says
from sdk_oracles import heard

from llmgw.errors import Unsupported
from llmgw.losses import LossPolicy

CUTS = (0, 1, 7, 64)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF = base64.b64encode(b"%PDF-1.4 a page").decode()


def parts_of(back: str, body: Any) -> list[Any]:
    """The parts of the first message of the user's."""
    match back:
        case "C":
            content = next(one["content"] for one in body["messages"] if one["role"] == "user")
        case "S":
            content = next(one["content"] for one in body["input"] if one.get("role") == "user")
        case "A":
            content = body["messages"][0]["content"]
        case _:
            content = body["contents"][0]["parts"]
    return [{"text": content}] if isinstance(content, str) else list(content)


# ---- 41 -----------------------------------------------------------------------------------------


def looking_at(url: str) -> dict[str, Any]:
    """A client of Chat that shows a picture."""
    content = [{"type": "text", "text": "what is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    return {"messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize("named", ["image/jpeg", "image/jpg", "application/octet-stream", "IMAGE/PNG"])
@pytest.mark.parametrize("back", "ASG")
def test_case_41_a_data_url_goes_under_the_type_that_its_bytes_have(back: str, named: str) -> None:
    """A PNG that is called something else arrives as a PNG, with its bytes."""
    picture = parts_of(back, asked("C", back, looking_at(f"data:{named};base64,{PNG[:40]}\n{PNG[40:]}")).body)[1]
    expected = {
        "A": {"type": "base64", "media_type": "image/png", "data": PNG},
        "S": f"data:image/png;base64,{PNG}",
        "G": {"mimeType": "image/png", "data": PNG},
    }

    assert expected[back] == {"A": picture.get("source"), "S": picture.get("image_url"), "G": picture.get("inlineData")}[back]


@pytest.mark.parametrize("back", "AS")
def test_case_41_a_url_stays_one_where_the_provider_fetches(back: str) -> None:
    """Anthropic and OpenAI fetch pictures themselves, and get the client's URL to the character."""
    url = "https://example.com/a%20b.png?x=1&y=2#z"
    picture = parts_of(back, asked("C", back, looking_at(url), policy=LossPolicy()).body)[1]

    assert ({"type": "url", "url": url} if back == "A" else url) == (picture["source"] if back == "A" else picture["image_url"])


@pytest.mark.parametrize(
    ("back", "url"),
    [
        ("G", "https://example.com/a.png"),
        ("G", "http://169.254.169.254/latest"),
        ("A", "http://127.0.0.1/a.png"),
        ("A", "file:///etc/passwd"),
    ],
)
def test_case_41_a_url_that_the_provider_does_not_fetch_is_refused(back: str, url: str) -> None:
    """The gateway fetches nothing from nowhere: such a picture is refused with the client's own path, or lost on the record."""
    with pytest.raises(Unsupported) as caught:
        asked("C", back, looking_at(url), policy=LossPolicy())
    assert str(caught.value.param).startswith("messages[0].content[1]") and 400 == caught.value.status

    let_go = asked("C", back, looking_at(url))
    assert {"input.url"} <= let_go.features and url.encode() not in let_go.data
    assert "what is this?" in json.dumps(let_go.body)


# ---- 42 -----------------------------------------------------------------------------------------

NOTES = base64.b64encode("Nötes".encode()).decode()
PAPERS: dict[str, tuple[Any, Any]] = {
    "A": (
        {"type": "document", "title": "paper.pdf", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
        {"type": "document", "title": "notes.txt", "source": {"type": "text", "media_type": "text/plain", "data": "Nötes"}},
    ),
    "C": (
        {"type": "file", "file": {"filename": "paper.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
        {"type": "file", "file": {"filename": "notes.txt", "file_data": f"data:text/plain;base64,{NOTES}"}},
    ),
    "S": (
        {"type": "input_file", "filename": "paper.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
        {"type": "input_file", "filename": "notes.txt", "file_data": f"data:text/plain;base64,{NOTES}"},
    ),
}


@pytest.mark.parametrize("front", "ACS")
def test_case_42_documents_for_gemini(front: str) -> None:
    """A PDF goes as data, a text as text below its title."""
    turn = {"role": "user", "content": list(PAPERS[front])}
    if front == "S":
        turn["type"] = "message"
    parts = parts_of("G", asked(front, "G", asks(front, turn), policy=LossPolicy()).body)

    assert {"mimeType": "application/pdf", "data": PDF} == parts[0]["inlineData"]
    assert ["notes.txt", "Nötes"] == [line for line in parts[1]["text"].splitlines() if line]


# ---- 43 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("back", "model"), [("C", "gpt-4.1"), ("S", "gpt-5.2"), ("G", "gemini-3-pro")])
def test_case_43_a_prefill_becomes_a_wish_where_the_model_does_not_continue(back: str, model: str, stream: bool) -> None:
    """The assistant's words stay, a user's message behind them asks to go on, and the answer is what the model said."""
    one = asked("A", back, asks("A", User("Count."), Assistant("One, two,")), stream=stream, model=model)
    data = json.dumps(one.body)

    assert "One, two," in data and "Continue exactly from where you stopped" in data
    assert data.index("One, two,") < data.index("Continue exactly from where you stopped")
    assert "prefill" in one.features
    got = heard("A", one.answered(says(back, Said(" three"), stream=stream)), stream=stream)
    assert " three" == got.text


def test_case_43_a_prefill_stays_one_where_the_model_continues() -> None:
    """Nothing is put behind it."""
    one = asked("A", "G", asks("A", User("Count."), Assistant("One, two,")), model="gemini-2.5-flash")

    assert {"role": "model", "parts": [{"text": "One, two,"}]} == one.body["contents"][-1]
    assert "prefill" not in one.features


# ---- 44 -----------------------------------------------------------------------------------------

LATER = {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Answer in French."}]}


@pytest.mark.parametrize("native", [False, True])
def test_case_44_an_instruction_between_a_call_and_its_result(native: bool) -> None:
    """It is said behind the result, where the model may be told so, and never moves to the beginning."""
    from llmgw_dialects.anthropic_messages import DIALECT
    from llmgw_dialects.profiles import with_overrides

    turns = (User("hi"), Assistant("", (Call("call_1"),)), LATER, Result("call_1", "42"), Assistant("So."), User("go on"))
    profile = with_overrides(DIALECT.profile("claude-sonnet-4-5"), {"mid_instructions": native})
    body = asked("S", "A", asks("S", *turns, system="Be brief.", tools=("f",)), profile=profile).body
    plain = asked("S", "A", asks("S", *(one for one in turns if one is not LATER), system="Be brief.", tools=("f",))).body

    assert "Be brief." == system_of("A", body).strip() == system_of("A", plain).strip()
    after = body["messages"][2:]
    assert ("user", "tool_result") == (after[0]["role"], after[0]["content"][0]["type"])
    if native:
        assert "system" == after[1]["role"] and "Answer in French." in json.dumps(after[1]["content"])
    else:
        assert "<system-reminder>\nAnswer in French.\n</system-reminder>" == after[0]["content"][-1]["text"]
    assert "Answer in French." not in json.dumps(body["messages"][:2])


# ---- 45 -----------------------------------------------------------------------------------------

FORCED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "C": ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"reasoning_effort": "high"}),
    "S": ({"tool_choice": {"type": "function", "name": "f"}}, {"reasoning": {"effort": "high"}}),
    "A": (
        {"tool_choice": {"type": "tool", "name": "f"}},
        {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
    ),
    "G": (
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}}},
        {"generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}}},
    ),
}


@pytest.mark.parametrize("front", "CSG")
def test_case_45_a_forced_call_switches_thinking_off_where_both_do_not_go(front: str) -> None:
    """The call is forced, thinking is off for this request, and that is on the record."""
    choice, thinking = FORCED[front]
    one = asked(front, "A", asks(front, tools=("f", "g"), **choice, **thinking), model="claude-sonnet-4-5")

    assert ("tool", "f") == (one.body["tool_choice"]["type"], one.body["tool_choice"]["name"])
    assert one.body.get("thinking", {}).get("type", "disabled") == "disabled"
    assert "reasoning" in one.features


@pytest.mark.parametrize("thinks", [False, True])
@pytest.mark.parametrize("front", "CSG")
def test_case_45_a_model_that_is_never_forced_is_asked_in_words(front: str, thinks: bool) -> None:
    """The choice is its own, and the last words of the user's ask for the call."""
    choice, thinking = FORCED[front]
    one = asked(front, "A", asks(front, tools=("f", "g"), **choice, **(thinking if thinks else {})), model="claude-fable-5")

    assert "auto" == one.body.get("tool_choice", {"type": "auto"})["type"]
    last = one.body["messages"][-1]
    assert "user" == last["role"] and "f" in json.dumps(last["content"]) and "must call" in json.dumps(last["content"])
    assert "tool_choice" in one.features


@pytest.mark.parametrize(("front", "back"), [("C", "S"), ("A", "S"), ("G", "S"), ("S", "C"), ("A", "C"), ("C", "G"), ("A", "G")])
def test_case_45_elsewhere_both_go_together(front: str, back: str) -> None:
    """Where a model may think and be forced it is told both."""
    choice, thinking = FORCED[front]
    body = asked(front, back, asks(front, tools=("f",), **choice, **thinking), model={"C": "gpt-5"}.get(back, "")).body
    expected = {
        "C": {"type": "function", "function": {"name": "f"}},
        "S": {"type": "function", "name": "f"},
        "G": {"mode": "ANY", "allowedFunctionNames": ["f"]},
    }

    assert expected[back] == (body["toolConfig"]["functionCallingConfig"] if back == "G" else body["tool_choice"])
    assert ("high", None) == told_thinking(back, body)


# ---- 46 -----------------------------------------------------------------------------------------


def told_thinking(back: str, body: Any) -> tuple[str | None, int | None]:
    """The effort and the budget that a provider is told; ``off`` where thinking is."""
    match back:
        case "C":
            effort, budget = body.get("reasoning_effort"), None
        case "S":
            effort, budget = body.get("reasoning", {}).get("effort"), None
        case "A":
            thinking = body.get("thinking", {})
            if thinking.get("type") == "disabled":
                return "none", None
            effort, budget = body.get("output_config", {}).get("effort"), thinking.get("budget_tokens")
        case _:
            config = body.get("generationConfig", {}).get("thinkingConfig", {})
            effort, budget = config.get("thinkingLevel"), config.get("thinkingBudget")
    return (effort.lower() if effort else None), budget


EFFORTS: dict[str, Any] = {
    "C": lambda effort: {"reasoning_effort": effort},
    "S": lambda effort: {"reasoning": {"effort": effort}},
    "A": lambda effort: (
        {"thinking": {"type": "disabled"}}
        if effort == "none"
        else {"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}}
    ),
    "G": lambda effort: {
        "generationConfig": {"thinkingConfig": {"thinkingBudget": 0} if effort == "none" else {"thinkingLevel": effort.upper()}}
    },
}
EXPECTED: list[tuple[str, str, Mapping[str, tuple[str | None, int | None]]]] = [
    ("A", "claude-sonnet-4-5", {"minimal": (None, 1024), "xhigh": (None, 32768), "max": (None, 63999), "none": ("none", None)}),
    ("A", "claude-opus-4-6", {"minimal": ("low", None), "xhigh": ("high", None), "max": ("max", None), "none": ("none", None)}),
    ("A", "claude-opus-5", {"minimal": ("low", None), "xhigh": ("xhigh", None), "max": ("max", None), "none": ("none", None)}),
    ("G", "gemini-3-pro", {"minimal": ("low", None), "xhigh": ("high", None), "max": ("high", None), "none": ("low", None)}),
    ("G", "gemini-3-flash",
     {"minimal": ("minimal", None), "xhigh": ("high", None), "max": ("high", None), "none": ("minimal", None)}),
    ("G", "gemini-2.5-flash", {"minimal": (None, 512), "xhigh": (None, 24576), "max": (None, 24576), "none": (None, 0)}),
    ("G", "gemini-2.5-pro", {"minimal": (None, 512), "xhigh": (None, 32768), "max": (None, 32768), "none": (None, 128)}),
    ("C", "gpt-5", {"minimal": ("minimal", None), "xhigh": ("high", None), "max": ("high", None), "none": ("minimal", None)}),
    ("C", "gpt-5.6", {"minimal": ("low", None), "xhigh": ("xhigh", None), "max": ("max", None), "none": ("none", None)}),
    ("S", "gpt-5.2", {"minimal": ("low", None), "xhigh": ("xhigh", None), "max": ("xhigh", None), "none": ("none", None)}),
    ("S", "o4-mini", {"minimal": ("low", None), "xhigh": ("high", None), "max": ("high", None), "none": ("low", None)}),
]  # fmt: skip
CLIENTS = {"C": ("minimal", "xhigh", "max", "none"), "S": ("minimal", "xhigh", "max", "none"), "A": ("xhigh", "max", "none"),
           "G": ("minimal", "xhigh", "none")}  # fmt: skip


@pytest.mark.parametrize(
    ("front", "back", "model", "effort", "expected"),
    [
        (front, back, model, effort, known[effort])
        for front, efforts in CLIENTS.items()
        for back, model, known in EXPECTED
        for effort in efforts
        if front != back
    ],
)
def test_case_46_each_effort_becomes_the_nearest_that_the_model_has(
    front: str, back: str, model: str, effort: str, expected: tuple[str | None, int | None]
) -> None:
    """A model is told an effort or a budget, never both, and what is not exactly the client's word is on the record."""
    one = asked(front, back, asks(front, **EFFORTS[front](effort)), model=model)
    found, budget = told_thinking(back, one.body)

    assert expected == (found, budget)
    if back == "A" and budget is not None:
        assert "enabled" == one.body["thinking"]["type"] and budget < one.body["max_tokens"]
    if back == "A" and found not in (None, "none"):
        assert "adaptive" == one.body["thinking"]["type"]
    if found not in (effort, None):
        assert any(feature.startswith("reasoning") for feature in one.features)


def test_case_46_a_budget_stays_below_the_limit_of_the_answer() -> None:
    """A small limit is raised for the thinking, as far as the model goes; the client's words have their room."""
    body = asked("C", "A", asks("C", max_completion_tokens=2000, reasoning_effort="high"), model="claude-sonnet-4-5").body

    assert body["thinking"]["budget_tokens"] < body["max_tokens"] <= 64000
    assert body["max_tokens"] - body["thinking"]["budget_tokens"] >= 2000


# ---- 47 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "expected"),
    [("gemini-2.5-flash", (None, 0)), ("gemini-3-pro", ("low", None)), ("gemini-3-flash", ("minimal", None))],
)
@pytest.mark.parametrize("front", "AS")
def test_case_47_thinking_off_for_gemini(front: str, model: str, expected: tuple[str | None, int | None]) -> None:
    """A budget of nothing, or the lowest level where it cannot be switched off; thoughts are not asked for."""
    one = asked(front, "G", asks(front, **EFFORTS[front]("none")), model=model)

    assert expected == told_thinking("G", one.body)
    assert not one.body["generationConfig"]["thinkingConfig"].get("includeThoughts")
    assert ("reasoning" in one.features) == (expected[0] is not None)


# ---- 48 -----------------------------------------------------------------------------------------

SHAPE = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}, "s": {"type": ["string", "null"]}},
    "required": ["n"],
}
AS_SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "shape", "schema": SHAPE, "strict": True}}}
AS_OBJECT = {"response_format": {"type": "json_object"}}
ANSWER = '{"n": 3, "s": null}'


def form_of(back: str, body: Any) -> Any:
    """What a provider is held to."""
    match back:
        case "A":
            return body.get("output_config", {}).get("format")
        case "S":
            return body.get("text", {}).get("format")
        case _:
            config = body.get("generationConfig", {})
            return {key: value for key, value in config.items() if key.startswith("response")} or None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("tools", [(), ("f",)])
@pytest.mark.parametrize(("back", "model"), [("A", "claude-sonnet-4-5"), ("S", "gpt-5.2"), ("G", "gemini-3-pro")])
def test_case_48_a_schema_is_one_of_the_providers_own(back: str, model: str, tools: tuple[str, ...], stream: bool) -> None:
    """The provider holds the model to the client's schema, and the answer is what the model wrote."""
    one = asked("C", back, asks("C", tools=tools, **AS_SCHEMA), model=model, stream=stream)
    form = form_of(back, one.body)
    if back == "S":
        assert ("json_schema", "shape", SHAPE, True) == (form["type"], form["name"], form["schema"], form["strict"])
    elif back == "G":
        assert "application/json" == form["responseMimeType"]
        assert SHAPE["required"] == form["responseJsonSchema"]["required"]
    else:
        assert "json_schema" == form["type"] and form["schema"]["additionalProperties"] is False
        assert "minimum" not in form["schema"]["properties"]["n"]
    assert "response_format" not in one.features and list(tools) == named_tools(back, one.body)
    got = heard("C", one.answered(says(back, Said(ANSWER), stream=stream)), stream=stream)
    assert {"n": 3, "s": None} == json.loads(got.text)


@pytest.mark.parametrize(
    ("back", "model", "form", "tools"),
    [
        ("A", "claude-sonnet-4-5", AS_OBJECT, ()), ("A", "claude-sonnet-4-5", AS_OBJECT, ("f",)),
        ("A", "claude-3-5-haiku", AS_SCHEMA, ()),
        ("G", "gemini-2.5-flash", AS_SCHEMA, ("f",)), ("G", "gemini-2.5-flash", AS_OBJECT, ("f",)),
    ],
)  # fmt: skip
def test_case_48_elsewhere_it_is_asked_for_in_words(back: str, model: str, form: dict[str, Any], tools: tuple[str, ...]) -> None:
    """Behind the user's words, with the schema if there is one, and on the record."""
    one = asked("C", back, asks("C", tools=tools, **form), model=model)
    words = json.dumps(one.body.get("contents") or one.body.get("messages"))

    assert form_of(back, one.body) is None
    assert "JSON" in words and ("required" in words) == (form is AS_SCHEMA)
    assert "response_format" in one.features


@pytest.mark.parametrize("tools", [(), ("f",)])
@pytest.mark.parametrize(("back", "model"), [("S", "gpt-5.2"), ("G", "gemini-3-pro")])
def test_case_48_json_of_any_form(back: str, model: str, tools: tuple[str, ...]) -> None:
    """Where the provider has the word for it, it is told; OpenAI wants the conversation to speak of JSON as well."""
    one = asked("C", back, asks("C", tools=tools, **AS_OBJECT), model=model)
    form = form_of(back, one.body)

    assert "json_object" == form["type"] if back == "S" else {"responseMimeType": "application/json"} == form
    if back == "S":
        assert "json" in json.dumps(one.body["input"]).lower()


# ---- 49 -----------------------------------------------------------------------------------------

STOPS = ["<END>", "\n\nHuman:", "###", "STOP!", "EOF"]


def stopping(front: str, stops: list[str]) -> dict[str, Any]:
    return {"stop" if front == "C" else "stop_sequences": stops}


@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("front", "back", "stops", "word"),
    [("C", "S", STOPS[:4], "<END>"), ("A", "S", STOPS, "\n\nHuman:"), ("A", "C", STOPS, "EOF")],
)
def test_case_49_a_reply_is_cut_at_the_very_character(
    front: str, back: str, stops: list[str], word: str, stream: bool, pieces: int
) -> None:
    """However a stop sequence is cut into deltas, nothing of it and nothing behind it is shown; its beginning alone is."""
    one = asked(front, back, asks(front, **stopping(front, stops)), stream=stream)
    before = f"a < b {word[:-1]} and "
    data = one.answered(says(back, Said(f"{before}{word} never shown", pieces=pieces), stream=stream))
    got = heard(front, data, stream=stream)

    assert before == got.text
    assert b"never shown" not in data
    if front == "A":
        assert ("stop_sequence", word) == (got.stop, got.native.stop_sequence)
    else:
        assert "stop" == got.stop
    assert "stop" in one.features


@pytest.mark.parametrize(("front", "back"), [("C", "S"), ("A", "S"), ("A", "C")])
def test_case_49_what_only_looks_like_the_beginning_is_shown(front: str, back: str) -> None:
    """Characters held back come out when the reply ends without the rest; calls and their arguments are not looked into."""
    one = asked(front, back, asks(front, tools=("f",), **stopping(front, STOPS)), stream=True)
    reply = Said("almost <EN", calls=(("c1", "f", '{"a": "<END>EOF"}'),), pieces=1)
    got = heard(front, one.answered(says(back, reply, stream=True)), stream=True)

    assert ("almost <EN", [("f", {"a": "<END>EOF"})]) == (got.text, got.calls)


def test_case_49_chat_gets_the_first_four_itself() -> None:
    """As many as the provider takes are the provider's."""
    assert STOPS[:4] == asked("A", "C", asks("A", **stopping("A", STOPS))).body["stop"]
    assert "stop" not in asked("A", "S", asks("A", **stopping("A", STOPS))).body


# ---- 50 -----------------------------------------------------------------------------------------


def refuses(back: str, words: str, *, stream: bool) -> bytes:
    """A provider that refuses, in words or in none."""
    match back:
        case "S":
            return _refusing_response(words, stream)
        case "A" if stream:
            start = {"type": "message_start", "message": message([], None, {"input_tokens": 3, "output_tokens": 1})}
            block = [
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": words}},
                {"type": "content_block_stop", "index": 0},
            ]
            delta = {
                "stop_reason": "refusal",
                "stop_sequence": None,
                "stop_details": {"type": "refusal", "category": "bio", "explanation": "no"},
            }
            end = [{"type": "message_delta", "delta": delta, "usage": {"output_tokens": 2}}, {"type": "message_stop"}]
            return event_frames(start, *(block if words else []), *end)
        case "A":
            details = {"type": "refusal", "category": "bio", "explanation": "no"}
            content = [{"type": "text", "text": words}] if words else []
            return json.dumps(message(content, "refusal", {"input_tokens": 3, "output_tokens": 2}, stop_details=details)).encode()
        case "G":
            body = {
                "promptFeedback": {"blockReason": "SAFETY"},
                "usageMetadata": {"promptTokenCount": 3},
                "modelVersion": "gemini-3-pro",
            }
            return data_frames(body) if stream else json.dumps(body).encode()
        case _:
            return says("C", Said(words, stop="content_filter"), stream=stream)


def _refusing_response(words: str, stream: bool) -> bytes:
    content = [{"type": "refusal", "refusal": words}]
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content}
    final = response("completed", [item], usage={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5})
    if not stream:
        return json.dumps(final).encode()
    part = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    events = [
        {"type": "response.created", "response": response("in_progress", [])},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
        {"type": "response.content_part.added", **part, "part": {"type": "refusal", "refusal": ""}},
        {"type": "response.refusal.delta", **part, "delta": words},
        {"type": "response.refusal.done", **part, "refusal": words},
        {"type": "response.content_part.done", **part, "part": content[0]},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": final},
    ]
    return event_frames(*({**event, "sequence_number": at} for at, event in enumerate(events)))


def answer(one: Asked, front: str, back: str, words: str, stream: bool, cut: int) -> Any:
    return heard(front, one.answered(refuses(back, words, stream=stream), cut=cut), stream=stream)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("front", "ACG")
def test_case_50_a_refusal_in_words_of_responses(front: str, stream: bool, cut: int) -> None:
    """The words reach the client as a refusal in its own terms."""
    got = answer(asked(front, "S", asks(front), stream=stream), front, "S", "I will not.", stream, cut)
    match front:
        case "A":
            assert ("refusal", "I will not.") == (got.stop, got.text)
        case "C":
            assert "I will not." == got.native.choices[0].message.refusal and not got.text
        case _:
            assert "I will not." == got.text and "STOP" == got.stop


EMPTY = {"C": "content_filter", "S": "incomplete/content_filter", "A": "refusal", "G": ("SAFETY", "PROHIBITED_CONTENT")}


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("front", "back"), [(front, back) for front in "CSAG" for back in "CAG" if front != back])
def test_case_50_a_refusal_without_words_is_never_an_ordinary_end(front: str, back: str, stream: bool, cut: int) -> None:
    """An answer of nothing says why: it was filtered or refused."""
    got = answer(asked(front, back, asks(front), stream=stream), front, back, "", stream, cut)
    if front == "S" and got.stop == "completed":  # then the item says it
        assert ["refusal"] == [part.type for one in got.native.output if one.type == "message" for part in one.content]
    elif front == "G" and not got.stop:
        assert any(one.prompt_feedback and one.prompt_feedback.block_reason for one in got.native)
    else:
        assert got.stop in EMPTY[front]
    assert "" == got.text


@pytest.mark.parametrize("stream", [False, True])
def test_case_50_filtered_content_of_chat_is_a_refusal_for_anthropic(stream: bool) -> None:
    """What was said before the filter came is shown, and the end is a refusal."""
    got = answer(asked("A", "C", asks("A"), stream=stream), "A", "C", "Well, ", stream, 0)
    assert ("Well, ", "refusal") == (got.text, got.stop)


def test_means_of_these_tests() -> None:
    """A limit is found in each dialect, and a chunk is a frame."""
    assert 1000 == limit_of("A", asks("A")) and limit_of("C", asks("C", max_tokens=3)) == 3
    assert data_frames(chunk({"content": "x"})).startswith(b"data: {")
