from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from llmgw.events import fold
from llmgw.model import (
    BuiltinTool,
    Compaction,
    FunctionTool,
    Image,
    Instruction,
    Message,
    Prompt,
    Request,
    Sampling,
    Text,
    Tool,
    ToolResult,
    Url,
    texts,
)
from llmgw.stages import Target
from llmgw_echo import Echo, seen
from llmgw_testing import FakeClock, check_backend, run_gateway
from tests.toys import Toybox, exchange

PROMPT = Prompt(
    items=(
        Instruction(parts=(Text("Be kind."),)),
        Message(role="user", parts=(Text("What is this?"), Image(Url("http://h/cat")))),
    ),
    tools=(FunctionTool(name="look", description="Looks."), BuiltinTool(kind="search", vendor="v"), Tool()),
)


def user(text: str) -> Message:
    """What a person said."""
    return Message(role="user", parts=(Text(text),))


def test_it_answers_with_what_a_model_would_have_seen() -> None:
    """System prompt, last message, tools; what is no text is named."""
    assert [
        "This is echo, the model built into llmgw. A model would have seen:",
        "System prompt: Be kind.",
        "Last message (user): What is this? [Image]",
        "Messages: 2",
        "Tools offered: look, search, Tool",
    ] == seen(PROMPT).splitlines()


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ((), "Last message (none): none"),
        ((user("a"), Message(role="assistant", parts=(Text("b"),))), "Last message (assistant): b"),
        ((ToolResult(call_id="c1", parts=(Text("42"),)),), "Last message (tool, for c1): 42"),
        ((Instruction(role="developer", parts=(Text("x"),)),), "Last message (developer): x"),
        ((Compaction(),), "Last message (Compaction): none"),
    ],
)
def test_the_last_message_is_of_any_kind(items: tuple[Any, ...], expected: str) -> None:
    """It says whose it is."""
    assert expected in seen(Prompt(items=items)).splitlines()


def test_nothing_is_said_to_be_nothing() -> None:
    """A prompt without system prompt and tools says so."""
    lines = seen(Prompt(items=(user("Hi"),))).splitlines()

    assert {"System prompt: none", "Tools offered: none"} < set(lines)


async def answered(toybox: Toybox, prompt: Prompt) -> Any:
    """The reply to a prompt, whose events keep the laws."""
    gateway = toybox.gateway(clock=FakeClock().clock)
    return await check_backend(
        Echo(), exchange(gateway), Target("echo", "any"), Request(dialect="toy", model="any", prompt=prompt)
    )


async def test_its_tokens_are_counted_exactly(toybox: Toybox) -> None:
    """Words and marks, of what came in and what went out."""
    reply = await answered(
        toybox, Prompt(items=(user("Well, hello there!"),), tools=(FunctionTool(name="look", description="Looks."),))
    )

    assert 5 + 3 + 1 - 1 == reply.usage.input_total == len(["Well", ",", "hello", "there", "!"]) + len(["look", "Looks", "."])
    assert seen(Prompt(items=(user("Well, hello there!"),), tools=(FunctionTool(name="look", description="Looks."),))) == texts(
        reply.choices[0].parts
    )


async def test_an_event_is_a_token(toybox: Toybox) -> None:
    """As many as are counted."""
    gateway = toybox.gateway()
    request = Request(dialect="toy", model="any", prompt=PROMPT)
    events = [event async for event in Echo().stream(exchange(gateway), Target("echo", "any"), request)]
    deltas = [event for event in events if type(event).__name__ == "BlockDelta"]
    usage = fold(events).usage

    assert usage is not None and len(deltas) == usage.output_total


