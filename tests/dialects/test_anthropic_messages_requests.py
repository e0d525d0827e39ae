"""Requests of the Messages codec: what is read, what is written from scratch, and what an edit changes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from messages import request, written
from multidict import CIMultiDict

from llmgw.errors import BadRequest, InvalidField
from llmgw.model import (
    Audio,
    Base64,
    BuiltinTool,
    CacheMark,
    Carrier,
    Compaction,
    CustomTool,
    Document,
    FunctionTool,
    Image,
    Instruction,
    Loss,
    McpServer,
    Message,
    OpaquePart,
    OutputFormat,
    Prompt,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    Sampling,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from llmgw.stages import Head
from llmgw_dialects.anthropic_messages import DIALECT
from llmgw_dialects.envelope import sealed

SIGNED = Carrier("anthropic", "signature", "sig")
OPENAI = Carrier("openai", "encrypted_content", "gAAAA")


def foreign(*items: Any, operation: Any = "generate", **fields: Any) -> tuple[Any, list[Loss]]:
    """What a provider gets of a conversation of another dialect, and what was lost."""
    losses: list[Loss] = []
    asked = Request(dialect="openai.chat", model="m", operation=operation, prompt=Prompt(items=items, **fields))
    return json.loads(DIALECT.write_request(asked, losses)), losses


def said(*blocks: Any, role: str = "assistant") -> Any:
    """The items of a conversation whose last turn holds these blocks."""
    return request(messages=[{"role": "user", "content": "hi"}, {"role": role, "content": list(blocks)}]).prompt.items[1:]


# ---- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"[]", b"{", b'"x"', b"\xff"])
def test_what_is_no_object_is_refused(data: bytes) -> None:
    """A body that is no JSON object is a bad request."""
    with pytest.raises(BadRequest):
        DIALECT.read_request(Head(), data)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": [1]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
    ],
)
def test_what_routing_needs_must_be_there(fields: dict[str, Any], param: str) -> None:
    """A request without a model or messages is refused with the path of the field at fault."""
    with pytest.raises(InvalidField) as caught:
        request(**fields)
    assert param == caught.value.param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": 5}]}]}, "messages[0].content[0].text"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"tools": [{"name": 5}]}, "tools[0].name"),
        ({"thinking": []}, "thinking"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(fields: dict[str, Any], param: str) -> None:
    """A field that we know, of a type that it cannot have, is told by its path when the prompt is read."""
    asked = request(**fields)
    with pytest.raises(InvalidField) as caught:
        _ = asked.prompt
    assert param == caught.value.param


def test_max_tokens_may_be_missing_or_zero() -> None:
    """A request that is only counted names no limit; one of zero warms the cache."""
    body = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'
    counted = DIALECT.read_request(Head(operation="count_tokens"), body)
    assert ("count_tokens", None) == (counted.operation, counted.prompt.sampling.max_output)
    assert 0 == request(max_tokens=0).prompt.sampling.max_output


def test_headers_that_mean_something_are_kept() -> None:
    """Version and betas are kept for a provider of the same dialect; betas sent twice are one list; others are left out."""
    headers = CIMultiDict(
        [("Anthropic-Version", "2026-10-21"), ("anthropic-beta", "a"), ("anthropic-beta", "b"), ("x-api-key", "k")]
    )
    asked = DIALECT.read_request(Head(headers=headers), b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
    assert {"anthropic-version": "2026-10-21", "anthropic-beta": "a,b"} == asked.headers


def test_a_user_turn_is_results_and_what_was_said() -> None:
    """A turn's results are items of their own, in their order with what stands between them."""
    result = {"type": "tool_result", "tool_use_id": "c1", "content": "ok", "is_error": True}
    items = said({"type": "text", "text": "a"}, result, {"type": "text", "text": "b"}, role="user")
    assert items == (
        Message(role="user", parts=(Text("a"),), turn=1),
        ToolResult(call_id="c1", parts=(Text("ok"),), is_error=True, turn=1),
        Message(role="user", parts=(Text("b"),), turn=1),
    )


