"""Requests: what is written, of an edited body and from scratch."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from chat import request

from llmgw.model import (
    BuiltinTool,
    CacheMark,
    CachePolicy,
    Citation,
    Compaction,
    Document,
    FunctionTool,
    Image,
    Loss,
    Message,
    OpaqueItem,
    OpaquePart,
    OutputFormat,
    PlainText,
    Prompt,
    Reasoning,
    ReasoningConfig,
    Request,
    Sampling,
    ServerToolCall,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
    Url,
)
from llmgw.stages import Head
from llmgw_dialects.openai_chat import DIALECT
from llmgw_dialects.openai_chat.requests import encode_request

USER = [{"role": "user", "content": "hi"}]


def scratch(**fields: Any) -> tuple[dict[str, Any], list[Loss]]:
    """What is written of a prompt that came in no dialect of ours."""
    body, losses = encode_request(Request(dialect="anthropic.messages", model="m", prompt=Prompt(**fields)))
    return json.loads(body), losses


def messages(*items: Any) -> list[dict[str, Any]]:
    return scratch(items=items)[0]["messages"]  # type: ignore[no-any-return]


# ---- edited -------------------------------------------------------------------------------------


def test_settings_are_changed_where_they_stand() -> None:
    """A changed setting is written under the client's own key, and no other byte changes."""
    asked = request(
        max_tokens=5, reasoning={"effort": "low", "odd": 1}, thinking={"type": "enabled", "budget_tokens": 1024}, odd=[1.0]
    )
    assert asked.raw is not None
    prompt = asked.prompt
    changed = asked.with_prompt(sampling=evolve(prompt.sampling, max_output=6))
    assert asked.raw.data.replace(b'"max_tokens": 5', b'"max_tokens": 6') == DIALECT.write_request(changed)
    changed = asked.with_prompt(reasoning=evolve(prompt.reasoning, effort="high"))
    assert asked.raw.data.replace(b'"low"', b'"high"') == DIALECT.write_request(changed)
    changed = asked.with_prompt(reasoning=evolve(prompt.reasoning, budget=2048))
    assert asked.raw.data.replace(b'"budget_tokens": 1024', b'"budget_tokens": 2048') == DIALECT.write_request(changed)


def test_settings_are_added_and_taken_away() -> None:
    """A setting that was not there is added at the end, one that is no more goes."""
    asked = request(temperature=1)
    changed = asked.with_prompt(sampling=Sampling(seed=5))
    assert {"model": "m", "messages": USER, "seed": 5} == json.loads(DIALECT.write_request(changed))


def test_parts_come_and_go() -> None:
    """Parts put into a message, and taken out of it, leave the others' text; a string becomes a list if it must."""
    asked = request(
        messages=[{"role": "user", "content": [{"type": "text", "text": "a", "odd": 1.0}, {"type": "odd"}], "odd": 2}]
    )
    (message,) = asked.prompt.items
    assert isinstance(message, Message)
    picture = Image(Url("u"))
    written = DIALECT.write_request(asked.with_prompt(items=(evolve(message, parts=(picture, *message.parts)),)))
    content = json.loads(written)["messages"][0]["content"]
    assert [
        {"type": "image_url", "image_url": {"url": "u"}},
        {"type": "text", "text": "a", "odd": 1.0},
        {"type": "odd"},
    ] == content
    assert b'{"type": "text", "text": "a", "odd": 1.0}' in written and b'"odd": 2' in written
    written = DIALECT.write_request(asked.with_prompt(items=(evolve(message, parts=message.parts[1:]),)))
    assert [{"role": "user", "content": [{"type": "odd"}], "odd": 2}] == json.loads(written)["messages"]

    asked = request()
    (message,) = asked.prompt.items
    assert isinstance(message, Message)
    written = DIALECT.write_request(asked.with_prompt(items=(evolve(message, parts=(*message.parts, picture)),)))
    assert [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "u"}}] == json.loads(written)["messages"][
        0
    ]["content"]


