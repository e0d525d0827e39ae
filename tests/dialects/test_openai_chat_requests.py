"""Requests: what is refused, and what is understood."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chat import request

from llmgw.errors import BadRequest, InvalidField
from llmgw.model import (
    Audio,
    Base64,
    BuiltinTool,
    CacheMark,
    Carrier,
    CustomTool,
    Document,
    FileId,
    FunctionTool,
    Image,
    Instruction,
    Message,
    OpaqueItem,
    OpaquePart,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Text,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolResult,
    Url,
    Video,
)
from llmgw.stages import Head
from llmgw_dialects.openai_chat import DIALECT

USER = [{"role": "user", "content": "hi"}]


def item(**message: Any) -> Any:
    return request(messages=[message]).prompt.items[0]


def parts(*content: Any, role: str = "user") -> Any:
    return item(role=role, content=list(content)).parts


# ---- refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"5", b"null", b"\xff", b'{"a": NaN}'])
def test_a_body_that_is_no_object_is_a_bad_request(body: bytes) -> None:
    """What is not JSON, or no object, is refused with a word about where."""
    with pytest.raises(BadRequest, match="The body of your request"):
        DIALECT.read_request(Head(), body)


@pytest.mark.parametrize(("fields", "param"), [
    ({"model": None}, "model"), ({"model": ""}, "model"), ({"model": 5}, "model"),
    ({"messages": None}, "messages"), ({"messages": []}, "messages"), ({"messages": "hi"}, "messages"),
    ({"messages": [*USER, "hi"]}, "messages[1]"), ({"messages": [*USER, {"content": "hi"}]}, "messages[1].role"),
    ({"messages": [{"role": 5}]}, "messages[0].role"), ({"stream": "yes"}, "stream"), ({"stream_options": []}, "stream_options"),
])  # fmt: skip
def test_what_routing_needs_is_checked_at_once(fields: dict[str, Any], param: str) -> None:
    """The error names the client's own path."""
    with pytest.raises(InvalidField) as caught:
        request(**fields)
    assert (param, 422) == (caught.value.param, caught.value.status)


@pytest.mark.parametrize(("fields", "param"), [
    ({"temperature": "hot"}, "temperature"), ({"max_tokens": 1.5}, "max_tokens"), ({"n": True}, "n"), ({"stop": [1]}, "stop"),
    ({"tools": {}}, "tools"), ({"tools": ["f"]}, "tools[0]"), ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tools": [{"type": "function", "function": {"name": 5}}]}, "tools[0].function.name"),
    ({"tools": [{"type": 5}]}, "tools[0].type"),
    ({"tool_choice": "maybe"}, "tool_choice"), ({"tool_choice": {"type": "function"}}, "tool_choice.function.name"),
    ({"response_format": "json"}, "response_format"), ({"response_format": {"type": 5}}, "response_format.type"),
    ({"metadata": {"a": 1}}, "metadata.a"), ({"reasoning": {"effort": 5}}, "reasoning.effort"),
    ({"logit_bias": []}, "logit_bias"),
    ({"function_call": 5}, "function_call"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 5}}]}]},
        "messages[0].content[0].image_url.url"),
    ({"messages": [*USER, {"role": "assistant", "tool_calls": [5]}]}, "messages[1].tool_calls[0]"),
    ({"messages": [{"role": "assistant", "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": 5}}]}]},
     "messages[0].tool_calls[0].function.arguments"),
    ({"messages": [{"role": "tool", "tool_call_id": 5}]}, "messages[0].tool_call_id"),
])  # fmt: skip
def test_the_rest_is_checked_when_somebody_looks(fields: dict[str, Any], param: str) -> None:
    """A field that the model cannot hold is no obstacle to a request that is relayed, and an error to one that is read."""
    asked = request(**fields)
    assert asked.raw is not None and asked.raw.data is DIALECT.write_request(asked)
    with pytest.raises(InvalidField) as caught:
        _ = asked.prompt
    assert param == caught.value.param


