"""Acceptance cases 21 to 30: empty content, limits, sampling, versions, schemas, names and namespaces."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from crossings import PAIRS, asked
from oracles import goes_on, heard
from wires import Call, Result, asks, gave, replies, texts_of, told, user

SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
STREAMS = [False, True]
HELLO = [user("Hi")]
MARK = {"cache_control": {"type": "ephemeral"}}


# ---- 21, 22: empty content ----------------------------------------------------------------------


def test_case_21_empty_texts() -> None:
    """A→C: no empty part reaches the provider, an empty result is an empty text, and the mark of a lost part moves back."""
    body = asks("A", [], {"Read": SCHEMA}) | {
        "system": [{"type": "text", "text": "Rules."}, {"type": "text", "text": "", **MARK}],
        "messages": [
            {
                "role": "user",
                "content": [{"type": "text", "text": ""}, {"type": "text", "text": "go"}, {"type": "text", "text": " \n"}],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "text", "text": ""},
                    {"type": "tool_use", "id": "c1", "name": "Read", "input": {}},
                    {"type": "tool_use", "id": "c2", "name": "Read", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": ""},
                    {"type": "tool_result", "tool_use_id": "c2"},
                    {"type": "text", "text": "on"},
                    {"type": "text", "text": "", **MARK},
                ],
            },
        ],
    }
    there = asked("A", "C", body, model="gpt-5.6").body
    parts = [part for message in there["messages"] if isinstance(message.get("content"), list) for part in message["content"]]
    assert all(part["text"].strip() for part in parts if part["type"] == "text")
    assert [message["content"] for message in there["messages"] if message["role"] == "tool"] == ["", ""]
    said = [(message["role"], texts_of(message.get("content"))) for message in there["messages"] if message["role"] != "tool"]
    assert [text for _, text in said] == ["Rules.", "go", "", "on"]
    marked = [part["text"] for part in parts if "prompt_cache_breakpoint" in part]
    assert marked == ["Rules.", "on"]


def test_case_22_empty_and_missing() -> None:
    """C→A: an empty assistant text is no block, results are one turn, and a missing one is an error in its place."""
    body = asks("C", [], {"Read": SCHEMA}) | {
        "messages": [
            {"role": "user", "content": "go"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"id": ident, "type": "function", "function": {"name": "Read", "arguments": "{}"}}
                    for ident in ("c1", "c2", "c3")
                ],
            },
            {"role": "tool", "tool_call_id": "c3", "content": "three"},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "user", "content": "on"},
        ]
    }
    there = asked("C", "A", body)
    asking, calling, results = there.body["messages"]
    assert (asking["role"], calling["role"], results["role"]) == ("user", "assistant", "user")
    assert [block["type"] for block in calling["content"]] == ["tool_use"] * 3
    *given, text = results["content"]
    assert [block["tool_use_id"] for block in given] == ["c1", "c2", "c3"]
    assert [block.get("is_error", False) for block in given] == [False, True, False]
    assert texts_of(given[1]["content"]) == "No result was recorded for this tool call."
    assert (text["text"], "tool_result.missing" in there.features) == ("on", True)


# ---- 23 to 25: limits and sampling --------------------------------------------------------------


@pytest.mark.parametrize(("given", "sent"), [(None, 32000), (5, 5), (64000, 64000), (200000, 64000)])
@pytest.mark.parametrize("front", ["C", "S", "G"])
def test_case_23_max_tokens(front: str, given: int | None, sent: int) -> None:
    """any→A: the model's default where nothing is said; what is said is lowered only to what the model can give."""
    named: dict[str, Any] = {
        "C": {"max_completion_tokens": given},
        "S": {"max_output_tokens": given},
        "G": {"generationConfig": {"maxOutputTokens": given}},
    }
    there = asked(front, "A", asks(front, HELLO, **(named[front] if given else {})), model="claude-sonnet-4-5")
    assert there.body["max_tokens"] == sent
    assert ("max_output" in there.features) == (given not in (None, sent))


