"""Laws of a whole crossing, as far as tools and history are concerned: any prompt becomes one that any provider takes."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from crossed import ANTHROPIC, CHAT, GEMINI, RESPONSES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmgw.errors import Unsupported
from llmgw.events import BlockDelta, BlockStart, BlockStop, Event, Invariants, ResponseEnd, ResponseStart, Stop, StopReason, fold
from llmgw.model import (
    Base64,
    BuiltinTool,
    CacheMark,
    Carrier,
    Compaction,
    ConfigUpdate,
    CustomTool,
    FunctionTool,
    Image,
    Instruction,
    Item,
    ItemReference,
    Loss,
    McpServer,
    Message,
    Namespace,
    OpaqueItem,
    OpaquePart,
    Profile,
    Prompt,
    Reasoning,
    ReasoningConfig,
    Request,
    ServerToolCall,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolResult,
    ToolSetChange,
)
from llmgw_dialects.crossing import Leg, Way
from llmgw_dialects.crossing.arguments import Arguments
from llmgw_dialects.crossing.attribution import Attribution
from llmgw_dialects.crossing.builtins import Builtins
from llmgw_dialects.crossing.calls import Calls
from llmgw_dialects.crossing.freeform import Freeform
from llmgw_dialects.crossing.holding import Kind
from llmgw_dialects.crossing.ids import Ids
from llmgw_dialects.crossing.instructions import Instructions
from llmgw_dialects.crossing.limits import Limits
from llmgw_dialects.crossing.names import Names
from llmgw_dialects.crossing.opaque import Opaque
from llmgw_dialects.crossing.parallel import Parallel
from llmgw_dialects.crossing.results import Results
from llmgw_dialects.crossing.toolsets import Toolsets
from llmgw_dialects.crossing.turns import Turns
from llmgw_dialects.losses import Losses

LAW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
STEPS = (
    Attribution, Opaque, Toolsets, Freeform, Builtins, Names, Ids, Results, Instructions, Turns, Arguments, Parallel, Calls,
    Limits,
)  # fmt: skip
STRICT = {
    "empty_text": False, "user_first": True, "mid_instructions": False, "developer": False, "object_arguments": True,
    "parallel_switch": False,
}  # fmt: skip
GOOGLE = {"tool_name": r"[a-zA-Z_][a-zA-Z0-9_.:-]*", "tool_name_max": 128}
TARGETS: list[tuple[str, dict[str, Any]]] = [
    (ANTHROPIC, {**STRICT, "server_tools": frozenset({"web_search"}), "tool_name_max": 128}),
    (GEMINI, {**STRICT, **GOOGLE, "prefill": True}),
    (CHAT, {"call_id_max": 40}),
    (CHAT, {"call_id": "[a-zA-Z0-9]{9}", "call_id_max": 9, "tool_name_max": 30, "custom_tools": True}),
    (RESPONSES, {}),
]
CLIENTS = [CHAT, RESPONSES, ANTHROPIC, GEMINI, "a.strangers"]

words = st.text(max_size=8) | st.sampled_from(["", " ", "hi", "\ud83d"])
names = st.sampled_from(["f", "g", "a.b", "a/b", "a_b", "9x", "", "mcp__a__b", "z" * 90, "z" * 91, "shell", "web_search"])
idents = st.sampled_from(["a", "b", "c", "", "x:1", "i" * 83])
spaces = st.none() | st.sampled_from(["a", "mcp__a", "a__b", "a__"])
arguments = st.sampled_from(["{}", '{"a":1}', '{"a":', "", "[1]", "null", '{"input":"x"}']) | words
marks = st.none() | st.just(CacheMark(300))
kinds = st.sampled_from(["function", "custom", "builtin"])

texts = st.builds(Text, words, cache=marks)
images = st.just(Image(Base64("image/png", "AA")))
opaque = st.builds(
    OpaquePart, dialect=st.just("x"), type=st.sampled_from(["call", "result"]), raw=st.fixed_dictionaries({"id": idents})
)
calls = st.builds(ToolCall, call_id=idents, name=names, arguments=arguments, kind=kinds, namespace=spaces)
thoughts = st.builds(Reasoning, raw_text=st.tuples(words))
hosted = st.builds(ServerToolCall, tool=names)


def some(part: st.SearchStrategy[Any], most: int = 3) -> st.SearchStrategy[Any]:
    return st.lists(part, max_size=most).map(tuple)


items: st.SearchStrategy[Any] = st.one_of(
    st.builds(Message, role=st.just("user"), parts=some(texts | images | opaque)),
    st.builds(Message, role=st.just("assistant"), parts=some(texts | calls | thoughts | hosted | opaque, 4)),
    st.builds(ToolResult, call_id=idents, parts=some(texts | images), name=st.none() | names, kind=kinds),
    st.builds(Instruction, role=st.sampled_from(["system", "developer"]), parts=some(texts | images), leading=st.booleans()),
    st.builds(ToolSetChange, added=some(st.builds(FunctionTool, name=names), 1), removed=some(names, 1)),
    st.builds(ConfigUpdate, reasoning=st.none() | st.just(ReasoningConfig(effort="low")), verbosity=st.none() | words),
    st.builds(
        Compaction,
        carrier=st.none()
        | st.builds(Carrier, provider=st.sampled_from(["llmgw", "openai"]), kind=st.just("compaction"), payload=words),
    ),
    st.builds(ItemReference, id=words),
    st.builds(
        OpaqueItem,
        dialect=st.just("x"),
        type=st.sampled_from(["new_call", "new_output", "new"]),
        raw=st.fixed_dictionaries({"call_id": idents}),
    ),
)
plain_tools = st.builds(FunctionTool, name=names, namespace=spaces, cache=marks) | st.builds(
    CustomTool, name=names, definition=st.none() | words, syntax=st.sampled_from(["text", "lark", "regex"])
)
builtins = st.builds(
    BuiltinTool,
    kind=st.sampled_from(["bash", "shell", "apply_patch", "web_search", "file_search", "computer_use_preview"]),
    vendor=st.sampled_from(["anthropic", "openai", GEMINI]),
    client_executed=st.booleans(),
)
tools: st.SearchStrategy[Any] = st.one_of(
    plain_tools,
    builtins,
    st.builds(McpServer, label=names),
    st.builds(Namespace, name=st.sampled_from(["a", "mcp__a", "a__b"]), tools=some(plain_tools)),
)
refs = st.builds(ToolRef, names, kinds, spaces)
some_refs = st.lists(refs, min_size=1, max_size=3).map(tuple)
choices = st.none() | st.one_of(
    st.builds(ToolChoice, st.sampled_from(["auto", "none", "required"])),
    st.builds(ToolChoice, st.just("named"), st.tuples(refs)),
    st.builds(ToolChoice, st.just("allowed"), some_refs, st.sampled_from(["auto", "required"])),
)
prompts = st.builds(
    Prompt,
    items=st.lists(items, max_size=8).map(tuple),
    tools=st.lists(tools, max_size=5).map(tuple),
    tool_choice=choices,
    parallel_tools=st.none() | st.booleans(),
)


class Unlooked(Leg):
    """A crossing whose steps are told that whatever they are for may be there."""

    def holds(self, prompt: Prompt, *wanted: Kind) -> bool:
        return True


def way(client: str, target: str, profile: dict[str, Any], prompt: Prompt, kind: type[Leg] = Leg) -> tuple[Way, list[Loss]]:
    found: list[Loss] = []
    request = Request(dialect=client, model="m", prompt=prompt)
    leg = kind(request, target, Profile(**profile), Losses(target, client, found))
    return Way(leg, [step(leg) for step in STEPS]), found


def crossed(client: str, target: str, profile: dict[str, Any], prompt: Prompt) -> Prompt | None:
    """What the provider is asked; None where it is refused, which a choice may be."""
    with suppress(Unsupported):
        return way(client, target, profile, prompt)[0].request().prompt
    assert prompt.tool_choice is not None
    return None


def asked(one: Way) -> Prompt | None:
    """What the provider is asked; None where it is refused."""
    with suppress(Unsupported):
        return one.request().prompt
    return None


def is_assistant(item: Item) -> bool:
    return isinstance(item, Message) and item.role == "assistant"


@LAW
@given(prompts, st.sampled_from(CLIENTS), st.sampled_from(TARGETS))
def test_any_prompt_gets_a_shape_that_the_target_takes(prompt: Prompt, client: str, target: tuple[str, dict[str, Any]]) -> None:
    """Calls and results are in pairs and in their places, ids and names fit, and nothing remains that only others read."""
    made = crossed(client, *target, prompt)
    if made is None:
        return
    dialect, profile = target
    known = Profile(**profile)
    pairs(made.items, open_end=dialect == RESPONSES)
    for item in made.items:
        assert not isinstance(item, ToolSetChange | ConfigUpdate | ItemReference | OpaqueItem)
        for part in getattr(item, "parts", ()):
            assert not isinstance(part, ServerToolCall | OpaquePart)
            if isinstance(part, Text) and not known.empty_text:
                assert part.text.strip()
            if isinstance(part, ToolCall):
                fits(part, known)
        if isinstance(item, Instruction):
            assert item.leading or known.mid_instructions
            assert item.role == "system" or known.developer
    said = [item for item in made.items if not isinstance(item, Instruction)]
    assert not (known.user_first and (not said or is_assistant(said[0])))
    assert all(isinstance(tool, FunctionTool | CustomTool | BuiltinTool) for tool in made.tools)


def pairs(items: tuple[Item, ...], open_end: bool) -> None:
    """Each run's calls are answered in order behind it; ids are unique."""
    waiting: list[str] = []
    met: list[str] = []
    for at, item in enumerate(items):
        if is_assistant(item):
            assert not waiting or is_assistant(items[at - 1])
            assert isinstance(item, Message)
            found = [part.call_id for part in item.parts if isinstance(part, ToolCall)]
            waiting, met = waiting + found, met + found
        elif isinstance(item, ToolResult):
            assert item.call_id == waiting.pop(0)
        else:
            assert not waiting
    assert not waiting or open_end
    assert max(Counter(met).values(), default=1) == 1


