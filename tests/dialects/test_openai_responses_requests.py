"""Requests of Responses: what is read of them, and what a request of another dialect becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from responses import read_input, request

from llmgw.errors import BadRequest, InvalidField
from llmgw.model import (
    Audio,
    Base64,
    BuiltinTool,
    CacheMark,
    Carrier,
    Compaction,
    ConfigUpdate,
    CustomTool,
    Document,
    FileId,
    FunctionTool,
    Image,
    Instruction,
    ItemReference,
    Loss,
    McpServer,
    Message,
    Namespace,
    OpaqueItem,
    OpaquePart,
    OutputFormat,
    Part,
    PlainText,
    Prompt,
    Reasoning,
    ReasoningConfig,
    Refusal,
    Request,
    Sampling,
    ServerState,
    ServerToolCall,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolResult,
    ToolSetChange,
    Url,
)
from llmgw.stages import Head
from llmgw_dialects.envelope import sealed
from llmgw_dialects.openai_responses import DIALECT

SIGNED = Carrier(provider="google", kind="thought_signature", payload="sig==")
THOUGHT = Carrier(provider="anthropic", kind="signature", payload="EqQB")
USER = {"role": "user", "content": "hi"}
CALL = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1.0}', "id": "fc_1", "status": "completed"}


def parts_of(*items: dict[str, Any]) -> tuple[Part, ...]:
    """The parts of the one run that these items are."""
    (run,) = read_input(*items).items
    assert isinstance(run, Message) and run.role == "assistant"
    return run.parts


def written(*items: Any, losses: list[Loss] | None = None, operation: Any = "generate", **prompt: Any) -> dict[str, Any]:
    """A request of another dialect, written."""
    asked = Request(dialect="x", model="m", operation=operation, prompt=Prompt(items=items, **prompt))
    body: dict[str, Any] = json.loads(DIALECT.write_request(asked, losses))
    return body


def features(losses: list[Loss]) -> list[tuple[str, str]]:
    return [(loss.feature, loss.action) for loss in losses]


# ---- the envelope -------------------------------------------------------------------------------


def test_model_stream_and_operation_are_read_at_once() -> None:
    """Routing gets what it needs without the prompt being read."""
    asked = DIALECT.read_request(
        Head(operation="count_tokens"), b'{"model":"m","input":[{"role":"user","content":"x"}],"stream":true}'
    )
    assert ("m", True, "count_tokens", "openai.responses") == (asked.model, asked.stream, asked.operation, asked.dialect)
    assert asked.raw is not None and not asked.raw.is_read


@pytest.mark.parametrize(("body", "param"), [
    (b'{"input":"x"}', "model"), (b'{"model":"m"}', "input"), (b'{"model":"m","input":7}', "input"),
    (b'{"model":"m","input":["x"]}', "input[0]"), (b'{"model":"m","input":"x","stream":"yes"}', "stream"),
])  # fmt: skip
def test_what_routing_needs_must_be_there(body: bytes, param: str) -> None:
    """A missing or mistyped field is told by its path."""
    with pytest.raises(InvalidField) as caught:
        DIALECT.read_request(Head(), body)
    assert param == caught.value.param


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"x"'])
def test_a_body_must_be_an_object(body: bytes) -> None:
    """What is no JSON object is no request."""
    with pytest.raises(BadRequest):
        DIALECT.read_request(Head(), body)


def test_a_continued_response_needs_no_input() -> None:
    """With a template, an earlier response or a conversation ``input`` may be missing, and stays so."""
    body = b'{"model": "m", "previous_response_id": "resp_1"}'
    asked = DIALECT.read_request(Head(), body)
    assert () == asked.prompt.items and "resp_1" == asked.prompt.server_state.previous_response_id
    assert body == DIALECT.write_request(asked)


def test_headers_of_codex_are_kept() -> None:
    """Headers that mean something to a provider are kept, those of Codex by their prefix; credentials never are."""
    headers = {"x-codex-window-id": "w", "session-id": "s", "openai-beta": "b", "authorization": "Bearer k", "x-other": "o"}
    asked = DIALECT.read_request(Head(headers=headers), b'{"model":"m","input":"x"}')
    assert {"openai-beta": "b", "session-id": "s", "x-codex-window-id": "w"} == asked.headers


# ---- items --------------------------------------------------------------------------------------


def test_instructions_lead() -> None:
    """``instructions`` are the first instruction; a developer's message behind a user's does not lead."""
    prompt = read_input(USER, {"role": "developer", "content": "now"}, instructions="be brief")
    first, _, last = prompt.items
    assert (
        isinstance(first, Instruction) and first.leading and first.origin == "instructions" and Text("be brief") == first.parts[0]
    )
    assert isinstance(last, Instruction) and not last.leading and last.role == "developer"


def test_a_run_of_the_assistant_is_one_message() -> None:
    """Thoughts, messages and calls behind one another are parts of one message, each with its own id and phase."""
    thought = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "gAAAA",
    }
    first = {
        "type": "message",
        "role": "assistant",
        "id": "m1",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "a"}],
    }
    last = {"role": "assistant", "content": [{"type": "output_text", "text": "b"}, {"type": "refusal", "refusal": "no"}]}
    custom = {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "*** Begin", "namespace": "ns"}
    parts = parts_of(thought, first, CALL, custom, last)
    assert parts == (
        Reasoning(summary=("hm",), carrier=Carrier("openai", "encrypted_content", "gAAAA"), id="rs_1"),
        Text("a", group=0, id="m1", phase="commentary"),
        ToolCall(call_id="c1", name="f", arguments='{"a": 1.0}', item_id="fc_1", status="completed"),
        ToolCall(call_id="c2", name="patch", arguments="*** Begin", kind="custom", namespace="ns"),
        Text("b", group=1),
        Refusal("no"),
    )


def test_results_are_items_of_their_own() -> None:
    """What a tool gave is a string or a list of parts, for a function or a freeform tool."""
    listed = [{"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "data:image/png;base64,AA=="}]
    one, two = read_input(
        {"type": "function_call_output", "call_id": "c1", "output": "ok"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": listed},
    ).items
    assert one == ToolResult(call_id="c1", parts=(Text("ok"),))
    assert two == ToolResult(call_id="c2", parts=(Text("x"), Image(Base64("image/png", "AA=="))), kind="custom", turn=1)


@pytest.mark.parametrize(("item", "tool", "arguments"), [
    ({"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}}, "shell", '{"commands":["ls"]}'),
    ({"type": "local_shell_call", "call_id": "c", "id": "l", "action": {"type": "exec"}}, "local_shell", '{"type":"exec"}'),
    ({"type": "apply_patch_call", "call_id": "c", "operation": {"type": "delete_file"}}, "apply_patch", '{"type":"delete_file"}'),
    ({"type": "computer_call", "call_id": "c", "action": {"type": "wait"}}, "computer", '{"type":"wait"}'),
])  # fmt: skip
def test_calls_of_openais_tools_are_builtin(item: dict[str, Any], tool: str, arguments: str) -> None:
    """A tool of OpenAI's making that the client runs is called by its name, with its action as arguments."""
    (part,) = parts_of(item)
    assert isinstance(part, ToolCall)
    assert ("builtin", tool, arguments, "c") == (part.kind, part.name, part.arguments, part.call_id)