def test_calls_and_tools_come_and_go() -> None:
    """A changed call keeps its keys that we do not know; a tool taken away leaves the others' text."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}", "parsed": {}}, "index": 0}
    tools = [{"type": "function", "function": {"name": name, "odd": 1.0}} for name in "fg"]
    asked = request(messages=[*USER, {"role": "assistant", "content": "", "tool_calls": [call]}], tools=tools)
    message = asked.prompt.items[1]
    assert isinstance(message, Message)
    parts = tuple(evolve(part, name="F") if isinstance(part, ToolCall) else part for part in message.parts)
    changed = asked.with_prompt(items=(asked.prompt.items[0], evolve(message, parts=parts)), tools=asked.prompt.tools[1:])
    tree = json.loads(DIALECT.write_request(changed))
    assert [{**call, "function": {"name": "F", "arguments": "{}", "parsed": {}}}] == tree["messages"][1]["tool_calls"]
    assert tools[1:] == tree["tools"]
    gone = asked.with_prompt(items=(asked.prompt.items[0], evolve(message, parts=())), tools=())
    tree = json.loads(DIALECT.write_request(gone))
    assert {"role": "assistant", "content": ""} == tree["messages"][1] and "tools" not in tree


def test_thoughts_can_be_taken_away() -> None:
    """Without its reasoning parts a message has none of the keys they stood under."""
    asked = request(
        messages=[{"role": "assistant", "content": "x", "reasoning": "a", "reasoning_details": [{"text": "a"}], "odd": 1}]
    )
    (message,) = asked.prompt.items
    assert isinstance(message, Message)
    written = DIALECT.write_request(asked.with_prompt(items=(evolve(message, parts=message.parts[1:]),)))
    assert [{"role": "assistant", "content": "x", "odd": 1}] == json.loads(written)["messages"]


@pytest.mark.parametrize(("body", "slow"), [
    (b'{"model": "a", "messages": [{"role": "user"}]}', False),
    (b' {"stream" : false,"n":1.5e3, "x": "y","model":\n"a" , "messages":[{"role":"user"}]}', False),
    (b'{"x": {"model": "a"}, "model": "a", "messages": [{"role": "user"}]}', True),
    (b'{"messages": [{"role": "user"}], "model": "a"}', True),
    (b'{"x": "\\"", "model": "a", "messages": [{"role": "user"}]}', True),
    (b'{"model": "\\u0061", "messages": [{"role": "user"}]}', True),
])  # fmt: skip
def test_the_model_alone_is_replaced(body: bytes, slow: bool) -> None:
    """The model's value is replaced in its place, by a short way or a long one."""
    asked = DIALECT.read_request(Head(), body)
    at = body.rindex(b'"model"')
    end = body.find(b'"a"', at) if b"u0061" not in body else body.find(b'"\\u0061"', at)
    width = 3 if b"u0061" not in body else 8
    assert body[:end] + b'"b/c"' + body[end + width :] == DIALECT.write_request(asked.with_model("b/c"))


def test_of_repeated_keys_the_last_is_replaced() -> None:
    """Where a client names the model twice, the one that counts is replaced."""
    body = b'{"model": "a", "messages": [{"role": "user"}], "model": "a"}'
    assert "b" == json.loads(DIALECT.write_request(DIALECT.read_request(Head(), body).with_model("b")))["model"]


def test_a_wish_for_usage_is_added() -> None:
    """A request that is to be streamed, or to have usage, says so, and the rest of the body stays."""
    asked = request(stream_options={"include_obfuscation": False})
    written = json.loads(DIALECT.write_request(evolve(asked, stream=True, stream_usage=True)))
    assert (True, {"include_obfuscation": False, "include_usage": True}) == (written["stream"], written["stream_options"])


# ---- from scratch -------------------------------------------------------------------------------


def test_assistants_in_a_row_are_one_message() -> None:
    """Neighbouring assistant messages are one, with thoughts, text and calls; many servers refuse two."""
    call = ToolCall(call_id="1", name="f", arguments="{}")
    items = [Message(role="assistant", parts=(Reasoning(raw_text=("a",)),)), Message(role="assistant", parts=(Text("b"), call))]
    entry = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert [{"role": "assistant", "reasoning_content": "a", "content": "b", "tool_calls": [entry]}] == messages(*items)


