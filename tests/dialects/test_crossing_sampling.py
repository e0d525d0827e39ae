"""Sampling: what a model refuses is left out, and told unless it said nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steps import stepped

from llmgw.model import Prompt, ReasoningConfig, Sampling
from llmgw_dialects.crossing.sampling import OutputLimit, Samplers


def sampled(way: str, model: str = "", reasoning: ReasoningConfig | None = None, **fields: Any) -> tuple[Sampling, list[Any]]:
    found = stepped(Samplers, way, Prompt(sampling=Sampling(**fields), reasoning=reasoning or ReasoningConfig()), model=model)
    return found.prompt.sampling, found.lost


@pytest.mark.parametrize(("way", "model", "given", "kept", "lost"), [
    ("CA", "fp-anthropic", {"temperature": 0.7, "top_p": 0.9}, {"temperature": 0.7}, [("top_p", "dropped")]),
    ("CA", "claude-opus-4-7", {"temperature": 0.7, "top_p": 0.9}, {}, [("temperature", "dropped"), ("top_p", "dropped")]),
    ("CA", "claude-3-5-haiku-latest", {"temperature": 0.7, "top_p": 0.9}, {"temperature": 0.7, "top_p": 0.9}, []),
    ("CA", "fp-anthropic", {"temperature": 1, "top_p": 0.9}, {"top_p": 0.9}, []),
    ("CA", "fp-anthropic", {"temperature": 0.3, "top_p": 1.0}, {"temperature": 0.3}, []),
    ("CA", "fp-anthropic", {"temperature": 1.5}, {"temperature": 1.0}, [("temperature", "approximated")]),
    ("CA", "claude-opus-5", {"temperature": 1.0, "top_p": 1, "n": 1, "frequency_penalty": 0, "presence_penalty": 0.0,
     "logprobs": False, "verbosity": "medium", "modalities": ("text",), "logit_bias": {}, "top_logprobs": 0}, {}, []),
    ("CA", "fp-anthropic", {"seed": 5, "n": 2, "logprobs": True, "top_logprobs": 3, "logit_bias": {"5": 1}, "presence_penalty": 1,
     "prediction": {"type": "content"}},
     {}, [("presence_penalty", "dropped"), ("seed", "dropped"), ("n", "dropped"), ("logprobs", "dropped"),
          ("top_logprobs", "dropped"), ("logit_bias", "dropped"), ("prediction", "dropped")]),
    ("AC", "gpt-4.1", {"temperature": 0.5, "top_k": 5}, {"temperature": 0.5}, [("top_k", "dropped")]),
    ("AC", "o3-mini", {"temperature": 0.5}, {}, [("temperature", "dropped")]),
    ("AC", "gpt-4.1", {"temperature": 1}, {"temperature": 1}, []),
    ("CS", "fp-responses", {"temperature": 0.5, "seed": 5, "logprobs": True, "verbosity": "low"},
     {"temperature": 0.5, "logprobs": True, "verbosity": "low"}, [("seed", "dropped")]),
    ("CS", "gpt-5.2", {"temperature": 0.5, "verbosity": "low"}, {"verbosity": "low"}, [("temperature", "dropped")]),
    ("CG", "gemini-3-pro", {"n": 9, "seed": 5, "temperature": 2}, {"seed": 5, "temperature": 2}, [("n", "dropped")]),
    ("GC", "gpt-4.1", {"temperature": 3}, {"temperature": 2.0}, [("temperature", "approximated")]),
])  # fmt: skip
def test_what_a_model_takes(way: str, model: str, given: dict[str, Any], kept: dict[str, Any], lost: list[Any]) -> None:
    """A model gets what it takes, in its range; defaults are let go without a word where they are not taken."""
    made, losses = sampled(way, model, **given)
    assert (Sampling(**kept), lost) == (made, losses)


@pytest.mark.parametrize(("reasoning", "expected"), [
    (ReasoningConfig(mode="budget", budget=2000), None), (ReasoningConfig(), 0.5), (ReasoningConfig(mode="off"), 0.5),
])  # fmt: skip
def test_not_while_thinking(reasoning: ReasoningConfig, expected: float | None) -> None:
    """A Claude that thinks has its own temperature."""
    made, losses = sampled("CA", "claude-sonnet-4-5", reasoning, temperature=0.5)
    assert expected == made.temperature
    assert losses == ([] if expected else [("temperature", "dropped")])


def test_stop_and_the_limit_are_not_its_business() -> None:
    """Other steps see to these."""
    made, losses = sampled("CS", "gpt-5.2", stop=("a",), max_output=5)
    assert (Sampling(stop=("a",), max_output=5), []) == (made, losses)


@pytest.mark.parametrize(("way", "model", "given", "expected", "lost"), [
    ("CA", "fp-anthropic", None, 32000, []), ("CA", "claude-3-haiku-20240307", None, 4096, []),
    ("CA", "claude-3-haiku-20240307", 9000, 4096, ["approximated"]), ("CA", "fp-anthropic", 200_000, 200_000, []),
    ("CS", "gpt-5.2", 1, 16, ["approximated"]), ("CS", "gpt-5.2", None, None, []), ("CS", "gpt-5.2", 17, 17, []),
    ("AC", "gpt-4.1", 0, 1, ["approximated"]), ("AC", "gpt-4.1", 64000, 32768, ["approximated"]),
    ("AG", "gemini-3-pro", 64000, 64000, []),
])  # fmt: skip
def test_the_limit(way: str, model: str, given: int | None, expected: int | None, lost: list[str]) -> None:
    """Where a limit must be told there is one; a client's own is only brought into what the model can give."""
    found = stepped(OutputLimit, way, Prompt(sampling=Sampling(max_output=given)), model=model)
    assert expected == found.prompt.sampling.max_output
    assert [("max_output", action) for action in lost] == found.lost


def test_a_provider_without_limits() -> None:
    """One that refuses a limit is not told one."""
    found = stepped(OutputLimit, "CS", Prompt(sampling=Sampling(max_output=5)), sampling=frozenset())
    assert found.prompt.sampling.max_output is None and [("max_output", "dropped")] == found.lost


NUMBERS = st.floats(0, 3)


@given(
    way=st.sampled_from(["CA", "CS", "CG", "AC", "GA", "SC"]),
    model=st.sampled_from(["claude-sonnet-4-5", "fp-x", "claude-opus-5", "gpt-5", "gpt-4o", "gemini-3-pro", "o3"]),
    sampling=st.builds(
        Sampling, temperature=st.none() | NUMBERS, top_p=st.none() | st.floats(0, 1), top_k=st.none() | st.integers(1, 9),
        seed=st.none() | st.integers(), n=st.none() | st.integers(1, 20), presence_penalty=st.none() | NUMBERS,
    ),
)  # fmt: skip
def test_only_what_the_model_takes(way: str, model: str, sampling: Sampling) -> None:
    """Nothing comes out that the profile does not allow, and a second look changes nothing."""
    found = stepped(Samplers, way, Prompt(sampling=sampling), model=model)
    made, known = found.prompt.sampling, found.step.leg.profile
    for name in ("temperature", "top_p", "top_k", "seed", "n", "presence_penalty"):
        assert getattr(made, name) is None or name in known.sampling
    assert made.temperature is None or known.temperature[0] <= made.temperature <= known.temperature[1]
    assert not known.one_sampler or made.temperature is None or made.top_p is None
    again = stepped(Samplers, way, found.prompt, model=model)
    assert again.prompt is found.prompt and [] == again.losses