def test_results_of_openais_tools_are_builtin() -> None:
    """What such a tool gave is text, or a picture; a patch may have failed."""
    shell, local, patch, screen = read_input(
        {
            "type": "shell_call_output",
            "call_id": "s",
            "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        },
        {"type": "local_shell_call_output", "id": "l", "output": "b"},
        {"type": "apply_patch_call_output", "call_id": "p", "status": "failed", "output": "no such file"},
        {
            "type": "computer_call_output",
            "call_id": "d",
            "output": {"type": "computer_screenshot", "image_url": "https://x/y.png"},
        },
    ).items
    assert isinstance(shell, ToolResult) and "builtin" == shell.kind and "shell" == shell.name
    assert isinstance(local, ToolResult) and ("l", (Text("b"),)) == (local.call_id, local.parts)
    assert isinstance(patch, ToolResult) and patch.is_error is True
    assert isinstance(screen, ToolResult) and (Image(Url("https://x/y.png")),) == screen.parts


def test_what_openai_ran_is_opaque_to_all_others() -> None:
    """Items of hosted tools are kept whole, with the tool's canonical name; calls of a type we do not know are carried."""
    search = {"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "q"}}
    unknown = {"type": "x_search_call", "id": "xs"}
    assert parts_of(search, unknown) == (
        ServerToolCall(tool="web_search", id="ws", input={"type": "search", "query": "q"}, raw=search),
        OpaquePart(dialect="openai.responses", type="x_search_call", raw=unknown),
    )


def test_state_and_settings_stand_among_the_items() -> None:
    """References, summaries, tools and settings that come in the middle are items; so is what we do not know."""
    items = read_input(
        {"type": "item_reference", "id": "msg_1"},
        {"type": "compaction", "encrypted_content": "gAAA"},
        {
            "type": "additional_tools",
            "role": "developer",
            "tools": [{"type": "namespace", "name": "ns", "description": "d", "tools": []}],
        },
        {"type": "configuration_update", "reasoning": {"effort": "low"}},
        {"type": "compaction_trigger"},
        {"type": "from_the_future", "x": 1},
    ).items
    assert items == (
        ItemReference(id="msg_1"),
        Compaction(carrier=Carrier("openai", "compaction", "gAAA"), turn=1),
        ToolSetChange(added=(Namespace(name="ns", description="d"),), role="developer", turn=2),
        ConfigUpdate(reasoning=ReasoningConfig(effort="low"), turn=3),
        Compaction(trigger=True, turn=4),
        OpaqueItem(dialect="openai.responses", type="from_the_future", raw={"type": "from_the_future", "x": 1}, turn=5),
    )


# ---- envelopes ----------------------------------------------------------------------------------


def test_a_sealed_thought_is_opened() -> None:
    """An envelope gives back whose thought it is, and its words as they were, whatever the client made of the summary."""
    item = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "cut"}]}
    item["encrypted_content"] = sealed(THOUGHT, "all of it")
    assert parts_of(item) == (Reasoning(summary=("all of it",), carrier=THOUGHT, id="rs_1"),)
    redacted = {**item, "summary": [], "encrypted_content": sealed(Carrier("anthropic", "redacted", "x"))}
    (part,) = parts_of(redacted)
    assert isinstance(part, Reasoning) and part.redacted


