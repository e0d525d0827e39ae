from __future__ import annotations

import time

import pytest

from llmgw.nearest import did_you_mean, nearest


def test_likest_first() -> None:
    """The likest name comes first, and what is not alike does not come."""
    assert ["backends", "backend"] == nearest("backnds", ["backend", "frontends", "plugins", "backends"])[:2]


def test_case_does_not_matter() -> None:
    """A name is found whatever its case, and given as it is."""
    assert ["GPT-5"] == nearest("gpt-5", ["GPT-5", "claude"])


def test_limit() -> None:
    """No more names come than asked for."""
    assert 2 == len(nearest("model-1", [f"model-{number}" for number in range(9)], limit=2))


def test_nothing_is_like_it() -> None:
    """Where nothing is alike, nothing is said."""
    assert "" == did_you_mean("zzz", ["type", "name"])


def test_as_a_question() -> None:
    """The one likest name makes a question for the end of a message."""
    assert "did you mean 'type'?" == did_you_mean("tpye", ["name", "type"])


@pytest.mark.parametrize("word", ["x" * 100_000, "gpt-5" * 50_000])
def test_a_stranger_cannot_make_it_slow(word: str) -> None:
    """A name that nobody would write is not compared, since clients send names too."""
    start = time.perf_counter()

    assert [] == nearest(word, [f"model-{number}" for number in range(1000)])
    assert time.perf_counter() - start < 0.1