def fits(call: ToolCall, known: Profile) -> None:
    """A call's names, ids and arguments are such as the model takes."""
    assert call.namespace is None
    assert call.kind == "function" or (call.kind == "custom" and known.custom_tools)
    assert re.fullmatch(known.tool_name, call.name) and len(call.name) <= known.tool_name_max
    assert re.fullmatch(known.call_id, call.call_id) and len(call.call_id) <= known.call_id_max
    if known.object_arguments:
        assert isinstance(json.loads(call.arguments), dict)


@LAW
@given(prompts, st.sampled_from(CLIENTS), st.sampled_from(TARGETS))
def test_a_prompt_that_fits_stays(prompt: Prompt, client: str, target: tuple[str, dict[str, Any]]) -> None:
    """What came out is handed on as it is when it goes the same way again, and nothing more is lost."""
    made = crossed(client, *target, prompt)
    if made is None:
        return
    again, found = way(client, *target, made)
    after = again.request().prompt

    assert after.items == made.items
    assert after.tools == made.tools
    assert found == []


@LAW
@given(prompts, st.sampled_from(CLIENTS), st.sampled_from(TARGETS))
def test_the_same_prompt_is_always_told_the_same(prompt: Prompt, client: str, target: tuple[str, dict[str, Any]]) -> None:
    """Another gateway, or this one tomorrow, asks in the same words, else the provider's cache is lost."""
    assert crossed(client, *target, prompt) == crossed(client, *target, prompt)


