"""Prompts that are too long for a model."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
import tiktoken
from attrs import define, evolve
from hypothesis import given
from hypothesis import strategies as st

from llmgw import ConfigError, Count, Exchange, ModelInfo, Request, Route, Target, UpstreamError, next_step
from llmgw.model import Compaction, Instruction, Item, Message, Text, ToolCall, ToolResult, texts
from llmgw.route import guarded
from llmgw_context_window import ContextWindow, vocabularies
from llmgw_context_window.cutting import shortened
from llmgw_context_window.limits import Limit, Rule, listed, tabled
from llmgw_context_window.standing import Standing, TooLong
from llmgw_testing import Provider, run_gateway
from tests.plugins.naming import ENV, FRONTS, answered, asked, backends
from tests.toys import Player, Toybox, exchange, request, serving

LONG = "word " * 3000
SMALL: dict[str, Any] = {"models": {"a:*": {"context": 2000}}, "reserve": 100}


def turn(number: int, words: str = "word " * 300) -> list[dict[str, Any]]:
    """One turn of a client of Chat Completions."""
    return [{"role": "user", "content": f"Question {number}. {words}"}, {"role": "assistant", "content": f"Answer {number}."}]


def config(provider: Provider, options: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A gateway with one back-end and this guard."""
    return {"backends": backends(provider), "routes": [{"context-window": options}], **more}


def asking(guard_options: dict[str, Any], one: Exchange, asked_for: Request, model: str = "m") -> Route:
    """The attempts that the guard makes of a target."""
    guard = Standing(one, ContextWindow(**guard_options).terms)
    return guarded([guard], Target("toy", model, request=asked_for))


# ---- what is too long is refused ----------------------------------------------------------------


@pytest.mark.parametrize("front", FRONTS)
async def test_a_prompt_that_is_too_long(provider: Provider, front: str) -> None:
    """Clients of each dialect get the very error by which they know that they must shorten it; nobody else is asked."""
    said: dict[str, Any] = {"input": LONG} if front == "responses" else {"messages": [{"role": "user", "content": LONG}]}
    said = {"contents": [{"role": "user", "parts": [{"text": LONG}]}]} if front == "gemini" else said
    async with run_gateway(config(provider, SMALL), ENV) as running:
        status, body = await asked(running, front, "a:m", **said)

    error = json.loads(body)["error"]
    assert 400 == status
    assert not provider.seen
    if front == "messages":
        assert "invalid_request_error" == error["type"]
        assert re.match(r"prompt is too long: \d{4} tokens > 1950 maximum", error["message"])
    elif front == "gemini":
        assert "INVALID_ARGUMENT" == error["status"]
        assert re.search(r"input token count \(\d{4}\) exceeds the maximum number of tokens allowed \(1900\)", error["message"])
    else:
        assert ("context_length_exceeded", "invalid_request_error") == (error["code"], error["type"])
        assert re.search(r"has about \d,\d{3} tokens, 'a:m' takes 1,900: .*context window", error["message"])


@pytest.mark.parametrize("front", FRONTS)
async def test_a_prompt_that_fits(provider: Provider, front: str) -> None:
    """It goes its way."""
    provider.answers(answered("chat", streamed=False))
    async with run_gateway(config(provider, SMALL), ENV) as running:
        assert 200 == (await asked(running, front, "a:m"))[0]


async def test_a_chain_goes_on_to_a_larger_model(provider: Provider) -> None:
    """What one model cannot take, the next may."""
    provider.answers(answered("chat", streamed=False))
    options = {"models": {"a:small": {"context": 2000}}}
    async with run_gateway(config(provider, options), ENV) as running:
        said = [{"role": "user", "content": LONG}]
        assert 200 == (await asked(running, "chat", "a:small|a:large", messages=said))[0]
    assert ["large"] == [one.json["model"] for one in provider.seen]


async def test_another_model_is_asked_instead(provider: Provider) -> None:
    """The one that ``route`` names."""
    provider.answers(answered("chat", streamed=False))
    options = {"models": {"a:small": {"context": 2000, "route": "a:large"}}}
    async with run_gateway(config(provider, options), ENV) as running:
        said = [{"role": "user", "content": LONG}]
        assert 200 == (await asked(running, "chat", "a:small", messages=said))[0]
    assert ["large"] == [one.json["model"] for one in provider.seen]