@pytest.mark.parametrize(("limit", "stop"), [(None, "end"), (0, "max_tokens"), (3, "max_tokens"), (10_000, "end")])
async def test_it_stops_where_it_is_told(toybox: Toybox, limit: int | None, stop: str) -> None:
    """After so many tokens, and says that this is why."""
    reply = await answered(toybox, Prompt(items=(user("Hi"),), sampling=Sampling(max_output=limit)))

    assert stop == reply.choices[0].stop.kind
    assert limit in (None, 10_000) or limit == reply.usage.output_total


async def test_the_same_is_answered_with_the_same(toybox: Toybox) -> None:
    """But for the exchange's id."""
    one, two = await answered(toybox, PROMPT), await answered(toybox, PROMPT)

    assert (one.choices, one.usage, one.model, one.created) == (two.choices, two.usage, two.model, two.created)


async def test_which_names_it_answers_to(toybox: Toybox) -> None:
    """Without its id only to those it lists; as ``echo:anything`` to all."""
    config = {"backends": {"echo": {"models_listed": ["echo", "parrot"]}}}
    question = {"messages": [{"role": "user", "content": "Hi"}]}
    async with run_gateway(config) as running:
        answers = {model: (await running.post(question | {"model": model}))[0] for model in ("parrot", "echo:x", "gpt-5")}
        _, listed = await running.get("/v1/models")

    assert {"parrot": 200, "echo:x": 200, "gpt-5": 404} == answers
    assert ["echo:echo", "echo:parrot"] == [model["id"] for model in listed["data"]]


async def test_it_is_a_last_resort() -> None:
    """Another back-end beside it is where requests go that name none."""
    async with run_gateway({"backends": {"echo": {}, "openai": {}}}) as running:
        assert "openai" == running.gateway.default_backend


@pytest.mark.parametrize(
    ("text", "number"),
    [
        pytest.param("Hello, world!  " * 40_000, 4 * 40_000 + 1, id="words"),
        pytest.param(".," * 50_000, 100_000, id="marks"),
        pytest.param("漢字 " * 50_000, 50_001, id="Chinese"),
        pytest.param(("y" * 30_000 + " \n") * 5, 6, id="long words"),
        pytest.param("x" * 2**20, 16, id="one word"),
        pytest.param(" " * 2**20 + "x", 16, id="blanks"),
    ],
)
async def test_long_texts(toybox: Toybox, text: str, number: int) -> None:
    """A long reply is the same text in about 2,000 events; tokens are counted exactly, where no word is longer than a slice."""
    prompt = Prompt(items=(user(text),))
    request, gateway = Request(dialect="toy", model="any", prompt=prompt), toybox.gateway()
    events = [event async for event in Echo().stream(exchange(gateway), Target("echo", "any"), request)]
    reply = fold(events)

    assert reply.usage is not None and number == reply.usage.input_total
    assert seen(prompt) == texts(reply.choices[0].parts)
    assert 2500 > len(events)


@pytest.mark.parametrize("text", ["Hello, world! " * 80_000, "x" * 2**20, " " * 2**20], ids=["words", "one word", "blanks"])
async def test_others_have_their_turns(toybox: Toybox, text: str) -> None:
    """Whatever is in a megabyte, reading and repeating it is done in many pieces."""
    turns, ended = 0, asyncio.Event()

    async def other() -> None:
        nonlocal turns
        while not ended.is_set():
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        group.create_task(other())
        await answered(toybox, Prompt(items=(user(text),)))
        ended.set()

    assert 3 * 15 <= turns


def tokens(text: str) -> int:
    """How many words and marks there are; blanks at the end are one."""
    return len(re.findall(r"\w+|[^\w\s]", text)) + (text[-1:].isspace())


async def test_a_long_text_stops_where_it_is_told(toybox: Toybox) -> None:
    """Joined tokens are no more than were asked for."""
    prompt = Prompt(items=(user("a " * 100_000),), sampling=Sampling(max_output=50_001))
    reply = await answered(toybox, prompt)

    assert (50_001, 50_001) == (reply.usage.output_total, tokens(texts(reply.choices[0].parts)))