def test_an_assistant_turn_is_one_message_of_ordered_parts() -> None:
    """Thoughts, texts and calls stay in their order; arguments are the compact text of the input, its keys in their order."""
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "a"},
        {"type": "tool_use", "id": "c1", "name": "f", "input": {"z": 1.0, "a": [True]}},
        {"type": "new_thing", "x": 1},
    ]
    (item,) = said(*blocks)
    assert item.parts == (
        Reasoning(summary=("hm",), carrier=SIGNED),
        Reasoning(redacted=True, carrier=Carrier("anthropic", "redacted", "xyz")),
        Text("a"),
        ToolCall(call_id="c1", name="f", arguments='{"z":1.0,"a":[true]}'),
        OpaquePart(dialect=DIALECT.name, type="new_thing", raw=blocks[4]),
    )


def test_integers_keep_all_their_digits() -> None:
    """An integer of more than 64 bits in a call's input is copied as text, both ways."""
    block = b'{"type":"tool_use","id":"c","name":"f","input":{"n":1234567890123456789012}}'
    body = b'{"model":"m","messages":[{"role":"assistant","content":[' + block + b"]}]}"
    asked = DIALECT.read_request(Head(), body)
    call: Any = asked.prompt.items[0]
    assert '{"n":1234567890123456789012}' == call.parts[0].arguments
    assert b'"input":{"n":1234567890123456789012}' in DIALECT.write_request(evolve(asked, raw=None, prompt=asked.prompt))
    assert body == DIALECT.write_request(asked.with_prompt(items=(evolve(call, parts=tuple(map(evolve, call.parts))),)))


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "thinking", "thinking": "hm", "signature": sealed(OPENAI, "hm")}, Reasoning(summary=("hm",), carrier=OPENAI)),
        (
            {"type": "thinking", "thinking": "changed", "signature": sealed(OPENAI, "hm")},
            Reasoning(summary=("hm",), carrier=OPENAI),
        ),
        ({"type": "thinking", "thinking": "hm", "signature": sealed(None, "hm")}, Reasoning(summary=("hm",))),
        ({"type": "thinking", "thinking": "hm", "signature": "llmgw1:broken"}, Reasoning(summary=("hm",))),
        ({"type": "redacted_thinking", "data": sealed(OPENAI)}, Reasoning(carrier=OPENAI)),
    ],
)
def test_an_envelope_is_opened(block: dict[str, Any], part: Reasoning) -> None:
    """What another provider's opaque state was sealed in gives it back, with the thought as its issuer wrote it."""
    assert part == said(block)[0].parts[0]


def test_an_envelope_never_reaches_a_provider() -> None:
    """A thought in an envelope is left out of a request of this dialect, with a loss, and the rest keeps its text."""
    blocks = [{"type": "thinking", "thinking": "hm", "signature": sealed(OPENAI, "hm")}, {"type": "text", "text": "a"}]
    asked = request(messages=[{"role": "assistant", "content": blocks}, {"role": "user", "content": "hi"}])
    losses: list[Loss] = []
    tree = json.loads(DIALECT.write_request(asked, losses))
    assert [{"role": "assistant", "content": blocks[1:]}, {"role": "user", "content": "hi"}] == tree["messages"]
    assert ["reasoning"] == [loss.feature for loss in losses]