def test_unknown_fields_are_no_reason_to_refuse() -> None:
    """What we do not know is carried."""
    odd = request(odd=1, messages=[{"role": "narrator", "odd": 2}, {"role": "user", "content": [{"type": "odd"}], "odd": 3}])
    assert (
        OpaqueItem(dialect=DIALECT.name, type="narrator", raw={"role": "narrator", "odd": 2}),
        Message(role="user", parts=(OpaquePart(dialect=DIALECT.name, type="odd", raw={"type": "odd"}),), turn=1),
    ) == odd.prompt.items


def test_headers_and_options_are_taken_along() -> None:
    """Of the headers only those that mean something to a provider are kept; ``include_usage`` is the client's wish for usage."""
    head = Head(headers={"openai-beta": "x", "authorization": "Bearer k", "x-client-request-id": "y"})
    body = json.dumps({"model": "m", "messages": USER, "stream": True, "stream_options": {"include_usage": True}}).encode()
    asked = DIALECT.read_request(head, body)
    assert ({"openai-beta": "x", "x-client-request-id": "y"}, True, True) == (asked.headers, asked.stream, asked.stream_usage)


# ---- understood ---------------------------------------------------------------------------------


def test_messages_become_items() -> None:
    """Each role has its item; an instruction leads until somebody has spoken."""
    asked = request(messages=[
        {"role": "system", "content": "a", "name": "n"}, {"role": "developer", "content": [{"type": "text", "text": "b"}]},
        {"role": "user", "content": "c", "name": "u"}, {"role": "assistant", "content": None},
        {"role": "tool", "tool_call_id": "t", "content": "d"}, {"role": "system", "content": "e"},
    ])  # fmt: skip
    assert (
        Instruction(role="system", parts=(Text("a"),), name="n"),
        Instruction(role="developer", parts=(Text("b"),), turn=1),
        Message(role="user", parts=(Text("c"),), name="u", turn=2),
        Message(role="assistant", turn=3),
        ToolResult(call_id="t", parts=(Text("d"),), turn=4),
        Instruction(role="system", parts=(Text("e"),), leading=False, turn=5),
    ) == asked.prompt.items
    assert all(one.clean for one in asked.prompt.items)


def test_content_parts_are_read() -> None:
    """Each type of content part has its own, with marks kept as the client wrote them."""
    mark = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    assert (
        Text("a", cache=CacheMark(3600.0, raw=mark)),
        Image(Base64("image/png", "AA=="), detail="low"), Image(Url("https://x/y")), Image(Url("data:image/png,raw")),
            Image(Url("u")),
        Audio(Base64("audio/wav", "AA")), Document(FileId("f")), Document(Base64("application/pdf", "AA"), filename="n"),
        Document(Base64("application/pdf", "AA")), Video(Url("v")), Refusal("no"), Reasoning(raw_text=("t",)),
    ) == parts(
        {"type": "text", "text": "a", **mark},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://x/y"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,raw"}},
        {"type": "image_url", "image_url": "u"}, {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "n"}},
        {"type": "file", "file": {"file_data": "AA"}}, {"type": "video_url", "video_url": {"url": "v"}},
        {"type": "refusal", "refusal": "no"}, {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]},
    )  # fmt: skip


def test_what_an_assistant_said_has_its_order() -> None:
    """Thoughts, content, refusal, calls and sound are parts, in this order."""
    google = {"google": {"thought_signature": "sig"}}
    said = item(
        role="assistant", content="b", reasoning_content="a", refusal="no", audio={"id": "s"},
        tool_calls=[
            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "extra_content": google},
            {"id": "2", "type": "custom", "custom": {"name": "g", "input": "x"}},
            {"id": "3", "type": "odd"},
            {"id": "4", "function": {"name": "h", "arguments": {"a": 1}}},
        ],
    )  # fmt: skip
    carrier = Carrier(provider="google", kind="thought_signature", payload="sig")
    assert (
        Reasoning(raw_text=("a",)), Text("b"), Refusal("no"),
        ToolCall(call_id="1", name="f", arguments="{}", carrier=carrier),
        ToolCall(call_id="2", name="g", arguments="x", kind="custom"),
        OpaquePart(dialect=DIALECT.name, type="odd", raw={"id": "3", "type": "odd"}),
        ToolCall(call_id="4", name="h", arguments='{"a":1}'), Audio(id="s"),
    ) == said.parts  # fmt: skip