async def test_the_other_model_may_be_too_small_too(provider: Provider) -> None:
    """Then it is refused, once, and not sent round in a circle."""
    options = {"route": "a:large", "models": {"a:*": {"context": 2000}}}
    async with run_gateway(config(provider, options), ENV) as running:
        status, body = await asked(running, "chat", "a:small", messages=[{"role": "user", "content": LONG}])
    assert (400, True) == (status, "'a:large' takes" in body)


async def test_the_oldest_turns_are_left_out(provider: Provider) -> None:
    """The instructions and the last turn stay, and what is left begins with a question."""
    provider.answers(answered("chat", streamed=False))
    said = [{"role": "system", "content": "Be brief."}, *(one for number in range(9) for one in turn(number))]
    said += [{"role": "user", "content": "And now?"}]
    async with run_gateway(config(provider, SMALL | {"policy": "truncate-oldest"}), ENV) as running:
        assert 200 == (await asked(running, "chat", "a:m", messages=said))[0]
    sent = provider.seen[0].json["messages"]
    assert said[0] == sent[0]
    assert said[-1] == sent[-1]
    assert said[len(said) - len(sent) + 1 :] == sent[1:]
    assert "user" == sent[1]["role"]
    assert 3 <= len(sent) < len(said)


async def test_the_client_hears_that_something_was_left_out(provider: Provider) -> None:
    """In a header of the reply."""
    provider.answers(answered("chat", streamed=False))
    said = [*(one for number in range(9) for one in turn(number)), {"role": "user", "content": "And now?"}]
    async with run_gateway(config(provider, SMALL | {"policy": "truncate-oldest"}), ENV) as running:
        body = {"model": "a:m", "messages": said}
        async with running.http.post(f"{running.url}/v1/chat/completions", json=body) as response:
            assert "history" == response.headers["x-llmgw-losses"]


async def test_a_last_turn_that_is_too_long_itself(provider: Provider) -> None:
    """It cannot be cut, and is refused."""
    async with run_gateway(config(provider, SMALL | {"policy": "truncate-oldest"}), ENV) as running:
        said = [*turn(1), {"role": "user", "content": LONG}]
        assert 400 == (await asked(running, "chat", "a:m", messages=said))[0]


# ---- the limit ----------------------------------------------------------------------------------


def test_a_window_is_for_both() -> None:
    """The answer that is asked for is kept free, as much as there can be; at most half of it."""
    limit = Limit(context=1000, output=300)
    assert (900, 700, 700) == (limit.room(100), limit.room(300), limit.room(5000))
    assert 500 == Limit(context=1000).room(5000)
    assert 1000 == Limit(input=1000, output=300).room(300)
    assert 600 == Limit(context=1000, input=600).room(100)


def test_lists_of_models() -> None:
    """Some say how long a prompt may be, others how long both."""
    assert Limit() == listed(None)
    assert Limit(context=9, output=3) == listed(ModelInfo("m", context=9, max_output=3))
    assert Limit(input=9) == listed(ModelInfo("m", context=9, raw={"inputTokenLimit": 9}))


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("gemini-2.5-pro", Limit(input=1048576, output=65536)),
        ("google/gemini-2.5-pro", Limit(input=1048576, output=65536)),
        ("claude-haiku-4-5-20251001", Limit(input=200000)),
        ("gpt-4o", Limit(context=128000, output=16384)),
        ("llama-9", Limit()),
    ],
)
def test_known_models(model: str, limit: Limit) -> None:
    """From the table, whoever sells them."""
    assert limit == tabled(model)


def test_the_first_that_knows(toybox: Toybox) -> None:
    """The deployment before the back-end's list, that before the table; the longest pattern before others."""
    gateway = toybox.gateway(serving(Player()))
    gateway._models["toy"] = (0.0, [ModelInfo("gpt-4o", context=777), ModelInfo("m", context=5, max_output=2)])
    window = ContextWindow(models={"*": Rule(policy="truncate-oldest"), "toy:x*": Rule(context=10), "x-large": Rule(context=99)})

    def limit(model: str) -> Limit | None:
        found = window.terms(gateway, Target("toy", model))
        return None if found is None else found.limit

    assert Limit(context=777, output=16384) == limit("gpt-4o")
    assert Limit(context=10) == limit("x-1")
    assert Limit(context=99) == limit("x-large")
    assert Limit(context=5, output=2) == limit("m")
    assert None is limit("nobody-knows")


@pytest.mark.parametrize("wrong", [{"context": 0}, {"policy": "cut"}, {"contxt": 5}])
async def test_options_that_are_wrong(toybox: Toybox, wrong: dict[str, Any]) -> None:
    """They end the start, with their place."""
    with pytest.raises(ConfigError, match=r"models"):
        toybox.gateway(routes=[{"context-window": {"models": {"*": wrong}}}])


