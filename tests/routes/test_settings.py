from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw import ConfigError, Dialect, Head, InvalidField, Request
from llmgw.model import Loss
from llmgw_dialects import anthropic_messages, google_gemini, openai_chat, openai_responses
from llmgw_routes.settings import SETTINGS, Changes, faults

MESSAGES = '"messages": [{"role":"user",  "content": "Gr\\u00fc\\u00dfe"}]'
DIALECTS: dict[str, tuple[Dialect, Head, str]] = {
    "chat": (openai_chat.DIALECT, Head("POST", "/v1/chat/completions"), '{"model": "m", "x-new": 1e3,  %s' + MESSAGES + "}"),
    "responses": (openai_responses.DIALECT, Head("POST", "/v1/responses"), '{"model": "m", "x-new": 1e3,  %s"input":"Hi"}'),
    "messages": (
        anthropic_messages.DIALECT,
        Head("POST", "/v1/messages"),
        '{"model": "m", "max_tokens":500, "x-new": 1e3,  %s' + MESSAGES + "}",
    ),
    "gemini": (
        google_gemini.DIALECT,
        Head("POST", "/v1beta/models/m:generateContent", {"model": "m"}),
        '{"x-new": 1e3,  %s"contents": [{"role":"user",  "parts": [{"text": "Hi"}]}]}',
    ),
}
"""Each with a body that has room for a field, and blanks and numbers that a new one would not have."""

KEPT = {
    front: ["1e3", '[{"role":"user",  ' + body.partition('{"role":"user",  ')[2].rstrip("}") if "role" in body else '"Hi"']
    for front, (_, _, body) in DIALECTS.items()
}
"""Text of values in these, which writing them anew would not give."""


def asked(front: str, field: str = "") -> Request:
    """A request as a client of this dialect sends it, with this field."""
    dialect, head, body = DIALECTS[front]
    return dialect.read_request(head, (body % field).encode())


def written(front: str, request: Request) -> str:
    """What a provider of the same dialect gets."""
    losses: list[Loss] = []
    text = DIALECTS[front][0].write_request(request, losses).decode()
    assert [] == losses
    return text


CASES: list[tuple[str, str, str, Any]] = [
    ("temperature=0.2", "chat", "temperature", 0.2),
    ("temperature=0.2", "responses", "temperature", 0.2),
    ("temperature=0.2", "messages", "temperature", 0.2),
    ("temperature=0.2", "gemini", "generationConfig", {"temperature": 0.2}),
    ("top_p=1", "chat", "top_p", 1),
    ("topP=1", "gemini", "generationConfig", {"topP": 1}),
    ("top-k=5", "messages", "top_k", 5),
    ("topK=5", "gemini", "generationConfig", {"topK": 5}),
    ("max_tokens=77", "chat", "max_completion_tokens", 77),
    ("max_tokens=77", "responses", "max_output_tokens", 77),
    ("max_tokens=77", "gemini", "generationConfig", {"maxOutputTokens": 77}),
    ("maxOutputTokens=77", "chat", "max_completion_tokens", 77),
    ("max_output=77", "chat", "max_completion_tokens", 77),
    ("frequency_penalty=-1.5", "chat", "frequency_penalty", -1.5),
    ("presencePenalty=1", "gemini", "generationConfig", {"presencePenalty": 1}),
    ("seed=7", "chat", "seed", 7),
    ("seed=-7", "gemini", "generationConfig", {"seed": -7}),
    ("stop=a%26b&stop=c+d", "chat", "stop", ["a&b", "c d"]),
    ("stop=END", "messages", "stop_sequences", ["END"]),
    ("stopSequences=END", "gemini", "generationConfig", {"stopSequences": ["END"]}),
    ("n=2", "chat", "n", 2),
    ("candidateCount=2", "gemini", "generationConfig", {"candidateCount": 2}),
    ("logprobs=true", "chat", "logprobs", True),
    ("top_logprobs=3", "responses", "top_logprobs", 3),
    ("verbosity=low", "responses", "text", {"verbosity": "low"}),
    ("modalities=text&modalities=audio", "chat", "modalities", ["text", "audio"]),
    ("reasoning_effort=high", "chat", "reasoning_effort", "high"),
    ("reasoning-effort=High", "responses", "reasoning", {"effort": "high"}),
    ("effort=high", "messages", "output_config", {"effort": "high"}),
    ("thinking_level=high", "gemini", "generationConfig", {"thinkingConfig": {"thinkingLevel": "HIGH"}}),
    ("reasoning_effort=none", "chat", "reasoning_effort", "none"),
    ("reasoning_effort=none", "responses", "reasoning", {"effort": "none"}),
    ("reasoning_effort=none", "messages", "thinking", {"type": "disabled"}),
    ("reasoning_effort=none", "gemini", "generationConfig", {"thinkingConfig": {"thinkingBudget": 0}}),
    ("thinking_budget=2048", "messages", "thinking", {"type": "enabled", "budget_tokens": 2048}),
    ("thinkingBudget=2048", "gemini", "generationConfig", {"thinkingConfig": {"thinkingBudget": 2048}}),
    ("budget_tokens=0", "messages", "thinking", {"type": "disabled"}),
    ("thinking_budget=-1", "gemini", "generationConfig", {"thinkingConfig": {"thinkingBudget": -1}}),
    ("service_tier=flex", "chat", "service_tier", "flex"),
    ("tier=flex", "gemini", "serviceTier", "flex"),
    ("parallel_tool_calls=false", "responses", "parallel_tool_calls", False),
    ("parallel_tool_calls=0", "messages", "tool_choice", {"type": "auto", "disable_parallel_tool_use": True}),
]


