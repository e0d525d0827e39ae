"""Thinking: efforts, budgets and levels, each in the form that the model knows."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from steps import stepped

from llmgw.model import Profile, Prompt, ReasoningConfig, Sampling
from llmgw_dialects.crossing.effort import EFFORTS, Effort, budget_of, effort_of, nearest, thinks

R = ReasoningConfig


def told(
    way: str, config: ReasoningConfig, model: str = "", limit: int | None = None, **changes: Any
) -> tuple[ReasoningConfig, Any]:
    """What a model is told of thinking, without what is shown of it, and the losses."""
    found = stepped(Effort, way, Prompt(reasoning=config, sampling=Sampling(max_output=limit)), model=model, **changes)
    return evolve(found.prompt.reasoning, show=None, want_encrypted=False), found.lost


@pytest.mark.parametrize(("effort", "budget"), [
    ("none", 0), ("minimal", 512), ("low", 1024), ("medium", 8192), ("high", 24576), ("xhigh", 32768), ("max", 128000),
])  # fmt: skip
def test_the_table(effort: str, budget: int) -> None:
    """Efforts stand for budgets; back, all that is more than high is the highest but one."""
    assert budget == budget_of(effort)
    assert effort_of(budget) == ("xhigh" if effort == "max" else effort)


@pytest.mark.parametrize(("config", "way", "model", "expected", "lost"), [
    # nothing asked, nothing said
    (R(), "CA", "claude-opus-4-6", R(), []),
    # efforts
    (R(effort="minimal"), "CA", "claude-opus-4-6", R(mode="adaptive", effort="low"), ["reasoning.effort"]),
    (R(effort="xhigh"), "CA", "claude-opus-4-8", R(mode="adaptive", effort="xhigh"), []),
    (R(effort="xhigh"), "CA", "fp-anthropic", R(mode="adaptive", effort="high"), ["reasoning.effort"]),
    (R(effort="max"), "AS", "gpt-5.2", R(effort="xhigh"), ["reasoning.effort"]),
    (R(effort="minimal"), "CG", "gemini-3-pro", R(effort="low"), ["reasoning.effort"]),
    (R(effort="medium"), "CG", "gemini-3-pro", R(effort="low"), ["reasoning.effort"]),
    (R(effort="minimal"), "SG", "gemini-3.6-flash", R(effort="minimal"), []),
    # an effort for a budget
    (R(effort="high"), "CG", "gemini-2.5-flash", R(mode="budget", budget=24576), ["reasoning.effort"]),
    (R(effort="max"), "CG", "gemini-2.5-pro", R(mode="budget", budget=32768), ["reasoning.effort"]),
    (R(effort="minimal"), "CA", "claude-sonnet-4-5", R(mode="budget", budget=1024), ["reasoning.effort"]),
    # a budget for an effort
    (R(mode="budget", budget=10000), "AS", "gpt-5.2", R(effort="high"), ["reasoning.budget"]),
    (R(mode="budget", budget=10000, effort="low"), "AS", "gpt-5.2", R(effort="low"), []),
    (R(mode="budget", budget=512), "GA", "claude-opus-4-6", R(mode="adaptive", effort="low"), ["reasoning.budget"]),
    (R(mode="budget", budget=60000), "GA", "claude-sonnet-4-5", R(mode="budget", budget=60000), []),
    (R(mode="budget", budget=100), "GA", "claude-sonnet-4-5", R(mode="budget", budget=1024), ["reasoning.budget"]),
    # by itself
    (R(mode="auto", budget=-1), "GA", "claude-opus-4-6", R(mode="adaptive"), []),
    (R(mode="adaptive"), "AS", "gpt-5.2", R(), []),
    (R(mode="adaptive"), "AG", "gemini-2.5-pro", R(mode="auto", budget=-1), []),
    (R(mode="adaptive"), "AG", "gemini-3-pro", R(), []),
    (R(mode="adaptive", effort="high"), "AG", "gemini-3-pro", R(effort="high"), []),
    (R(mode="between_tools"), "AS", "gpt-5.2", R(effort="high"), ["reasoning.budget"]),
    # off
    (R(effort="none"), "CA", "claude-opus-4-6", R(mode="off"), []),
    (R(mode="off"), "AS", "gpt-5.2", R(mode="off", effort="none"), []),
    (R(mode="off"), "AS", "gpt-5", R(effort="minimal"), ["reasoning"]),
    (R(mode="off"), "AG", "gemini-2.5-flash", R(mode="off"), []),
    (R(mode="off"), "AG", "gemini-2.5-pro", R(mode="budget", budget=128), ["reasoning"]),
    (R(effort="none"), "CG", "gemini-3.6-flash", R(effort="minimal"), ["reasoning"]),
    # not at all
    (R(effort="high"), "AC", "gpt-4.1", R(), ["reasoning"]),
    (R(mode="off"), "AC", "gpt-4.1", R(), []),
])  # fmt: skip
def test_one_form_for_another(config: ReasoningConfig, way: str, model: str, expected: ReasoningConfig, lost: list[str]) -> None:
    """Each model is told in its own form, the nearest that it knows, and what is not the same is told as a loss."""
    made, losses = told(way, config, model)
    assert expected == made
    assert lost == [feature for feature, _ in losses]


def test_a_budget_stays_below_the_limit() -> None:
    """The answer's limit is raised for thinking as far as the model goes, then the budget is lowered."""
    found = stepped(
        Effort, "CA", Prompt(reasoning=R(effort="high"), sampling=Sampling(max_output=8000)), model="claude-sonnet-4-5"
    )
    assert (32576, 24576) == (found.prompt.sampling.max_output, found.prompt.reasoning.budget)
    found = stepped(Effort, "CA", Prompt(reasoning=R(effort="high"), sampling=Sampling(max_output=8000)),
                    model="claude-sonnet-4-5", max_output=9000)  # fmt: skip
    assert (9000, 8999) == (found.prompt.sampling.max_output, found.prompt.reasoning.budget)
    found = stepped(Effort, "CA", Prompt(reasoning=R(effort="high"), sampling=Sampling(max_output=900)),
                    model="claude-sonnet-4-5", max_output=1000)  # fmt: skip
    assert "off" == found.prompt.reasoning.mode and ("reasoning", "approximated") in found.lost


