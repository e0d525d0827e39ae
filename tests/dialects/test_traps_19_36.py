"""Traps T19 to T36: schemas, choices, parameters, usage, ends, and what content may be. Cases 15 to 30 say more of some."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from crossings import PAIRS, asked
from oracles import heard
from wires import Call, Result, Turn, asks, data, frames, gave, model, named, replies, texts_of, told, user

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
TOOLS = {"Read": SCHEMA}
STREAMS = [False, True]
HELLO = [user("Hi")]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(24)).decode()
PDF = base64.b64encode(b"%PDF-1.7 ...").decode()


# ---- 4.2 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("back", ["C", "S", "A"])
def test_t19_a_schema_without_anything(back: str) -> None:
    """*→C/S/A: a tool without parameters has an object's schema; what these take is left as it is."""
    front = "A" if back != "A" else "C"
    wild = {"$schema": "x", "type": "object", "properties": {"pattern": {"type": "string", "pattern": "^a"}}}
    there = asked(front, back, asks(front, HELLO, {"none": {}, "wild": wild}))
    none, other = told(back, there.body).tools.values()
    schemas = [(tool.get("function") or tool).get("parameters") or tool.get("input_schema") for tool in (none, other)]
    assert schemas[0] == {"type": "object", "properties": {}}
    assert schemas[1] == {"type": "object", "properties": {"pattern": {"type": "string", "pattern": "^a"}}}


FORM = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 3}},
    "required": ["n"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("front", ["C", "S", "G"])
def test_t20_an_answers_form(front: str) -> None:
    """C/S/G→*: an answer's schema is each target's own field, named where it must have a name."""
    said: dict[str, Any] = {
        "C": {"response_format": {"type": "json_schema", "json_schema": {"name": "out", "schema": FORM, "strict": True}}},
        "S": {"text": {"format": {"type": "json_schema", "name": "out", "schema": FORM, "strict": True}}},
        "G": {"generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": FORM}},
    }[front]
    for back in {"C", "S", "A", "G"} - {front}:
        body = asked(front, back, asks(front, HELLO, **said), model="claude-opus-4-6" if back == "A" else "").body
        match back:
            case "C":
                got = body["response_format"]["json_schema"]
                assert (body["response_format"]["type"], got["schema"]) == ("json_schema", FORM) and got["name"]
            case "S":
                got = body["text"]["format"]
                assert (got["type"], got["schema"]) == ("json_schema", FORM) and got["name"]
            case "A":
                got = body["output_config"]["format"]
                assert got["type"] == "json_schema" and "minimum" not in got["schema"]["properties"]["n"]
            case _:
                assert body["generationConfig"]["responseJsonSchema"]["properties"]["n"]["minimum"] == 3


def test_t20_what_a_model_cannot_be_held_to() -> None:
    """C→A: an answer in JSON without a schema, which Claude has no field for, is asked for in words."""
    there = asked("C", "A", asks("C", HELLO, response_format={"type": "json_object"}))
    assert "JSON" in json.dumps(there.body["messages"]) + json.dumps(there.body.get("system", ""))
    assert "response_format" in there.features