# ---- counting -----------------------------------------------------------------------------------


async def _steps(route: Route) -> list[Target]:
    async with aclosing(route):
        found = []
        while (step := await next_step(route, None)) is not None:
            assert isinstance(step, Target)
            found.append(step)
        return found


async def test_a_short_body_is_never_read(toybox: Toybox) -> None:
    """It has fewer bytes than the window has tokens."""
    one, short = exchange(toybox.gateway()), request("Hi")
    read = evolve(short, load=lambda doc: pytest.fail("read"))
    assert [Target("toy", "m")] == await _steps(asking({"models": {"m": Rule(context=10_000)}}, one, read))


async def test_a_picture_has_more_tokens_than_its_body_has_bytes(toybox: Toybox) -> None:
    """So what holds one is read."""
    reads = []
    short = request("Hi", image_url="http://h/i.png")
    read = evolve(short, load=lambda doc: reads.append(doc) or short.prompt)
    await _steps(asking({"models": {"m": Rule(context=10_000)}}, exchange(toybox.gateway()), read))
    assert 1 == len(reads)


@pytest.mark.parametrize("operation", ["count_tokens", "compact"])
async def test_who_counts_or_shortens(toybox: Toybox, operation: Any) -> None:
    """They may send what is too long."""
    long = evolve(request(LONG), operation=operation)
    assert [Target("toy", "m")] == await _steps(asking({"models": {"m": Rule(context=100)}}, exchange(toybox.gateway()), long))


@define(eq=False)
class Counting(Player):
    """A back-end that counts."""

    found: Any = None

    async def count(self, exchange: Exchange, target: Target, request: Request) -> Count | None:
        assert ("count_tokens", "m") == (request.operation, request.model)
        exchange.reply_headers = {"x": "of the count"}
        if isinstance(self.found, Exception):
            raise self.found
        return self.found  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("found", "fits"), [(Count(900), True), (Count(1100), False), (None, False), (UpstreamError("No."), False)]
)
async def test_the_provider_counts(toybox: Toybox, found: Any, fits: bool) -> None:
    """Where the estimate is close; where it does not tell, the estimate holds. Nothing of its answer is left."""
    one = exchange(toybox.gateway(serving(Counting(found=found))))
    options = {"count": "provider", "models": {"m": Rule(input=1000)}}
    route = asking(options, one, request("word " * 1000))
    if fits:
        assert [Target("toy", "m")] == await _steps(route)
    else:
        with pytest.raises(TooLong):
            await _steps(route)
    assert {} == one.reply_headers


async def test_the_provider_is_not_asked_about_what_is_clear(toybox: Toybox) -> None:
    """It costs a round trip."""
    one = exchange(toybox.gateway(serving(Counting(found=Count(1)))))
    with pytest.raises(TooLong):
        await _steps(asking({"count": "provider", "models": {"m": Rule(input=1000)}}, one, request("word " * 3000)))


async def test_what_was_cut_is_told(toybox: Toybox) -> None:
    """In the exchange's losses and remarks."""
    one, items = exchange(toybox.gateway()), tuple(_history([["u" * 4000, "a"], ["u", "a"], ["u"]]))
    cut = request("Hi").with_prompt(items=items)
    options = {"policy": "truncate-oldest", "models": {"m": Rule(input=500)}}
    found = await _steps(asking(options, one, cut))
    assert found[0].request is not None
    assert items[2:] == found[0].request.prompt.items
    assert [("history", "dropped", "2 oldest items")] == [(loss.feature, loss.action, loss.from_) for loss in one.losses]
    assert "2 oldest items" in one.remarks[0]


def _history(turns: list[list[str]]) -> Iterator[Item]:
    for said in turns:
        yield Message(role="user", parts=(Text(said[0]),))
        yield from (Message(role="assistant", parts=(Text(one),)) for one in said[1:])


# ---- vocabularies -------------------------------------------------------------------------------


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """tiktoken's cache, with a file that is not the vocabulary."""
    name = hashlib.sha1(b"https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken").hexdigest()
    (tmp_path / name).write_bytes(b"abc")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: pytest.fail("it would download"))
    vocabularies._loaded.cache_clear()
    yield tmp_path / name
    vocabularies._loaded.cache_clear()


def test_a_broken_vocabulary(cached: Path) -> None:
    """It is not loaded, since tiktoken would fetch another."""
    assert None is vocabularies.vocabulary("gpt-5")
    assert cached.exists()