@given(
    config=st.builds(
        R,
        mode=st.sampled_from(["unset", "off", "auto", "adaptive", "budget", "between_tools"]),
        effort=st.none() | st.sampled_from([*EFFORTS, "ultra"]),
        budget=st.none() | st.integers(-1, 200_000),
    ),
    thinking=st.sampled_from(["effort", "adaptive", "budget", "level", "none"]),
    efforts=st.lists(st.sampled_from(EFFORTS[1:]), min_size=1, unique=True).map(lambda known: ("none", *known)),
    can_disable=st.booleans(),
    limit=st.none() | st.integers(1, 200_000),
    least=st.integers(0, 2000),
    way=st.sampled_from(["CA", "SA", "GA", "AC", "AS", "AG", "CG", "GS"]),
)
def test_always_what_the_model_knows(
    config: ReasoningConfig, thinking: Any, efforts: tuple[str, ...], can_disable: bool, limit: int | None, least: int, way: str
) -> None:
    """Whatever is asked, a model is told one thing at most, and one that it knows."""
    known = Profile(thinking=thinking, efforts=efforts, can_disable=can_disable, budget=(least, least + 30_000))
    found = stepped(Effort, way, Prompt(reasoning=config, sampling=Sampling(max_output=limit)), known=known)
    made = found.prompt.reasoning
    assert made.effort is None or made.budget is None
    if made.effort is not None and made.mode != "off":
        assert made.effort in efforts[1:]
    if made.mode == "off":
        assert can_disable
    if made.budget is not None:
        assert thinking == "budget" and (made.budget == -1 or least <= made.budget <= least + 30_000)
        most = found.prompt.sampling.max_output
        assert most is None or made.budget < most
    if thinking == "none":
        assert R() == evolve(made, show=None)
    again = stepped(Effort, way[1] * 2, found.prompt, known=known)
    assert evolve(again.prompt.reasoning, show=None) == evolve(made, show=None)


@given(effort=st.sampled_from(EFFORTS), known=st.lists(st.sampled_from(EFFORTS), min_size=1, unique=True).map(tuple))
def test_nearest(effort: str, known: tuple[str, ...]) -> None:
    """An effort is one of those known, and itself if it is known."""
    assert nearest(effort, known) in known
    assert effort not in known or nearest(effort, known) == effort


@pytest.mark.parametrize(("way", "config", "show"), [
    ("AS", R(mode="adaptive", effort="high"), "auto"), ("AS", R(mode="adaptive", effort="high", show="omitted"), None),
    ("AS", R(), None), ("CS", R(effort="high"), "auto"), ("GS", R(effort="high"), None),
    ("GS", R(effort="low", show="auto"), "auto"),
    ("SA", R(effort="high"), "omitted"), ("SA", R(effort="high", show="detailed"), "summarized"), ("SA", R(), None),
    ("CA", R(effort="high"), "summarized"), ("CA", R(effort="none"), None),
    ("CG", R(), "summarized"), ("CG", R(effort="none"), "omitted"), ("AG", R(), None), ("SG", R(effort="high"), None),
    ("AG", R(mode="adaptive", show="omitted"), "omitted"), ("AG", R(mode="off"), "omitted"), ("AC", R(effort="high"), None),
])  # fmt: skip
def test_what_is_shown(way: str, config: ReasoningConfig, show: str | None) -> None:
    """Thoughts are asked for where the client's dialect shows them, and hidden where the client said so, or does not think."""
    model = "gpt-5.2" if way[1] == "C" else ""
    assert show == stepped(Effort, way, Prompt(reasoning=config), model=model).prompt.reasoning.show


def test_encrypted_thoughts_are_wanted() -> None:
    """What OpenAI thinks comes back sealed, so that it can be continued; of a model that does not think it is not asked."""
    assert stepped(Effort, "AS", Prompt()).prompt.reasoning.want_encrypted
    assert not stepped(Effort, "AS", Prompt(), model="gpt-4.1").prompt.reasoning.want_encrypted


def test_other_words_are_lost() -> None:
    """OpenAI's settings of thinking that nobody else has are losses."""
    made, losses = told("SA", R(effort="low", context="all_turns", pro_mode="pro"))
    assert R(mode="adaptive", effort="low") == made
    assert [("reasoning.context", "dropped"), ("reasoning.pro_mode", "dropped")] == losses


@pytest.mark.parametrize(("config", "expected"), [
    (R(), False), (R(effort="none"), False), (R(effort="low"), True), (R(mode="off", effort="low"), False),
    (R(mode="auto"), True),
])  # fmt: skip
def test_thinks(config: ReasoningConfig, expected: bool) -> None:
    """Whether a model is told to think."""
    assert expected is thinks(config)