def test_a_sealed_signature_belongs_to_the_call_behind_it() -> None:
    """A thought that is there for a call's signature alone is part of the call, if that follows directly."""
    seal = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed(SIGNED)}
    (call,) = parts_of(seal, CALL)
    assert isinstance(call, ToolCall) and SIGNED == call.carrier and call.clean
    first, second = parts_of(seal, CALL, {**seal, "encrypted_content": sealed(THOUGHT)}, CALL)[:2]
    assert isinstance(first, ToolCall) and isinstance(second, Reasoning) and THOUGHT == second.carrier
    alone = parts_of(seal, {"role": "assistant", "content": "x"})
    assert alone[0] == Reasoning(carrier=SIGNED, id="rs_1") and alone[1] == Text("x", group=0)


def test_a_sealed_signature_may_stand_behind_its_text() -> None:
    """A signature that was told behind a text, or too late for its call, belongs to what is before it."""
    late = {
        "type": "reasoning",
        "summary": [],
        "encrypted_content": sealed(Carrier("google", "thought_signature", "s", position="after")),
    }
    text, = parts_of({"role": "assistant", "content": "x"}, late)  # fmt: skip
    assert isinstance(text, Text) and text.carrier is not None and "after" == text.carrier.position
    (call,) = parts_of(CALL, late)
    assert isinstance(call, ToolCall) and call.carrier is not None and "on" == call.carrier.position


def test_what_is_sealed_never_reaches_a_provider() -> None:
    """Written for OpenAI, another provider's thoughts are left out, and said to be lost; OpenAI's own go as they are."""
    own = Carrier("openai", "encrypted_content", "gAAAA")
    losses: list[Loss] = []
    said = Message(
        role="assistant",
        parts=(Reasoning(summary=("a",), carrier=THOUGHT), Reasoning(summary=("b",), carrier=own), Reasoning(raw_text=("c",))),
    )
    body = written(said, losses=losses)
    assert [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "b"}], "encrypted_content": "gAAAA"}] == body[
        "input"
    ]
    assert [("reasoning.signature", "dropped"), ("reasoning", "dropped")] == features(losses)


def test_an_edit_drops_what_is_sealed() -> None:
    """In a request of this dialect that was edited, a thought that was touched does not take its envelope to OpenAI."""
    seal = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": sealed(SIGNED)}
    asked = request(input=[USER, {**seal, "encrypted_content": sealed(THOUGHT, "t")}, seal, CALL])
    from attrs import evolve

    user, run = asked.prompt.items
    assert isinstance(run, Message)
    edited = asked.with_prompt(items=(user, evolve(run, parts=tuple(map(evolve, run.parts)))))
    assert b"llmgw1:" not in DIALECT.write_request(edited)
    assert [USER, CALL] == json.loads(DIALECT.write_request(edited))["input"]


# ---- tools and settings -------------------------------------------------------------------------