def test_no_vocabulary(cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None in the cache, no cache, none for the model: all is estimated."""
    assert None is vocabularies.vocabulary("gpt-4-turbo")
    assert None is vocabularies.vocabulary("claude-opus-4-5")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    assert None is vocabularies.vocabulary("gpt-5")
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(cached.parent / "none"))
    assert None is vocabularies.vocabulary("gpt-5")


@pytest.mark.parametrize("model", ["gpt-5-mini", "openai/gpt-4o", "o3", "gpt-4.1"])
def test_a_vocabulary_at_hand(cached: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    """It counts, however long the text is."""
    letters = tiktoken.Encoding("toy", pat_str=".", mergeable_ranks={bytes([one]): one for one in range(256)}, special_tokens={})
    monkeypatch.setitem(vocabularies._SUMS, "o200k_base", hashlib.sha256(b"abc").hexdigest())
    monkeypatch.setattr(tiktoken, "get_encoding", {"o200k_base": letters}.__getitem__)
    words = vocabularies.vocabulary(model)
    assert words is not None
    assert [0, 3, 9001] == [words("a" * number) for number in (0, 3, 9001)]


# ---- cutting ------------------------------------------------------------------------------------

IDS = st.sampled_from("abc")
PIECES: st.SearchStrategy[Item] = st.one_of(
    st.just(Message(role="user", parts=(Text("Do."),))),
    st.builds(lambda one: Message(role="assistant", parts=(ToolCall(call_id=one, name="f", arguments="{}"),)), IDS),
    st.builds(lambda one: ToolResult(call_id=one, parts=(Text("Done."),)), IDS),
    st.just(Message(role="assistant", parts=(Text("So."),))),
    st.just(Instruction(parts=(Text("Be brief."),))),
    st.just(Compaction()),
)
HISTORIES = st.lists(st.tuples(PIECES, st.integers(1, 100)), min_size=1, max_size=30)


def paired(items: tuple[Item, ...]) -> list[tuple[Item, Item]]:
    """Calls and results that belong together, by identity."""
    calls, found = dict[str, Item](), []
    for item in items:
        if isinstance(item, ToolResult) and item.call_id in calls:
            found.append((calls[item.call_id], item))
        calls |= {part.call_id: item for part in getattr(item, "parts", ()) if isinstance(part, ToolCall)}
    return found


@given(HISTORIES, st.integers(1, 500), st.integers(1, 200))
def test_cutting_keeps_together_what_belongs_together(history: list[tuple[Item, int]], excess: int, step: int) -> None:
    """The call and its result go both or neither; instructions and the last turn stay; enough goes, or nothing."""
    items = tuple(evolve(item, turn=number) for number, (item, _) in enumerate(history))  # each is one of its own
    cut = shortened(items, [size for _, size in history], excess, step)
    if cut is None:
        return
    kept = {item.turn for item in cut.items}
    gone = [number for number in range(len(items)) if number not in kept]
    assert excess <= cut.freed == sum(history[number][1] for number in gone)
    assert cut.dropped == len(gone)
    assert all((call.turn in kept) == (result.turn in kept) for call, result in paired(items))
    assert all(item.turn in kept for item in items if isinstance(item, Instruction | Compaction))
    last = max(number for number, item in enumerate(items) if isinstance(item, Message) and item.role == "user")
    assert set(range(last, len(items))) <= kept
    first = next(item for item in cut.items if not isinstance(item, Instruction | Compaction))
    assert isinstance(first, Message)
    assert "user" == first.role


@given(HISTORIES, st.integers(1, 500), st.integers(0, 300), st.integers(1, 200))
def test_cutting_is_monotone(history: list[tuple[Item, int]], excess: int, more: int, step: int) -> None:
    """Where more must go, nothing that had to go before comes back; what is impossible stays so."""
    items, sizes = [item for item, _ in history], [size for _, size in history]
    less, further = (shortened(items, sizes, wanted, step) for wanted in (excess, excess + more))
    if less is None:
        assert further is None
    elif further is not None:
        assert less.dropped <= further.dropped


def test_the_next_turns_are_cut_in_the_same_place() -> None:
    """So that the provider's cache holds: the beginning changes once in many turns."""
    beginnings: set[str] = set()
    for turns in range(20, 40):
        items = list(_history([[f"{number}", "a"] for number in range(turns)]))
        cut = shortened(items, [10.0] * len(items), 10.0 * len(items) - 300, 75)
        assert cut is not None
        first = cut.items[0]
        assert isinstance(first, Message)
        beginnings.add(texts(first.parts))
    assert 7 >= len(beginnings)