def test_results_follow_their_calls() -> None:
    """Results stand right behind the message that called; what was before them moves behind, and is a loss."""
    call = Message(role="assistant", parts=(ToolCall(call_id="1", name="f", arguments="{}"),))
    body, losses = scratch(items=(call, Message(role="user", parts=(Text("x"),)), ToolResult(call_id="1", parts=(Text("r"),))))
    assert ["assistant", "tool", "user"] == [one["role"] for one in body["messages"]]
    assert "content" not in body["messages"][0]
    assert ["order"] == [loss.feature for loss in losses]


def test_pictures_of_results_go_to_the_user() -> None:
    """A tool message has text alone; its pictures follow in one user message behind the last result, failure is a word."""
    first = ToolResult(call_id="1", parts=(Text("a"), Image(Url("u"))))
    body, losses = scratch(items=(first, ToolResult(call_id="2", parts=(Text("b"),), is_error=True)))
    assert [
        {"role": "tool", "tool_call_id": "1", "content": "a[attached below]"},
        {"role": "tool", "tool_call_id": "2", "content": "Error: b"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Image 1 of the tool results above:"},
                {"type": "image_url", "image_url": {"url": "u"}},
            ],
        },
    ] == body["messages"]
    assert ["tool_result.media", "tool_result.is_error"] == [loss.feature for loss in losses]


def test_only_what_is_set_is_written() -> None:
    """A bare prompt is a bare body, with the stream and usage that were asked for."""
    asked = Request(
        dialect="x", model="m", stream=True, stream_usage=True, prompt=Prompt(items=(Message(role="user", parts=(Text("hi"),)),))
    )
    assert {"model": "m", "messages": USER, "stream": True, "stream_options": {"include_usage": True}} == json.loads(
        DIALECT.write_request(asked)
    )
    assert DIALECT.write_request(asked) == DIALECT.write_request(evolve(asked))


def test_what_chat_cannot_say_is_a_loss() -> None:
    """Each thing that Chat has no word for is named, with what became of it."""
    parts = (
        ServerToolCall(tool="web_search"),
        OpaquePart(dialect="x", type="odd", raw={}),
        Document(PlainText("t"), filename="n"),
        Text("z"),
    )
    body, losses = scratch(
        items=(Message(role="user", parts=parts), Compaction(), OpaqueItem(dialect="x", type="odd", raw={})),
        tools=(BuiltinTool(kind="bash", vendor="anthropic"), FunctionTool(name="f", namespace="n")),
        tool_choice=ToolChoice("validated"), reasoning=ReasoningConfig(mode="budget", budget=5000), max_tool_calls=3,
        output=OutputFormat(kind="mime", mime="text/x.enum"), cache=CachePolicy(resource="r"),
    )  # fmt: skip
    assert [{"role": "user", "content": [{"type": "text", "text": "n\n\nt"}, {"type": "text", "text": "z"}]}] == body["messages"]
    assert "medium" == body["reasoning_effort"]
    assert [
        ("servertoolcall", "dropped"), ("odd", "dropped"), ("document", "emulated"), ("item.Compaction", "dropped"),
        ("item.OpaqueItem", "dropped"), ("tools.bash", "dropped"), ("tools.namespace", "dropped"),
        ("tool_choice", "approximated"),
        ("response_format.mime", "dropped"), ("reasoning.budget", "approximated"), ("max_tool_calls", "dropped"),
        ("cache.resource", "dropped"),
    ] == [(loss.feature, loss.action) for loss in losses]  # fmt: skip


def test_marks_of_other_dialects_become_openais() -> None:
    """A cache mark is a breakpoint; lifetimes are matched by class."""
    long = Text("x", cache=CacheMark(3600.0, raw={"type": "ephemeral"}))
    (message,) = messages(Message(role="user", parts=(long,)))
    assert [{"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}] == message["content"]


def test_results_that_are_objects_are_written_as_json() -> None:
    """A result that has no parts but an object is its JSON; what else is known of a part is a loss."""
    told = Message(role="assistant", parts=(Text("x", citations=(Citation("url", url="u"),)),))
    body, losses = scratch(items=(told, ToolResult(call_id="1", structured={"a": [1]}, scheduling="SILENT")))
    assert {"role": "tool", "tool_call_id": "1", "content": '{"a":[1]}'} == body["messages"][1]
    assert ["text.citations", "tool_result.scheduling"] == [loss.feature for loss in losses]