@LAW
@given(prompts, st.sampled_from(CLIENTS), st.sampled_from(TARGETS))
def test_what_is_found_once_is_found_whole(prompt: Prompt, client: str, target: tuple[str, dict[str, Any]]) -> None:
    """A step that is spared because the prompt holds nothing for it would have changed nothing and lost nothing."""
    one, found = way(client, *target, prompt)
    two, looked = way(client, *target, prompt, Unlooked)
    assert asked(one) == asked(two)
    assert found == looked


@LAW
@given(prompts, st.sampled_from(CLIENTS), st.sampled_from(TARGETS))
def test_whatever_changes_is_told(prompt: Prompt, client: str, target: tuple[str, dict[str, Any]]) -> None:
    """A prompt that is not handed on as it is has a loss, but for what means the very same."""
    one, found = way(client, *target, prompt)
    with suppress(Unsupported):
        after = one.request().prompt
        if not found:
            assert [meaning(item) for item in after.items] == [meaning(item) for item in prompt.items]
            assert after.tools == prompt.tools
            assert after.parallel_tools == prompt.parallel_tools
            assert (after.tool_choice and after.tool_choice.mode) == (prompt.tool_choice and prompt.tool_choice.mode)


def meaning(item: Item) -> Any:
    """An item without what follows from another: a result's name and kind; and without the spelling of nothing."""
    if isinstance(item, ToolResult):
        return (item.call_id, item.parts, item.is_error)
    if isinstance(item, Message):
        return (item.role, [(part.call_id, part.name) if isinstance(part, ToolCall) else part for part in item.parts])
    return item