def test_tools_are_read() -> None:
    """Functions, freeform tools, namespaces, servers, and tools of OpenAI's."""
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: X"}
    function = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
    prompt = read_input(USER, tools=[
        function,
        {"type": "custom", "name": "p", "format": grammar},
        {"type": "namespace", "name": "ns", "description": "d", "tools": [function]},
        {"type": "mcp", "server_label": "l", "server_url": "https://m"},
        {"type": "web_search"},
        {"type": "local_shell"},
        {"type": "function", "function": {"name": "nested"}},
    ])  # fmt: skip
    one = FunctionTool(name="f", schema={"type": "object"}, strict=True)
    assert prompt.tools == (
        one,
        CustomTool(name="p", syntax="lark", definition="start: X"),
        Namespace(name="ns", description="d", tools=(one,)),
        McpServer(label="l", url="https://m", config={"type": "mcp", "server_label": "l", "server_url": "https://m"}),
        BuiltinTool(kind="web_search", vendor="openai", config={"type": "web_search"}),
        BuiltinTool(kind="local_shell", vendor="openai", config={"type": "local_shell"}, client_executed=True),
        FunctionTool(name="nested"),
    )


@pytest.mark.parametrize(("value", "choice"), [
    ("auto", ToolChoice("auto")), ("none", ToolChoice("none")), ("required", ToolChoice("required")),
    ({"type": "function", "name": "f"}, ToolChoice("named", (ToolRef("f"),))),
    ({"type": "custom", "name": "p"}, ToolChoice("named", (ToolRef("p", "custom"),))),
    ({"type": "web_search_preview"}, ToolChoice("named", (ToolRef("web_search_preview", "builtin"),))),
    ({"type": "mcp", "server_label": "l"}, ToolChoice("named", (ToolRef("mcp", "builtin", "l"),))),
    (
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}, {"type": "shell"}]},
        ToolChoice("allowed", (ToolRef("f"), ToolRef("shell", "builtin")), "required"),
    ),
])  # fmt: skip
def test_choices_are_read_and_written(value: Any, choice: ToolChoice) -> None:
    """Each form of ``tool_choice`` is read, and written as it was."""
    assert choice == read_input(USER, tool_choice=value).tool_choice
    tools: tuple[Tool, ...] = (FunctionTool(name="f"),)
    assert value == written(Message(role="user", parts=(Text("x"),)), tools=tools, tool_choice=choice)["tool_choice"]


def test_settings_are_read() -> None:
    """Sampling, reasoning, form, caching and state have their canonical places."""
    prompt = read_input(
        USER, max_output_tokens=100, temperature=0.5, top_p=0.9, top_logprobs=3, parallel_tool_calls=False, max_tool_calls=2,
        reasoning={"effort": "high", "summary": "detailed", "context": "all_turns", "mode": "pro"}, store=False, background=True,
        include=["reasoning.encrypted_content", "message.output_text.logprobs", "file_search_call.results"],
        text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}, "verbosity": "low"},
        prompt_cache_key="k", prompt_cache_options={"mode": "explicit", "ttl": "30m"}, safety_identifier="s", user="u",
        metadata={"a": "b"}, service_tier="flex", conversation={"id": "conv"}, prompt={"id": "pmpt"},
    )  # fmt: skip
    assert prompt.sampling == Sampling(max_output=100, temperature=0.5, top_p=0.9, logprobs=True, top_logprobs=3, verbosity="low")
    assert prompt.reasoning == ReasoningConfig(
        effort="high", show="detailed", context="all_turns", pro_mode="pro", want_encrypted=True
    )
    assert prompt.output == OutputFormat(kind="json_schema", name="n", schema={"type": "object"}, strict=True)
    assert prompt.server_state == ServerState(
        store=False, background=True, conversation={"id": "conv"}, prompt_template={"id": "pmpt"}
    )
    assert ("k", "explicit", "30m") == (prompt.cache.key, prompt.cache.mode, prompt.cache.ttl)
    assert ("s", "u", {"a": "b"}, "flex", False, 2) == (
        prompt.safety_id, prompt.end_user, prompt.metadata, prompt.tier, prompt.parallel_tools, prompt.max_tool_calls
    )  # fmt: skip


