from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest

from llmgw import logs


@pytest.fixture(autouse=True)
def _root() -> Iterator[None]:
    """The root logger as it was."""
    root, asyncio_ = logging.getLogger(), logging.getLogger("asyncio")
    handlers, levels = root.handlers[:], (root.level, asyncio_.level)
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    asyncio_.setLevel(levels[1])


def test_text_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Time, level, who, what; on stderr."""
    logs.configure("info", "text")
    logging.getLogger("llmgw.x").info("hello %s", "you")

    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO    llmgw\.x: hello you\n", capsys.readouterr().err)


def test_json_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    """A line is an object, whatever stands in the message, which is escaped as in text; times are UTC."""
    logs.configure("info", "json")
    logging.getLogger("llmgw.x").warning('"hello"\n%s', "you")
    out = capsys.readouterr().err
    row = json.loads(out)

    assert 1 == out.count("\n")
    assert {"time", "level", "logger", "message"} == set(row)
    assert ("warning", "llmgw.x", '"hello"\\nyou') == (row["level"], row["logger"], row["message"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["time"])


def test_json_keeps_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    """In the same line."""
    logs.configure("info", "json")
    try:
        raise ZeroDivisionError("oh")
    except ZeroDivisionError:
        logging.getLogger("llmgw").exception("failed")

    assert json.loads(capsys.readouterr().err)["exception"].endswith("ZeroDivisionError: oh")


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_a_client_sent_forges_nothing(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """A message is one line of at most 2,000 characters that can be printed, whatever is in it."""
    logs.configure("info", form)
    model = "m\n2026-01-01 00:00:00,000 ERROR   llmgw: forged\r\x1b[2K\x9b\u2028\ud800" + "x" * 3_000_000
    logging.getLogger("llmgw").warning("no model %s", model)
    err = capsys.readouterr().err
    said = json.loads(err)["message"] if form == "json" else err.partition("llmgw: ")[2].rstrip("\n")

    assert 1 == err.count("\n") and 2200 > len(err)
    assert said.startswith(r"no model m\n2026-01-01 00:00:00,000 ERROR   llmgw: forged\r\x1b[2K\x9b\u2028\ud800xxx")
    assert said.endswith(f"x... ({len(model) + len('no model ')} characters)")


@pytest.mark.parametrize("form", ["text", "json"])
def test_tracebacks_keep_their_lines(capsys: pytest.CaptureFixture[str], form: str) -> None:
    """But none is too long, or holds what cannot be printed."""
    logs.configure("info", form)
    try:
        raise ZeroDivisionError("\x1boh" + "x" * 3_000_000)
    except ZeroDivisionError:
        logging.getLogger("llmgw").exception("failed")
    err = capsys.readouterr().err
    lines = (json.loads(err)["exception"] if form == "json" else err.partition("\n")[2].rstrip("\n")).split("\n")

    assert "Traceback (most recent call last):" == lines[0] and 3 < len(lines)
    assert lines[-1].startswith(r"ZeroDivisionError: \x1bohxxx") and 2100 > len(lines[-1])


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_levels(capsys: pytest.CaptureFixture[str], level: str, count: int) -> None:
    """What is below the level is not said; all levels that can be named are."""
    logs.configure(level, "text")
    for one in logs.LEVELS:
        logging.getLogger("llmgw").log(getattr(logging, one.upper()), "said")

    assert count == capsys.readouterr().err.count("said")


def test_asyncio_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    """What it says at a lower level helps nobody."""
    logs.configure("debug", "text")
    logging.getLogger("asyncio").debug("Using selector")

    assert "" == capsys.readouterr().err