blocks = st.lists(
    st.tuples(st.sampled_from(["tool_call", "text", "reasoning"]), st.integers(0, 20), idents, st.lists(words, max_size=3)),
    max_size=6,
)


@LAW
@given(prompts, st.sampled_from(CLIENTS), st.sampled_from(TARGETS), blocks, st.sampled_from(["end", "tool_use", "max_tokens"]))
def test_any_reply_keeps_the_laws(
    prompt: Prompt, client: str, target: tuple[str, dict[str, Any]], replied: list[Any], stop: Any
) -> None:
    """Calls of the tools that were offered, or of others, whatever their ids and arguments, come back lawful and told apart."""
    one, _ = way(client, *target, prompt)
    with suppress(Unsupported):
        offered = [getattr(tool, "name", None) or "x" for tool in one.request().prompt.tools] + ["made_up"]
        out = [made for event in events(replied, offered, stop) for made in one.back(event)]
        invariants = Invariants()
        assert [broken for event in out if (broken := invariants.feed(event))] == []
        found = [part for choice in fold(out).choices for part in choice.parts if isinstance(part, ToolCall)]
        ids = [call.call_id for call in found]
        assert len(set(ids)) == len(ids) and all(ids)
        own = {getattr(tool, "name", None) for tool in flat(prompt)} | {"made_up", "x", *WRAPPERS}
        assert {call.name for call in found} <= own


WRAPPERS = {"bash", "shell", "apply_patch", "computer"}


def flat(prompt: Prompt) -> list[Tool]:
    """The client's tools, whenever and wherever it declared them."""
    added = [tool for item in prompt.items if isinstance(item, ToolSetChange) for tool in item.added]
    return [inner for tool in (*prompt.tools, *added) for inner in (tool.tools if isinstance(tool, Namespace) else (tool,))]


def events(replied: list[Any], offered: list[str], stop: Any) -> list[Event]:
    """A reply of such blocks; calls are of the tools offered."""
    out: list[Event] = [ResponseStart()]
    for index, (kind, number, ident, fragments) in enumerate(replied):
        meta = {"call_id": ident, "name": offered[number % len(offered)]} if kind == "tool_call" else {}
        channel: Any = {"tool_call": "args", "text": "text", "reasoning": "reasoning_raw"}[kind]
        out.append(BlockStart(index=index, kind=kind, meta=meta))
        out += [BlockDelta(index=index, channel=channel, fragment=fragment) for fragment in fragments]
        out.append(BlockStop(index=index))
    return [*out, Stop(reason=StopReason(stop)), ResponseEnd()]


@pytest.mark.parametrize(("target", "profile"), TARGETS)
def test_a_plain_prompt_is_handed_on(target: str, profile: dict[str, Any]) -> None:
    """What fits every target is not touched: the very prompt goes through all steps."""
    prompt = Prompt(
        items=(
            Instruction(parts=(Text("rules"),)),
            Message(role="user", parts=(Text("hi"),)),
            Message(role="assistant", parts=(Text("x"), ToolCall(call_id="abcdefghi", name="f", arguments='{"a":1.0}'))),
            ToolResult(call_id="abcdefghi", parts=(Text("ok"),), name=None if target == CHAT else "f"),
        ),
        tools=(FunctionTool(name="f"),),
        tool_choice=ToolChoice("auto"),
    )
    one, found = way("a.strangers", target, profile, prompt)

    assert one.request().prompt is prompt
    assert found == []