@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_t21_a_chosen_tools_name(front: str, back: str) -> None:
    """any→any: a tool that is chosen by a name that the target does not take is chosen by the one that it has there."""
    name = "mcp.server/" + "x" * 120
    said: dict[str, Any] = {
        "C": {"tool_choice": {"type": "function", "function": {"name": name}}},
        "S": {"tool_choice": {"type": "function", "name": name}}, "A": {"tool_choice": {"type": "tool", "name": name}},
        "G": {"toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [name]}}},
    }[front]  # fmt: skip
    body = asked(front, back, asks(front, HELLO, {name: SCHEMA}, **said)).body
    [theirs] = told(back, body).tools
    assert theirs != name
    chosen = {"C": lambda: body["tool_choice"]["function"]["name"], "S": lambda: body["tool_choice"]["name"],
              "A": lambda: body["tool_choice"]["name"],
              "G": lambda: body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"][0]}[back]()  # fmt: skip
    assert chosen == theirs


GRAMMAR = {"type": "custom", "name": "apply_patch", "description": "Edit.",
           "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "*** Begin Patch" LF'}}  # fmt: skip


@pytest.mark.parametrize("back", ["A", "G", "C"])
def test_t22_the_wrapper(back: str) -> None:
    """S→A/G/C: a freeform tool is a function of one text, told of its grammar; a history's call is wrapped the same way."""
    there = asked("S", back, asks("S", HELLO) | {"tools": [GRAMMAR]})
    [tool] = told(back, there.body).tools.values()
    tool = tool.get("function", tool)
    schema = tool.get("parameters") or tool.get("input_schema") or tool["parametersJsonSchema"]
    assert (list(schema["properties"]), schema["required"]) == (["input"], ["input"])
    assert schema["properties"]["input"]["type"] == "string"
    assert all(word in tool["description"] for word in ("Edit.", "*** Begin Patch", "do not add JSON or fences"))


@pytest.mark.parametrize(("arguments", "text"), [
    ('{"input": "*** Begin Patch\\nx"}', "*** Begin Patch\nx"), ('{"patch": "*** Begin Patch\\nx"}', "*** Begin Patch\nx"),
    ('{"input": "```\\n*** Begin Patch\\nx\\n```"}', "*** Begin Patch\nx"),
])  # fmt: skip
@pytest.mark.parametrize("stream", STREAMS)
def test_t22_unwrapping(arguments: str, text: str, stream: bool) -> None:
    """S→C: the text is taken out, under another key and from a fence as well."""
    there = asked("S", "C", asks("S", HELLO) | {"tools": [GRAMMAR]}, stream=stream, model="kimi-k2")
    for cut in (0, 1, 7, 64) if stream else (0,):
        got = there.answered(replies("C", Call("c1", "apply_patch", arguments), stream=stream), cut=cut)
        [(_, name, given)] = heard("S", got, stream=stream).calls
        assert (name, given.strip("\n")) == ("apply_patch", text)


@pytest.mark.parametrize(("name", "choice", "thinks"), [
    ("claude-sonnet-4-5", {"type": "tool", "name": "Read"}, False), ("claude-fable-5", {"type": "auto"}, True),
])  # fmt: skip
def test_t23_forced_calls_and_thinking(name: str, choice: Any, thinks: bool) -> None:
    """C→A: where both do not go together, thinking gives way; where a call cannot be forced, it is asked for in words."""
    forced = {"tool_choice": {"type": "function", "function": {"name": "Read"}}, "reasoning_effort": "high"}
    there = asked("C", "A", asks("C", HELLO, TOOLS, **forced), model=name)
    assert there.body["tool_choice"] == choice
    assert (there.body.get("thinking", {}).get("type") in ("enabled", "adaptive")) == thinks
    assert ("You must call the tool Read now." in there.data.decode()) == thinks
    assert there.features & {"reasoning", "tool_choice"}


# ---- 4.3 ----------------------------------------------------------------------------------------


def test_t24_the_limits_names() -> None:
    """A→*: the limit has each target's own name, and is raised to what it takes at least."""
    for back, where in (("C", "max_completion_tokens"), ("S", "max_output_tokens")):
        assert asked("A", back, asks("A", HELLO)).body[where] == 4096
    assert asked("A", "S", asks("A", HELLO) | {"max_tokens": 3}).body["max_output_tokens"] == 16
    assert asked("A", "G", asks("A", HELLO)).body["generationConfig"]["maxOutputTokens"] == 4096


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("back", ["C", "S", "G"])
def test_t25_stops_are_looked_for(back: str, stream: bool) -> None:
    """A→*: sequences that a provider does not take cut the text to the character, wherever its pieces end."""
    stops = ["one", "two", "three", "four", "five", "o, Y"]
    there = asked("A", back, asks("A", HELLO, stop_sequences=stops), stream=stream)
    for cut in (0, 1, 7, 64) if stream else (0,):
        said = heard("A", there.answered(replies(back, "Hello, You there", stream=stream), cut=cut), stream=stream)
        assert (said.text, said.stop, said.raw.stop_sequence) == ("Hell", "stop_sequence", "o, Y")
    sent = {"C": lambda: there.body.get("stop", []), "S": list, "G": lambda: there.body["generationConfig"]["stopSequences"]}[
        back
    ]()
    assert sent == stops[: {"C": 4, "S": 0, "G": 5}[back]] and "stop" in there.features


def test_t25_blank_stops() -> None:
    """C→A: a sequence of white space, which Claude refuses, is looked for here."""
    there = asked("C", "A", asks("C", HELLO, stop=["\n", "END"]))
    assert there.body["stop_sequences"] == ["END"]
    assert heard("C", there.answered(replies("A", "one\ntwo")), stream=False).text == "one"


@pytest.mark.parametrize(
    ("front", "back", "name", "said", "sent"),
    [
        ("A", "S", "gpt-5.2", {"temperature": 0.5, "top_p": 0.5}, {}),
        ("C", "A", "claude-3-opus", {"temperature": 1.7}, {"temperature": 1}),
        ("A", "C", "o3", {"temperature": 0.5}, {}),
        ("C", "A", "claude-sonnet-4-5", {"temperature": 1, "top_p": 0.5}, {"top_p": 0.5}),
    ],
)
def test_t26_sampling(front: str, back: str, name: str, said: Any, sent: Any) -> None:
    """any→any: what a model refuses is left out, what is out of range is moved into it, defaults go without a word."""
    there = asked(front, back, asks(front, HELLO, **said), model=name)
    assert {key: there.body[key] for key in ("temperature", "top_p") if key in there.body} == sent
    assert there.features >= {key for key in said if said[key] != sent.get(key) and said[key] != 1}


@pytest.mark.parametrize(("back", "name", "effort"), [
    ("G", "gemini-3-pro", "minimal"), ("G", "gemini-2.5-flash", "xhigh"), ("A", "claude-sonnet-4-5", "max"),
    ("A", "claude-opus-4-7", "minimal"), ("S", "o3", "none"), ("S", "gpt-5.2", "max"),
])  # fmt: skip
def test_t27_efforts(back: str, name: str, effort: str) -> None:
    """C→*: the nearest that the model knows, in its one form: a level or a budget, never both, below the limit."""
    there = asked("C", back, asks("C", HELLO, reasoning_effort=effort), model=name)
    match back:
        case "G":
            config = there.body["generationConfig"]["thinkingConfig"]
            assert ("thinkingLevel" in config) != ("thinkingBudget" in config)
            assert config.get("thinkingLevel", "LOW").upper() in ("LOW", "HIGH") and config.get("thinkingBudget", 0) <= 24576
        case "A" if name.endswith("5"):
            assert 1024 <= there.body["thinking"]["budget_tokens"] < there.body["max_tokens"] <= 64000
        case "A":
            assert (there.body["thinking"]["type"], there.body["output_config"]["effort"]) == ("adaptive", "low")
        case _:
            assert there.body["reasoning"]["effort"] in ("low", "xhigh")
    assert {feature for feature in there.features if feature.startswith("reasoning")}


@pytest.mark.parametrize("usage", [True, False])
@pytest.mark.parametrize("back", ["C", "S", "G"])
def test_t28_usage_is_never_missing(back: str, usage: bool) -> None:
    """A→*: both events that must have a usage have one, whether the provider told or not."""
    there = asked("A", back, asks("A", HELLO), stream=True)
    got = there.answered(replies(back, "Hello", stream=True, **({} if usage else {"usage": None})))
    events = frames(got)
    assert isinstance(events[0]["message"]["usage"]["input_tokens"], int)
    [last] = [event["usage"] for event in events if event["type"] == "message_delta"]
    assert isinstance(last["output_tokens"], int) and (not usage or last["input_tokens"] > 0)
    assert heard("A", got, stream=True).text == "Hello"


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_t29_arithmetic(front: str, back: str, stream: bool) -> None:
    """any→any: what was cached and thought is counted once, by each dialect's own rule."""
    more = {"stream_options": {"include_usage": True}} if front == "C" and stream else {}
    there = asked(front, back, asks(front, HELLO, **more), stream=stream)
    used = heard(front, there.answered(replies(back, "Hello", stream=stream)), stream=stream).usage
    written = 0 if back == "G" else 10
    match front:
        case "C":
            assert (used["prompt_tokens"], used["completion_tokens"], used["total_tokens"]) == (100, 20, 120)
            assert used["prompt_tokens_details"]["cached_tokens"] == 60
            assert used["completion_tokens_details"]["reasoning_tokens"] == 8
        case "S":
            assert (used["input_tokens"], used["output_tokens"], used["total_tokens"]) == (100, 20, 120)
            assert used["input_tokens_details"]["cached_tokens"] == 60 and used["output_tokens_details"]["reasoning_tokens"] == 8
        case "A":
            assert (used["input_tokens"], used["cache_read_input_tokens"], used["output_tokens"]) == (40 - written, 60, 20)
        case _:
            assert (used["prompt_token_count"], used["cached_content_token_count"]) == (100, 60)
            assert (used["candidates_token_count"], used["thoughts_token_count"], used["total_token_count"]) == (12, 8, 120)


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_t30_a_call_cut_short(front: str, back: str, stream: bool) -> None:
    """any→any: a limit is a limit though there is a call; Gemini's client gets none that is broken."""
    if back in "AG" and not stream:
        pytest.skip("a whole body of these cannot hold broken arguments")
    text = '{"path": "a' if back != "G" else '{"path": "a"}'
    there = asked(front, back, asks(front, HELLO, TOOLS), stream=stream)
    got = there.answered(replies(back, "So.", Call("c1", "Read", text), stop="max_tokens", stream=stream)).decode()
    words = {
        "C": '"finish_reason":"length"',
        "S": '"incomplete"',
        "A": '"stop_reason":"max_tokens"',
        "G": '"finishReason":"MAX_TOKENS"',
    }
    assert words[front] in got.replace(": ", ":") and '"tool_use","stop_sequence"' not in got
    assert front != "G" or back == "G" or "functionCall" not in got


def refused(back: str, stream: bool) -> bytes:
    """A provider that says nothing, because it may not."""
    match back:
        case "C":
            tree: Any = {"id": "x", "model": "m", "choices": [{"index": 0, "finish_reason": "content_filter",
                         "delta" if stream else "message": {"role": "assistant", "content": None}}]}  # fmt: skip
        case "A" if not stream:
            tree = json.loads(replies("A")) | {
                "stop_reason": "refusal",
                "stop_details": {"type": "refusal", "explanation": "No."},
            }
        case "A":
            return replies("A", stream=True).replace(b'"end_turn"', b'"refusal"')
        case "S":
            whole = json.loads(replies("S")) | {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
            tree = whole
            if stream:
                begun = {"type": "response.created", "sequence_number": 0, "response": whole | {"status": "in_progress"}}
                return named(begun, {"type": "response.incomplete", "sequence_number": 1, "response": whole})
        case _:
            tree = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3, "totalTokenCount": 3}}
    return (data(tree) + (b"data: [DONE]\n\n" if back == "C" else b"")) if stream else json.dumps(tree).encode()


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_t31_refusals(front: str, back: str, stream: bool) -> None:
    """any→any: a refusal without a word never looks like an empty success."""
    there = asked(front, back, asks(front, HELLO), stream=stream)
    got = there.answered(refused(back, stream)).decode().replace(": ", ":")
    words = {"C": ['"finish_reason":"content_filter"'], "S": ['"content_filter"', '"refusal"'], "A": ['"stop_reason":"refusal"'],
             "G": ['"SAFETY"', '"PROHIBITED_CONTENT"', '"blockReason"']}[front]  # fmt: skip
    assert any(word in got for word in words)
    assert '"end_turn"' not in got and '"finish_reason":"stop"' not in got and '"STOP"' not in got


# ---- 4.4 ----------------------------------------------------------------------------------------


def shown(*media: Any) -> dict[str, Any]:
    """A request with a call whose result holds these blocks."""
    body = asks("A", [user("go"), model(Call("c1", "Read"), Call("c2", "Read"))], TOOLS)
    results = [
        {"type": "tool_result", "tool_use_id": ident, "content": [{"type": "text", "text": ident}, *media]}
        for ident in ("c1", "c2")
    ]
    return body | {"messages": [*body["messages"], {"role": "user", "content": results}]}


@pytest.mark.parametrize(("back", "name"), [("C", "gpt-4.1"), ("S", "gpt-5.2"), ("G", "gemini-3-pro"), ("G", "gemini-2.5-flash")])
def test_t32_pictures_in_results(back: str, name: str) -> None:
    """A→C/S/G: they are pictures for every target, in one message behind the results where these hold text alone."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    body = asked("A", back, shown(image), model=name).body
    match back:
        case "C":
            *_, one, two, last = body["messages"]
            assert (one["role"], two["role"], last["role"]) == ("tool", "tool", "user")
            assert PNG not in texts_of(one["content"]) + texts_of(two["content"]) and "c1" in texts_of(one["content"])
            assert [part["type"] for part in last["content"]].count("image_url") == 2 and "c1" not in texts_of(last["content"])
        case "S":
            outputs = [item["output"] for item in body["input"] if item["type"] == "function_call_output"]
            assert [[part["type"] for part in output] for output in outputs] == [["input_text", "input_image"]] * 2
        case _:
            parts = body["contents"][-1]["parts"]
            inner = [part for one in parts for part in one.get("functionResponse", {}).get("parts", ())]
            beside = [part for part in parts if "inlineData" in part]
            assert (len(inner), len(beside)) == ((2, 0) if name.startswith("gemini-3") else (0, 2))
            assert ["functionResponse" in part for part in parts][:2] == [True, True]


@pytest.mark.parametrize(("front", "back"), [("C", "A"), ("S", "A"), ("C", "G"), ("S", "G"), ("C", "S"), ("S", "C")])
def test_t33_instructions_in_the_middle(front: str, back: str) -> None:
    """C/S→*: they stay where they are, behind results; where there is no such role, as a reminder of the user's."""
    turns = [
        Turn("system", ["first"]),
        user("go"),
        model(Call("c1", "Read")),
        gave(Result("c1", "Read")),
        Turn("system", ["later"]),
        user("on"),
    ]
    known = told(back, asked(front, back, asks(front, turns, TOOLS)).body)
    assert known.said[0][1] == "first" and "later" not in known.said[0][1]
    at = next(number for number, one in enumerate(known.said) if "later" in str(one))
    assert at > next(number for number, one in enumerate(known.said) if one[0] == "result")
    if back in "AG":
        assert known.said[at][0] == "user" and "<system-reminder>" in known.said[at][1]
    else:
        assert known.said[at][0] in ("system", "developer")


@pytest.mark.parametrize(("name", "role"), [("kimi-k2", "system"), ("llama-3", "system"), ("gpt-5.2", "developer")])
def test_t34_developers(name: str, role: str) -> None:
    """S→C: there is a developer only where the model knows one."""
    body = asks("S", [Turn("developer", ["rules"]), user("Hi")])
    assert asked("S", "C", body, model=name).body["messages"][0]["role"] == role


@pytest.mark.parametrize("url", [f"data:image/jpg;base64,{PNG[:20]} {PNG[20:]}", f"data:image/jpeg;base64,{PNG}"])
@pytest.mark.parametrize("back", ["A", "S", "G"])
def test_t35_pictures(back: str, url: str) -> None:
    """C→A/S/G: the type is that of the bytes, without white space in them."""
    content = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": url, "detail": "high"}}]
    body = asked("C", back, {"messages": [{"role": "user", "content": content}]}).body
    match back:
        case "A":
            source = body["messages"][0]["content"][1]["source"]
            assert (source["media_type"], source["data"]) == ("image/png", PNG)
        case "S":
            assert body["input"][0]["content"][1]["image_url"] == f"data:image/png;base64,{PNG}"
        case _:
            assert body["contents"][0]["parts"][1]["inlineData"] == {"mimeType": "image/png", "data": PNG}


@pytest.mark.parametrize("back", ["A", "S", "G"])
def test_t35_pictures_elsewhere(back: str) -> None:
    """C→A/S/G: a URL goes to who fetches; for others it is lost, and that is noted."""
    content = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]
    there = asked("C", back, {"messages": [{"role": "user", "content": content}]})
    assert (b"https://example.org/a.png" in there.data) == (back != "G")
    assert any(feature.startswith("input") for feature in there.features) == (back == "G")


@pytest.mark.parametrize("back", ["C", "S", "G"])
def test_t36_documents(back: str) -> None:
    """A→C/S/G: a PDF is a file with its name, a text is text under its title."""
    content = [{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}, "title": "a.pdf"},
               {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}, "title": "notes"},
               {"type": "text", "text": "read"}]  # fmt: skip
    there = asked("A", back, {"max_tokens": 9, "messages": [{"role": "user", "content": content}]})
    whole = there.data.decode()
    assert PDF in whole and (back == "G" or "a.pdf" in whole)
    assert "notes" in whole and "words" in told(back, there.body).said[0][1]


def test_t36_files_of_chat() -> None:
    """C→A: a file in a data URL is a document with its name."""
    part = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}}
    body = asked("C", "A", {"messages": [{"role": "user", "content": [part]}]}).body
    [block] = body["messages"][0]["content"][:1]
    assert (block["type"], block["source"]["media_type"], block["source"]["data"]) == ("document", "application/pdf", PDF)
    assert block["title"] == "a.pdf"
