"""Tools of a vendor's making, for another vendor's model."""

from __future__ import annotations

import pytest
from crossed import (
    ANTHROPIC,
    CHAT,
    GEMINI,
    RESPONSES,
    assistant,
    back,
    call,
    call_block,
    features,
    leg,
    losses,
    read_from,
    reply,
    result,
    user,
)

from llmgw.errors import Unsupported
from llmgw.events import BlockStart
from llmgw.model import BuiltinTool, FunctionTool, McpServer, Message, Prompt, ToolCall, ToolChoice, ToolRef, ToolResult
from llmgw_dialects.crossing.builtins import Builtins
from llmgw_dialects.crossing.wrappers import canonical

BASH = BuiltinTool(kind="bash", vendor="anthropic", name="bash", config={"type": "bash_20250124"}, client_executed=True)
SHELL = BuiltinTool(kind="shell", vendor="openai", config={"type": "shell"}, client_executed=True)
SEARCH = BuiltinTool(kind="web_search", vendor="openai", config={"type": "web_search"})
OWN = FunctionTool(name="own")


def from_codex(target: str = ANTHROPIC, **profile: object) -> Builtins:
    return Builtins(leg(RESPONSES, target, **profile))


@pytest.mark.parametrize(
    ("vendor", "kind", "name", "required"),
    [
        ("anthropic", "bash", "bash", []),
        ("anthropic", "bash_20241022", "bash", []),
        ("anthropic", "text_editor_20250728", "str_replace_based_edit_tool", ["command", "path"]),
        ("anthropic", "memory_20250818", "memory", ["command"]),
        ("anthropic", "computer_20251124", "computer", ["action"]),
        ("openai", "shell", "shell", ["commands"]),
        ("openai", "local_shell", "local_shell", ["type", "command"]),
        ("openai", "apply_patch", "apply_patch", ["type", "path"]),
        ("openai", "computer_use_preview", "computer", ["type"]),
    ],
)
def test_what_the_client_runs_becomes_a_function(vendor: str, kind: str, name: str, required: list[str]) -> None:
    """The function has the vendor's arguments; a call of it is a call of the vendor's tool for the client."""
    step = Builtins(leg(CHAT, GEMINI))
    (tool,) = step.prompt(Prompt(tools=(BuiltinTool(kind=kind, vendor=vendor, client_executed=True),))).tools

    assert isinstance(tool, FunctionTool)
    assert (tool.name, tool.schema["type"], tool.schema["required"]) == (name, "object", required)
    assert set(required) <= set(tool.schema["properties"])
    (start,) = [event for event in back(step, reply(call_block(0, name, "{}"))) if isinstance(event, BlockStart)]
    assert (start.kind, start.meta["kind"], start.meta["name"]) == ("tool_call", "builtin", name)
    assert features(step) == [f"tools.{canonical(kind)}"]


def test_older_name_of_a_tool_is_kept() -> None:
    """A tool that the client calls by another name has that name for the model."""
    step = Builtins(leg(ANTHROPIC, CHAT))
    editor = BuiltinTool(kind="text_editor_20250124", vendor="anthropic", name="str_replace_editor", client_executed=True)
    (tool,) = step.prompt(Prompt(tools=(editor,))).tools

    assert isinstance(tool, FunctionTool)
    assert tool.name == "str_replace_editor"


def test_history_and_choice_follow() -> None:
    """Calls of the history, their results and the choice are a function's."""
    step = from_codex()
    prompt = step.prompt(
        Prompt(
            items=(assistant(call("a", "shell", '{"commands":["ls"]}', kind="builtin")), result("a", kind="builtin")),
            tools=(SHELL,),
            tool_choice=ToolChoice("named", (ToolRef("shell", "builtin"),)),
        )
    )

    assert isinstance(prompt.items[0], Message) and isinstance(prompt.items[1], ToolResult)
    assert prompt.items[0].parts == (call("a", "shell", '{"commands":["ls"]}'),)
    assert prompt.items[1].kind == "function"
    assert prompt.tool_choice == ToolChoice("named", (ToolRef("shell"),))
    assert features(step) == ["tools.shell", "tool_call.builtin"]


def test_a_function_of_the_same_name_is_another_tool() -> None:
    """The client's own function keeps its name; each call comes back as what it is."""
    step = from_codex()
    own = FunctionTool(name="shell")
    prompt = step.prompt(Prompt(items=(assistant(call("a", "shell", kind="builtin"), call("b", "shell")),), tools=(SHELL, own)))

    assert [getattr(tool, "name", None) for tool in prompt.tools] == ["openai_shell", "shell"]
    assert isinstance(prompt.items[0], Message)
    assert [part.name for part in prompt.items[0].parts if isinstance(part, ToolCall)] == ["openai_shell", "shell"]
    out = back(step, reply(call_block(0, "openai_shell"), call_block(1, "shell", call_id="c2")))
    assert [(one.meta["name"], one.meta.get("kind")) for one in out if isinstance(one, BlockStart)] == [
        ("shell", "builtin"),
        ("shell", None),
    ]


def test_what_the_vendor_runs_is_asked_of_the_target() -> None:
    """A kind that the target has stays, under its one name; another goes, and the loss says where it stood."""
    step = from_codex(server_tools=frozenset({"web_search", "code_execution", "file_search"}))
    files = read_from(BuiltinTool(kind="file_search", vendor="openai"), "tools", 2, dialect=RESPONSES)
    code = BuiltinTool(kind="code_interpreter", vendor="openai", config={"a": 1})
    prompt = step.prompt(Prompt(tools=(SEARCH, OWN, files, code)))

    assert prompt.tools[0] is SEARCH
    assert prompt.tools[1] is OWN
    assert prompt.tools[2] == BuiltinTool(kind="code_execution", vendor="openai", config={"a": 1})
    assert len(prompt.tools) == 3
    assert [(loss.path, loss.feature, loss.action) for loss in losses(step)] == [("tools[2]", "tools.file_search", "dropped")]