def test_thoughts_of_all_vendors_are_read() -> None:
    """Plain texts, OpenRouter's details and LiteLLM's blocks are all reasoning, and none is read twice."""
    details = [{"type": "reasoning.text", "text": "a", "index": 0}]
    carrier = Carrier(provider="unknown", kind="details", payload=json.dumps(details, separators=(",", ":")))
    assert (Reasoning(raw_text=("a",), carrier=carrier),) == item(
        role="assistant", reasoning="a", reasoning_details=details
    ).parts
    assert (Reasoning(raw_text=("a",), carrier=carrier),) == item(role="assistant", reasoning_details=details).parts
    blocks = [{"type": "thinking", "thinking": "a", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}]
    assert (
        Reasoning(summary=("a",), carrier=Carrier(provider="anthropic", kind="signature", payload="s")),
        Reasoning(redacted=True, carrier=Carrier(provider="anthropic", kind="redacted", payload="d")),
    ) == item(role="assistant", reasoning_content="a", thinking_blocks=blocks).parts


def test_legacy_calls_and_results_find_each_other() -> None:
    """A ``function_call`` has no id; it and the message that answers it get the same one."""
    asked = request(messages=[{"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
                              {"role": "function", "name": "f", "content": "x"}], functions=[{"name": "f"}],
                                  function_call="auto")  # fmt: skip
    called, result = asked.prompt.items
    assert isinstance(called, Message) and isinstance(called.parts[0], ToolCall) and isinstance(result, ToolResult)
    assert called.parts[0].call_id == result.call_id != ""
    assert ((FunctionTool(name="f"),), ToolChoice("auto")) == (asked.prompt.tools, asked.prompt.tool_choice)


def test_tools_are_read() -> None:
    """Functions, custom tools, web search and other vendors' tools are all tools."""
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /a/"}}
    odd = {"type": "openrouter:web_search", "parameters": {}}
    asked = request(
        tools=[{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}, "strict": True}},
               {"type": "custom", "custom": {"name": "g", "format": grammar}}, odd],
        web_search_options={"search_context_size": "low"},
    )  # fmt: skip
    assert (
        FunctionTool(name="f", description="d", schema={}, strict=True),
        CustomTool(name="g", syntax="lark", definition="start: /a/"),
        BuiltinTool(kind="openrouter:web_search", vendor=DIALECT.name, config=odd),
        BuiltinTool(kind="web_search", vendor="openai", name="web_search", config={"search_context_size": "low"}),
    ) == asked.prompt.tools


@pytest.mark.parametrize(("value", "choice"), [
    ("auto", ToolChoice("auto")), ("none", ToolChoice("none")), ("required", ToolChoice("required")),
    ("any", ToolChoice("required")),
    ({"type": "function", "function": {"name": "f"}}, ToolChoice("named", (ToolRef("f"),))),
    ({"type": "custom", "custom": {"name": "f"}}, ToolChoice("named", (ToolRef("f", "custom"),))),
    ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}},
     ToolChoice("allowed", (ToolRef("f"),), "required")),
])  # fmt: skip
def test_tool_choices_are_read(value: Any, choice: ToolChoice) -> None:
    """Each form of ``tool_choice`` is understood, Mistral's ``any`` too."""
    assert choice == request(tool_choice=value).prompt.tool_choice


@pytest.mark.parametrize(("fields", "config"), [
    ({"reasoning_effort": "high"}, ReasoningConfig(effort="high")),
    ({"reasoning": {"max_tokens": 9, "exclude": True}}, ReasoningConfig(mode="budget", budget=9, show="omitted")),
    ({"reasoning": {"enabled": False}}, ReasoningConfig(mode="off")),
    ({"thinking": {"type": "enabled", "budget_tokens": 9}}, ReasoningConfig(mode="budget", budget=9)),
    ({"thinking": {"type": "disabled"}}, ReasoningConfig(mode="off")),
    ({"thinking": {"type": "enabled"}}, ReasoningConfig(mode="auto")),
])  # fmt: skip
def test_reasoning_settings_are_read(fields: dict[str, Any], config: ReasoningConfig) -> None:
    """OpenAI's effort, OpenRouter's object and the vendors' ``thinking`` are one setting."""
    assert config == request(**fields).prompt.reasoning