def test_case_23_of_a_smaller_model() -> None:
    """any→A: the default is never more than the model can give."""
    assert asked("C", "A", asks("C", HELLO), model="claude-3-haiku-20240307").body["max_tokens"] == 4096


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("stop", ["end", "max_tokens"])
def test_case_24_a_probe(stop: str, stream: bool) -> None:
    """C→S: one token is asked for as sixteen, and the answer is an answer."""
    there = asked("C", "S", asks("C", HELLO, max_tokens=1), stream=stream)
    assert there.body["max_output_tokens"] == 16
    got = there.answered(replies("S", "Hi", stop=stop, stream=stream))
    assert f'"finish_reason":"{"stop" if stop == "end" else "length"}"'.encode() in got and b"Hi" in got


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("claude-sonnet-4-5", {"temperature": 0.7}),
        ("claude-opus-4-7", {}),
        ("claude-3-5-haiku-20241022", {"temperature": 0.7, "top_p": 0.9}),
    ],
)
def test_case_25_sampling(name: str, sent: dict[str, float]) -> None:
    """C→A: of a temperature and top_p as many are sent as the model takes, and the rest is noted."""
    there = asked("C", "A", asks("C", HELLO, temperature=0.7, top_p=0.9), model=name)
    assert {key: there.body[key] for key in ("temperature", "top_p", "top_k") if key in there.body} == sent
    assert there.features & {"temperature", "top_p"} == {"temperature", "top_p"} - sent.keys()


# ---- 26: versions -------------------------------------------------------------------------------


def test_case_26_the_clients_version() -> None:
    """A→A: a client is answered by the version of the API that it speaks, so nothing of it needs another form (T60)."""
    body = {
        "max_tokens": 5, "temperature": 1.0, "top_p": 0.9, "top_k": 4,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "q", "citations": [{"type": "char_location"}]}]},
                     {"role": "assistant", "content": [{"type": "document", "source": {"type": "text", "data": "d"}}]},
                     {"role": "user", "content": "on"}],
    }  # fmt: skip
    there = asked("A", "A", body, headers={"anthropic-version": "2023-06-01"})
    assert there.body == {"model": "claude-sonnet-4-5", **body}
    assert there.back.forwarded(there.request.headers) == {"anthropic-version": "2023-06-01"}
    reply = replies("A", "Hello")
    assert there.answered(reply) == reply


# ---- 28: schemas --------------------------------------------------------------------------------

WILD = {
    "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "x-vendor": 1,
    "properties": {
        "pattern": {"type": "string", "pattern": "^a+$", "default": "a"}, "title": {"const": "T"}, "$ref": {"type": "integer"},
        "tree": {"$ref": "#/$defs/node"}, "kind": {"oneOf": [{"type": "string"}, {"type": "number", "exclusiveMinimum": 3}]},
        "maybe": {"type": ["string", "null"], "minLength": 2}, "list": {"type": "array"}, "default": {"enum": ["pattern", 1]},
    },
    "required": ["pattern"],
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "value": {"type": "number"}}}},
}  # fmt: skip
TAKEN = {
    "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems", "minItems",
    "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required", "propertyOrdering",
}  # fmt: skip


def schemas_in(schema: Any) -> list[dict[str, Any]]:
    """A schema and all that stand in it."""
    if not isinstance(schema, dict):
        return []
    inner = [
        *schema.get("properties", {}).values(),
        *schema.get("$defs", {}).values(),
        *schema.get("anyOf", ()),
        *schema.get("oneOf", ()),
        *schema.get("prefixItems", ()),
        schema.get("items"),
        schema.get("additionalProperties"),
    ]
    return [schema, *(found for one in inner for found in schemas_in(one))]


@pytest.mark.parametrize("front", ["C", "S", "A"])
def test_case_28_schemas_for_gemini(front: str) -> None:
    """any→G: only keywords that Gemini takes, at places where schemas stand; names that look like keywords are data."""
    body = asks(front, HELLO, {"f": WILD})
    there = asked(front, "G", body)
    [declaration] = [one for tool in there.body["tools"] for one in tool["functionDeclarations"]]
    schema = declaration["parametersJsonSchema"]
    found = schemas_in(schema)
    assert all(one.keys() <= TAKEN for one in found)
    assert all(key.startswith("$") for one in found if "$ref" in one for key in one)
    assert list(schema["properties"]) == list(WILD["properties"])  # type: ignore[call-overload]  # it is a dict
    properties = schema["properties"]
    assert properties["title"]["enum"] == ["T"] and "^a+$" in properties["pattern"]["description"]
    assert properties["default"]["enum"] == ["pattern", 1] and schema["required"] == ["pattern"]
    assert "items" in properties["list"] and len(properties["kind"]["anyOf"]) == 2
    assert asked(front, "G", json.loads(json.dumps(body))).data == there.data