@pytest.mark.parametrize(("query", "front", "key", "value"), CASES)
def test_a_setting_is_all_that_changes(query: str, front: str, key: str, value: Any) -> None:
    """In the same dialect the provider gets the client's own body with that field; all other values keep their bytes."""
    before = DIALECTS[front][2] % ""
    after = written(front, Changes.of_query(query, "m").apply(asked(front)))

    assert json.loads(before) | {key: value} == json.loads(after)
    assert KEPT[front] == [value for value in KEPT[front] if value in after]


REPLACED: list[tuple[str, str, str, str]] = [
    ("temperature=0.2", "chat", '"temperature": 1.0, ', '"temperature": 0.2, '),
    ("temperature=0.2", "messages", '"temperature":1.0, ', '"temperature":0.2, '),
    ("max_tokens=7", "chat", '"max_tokens": 9, ', '"max_tokens": 7, '),
    ("reasoning_effort=low", "chat", '"reasoning_effort": "high", ', '"reasoning_effort": "low", '),
    ("temperature=0.2", "gemini", '"generationConfig": {"topK":1e0, "temperature": 1}, ',
     '"generationConfig": {"topK":1e0, "temperature": 0.2}, '),
    ("reasoning_effort=low", "responses", '"reasoning": {"effort":"high",  "summary":"auto"}, ',
     '"reasoning": {"effort":"low",  "summary":"auto"}, '),
]  # fmt: skip


@pytest.mark.parametrize(("query", "front", "before", "after"), REPLACED)
def test_a_value_is_replaced_in_its_place(query: str, front: str, before: str, after: str) -> None:
    """Where the client has the field, only its value differs, in the client's own spelling."""
    body = DIALECTS[front][2]

    assert body % after == written(front, Changes.of_query(query, "m").apply(asked(front, before)))


REMOVED: list[tuple[str, str, str, str]] = [
    ("temperature=", "chat", '"temperature": 1.0, ', ""),
    ("temperature=none", "chat", '"temperature": 1.0, ', ""),
    ("top_p=", "messages", '"top_p": 1.0, ', ""),
    ("stop=", "chat", '"stop": "a", ', ""),
    ("reasoning_effort=", "chat", '"reasoning_effort": "high", ', ""),
    ("logit_bias=", "chat", '"logit_bias": {"1": 5}, ', ""),
    ("thinking_budget=", "messages", '"thinking": {"type": "enabled", "budget_tokens": 1024}, ', ""),
    ("service_tier=", "responses", '"service_tier": "flex", ', ""),
    ("temperature=", "gemini", '"generationConfig": {"topK":1e0, "temperature": 1}, ', '"generationConfig": {"topK":1e0}, '),
    ("thinking_budget=", "gemini", '"generationConfig": {"topK":1e0, "thinkingConfig": {"thinkingBudget": 0}}, ',
     '"generationConfig": {"topK":1e0}, '),
]  # fmt: skip


