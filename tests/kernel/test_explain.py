from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmgw.cli import main
from llmgw.explain import Overlay, unhurried
from llmgw.state import MemoryStore
from llmgw.store import Bucket
from llmgw_testing import FakeClock

PROVIDER = {"type": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "env:EXPLAIN_KEY"}
CLAUDE = {"type": "anthropic", "base_url": "http://127.0.0.1:9", "api_key": "env:EXPLAIN_KEY"}
CHAT = {"model": "one:gpt-5", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """``told(body, config, *options)`` is the exit code, and the lines as pairs."""
    monkeypatch.setenv("EXPLAIN_KEY", "a-secret-key")

    def run(body: Any, config: dict[str, Any], *options: str) -> tuple[int, list[tuple[str, str]]]:
        request, deployment = tmp_path / "request.json", tmp_path / "llmgw.yaml"
        request.write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
        deployment.write_text(yaml.safe_dump({"backends": {"one": PROVIDER, "two": CLAUDE}} | config))
        code = main(["explain", str(request), "--config", str(deployment), "--json", *options])
        out, err = capsys.readouterr()
        assert "a-secret-key" not in out + err
        return code, [(line["what"], line["text"]) for line in json.loads(out)] if out else [("error", err)]

    return run


def of(word: str, lines: list[tuple[str, str]]) -> list[str]:
    return [text for what, text in lines if what == word]


def test_the_way_of_a_request(told: Any) -> None:
    """Front-end, commands, filters, target, and the body as the provider would get it."""
    code, lines = told(CHAT, {}, "--path", "/v1/chat/completions")

    assert 0 == code
    assert ["POST /v1/chat/completions (openai.chat), model 'one:gpt-5'"] == of("front-end", lines)
    assert ["none"] == of("commands", lines)
    assert ["1 one:gpt-5"] == of("target", lines)
    assert ["POST http://127.0.0.1:9/v1/chat/completions (openai.chat)"] == of("upstream", lines)
    assert [{**CHAT, "model": "gpt-5"}] == [json.loads(text) for text in of("body", lines)]
    assert ["none"] == of("loss", lines)


def test_losses_are_told(told: Any) -> None:
    """What another dialect cannot say stands there with its place."""
    _, lines = told({**CHAT, "model": "two:claude-opus-4-6", "seed": 4}, {}, "--path", "/v1/chat/completions")

    assert ["seed dropped at seed (4 -> anthropic.messages)"] == [text for text in of("loss", lines) if "seed" in text]
    assert "claude-opus-4-6" == json.loads(of("body", lines)[0])["model"]


def test_a_path_that_names_the_model(told: Any) -> None:
    """A front-end whose path is a pattern reads the model from it."""
    body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
    _, lines = told(body, {}, "--path", "/v1beta/models/one:gpt-5:generateContent")

    assert ["1 one:gpt-5"] == of("target", lines)


def test_a_chain_is_told_to_its_end(told: Any) -> None:
    """Each target is supposed to fail, so that the next one is seen; a class that ends the chain ends it."""
    config = {"routes": [{"failover": {"models": {"fast": "one:a|[patience=5]two:b"}}}]}
    _, lines = told({**CHAT, "model": "fast"}, config, "--path", "/v1/chat/completions")
    _, short = told({**CHAT, "model": "fast"}, config, "--path", "/v1/chat/completions", "--if", "content_policy")

    assert ["1 one:a", "2 two:b (for 5 s at most)"] == of("target", lines)
    assert ["1 one:a"] == of("target", short)


def test_a_race_is_told_lane_by_lane(told: Any) -> None:
    """All lanes of a race stand under one number."""
    _, lines = told({**CHAT, "model": "one:a!two:b"}, {"routes": ["race"]}, "--path", "/v1/chat/completions")

    assert ["1, at once, lane 1: 1 one:a", "1, at once, lane 2: 1 two:b"] == of("target", lines)


def test_waiting_is_not_waited_for(told: Any) -> None:
    """Rounds with pauses are told at once."""
    config = {"routes": [{"failover": {"rounds": 3, "pause": 10.0, "wait": 100.0}}]}
    _, lines = told(CHAT, config, "--path", "/v1/chat/completions")

    assert ["1 one:gpt-5", "2 one:gpt-5", "3 one:gpt-5"] == of("target", lines)


def test_commands_and_filters(told: Any) -> None:
    """A command is told and run, on what nobody else sees; the filter that it works by says what it changes."""
    said = {**CHAT, "messages": [{"role": "user", "content": "Hello !/model(two:claude-opus-4-6)"}]}
    code, lines = told(said, {"commands": ["model-command"]}, "--path", "/v1/chat/completions")

    assert 0 == code
    assert ["!/model(two:claude-opus-4-6)"] == of("commands", lines)
    assert any("becomes 'two:claude-opus-4-6'" in text for text in of("filter", lines))
    assert ["1 two:claude-opus-4-6"] == of("target", lines)


@pytest.mark.parametrize(
    ("body", "options", "said"),
    [
        (b"no json", ("--path", "/v1/chat/completions"), "400: "),
        ({**CHAT, "model": "gpt"}, ("--path", "/v1/chat/completions"), "404: "),
    ],
)
def test_a_refusal_is_told_as_one(told: Any, body: Any, options: tuple[str, ...], said: str) -> None:
    """What the client would be refused is the last line, and the exit code says it too."""
    code, lines = told(body, {}, *options)

    assert (1, "refused", True) == (code, lines[-1][0], lines[-1][1].startswith(said))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--path", "/nowhere"), "no front-end serves /nowhere"),
        (("--if", "overload"), "did you mean 'overloaded'?"),
        (("--key", "alice"), "no key is called 'alice'"),
        (("--header", "x"), "expected NAME: VALUE"),
    ],
)
def test_a_wrong_option_is_told(told: Any, options: tuple[str, ...], said: str) -> None:
    """What stands on the command line wrongly is the caller's to mend."""
    code, [(word, text)] = told(CHAT, {}, *options)

    assert (2, "error") == (code, word)
    assert said in text


def test_the_first_that_can_read_it_is_assumed(told: Any) -> None:
    """Without a path, what was assumed is said."""
    _, lines = told(CHAT, {})

    assert 2 == len(of("front-end", lines))
    assert "say --path" in of("front-end", lines)[1]


def test_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is told by its name."""
    assert 2 == main(["explain", "/nowhere/at/all.json"])
    assert "cannot read /nowhere/at/all.json" in capsys.readouterr().err


async def test_looking_changes_nothing() -> None:
    """What is written while somebody looks stays with the onlooker."""
    clock = FakeClock()
    under = MemoryStore(clock.clock.monotonic)
    await under.set("kept", "1")
    await under.add("count", 2)
    over = Overlay(under, clock.clock)
    bucket = Bucket("bucket", 4, 10, 1)

    await over.set("new", "x")
    assert 5.0 == await over.add("count", 3)
    assert (6.0,) == (await over.take([bucket])).left
    assert ["1", "x", "5.0"] == await over.get_many(["kept", "new", "count"])
    await over.delete("new")
    assert await over.seat("table", "me", 1, 10)
    await over.leave("table", "me")

    assert ["1", None, "2.0"] == await under.get_many(["kept", "new", "count"])
    assert (10.0,) == (await under.take([Bucket("bucket", 0, 10, 1)])).left
    assert await under.seat("table", "you", 1, 10)


async def test_nobody_waits() -> None:
    """The clock of an explanation is not in a hurry and does not wait."""
    async with asyncio.timeout(1):
        await unhurried().sleep(3600)