def test_tools_are_told_apart() -> None:
    """Functions, tools the client runs, tools the provider runs, and servers of tools."""
    server = {"type": "url", "name": "s", "url": "https://s"}
    tools = [
        {"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "web_search_20260318", "name": "web_search"},
        {"type": "mcp_toolset", "mcp_server_name": "s"},
    ]
    mark = CacheMark(3600.0, raw={"cache_control": tools[0]["cache_control"]})
    assert request(tools=tools, mcp_servers=[server]).prompt.tools == (
        FunctionTool(name="f", schema={"type": "object"}, cache=mark),
        BuiltinTool(kind="bash", vendor="anthropic", name="bash", config=tools[1], client_executed=True),
        BuiltinTool(kind="web_search", vendor="anthropic", name="web_search", config=tools[2]),
        BuiltinTool(kind="mcp_toolset", vendor="anthropic", name="s", config=tools[3]),
        McpServer(label="s", url="https://s", config=server),
    )


# ---- writing from scratch -----------------------------------------------------------------------


def test_a_request_is_written_from_scratch() -> None:
    """Head, turns and settings stand where Anthropic wants them; a limit is always there."""
    tree, losses = foreign(
        Instruction(parts=(Text("be brief"),)),
        Message(role="user", parts=(Text("hi"),)),
        tools=(FunctionTool(name="f"),),
        parallel_tools=False,
        tool_choice=ToolChoice("required"),
        sampling=Sampling(stop=("x",)),
        reasoning=ReasoningConfig(effort="minimal", show="auto"),
        output=OutputFormat(kind="json_schema", schema={"type": "object"}),
    )
    assert tree == {
        "model": "m",
        "max_tokens": 32000,
        "system": "be brief",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [{"name": "f", "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        "stop_sequences": ["x"],
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
    }
    assert ["reasoning.effort"] == [loss.feature for loss in losses]


def test_a_count_is_asked_with_what_counts() -> None:
    """A request that only counts tokens has no limit, no sampling and no stream."""
    tree, _ = foreign(Message(role="user", parts=(Text("hi"),)), operation="count_tokens", sampling=Sampling(temperature=1))
    assert {"model": "m", "messages": [{"role": "user", "content": "hi"}]} == tree
    assert {"model", "messages"} == written(evolve(request(stream=True, temperature=0.5), operation="count_tokens")).keys()


def test_results_stand_first_in_the_order_of_their_calls() -> None:
    """Results go to the head of the turn behind their calls, in the order of these; what stood before them moves behind."""
    calls = tuple(ToolCall(call_id=ident, name="f", arguments="{}") for ident in "ab")
    tree, losses = foreign(
        Message(role="user", parts=(Text("go"),)),
        Message(role="assistant", parts=calls),
        Message(role="user", parts=(Text("so?"),)),
        ToolResult(call_id="b", parts=(Text("2"),)),
        Instruction(parts=(Text("careful"),), leading=False),
        ToolResult(call_id="a", parts=()),
    )
    assert ["user", "assistant", "user", "system"] == [turn["role"] for turn in tree["messages"]]
    assert tree["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a"},
        {"type": "tool_result", "tool_use_id": "b", "content": "2"},
        {"type": "text", "text": "so?"},
    ]
    assert {"order"} == {loss.feature for loss in losses}


@pytest.mark.parametrize(
    ("arguments", "input_"),
    [
        ("", {}),
        ('{"a":1}', {"a": 1}),
        ("[1]", {"_value": [1]}),
        ('{"a":', {"_raw": '{"a":'}),
        ("null", {}),
    ],
)
def test_arguments_become_an_object(arguments: str, input_: Any) -> None:
    """Whatever a model of another provider wrote as arguments is an object, and nothing of it is lost."""
    tree, _ = foreign(Message(role="assistant", parts=(ToolCall(call_id="c", name="f", arguments=arguments),)))
    assert input_ == tree["messages"][0]["content"][0]["input"]


def test_what_anthropic_cannot_say_is_a_loss() -> None:
    """Thoughts that it did not sign, sound, and settings it does not know are left out, each with a loss by its name."""
    tree, losses = foreign(
        Message(role="user", name="joe", parts=(Text("hi"), Audio(Base64("audio/wav", "AA==")))),
        Message(
            role="assistant",
            parts=(Reasoning(summary=("hm",), carrier=OPENAI), Refusal("no"), Image(Base64("image/png", "AA=="))),
        ),
        sampling=Sampling(seed=1, n=2),
        output=OutputFormat(kind="json_object"),
        tier="flex",
        metadata={"a": "b"},
    )
    assert [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "no"}] == tree["messages"]
    assert {loss.feature for loss in losses} == {
        "message.name",
        "audio",
        "reasoning.encrypted_content",
        "assistant.image",
        "seed",
        "n",
        "output",
        "tier",
        "metadata",
    }


def test_custom_tools_are_functions_with_one_text() -> None:
    """A tool that takes free text is a function with one text, and so are its calls."""
    tool = CustomTool(name="patch", description="Apply.", syntax="lark", definition="start: x")
    call = ToolCall(call_id="c", name="patch", arguments="*** a", kind="custom")
    tree, _ = foreign(Message(role="assistant", parts=(call,)), tools=(tool,))
    assert {"input": "*** a"} == tree["messages"][0]["content"][0]["input"]
    assert {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]} == tree["tools"][0][
        "input_schema"
    ]
    assert "start: x" in tree["tools"][0]["description"]