@pytest.mark.parametrize(("query", "front", "before", "after"), REMOVED)
def test_a_field_is_removed(query: str, front: str, before: str, after: str) -> None:
    """An empty value, and for most the word none, takes the client's field out and nothing else."""
    out = written(front, Changes.of_query(query, "m").apply(asked(front, before)))

    assert json.loads(DIALECTS[front][2] % after) == json.loads(out)
    assert KEPT[front] == [value for value in KEPT[front] if value in out]


@pytest.mark.parametrize(
    ("query", "front", "field"),
    [
        ("temperature=1", "chat", '"temperature": 1.0, '),
        ("temperature=", "chat", ""),
        ("stop=a", "chat", '"stop": "a", '),
        ("reasoning_effort=high", "responses", '"reasoning": {"effort": "high"}, '),
        ("reasoning_effort=none", "chat", '"reasoning_effort": "none", '),
        ("thinking_budget=1024", "messages", '"thinking": {"type": "enabled", "budget_tokens": 1024}, '),
        ("parallel_tool_calls=true&service_tier=flex", "chat", '"parallel_tool_calls": true, "service_tier": "flex", '),
    ],
)
def test_what_is_so_already_stays(query: str, front: str, field: str) -> None:
    """A change that changes nothing is the very same request."""
    request = asked(front, field)

    assert Changes.of_query(query, "m").apply(request) is request


def test_no_change_reads_nothing() -> None:
    """Without changes the body is not even looked into."""
    request = asked("chat")

    assert Changes().apply(request) is request
    assert not Changes()
    assert request.untouched and "prompt=" not in repr(request)