@pytest.mark.parametrize("front", ["C", "S", "A"])
def test_case_28_schemas_for_old_gemini(front: str) -> None:
    """any→G: for a model of OpenAPI's subset there are neither references nor unions of types."""
    there = asked(front, "G", asks(front, HELLO, {"f": WILD}), model="gemini-1.5-pro")
    [declaration] = [one for tool in there.body["tools"] for one in tool["functionDeclarations"]]
    assert "parametersJsonSchema" not in declaration
    text = json.dumps(declaration["parameters"])
    assert "$defs" not in text and "$schema" not in text and "x-vendor" not in text
    found = schemas_in(declaration["parameters"])
    assert all("$ref" not in one and "const" not in one for one in found)
    assert all(isinstance(one.get("type", ""), str) for one in found)
    assert list(declaration["parameters"]["properties"]) == list(WILD["properties"])  # type: ignore[call-overload]  # a dict


# ---- 29, 30: names ------------------------------------------------------------------------------

NAMES = ["a" * 90, "mcp.server/tool", "mcp_server_tool", "mcp.server:tool", "1st", "ok_name"]
LIMITS = {"C": r"[a-zA-Z0-9_-]{1,64}", "S": r"[a-zA-Z0-9_-]{1,64}", "A": r"[a-zA-Z0-9_-]{1,128}",
          "G": r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}"}  # fmt: skip


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(("front", "back"), PAIRS)
def test_case_29_names(front: str, back: str, stream: bool) -> None:
    """any→any: names that the target takes, one for each tool, the client's own in replies, the same in every turn."""
    tools = dict.fromkeys(NAMES, SCHEMA)
    body = asks(front, HELLO, tools)
    one = asked(front, back, body, stream=stream)
    theirs = list(told(back, one.body).tools)
    assert len(set(theirs)) == len(NAMES) and all(re.fullmatch(LIMITS[back], name) for name in theirs)
    assert all(sent == name for sent, name in zip(theirs, NAMES, strict=True) if re.fullmatch(LIMITS[back], name))
    calls = [Call(f"call_{number}", name, "{}") for number, name in enumerate(theirs)]
    said = heard(front, one.answered(replies(back, *calls, Call("call_x", "made_up"), stream=stream)), stream=stream)
    assert [name for _, name, _ in said.calls] == [*NAMES, "made_up"]
    results = asks(front, [gave(*(Result(ident or "", name) for ident, name, _ in said.calls))])
    more = results[{"S": "input", "G": "contents"}.get(front, "messages")]
    two = told(back, asked(front, back, goes_on(front, body, said, *more)).body)
    assert list(two.tools) == theirs
    assert [name for _, name, _ in two.calls] == [*theirs, "made_up"] == [name for _, name, *_ in two.results]


SPACES = [
    {"type": "namespace", "name": "files", "description": "about files", "tools": [
        {"type": "function", "name": "read", "parameters": SCHEMA, "strict": False}]},
    {"type": "namespace", "name": "mcp__git", "description": "git", "tools": [
        {"type": "function", "name": "mcp__git__log", "parameters": SCHEMA, "strict": False},
        {"type": "function", "name": "diff", "parameters": SCHEMA, "strict": False}]},
    {"type": "function", "name": "read", "parameters": SCHEMA, "strict": False},
]  # fmt: skip
FLAT = ["files__read", "mcp__git__log", "mcp__git__diff", "read"]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("back", ["A", "G", "C"])
def test_case_30_namespaces(back: str, stream: bool) -> None:
    """S→A/G/C: namespaces are prefixes that stand only once, and calls come back under their namespace and name."""
    body = asks("S", HELLO) | {"tools": SPACES}
    one = asked("S", back, body, stream=stream)
    assert list(told(back, one.body).tools) == FLAT
    calls = [Call(f"call_{number}", name, "{}") for number, name in enumerate(FLAT)]
    said = heard("S", one.answered(replies(back, *calls, stream=stream)), stream=stream)
    got = [(item.namespace, item.name) for item in said.raw.output if item.type == "function_call"]
    assert got == [("files", "read"), ("mcp__git", "mcp__git__log"), ("mcp__git", "diff"), (None, "read")]
    outputs = asks("S", [gave(*(Result(ident or "", "") for ident, *_ in said.calls))])["input"]
    two = told(back, asked("S", back, goes_on("S", body, said, *outputs)).body)
    assert [name for _, name, _ in two.calls] == FLAT and len(two.results) == 4


def test_case_30_a_chosen_tool_of_a_namespace() -> None:
    """S→A: a tool that is chosen by its namespace is chosen by its flat name."""
    body = asks("S", HELLO) | {
        "tools": SPACES,
        "tool_choice": {"type": "function", "name": "mcp__git__log", "namespace": "mcp__git"},
    }
    assert asked("S", "A", body).body["tool_choice"] == {"type": "tool", "name": "mcp__git__log"}
