"""What is left of a provider's limits, in each dialect's headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw.model import RateLimit
from llmgw_dialects.rates import read_anthropic, read_openai, write_anthropic, write_openai

NOW = 1_800_000_000.0
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:30Z",
    "anthropic-ratelimit-output-tokens-remaining": "1000",
}
OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-tokens": "6m0s",
}
counts = st.none() | st.integers(0, 10**9)


def limits(*scopes: str) -> st.SearchStrategy[list[RateLimit]]:
    """Limits that say something, each scope once, in this order; resets to the second."""
    one = st.builds(RateLimit, st.sampled_from(scopes), counts, counts, st.none() | st.integers(0, 86400).map(lambda s: NOW + s))
    told = one.filter(lambda each: each.limit is not None or each.remaining is not None)
    each_once = st.lists(told, unique_by=lambda each: each.scope)
    return each_once.map(lambda found: sorted(found, key=lambda each: scopes.index(each.scope)))


def test_openai() -> None:
    """Resets are durations from now; what is not told is not made up."""
    found = [RateLimit("requests", 60, 59, NOW + 1), RateLimit("tokens", None, 149984, NOW + 360)]
    assert found == read_openai(OPENAI, NOW)


def test_anthropic() -> None:
    """Resets are times."""
    found = [RateLimit("requests", 50, 49, NOW + 30), RateLimit("output-tokens", None, 1000, None)]
    assert found == read_anthropic(ANTHROPIC, NOW)


@given(limits("requests", "tokens"))
def test_openai_round_trip(told: list[RateLimit]) -> None:
    """What is written is read."""
    assert told == read_openai(write_openai(told, NOW), NOW)


@given(limits("requests", "tokens", "input-tokens", "output-tokens"))
def test_anthropic_round_trip(told: list[RateLimit]) -> None:
    """What is written is read."""
    assert told == read_anthropic(write_anthropic(told, NOW), NOW)


def test_across() -> None:
    """Each in the other's words; OpenAI has none for the output alone."""
    assert {
        "x-ratelimit-limit-requests": "50", "x-ratelimit-remaining-requests": "49", "x-ratelimit-reset-requests": "30s",
    } == write_openai(read_anthropic(ANTHROPIC, NOW), NOW)  # fmt: skip
    assert "2027-01-15T08:06:00Z" == write_anthropic(read_openai(OPENAI, NOW), NOW)["anthropic-ratelimit-tokens-reset"]


def test_a_reset_that_is_past_is_now() -> None:
    """A duration is never negative."""
    assert "0s" == write_openai([RateLimit("tokens", 1, 0, NOW - 9)], NOW)["x-ratelimit-reset-tokens"]


@pytest.mark.parametrize("nonsense", ["", "-1", "many", "1.5", "\u0661x", "9" * 3 + " "])
def test_nonsense_is_not_told(nonsense: str) -> None:
    """Nor does it break anything."""
    found = read_openai({"x-ratelimit-remaining-tokens": nonsense, "x-ratelimit-reset-tokens": nonsense}, NOW)
    assert found in ([], [RateLimit("tokens", None, 999, None)])
    assert [] == read_anthropic({"anthropic-ratelimit-tokens-reset": nonsense}, NOW)
    told = read_anthropic({"anthropic-ratelimit-tokens-limit": "1", "anthropic-ratelimit-tokens-reset": nonsense}, NOW)
    assert [RateLimit("tokens", 1, None, None)] == told