@pytest.mark.parametrize(
    ("query", "front", "before", "after"),
    [
        ("reasoning_effort=high", "gemini", '"generationConfig": {"thinkingConfig": {"thinkingBudget": 5000}}, ',
         {"generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}}}),
        ("reasoning_effort=high", "gemini", '"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}, ',
         {"generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}}}),
        ("thinking_budget=5000", "gemini", '"generationConfig": {"thinkingConfig": {"thinkingLevel": "HIGH"}}, ',
         {"generationConfig": {"thinkingConfig": {"thinkingBudget": 5000}}}),
        ("reasoning_effort=high", "messages", '"thinking": {"type": "enabled", "budget_tokens": 5000}, ',
         {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}}),
        ("reasoning_effort=high", "chat", '"reasoning": {"max_tokens": 5000}, ', {"reasoning": {"effort": "high"}}),
        ("reasoning_effort=none", "chat", '"reasoning_effort": "high", ', {"reasoning_effort": "none"}),
    ],
)  # fmt: skip
def test_effort_and_budget_exclude_each_other(query: str, front: str, before: str, after: Any) -> None:
    """Who sets one of the two ways to say how much to think does not mean the other, which the client has set."""
    out = json.loads(written(front, Changes.of_query(query, "m").apply(asked(front, before))))

    assert after == {key: out[key] for key in after}
    assert {"thinking", "output_config", "reasoning", "reasoning_effort"} & out.keys() <= after.keys()


# ---- mistakes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "settings must stand behind the '?'"),
        ("foo", "settings must stand behind the '?'"),
        ("temperature=1&", "settings must stand behind the '?'"),
        ("temprature=1", "there is no setting 'temprature'; did you mean 'temperature'?"),
        ("xyzzy=1", "there is no setting 'xyzzy'; there are max_output, temperature"),
        ("temperature=hot", "the setting 'temperature' takes a number from 0 to 2"),
        ("temperature=2.1", "a number from 0 to 2"),
        ("temperature=-0.1", "a number from 0 to 2"),
        ("temperature=nan", "a number from 0 to 2"),
        ("temperature=inf", "a number from 0 to 2"),
        ("top_p=1.5", "a number from 0 to 1"),
        ("top_k=1.5", "a whole number from 0"),
        ("max_tokens=0", "a whole number from 1"),
        ("max_tokens=1e3", "a whole number from 1"),
        ("n=0", "a whole number from 1 to 128"),
        ("logprobs=maybe", "true or false"),
        ("verbosity=loud", "one of low, medium, high"),
        ("reasoning_effort=huge", "one of none, minimal, low, medium, high, xhigh, max"),
        ("service_tier=a%0Ab", "a word"),
        ("logit_bias=1", "it can only be removed"),
        ("temperature=1&temperature=2", "the setting 'temperature' takes a number"),
        ("max_tokens=1&max_output_tokens=2", "the setting 'max_output_tokens' is given twice"),
        ("&".join(["stop=a"] * 51), "settings must stand behind the '?'"),
        ("stop=" + "a" * 1001, "a text or a list of texts"),
        ("seed=" + "9" * 5000, "a whole number"),
    ],
)
def test_what_is_wrong_in_a_name(query: str, message: str) -> None:
    """A mistake in a name says what is expected, names the model's field, and stays short."""
    with pytest.raises(InvalidField) as caught:
        Changes.of_query(query, f"openai:gpt-5?{query}")

    assert message in caught.value.message
    assert "model" == caught.value.param
    assert 1000 > len(caught.value.message)


def test_a_mapping_is_typed() -> None:
    """YAML's values are taken as they are; null removes, and a list is one of texts."""
    changes = Changes.of_mapping(
        {"temperature": 0.2, "top_p": None, "stop": ["a", "b"], "parallel_tool_calls": False, "maxOutputTokens": 5},
        removed=["seed"],
    )

    assert {"temperature": 0.2, "top_p": None, "stop": ("a", "b"), "max_output": 5, "seed": None} == changes.sampling
    assert {"parallel_tools": False} == changes.prompt
    assert ["temperature", "top_p", "stop", "max_output", "seed", "parallel_tools"] == changes.names


@pytest.mark.parametrize("value", [True, "warm", [0.2], {"a": 1}, 3])
def test_a_mapping_is_strict(value: Any) -> None:
    """What is no number is no temperature."""
    with pytest.raises(ConfigError, match="the setting 'temperature' takes a number from 0 to 2"):
        Changes.of_mapping({"temperature": value})


def test_all_mistakes_are_told() -> None:
    """A deployment hears of all that is wrong at once."""
    with pytest.raises(ConfigError) as caught:
        Changes.of_mapping({"temprature": 1, "top_p": 7}, removed=["sead"])

    assert [
        "there is no setting 'temprature'; did you mean 'temperature'?",
        "the setting 'top_p' takes a number from 0 to 1",
        "there is no setting 'sead'; did you mean 'seed'?",
    ] == list(caught.value.problems)


@pytest.mark.parametrize(
    ("name", "wrong"), [("a:x|b:y", 0), ("a:x?temperature=1|b:y?top_p=1", 0), ("a?temperature=9|b?x=1^c?", 3), ("a", 0)]
)
def test_faults_in_a_name_of_the_deployment(name: str, wrong: int) -> None:
    """Settings of each member are looked at."""
    assert wrong == len(list(faults(name)))


@given(st.text(max_size=60))
def test_nothing_else_is_raised(query: str) -> None:
    """Whatever a client makes up is either changes or a mistake of the client's."""
    try:
        changes = Changes.of_query(query, query)
    except InvalidField:
        return
    assert isinstance(changes.apply(asked("chat")), Request)


@given(st.sampled_from(["temperature", "top_p", "frequency_penalty"]), st.floats(0, 1), st.sampled_from(sorted(DIALECTS)))
def test_applying_twice_is_applying_once(name: str, value: float, front: str) -> None:
    """A request that was changed is changed no further."""
    changes = Changes.of_mapping({name: value})
    once = changes.apply(asked(front))

    assert changes.apply(once) is once


def test_names_are_distinct() -> None:
    """No spelling means two settings."""
    names = [name.replace("_", "") for one in SETTINGS for name in (one.name, *one.spellings)]

    assert len(names) == len(set(names))