def test_text_files_are_read_as_text() -> None:
    """A text file is a document of text; a file that nobody reads is a loss."""
    csv = Document(Base64("text/csv", "YSxi"), filename="t.csv")
    tree, losses = foreign(Message(role="user", parts=(csv, Document(Base64("application/msword", "AA==")), Text("?"))))
    source = {"type": "text", "media_type": "text/plain", "data": "a,b"}
    assert {"type": "document", "source": source, "title": "t.csv"} == tree["messages"][0]["content"][0]
    assert ["document.media_type", "document"] == [loss.feature for loss in losses]


def test_a_compaction_survives() -> None:
    """A compaction of Anthropic's is an item that is carried, and stands in its place again."""
    block = {"type": "compaction", "content": "so far", "encrypted_content": "x"}
    items = said(block, {"type": "text", "text": "a"})
    assert isinstance(items[0], Compaction) and isinstance(items[1], Message)
    tree, losses = foreign(*items)
    assert [block, {"type": "text", "text": "a"}] == tree["messages"][0]["content"]
    assert [] == losses


# ---- edits --------------------------------------------------------------------------------------


def test_unknown_fields_survive_an_edit() -> None:
    """If a text, a mark or a setting is changed, what we do not know stays beside it, around it and at the top."""
    block = {"type": "text", "text": "a", "odd": 1}
    result = {
        "type": "tool_result",
        "tool_use_id": "c",
        "content": [block, {"type": "image", "source": {"type": "new"}}],
        "odd": 2,
    }
    asked = request(
        messages=[{"role": "user", "content": [result, block], "odd": 3}],
        odd=4,
        output_config={"effort": "low", "task_budget": 9},
    )
    first, second = asked.prompt.items
    assert isinstance(first, ToolResult) and isinstance(second, Message)
    items = (
        evolve(first, parts=(evolve(first.parts[0], text="b"), *first.parts[1:])),  # type: ignore[call-arg]
        evolve(second, parts=(evolve(second.parts[0], cache=CacheMark()),)),
    )
    tree = written(asked.with_prompt(items=items, reasoning=ReasoningConfig()))
    content = [{**block, "text": "b"}, {"type": "image", "source": {"type": "new"}}]
    assert [
        {"role": "user", "content": [{**result, "content": content}, {**block, "cache_control": {"type": "ephemeral"}}], "odd": 3}
    ] == tree["messages"]
    assert (4, {"task_budget": 9}) == (tree["odd"], tree["output_config"])


def test_a_part_of_a_result_may_come_and_go() -> None:
    """If a part is added to a tool's result, its other parts keep their text and what we do not know of them."""
    odd = {"type": "text", "text": "a", "odd": 1}
    asked = request(messages=[{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [odd]}]}])
    item: Any = asked.prompt.items[0]
    tree = written(asked.with_prompt(items=(evolve(item, parts=(*item.parts, Text("b"))),)))
    assert [odd, {"type": "text", "text": "b"}] == tree["messages"][0]["content"][0]["content"]


def test_tools_may_come_and_go() -> None:
    """If a tool is dropped or added the others stay as they were; the last one takes the field with it."""
    tools = [{"name": "f", "input_schema": {}, "odd": 1}, {"type": "new_2", "name": "n", "odd": 2}]
    asked = request(tools=tools, tool_choice={"type": "auto", "odd": 3})
    kept = asked.prompt.tools
    tree = written(asked.with_prompt(tools=(kept[1], FunctionTool(name="g", schema={"type": "object"}))))
    assert [tools[1], {"name": "g", "input_schema": {"type": "object"}}] == tree["tools"]
    assert "tools" not in written(asked.with_prompt(tools=()))
    tree = written(asked.with_prompt(parallel_tools=False))
    assert {"type": "auto", "odd": 3, "disable_parallel_tool_use": True} == tree["tool_choice"]


def test_settings_have_the_clients_names() -> None:
    """A setting is told by the path that a client of this dialect knows."""
    names = {name: DIALECT.spelled(name) for name in ("max_output", "stop", "reasoning.effort", "temperature")}
    assert {
        "max_output": "max_tokens",
        "stop": "stop_sequences",
        "reasoning.effort": "output_config.effort",
        "temperature": "temperature",
    } == names