@pytest.mark.parametrize(("fields", "param"), [
    ({"temperature": "hot"}, "temperature"), ({"tools": {}}, "tools"), ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"reasoning": {"effort": 3}}, "reasoning.effort"), ({"tool_choice": 3}, "tool_choice"),
    ({"metadata": {"a": 1}}, "metadata.a"),
    ({"text": {"format": "json"}}, "text.format"), ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
    ({"input": [{"type": "function_call", "call_id": "c", "arguments": "{}"}]}, "input[0].name"),
])  # fmt: skip
def test_a_field_of_the_wrong_type_is_told_by_its_path(fields: dict[str, Any], param: str) -> None:
    """What we know must be of its type."""
    with pytest.raises(InvalidField) as caught:
        request(**fields).prompt  # noqa: B018  # reading is the point
    assert param == caught.value.param


# ---- from other dialects ------------------------------------------------------------------------


def test_plain_leading_instructions_become_instructions() -> None:
    """Leading instructions of plain words are joined; later ones are messages in their places."""
    lead = (Instruction(parts=(Text("one"),)), Instruction(role="developer", parts=(Text("two"),)))
    user, late = Message(role="user", parts=(Text("x"),)), Instruction(parts=(Text("now"),), leading=False)
    body = written(*lead, user, late)
    assert "one\n\ntwo" == body["instructions"]
    assert [("user", "x"), ("system", "now")] == [(item["role"], item["content"][0]["text"]) for item in body["input"]]


def test_marked_instructions_become_messages() -> None:
    """Where a leading instruction has a mark all of them are items, for ``instructions`` has no room for it."""
    marked = Instruction(parts=(Text("one", cache=CacheMark(300.0)), Text("two")))
    body = written(marked, Message(role="user", parts=(Text("x"),)))
    assert "instructions" not in body
    assert {"mode": "explicit", "ttl": "30m"} == body["input"][0]["content"][0]["prompt_cache_breakpoint"]


def test_a_run_becomes_items_in_their_order() -> None:
    """Words of one group stand in one message, calls in items of their own, with no ids."""
    run = Message(role="assistant", parts=(
        Text("a", group=0, phase="commentary", id="m1"), Refusal("r"),
        ToolCall(call_id="c1", name="f", arguments='{"big": 12345678901234567890}'),
        Text("b", group=1), Text("c", group=2), ToolCall(call_id="c2", name="p", arguments="x", kind="custom", namespace="ns"),
    ))  # fmt: skip
    items = written(run, ToolResult(call_id="c1", parts=(Text("1"), Text("2"))), ToolResult(call_id="c2"))["input"]
    assert [
        "message",
        "function_call",
        "message",
        "message",
        "custom_tool_call",
        "function_call_output",
        "custom_tool_call_output",
    ] == [item["type"] for item in items]
    assert "commentary" == items[0]["phase"] and ["output_text", "refusal"] == [part["type"] for part in items[0]["content"]]
    assert '{"big": 12345678901234567890}' == items[1]["arguments"] and "ns" == items[4]["namespace"]
    assert ["12", ""] == [item["output"] for item in items[5:]]
    assert all("id" not in item for item in items)


def test_media_have_their_parts() -> None:
    """Pictures and files are said with detail and name; sounds, which have none, are said to be lost."""
    losses: list[Loss] = []
    parts = (
        Image(Base64("image/png", "AA=="), detail="high"), Image(FileId("file_1")), Document(Base64("application/pdf", "JVBE")),
        Document(Url("https://x/y.pdf"), filename="y.pdf"), Document(PlainText("words"), filename="n.txt"),
        Audio(Base64("audio/wav", "AA")),
    )  # fmt: skip
    (item,) = written(Message(role="user", parts=parts), losses=losses)["input"]
    assert item["content"] == [
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "high"},
        {"type": "input_image", "file_id": "file_1", "detail": "auto"},
        {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBE"},
        {"type": "input_file", "file_url": "https://x/y.pdf", "filename": "y.pdf"},
        {"type": "input_text", "text": "n.txt\n\nwords"},
    ]
    assert [("document", "emulated"), ("audio", "dropped")] == features(losses)


def test_results_with_pictures_are_lists_and_failures_are_words() -> None:
    """A result of words is a string; with a picture it is a list. That it failed is its first word."""
    losses: list[Loss] = []
    picture = ToolResult(call_id="a", parts=(Text("see"), Image(Base64("image/png", "AA=="))))
    items = written(
        picture,
        ToolResult(call_id="b", parts=(Text("gone"),), is_error=True),
        ToolResult(call_id="c", structured={"x": 1}),
        losses=losses,
    )["input"]
    assert ["input_text", "input_image"] == [part["type"] for part in items[0]["output"]]
    assert ["Error: gone", '{"x":1}'] == [item["output"] for item in items[1:]]
    assert [("tool_result.is_error", "emulated")] == features(losses)