def test_servers_of_tools_go() -> None:
    """The provider is not told of a server that only another vendor was to call."""
    step = from_codex()

    assert step.prompt(Prompt(tools=(McpServer(label="x", url="https://x"), OWN))).tools == (OWN,)
    assert features(step) == ["tools.mcp"]


@pytest.mark.parametrize(
    "choice",
    [
        ToolChoice("named", (ToolRef("web_search", "builtin"),)),
        ToolChoice("named", (ToolRef("web_search_preview", "builtin"),)),
        ToolChoice("named", (ToolRef("web_search"),)),
        ToolChoice("allowed", (ToolRef("web_search", "builtin"),), "required"),
    ],
)
def test_what_must_be_called_and_cannot_is_refused(choice: ToolChoice) -> None:
    """A choice that forces a tool which the model does not have is refused, by its path."""
    with pytest.raises(Unsupported, match="web_search") as refused:
        from_codex(GEMINI).prompt(Prompt(tools=(SEARCH, OWN), tool_choice=choice))

    assert refused.value.param == "tool_choice"
    assert refused.value.status == 400


def test_some_tool_must_be_called_and_there_is_none() -> None:
    """A choice that demands any call is refused where no tool is left."""
    with pytest.raises(Unsupported):
        from_codex().prompt(Prompt(tools=(SEARCH,), tool_choice=ToolChoice("required")))


def test_choice_among_what_is_left() -> None:
    """A choice names only what is there; without tools there is none."""
    allowed = ToolChoice("allowed", (ToolRef("web_search", "builtin"), ToolRef("own")), "auto")
    nothing = ToolChoice("allowed", (ToolRef("web_search", "builtin"),), "auto")

    assert from_codex().prompt(Prompt(tools=(SEARCH, OWN), tool_choice=allowed)).tool_choice == ToolChoice(
        "allowed", (ToolRef("own"),), "auto"
    )
    assert from_codex().prompt(Prompt(tools=(SEARCH, OWN), tool_choice=nothing)).tool_choice == ToolChoice("none")
    alone = from_codex().prompt(Prompt(tools=(SEARCH,), tool_choice=ToolChoice("auto"), parallel_tools=False))
    assert (alone.tools, alone.tool_choice, alone.parallel_tools) == ((), None, None)


def test_own_function_named_like_a_lost_tool_can_be_forced() -> None:
    """The client's own ``web_search`` is not the vendor's."""
    own = FunctionTool(name="web_search")
    choice = ToolChoice("named", (ToolRef("web_search"),))

    assert from_codex().prompt(Prompt(tools=(SEARCH, own), tool_choice=choice)).tool_choice == choice


def test_nothing_to_do_is_nothing_done() -> None:
    """A prompt with functions alone is handed on as it is, and so is its reply."""
    step = from_codex()
    prompt = Prompt(items=(user("hi"), assistant(call("a"))), tools=(OWN,), tool_choice=ToolChoice("named", (ToolRef("own"),)))

    assert step.prompt(prompt) is prompt
    events = reply(call_block(0, "own"))
    assert back(step, events) == events


def test_what_cannot_be_a_function_goes() -> None:
    """A shell in the vendor's own container, a whole set of tools, and a screen with the vendor's own calls are dropped."""
    step = Builtins(leg(RESPONSES, ANTHROPIC, server_tools=frozenset({"computer"})))
    container = BuiltinTool(kind="shell", vendor="openai", config={"type": "shell", "environment": {"type": "container_auto"}})
    toolset = BuiltinTool(kind="computer", vendor="anthropic", config={"type": "computer_toolset_20260801"}, client_executed=True)
    screen = BuiltinTool(kind="computer", vendor=GEMINI, client_executed=True)

    assert step.prompt(Prompt(tools=(container, toolset, screen, OWN))).tools == (OWN,)
    assert features(step) == ["tools.shell", "tools.computer", "tools.computer"]


def test_a_server_of_tools_cannot_be_forced() -> None:
    """A choice that names another vendor's server is refused."""
    choice = ToolChoice("named", (ToolRef("mcp", "builtin", "files"),))
    with pytest.raises(Unsupported):
        from_codex().prompt(Prompt(tools=(McpServer(label="files"), OWN), tool_choice=choice))


def test_tools_to_be_searched_for_are_all_told() -> None:
    """Without the search a deferred tool would never be found; with it nothing changes."""
    late = FunctionTool(name="late", defer_loading=True)
    search = BuiltinTool(kind="tool_search", vendor="openai")
    step = from_codex()

    assert step.prompt(Prompt(tools=(search, late))).tools == (FunctionTool(name="late"),)
    assert features(step) == ["tools.tool_search", "tools.defer_loading"]
    assert from_codex(server_tools=frozenset({"tool_search"})).prompt(Prompt(tools=(search, late))).tools == (search, late)


def test_callers_are_the_vendors_own() -> None:
    """Who may call, and who called, is said in one vendor's words; that the model itself did is no loss."""
    step = from_codex()
    direct, program = call("a", caller={"type": "direct"}), call("b", caller={"type": "program", "id": "p"})
    prompt = step.prompt(
        Prompt(items=(assistant(direct, program),), tools=(FunctionTool(name="f", allowed_callers=["programmatic"]),))
    )

    assert prompt.items == (assistant(call("a"), call("b")),)
    assert prompt.tools == (FunctionTool(name="f"),)
    assert features(step) == ["tools.allowed_callers", "tool_call.caller"]
