"""One flat list of tools, and namespaces restored on the way back."""

from __future__ import annotations

import pytest
from crossed import ANTHROPIC, RESPONSES, assistant, back, call, call_block, features, leg, reply, result, user

from llmgw.events import BlockStart, Event
from llmgw.model import (
    CacheMark,
    ConfigUpdate,
    CustomTool,
    FunctionTool,
    Message,
    Namespace,
    Prompt,
    ReasoningConfig,
    ToolCall,
    ToolChoice,
    ToolRef,
    ToolSetChange,
)
from llmgw_dialects.crossing.toolsets import Toolsets


def names(prompt: Prompt) -> list[str]:
    return [getattr(tool, "name", "") for tool in prompt.tools]


def step(**profile: bool) -> Toolsets:
    return Toolsets(leg(RESPONSES, ANTHROPIC, **profile))


def told(events: list[Event]) -> list[tuple[object, object]]:
    return [(event.meta.get("namespace"), event.meta["name"]) for event in events if isinstance(event, BlockStart)]


@pytest.mark.parametrize(
    ("space", "inner", "flat"),
    [
        ("files", "read", "files__read"),
        ("mcp__git", "mcp__git__log", "mcp__git__log"),
        ("files", "mcp__other__x", "mcp__other__x"),
        ("files", "files__read", "files__read"),
        ("mcp__git__", "log", "mcp__git__log"),
        ("files", "files_read", "files__files_read"),
    ],
)
def test_names_are_flat_and_come_back(space: str, inner: str, flat: str) -> None:
    """A tool says its namespace in its name, once; a call of it comes back under the namespace."""
    one = step()
    prompt = one.prompt(Prompt(tools=(Namespace(name=space, tools=(FunctionTool(name=inner),)),)))

    assert names(prompt) == [flat]
    assert told(back(one, reply(call_block(0, flat)))) == [(space, inner)]


def test_history_and_choice_follow() -> None:
    """Calls of the history, their namespaces declared or not, and the choice have the flat names too."""
    one = step()
    prompt = one.prompt(
        Prompt(
            items=(user("hi"), assistant(call("a", "read", namespace="files"), call("b", "x", namespace="old")), result("a")),
            tools=(Namespace(name="files", tools=(FunctionTool(name="read"), CustomTool(name="patch"))),),
            tool_choice=ToolChoice("named", (ToolRef("patch", "custom", "files"),)),
        )
    )

    assert isinstance(prompt.items[1], Message)
    assert [(part.name, part.namespace) for part in prompt.items[1].parts if isinstance(part, ToolCall)] == [
        ("files__read", None),
        ("old__x", None),
    ]
    assert prompt.tool_choice == ToolChoice("named", (ToolRef("files__patch", "custom"),))
    assert told(back(one, reply(call_block(0, "old__x")))) == [("old", "x")]
    assert features(one) == ["tools.namespace", "tool_call.namespace", "tool_call.namespace"]


def test_two_that_would_have_one_name_are_told_apart() -> None:
    """Flat names are never the same for two tools, and each finds its way back."""
    one = step()
    prompt = one.prompt(
        Prompt(
            tools=(
                FunctionTool(name="a__b__c"),
                Namespace(name="a", tools=(FunctionTool(name="b__c"),)),
                Namespace(name="a__b", tools=(FunctionTool(name="c"),)),
            )
        )
    )
    found = names(prompt)

    assert len(set(found)) == 3
    assert found[0] == "a__b__c"
    events = reply(*(call_block(n, name, call_id=name) for n, name in enumerate(found)))
    assert told(back(one, events)) == [(None, "a__b__c"), ("a", "b__c"), ("a__b", "c")]


def test_description_and_mark_of_a_namespace_stay() -> None:
    """What a namespace is for is said of each of its tools, and its cache mark sits on the last."""
    mark = CacheMark(300)
    space = Namespace(
        name="n", description="Files.", tools=(FunctionTool(name="a"), FunctionTool(name="b", description="B.")), cache=mark
    )
    prompt = step().prompt(Prompt(tools=(space,)))

    assert [(tool.description, tool.cache) for tool in prompt.tools if isinstance(tool, FunctionTool)] == [
        ("Files.", None),
        ("Files.\n\nB.", mark),
    ]


def test_namespaces_stay_where_they_are_known() -> None:
    """A model that knows namespaces gets them, and nothing is touched on the way back."""
    one = step(namespaces=True)
    prompt = Prompt(tools=(Namespace(name="n", tools=(FunctionTool(name="a"),)),))

    assert one.prompt(prompt) is prompt
    events = reply(call_block(0, "n__a"))
    assert back(one, events) == events


def test_changes_of_tools_apply_from_the_start() -> None:
    """Tools that come are added or replaced, those that go are gone, and the loss is told."""
    new = FunctionTool(name="b", description="new")
    one = step()
    prompt = one.prompt(
        Prompt(
            items=(user("hi"), ToolSetChange(added=(new, FunctionTool(name="c"))), user("go"), ToolSetChange(removed=("a",))),
            tools=(FunctionTool(name="a"), FunctionTool(name="b")),
        )
    )

    assert names(prompt) == ["b", "c"]
    assert prompt.tools[0] is new
    assert prompt.items == (user("hi"), user("go"))
    assert features(one) == ["tools.change", "tools.change"]


def test_last_setting_wins() -> None:
    """A setting that changes in the middle holds for all of the request; what it does not say stays."""
    one = step()
    prompt = one.prompt(
        Prompt(
            items=(
                ConfigUpdate(reasoning=ReasoningConfig(effort="low"), verbosity="low"),
                user("hi"),
                ConfigUpdate(reasoning=ReasoningConfig(effort="high")),
            ),
            reasoning=ReasoningConfig(mode="adaptive", effort="medium"),
        )
    )

    assert prompt.reasoning == ReasoningConfig(mode="adaptive", effort="high")
    assert prompt.sampling.verbosity == "low"
    assert prompt.items == (user("hi"),)
    assert features(one) == ["config_update", "config_update"]


def test_nothing_to_do_is_nothing_done() -> None:
    """A prompt without namespaces and changes is handed on as it is."""
    prompt = Prompt(items=(user("hi"), assistant(call("a")), result("a")), tools=(FunctionTool(name="f"),))

    assert step().prompt(prompt) is prompt


def test_a_server_in_a_choice_is_no_namespace() -> None:
    """What names another vendor's server of tools is left to who deals with these."""
    choice = ToolChoice("named", (ToolRef("mcp", "builtin", "files"),))

    assert step().prompt(Prompt(tools=(FunctionTool(name="f"),), tool_choice=choice)).tool_choice is choice