def test_functions_are_not_made_strict() -> None:
    """A tool that says nothing of strictness is told to be lax, and its schema is that of an object."""
    tools: tuple[Tool, ...] = (
        FunctionTool(name="f"),
        FunctionTool(name="g", schema={"type": "object", "properties": {"a": {}}}, strict=True),
    )
    first, second = written(tools=tools)["tools"]
    assert {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False} == first
    assert second["strict"] is True and {"a": {}} == second["parameters"]["properties"]


def test_search_is_asked_in_openais_words() -> None:
    """Chat's options, and the search of another vendor, become the tool that Responses has."""
    chat = BuiltinTool(kind="web_search", vendor="openai", name="web_search", config={
        "search_context_size": "low", "user_location": {"type": "approximate", "approximate": {"city": "Bonn"}},
    })  # fmt: skip
    other = BuiltinTool(kind="web_search_20250305", vendor="anthropic", config={"allowed_domains": ["a.org"], "max_uses": 3})
    losses: list[Loss] = []
    first, second = written(tools=(chat, other), losses=losses)["tools"]
    assert {"type": "web_search", "search_context_size": "low", "user_location": {"type": "approximate", "city": "Bonn"}} == first
    assert {"type": "web_search", "filters": {"allowed_domains": ["a.org"]}} == second
    assert [("tools.web_search.max_uses", "dropped")] == features(losses)


def test_nothing_is_stored_unless_the_client_says_so() -> None:
    """``store`` is false for a client whose dialect has no such thing, and what it says where it has."""
    assert written()["store"] is False
    assert written(server_state=ServerState(store=True))["store"] is True


def test_what_is_encrypted_is_asked_for() -> None:
    """Where the crossing wants encrypted thoughts they are asked for, and so are log probabilities."""
    body = written(
        reasoning=ReasoningConfig(effort="low", show="summarized", want_encrypted=True),
        sampling=Sampling(logprobs=True, top_logprobs=2),
    )
    assert ["message.output_text.logprobs", "reasoning.encrypted_content"] == body["include"]
    assert {"effort": "low", "summary": "auto"} == body["reasoning"] and 2 == body["top_logprobs"]


def test_a_limit_below_the_least_is_raised() -> None:
    """OpenAI refuses fewer than 16 tokens, which some clients ask for to see whether a model is there."""
    losses: list[Loss] = []
    assert 16 == written(sampling=Sampling(max_output=1), losses=losses)["max_output_tokens"]
    assert [Loss("max_output", "max_output", "approximated", "1", "16")] == losses


def test_what_responses_lacks_is_said_to_be_lost() -> None:
    """Each setting without a field is told by its canonical name."""
    losses: list[Loss] = []
    written(
        sampling=Sampling(top_k=5, seed=1, stop=("x",), n=2, frequency_penalty=0.1, presence_penalty=0.1,
                          logit_bias={"1": 1}, modalities=("audio",)),
        output=OutputFormat(kind="mime", mime="text/x.enum"), losses=losses,
    )  # fmt: skip
    names = {loss.feature for loss in losses}
    assert {
        "top_k",
        "seed",
        "stop",
        "n",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "modalities",
        "response_format.mime",
    } == names


def test_a_question_for_tokens_has_only_what_counts() -> None:
    """The body for ``/v1/responses/input_tokens`` has no field that this path does not take."""
    body = written(
        Message(role="user", parts=(Text("x"),)),
        operation="count_tokens",
        sampling=Sampling(temperature=1.0),
        tools=(FunctionTool(name="f"),),
    )
    assert {"model", "input", "tools"} == body.keys()


@pytest.mark.parametrize(("setting", "path"), [
    ("max_output", "max_output_tokens"), ("reasoning.effort", "reasoning.effort"), ("verbosity", "text.verbosity"),
    ("top_k", "top_k"),
    ("cache.key", "prompt_cache_key"), ("tier", "service_tier"),
])  # fmt: skip
def test_settings_are_spelled_as_clients_do(setting: str, path: str) -> None:
    """A canonical name becomes the path of the client's own field."""
    assert path == DIALECT.spelled(setting)


def test_the_example_is_a_request() -> None:
    """What is shown to people works, and can be put into single quotes."""
    example = DIALECT.example("m")
    assert "'" not in example
    assert (Message(role="user", parts=(Text("Say hello."),)),) == DIALECT.read_request(Head(), example.encode()).prompt.items
