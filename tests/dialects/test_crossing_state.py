"""What a provider keeps, who asks, and at what price."""

from __future__ import annotations

import json
from typing import Any

import pytest
from steps import USER, stepped

from llmgw.errors import Unsupported
from llmgw.losses import LossPolicy
from llmgw.model import CachePolicy, Carrier, Compaction, ItemReference, Prompt, ServerState
from llmgw_dialects.crossing.state import State
from llmgw_dialects.openai_chat import DIALECT


@pytest.mark.parametrize(("way", "prompt", "path"), [
    ("SC", Prompt(server_state=ServerState(previous_response_id="resp_1")), "previous_response_id"),
    ("SA", Prompt(server_state=ServerState(conversation={"id": "c"})), "conversation"),
    ("SG", Prompt(server_state=ServerState(background=True)), "background"),
    ("SC", Prompt(server_state=ServerState(prompt_template={"id": "p"})), "prompt"),
    ("GC", Prompt(cache=CachePolicy(resource="cachedContents/1")), "cachedContent"),
    ("GC", Prompt(server_state=ServerState(cached_content="cachedContents/1")), "cachedContent"),
    ("GS", Prompt(server_state=ServerState(continuation="t")), "continuationToken"),
    ("AC", Prompt(server_state=ServerState(container="c")), "container"),
    ("AS", Prompt(server_state=ServerState(thread={"id": "t"})), "thread"),
    ("SC", Prompt(items=(ItemReference(id="msg_1"), USER)), "input"),
    ("SA", Prompt(items=(Compaction(carrier=Carrier(provider="openai", kind="compaction", payload="p")), USER)), "input"),
])  # fmt: skip
def test_what_only_one_vendor_has_is_refused(way: str, prompt: Prompt, path: str) -> None:
    """It is a loss under the client's own path, which the default policy refuses; where it is allowed, nothing is sent of it."""
    made = stepped(State, way, prompt)
    assert [path] == [loss.path for loss in made.losses] and made.lost[0][0].startswith("server_state.")
    with pytest.raises(Unsupported) as caught:
        list(LossPolicy().judged(made.losses, DIALECT, "b"))
    assert path == caught.value.param
    kept = ServerState(store=False) if way[1] == "S" else ServerState()
    assert (kept, None) == (made.prompt.server_state, made.prompt.cache.resource)
    assert made.prompt.items == (USER,) * bool(prompt.items)


@pytest.mark.parametrize("state", [
    ServerState(), ServerState(background=False), ServerState(conversation=None, previous_response_id=""),
    ServerState(store=True),
])  # fmt: skip
def test_what_says_nothing_is_let_go(state: ServerState) -> None:
    """Empty fields, and the wish to be stored, are no reason to refuse."""
    made = stepped(State, "SA", Prompt(server_state=state))
    assert (ServerState(), []) == (made.prompt.server_state, made.losses)


def test_a_compaction_of_ours_or_theirs_stays() -> None:
    """A summary that the gateway made is words; the vendor's own is the vendor's."""
    ours = Compaction(carrier=Carrier(provider="llmgw", kind="compaction", payload="p"))
    theirs = Compaction(carrier=Carrier(provider="anthropic", kind="compaction", payload="p"))
    assert (ours, theirs) == stepped(State, "SA", Prompt(items=(ours, theirs))).prompt.items


@pytest.mark.parametrize(("way", "store", "expected"), [
    ("CS", None, False), ("CS", True, True), ("AS", None, False), ("SC", True, None), ("SC", None, None), ("SG", True, None),
])  # fmt: skip
def test_store(way: str, store: bool | None, expected: bool | None) -> None:
    """Responses keeps what it answers unless told otherwise: it is told, unless the client wants it."""
    assert expected is stepped(State, way, Prompt(server_state=ServerState(store=store))).prompt.server_state.store


def test_a_backend_that_refuses_store() -> None:
    """It is not told then."""
    assert stepped(State, "CS", Prompt(), refuses=frozenset({"store"})).prompt.server_state.store is None


def who(way: str, **fields: Any) -> Any:
    changes = {"refuses": fields.pop("refuses", frozenset())}
    return stepped(State, way, Prompt(**fields), **changes)


def test_ids_cross_as_hashes() -> None:
    """Another vendor does not learn who it is, only that it is the same one."""
    one, two, other = who("CA", end_user="ann"), who("SA", safety_id="ann"), who("CA", end_user="bob")
    assert one.prompt.end_user == two.prompt.end_user != other.prompt.end_user
    assert "ann" not in one.prompt.end_user and len(one.prompt.end_user) <= 64 and two.prompt.safety_id is None
    assert [("end_user", "approximated")] == one.lost
    back = who("AC", end_user="ann")
    assert (None, one.prompt.end_user) == (back.prompt.end_user, back.prompt.safety_id)
    gone = who("AG", end_user="ann")
    assert (None, None, [("end_user", "dropped")]) == (gone.prompt.end_user, gone.prompt.safety_id, gone.lost)


def test_ids_stay_with_openai() -> None:
    """Between OpenAI's dialects nothing changes, unless a compatible vendor refuses the field."""
    made = who("SC", end_user="ann", safety_id="x")
    assert ("ann", "x", []) == (made.prompt.end_user, made.prompt.safety_id, made.losses)
    made = who("SC", end_user="ann", safety_id="x", refuses=frozenset({"user", "safety_identifier"}))
    assert (None, None) == (made.prompt.end_user, made.prompt.safety_id)
    assert [("end_user", "dropped"), ("safety_id", "dropped")] == made.lost
    assert who("AC", end_user="ann", refuses=frozenset({"safety_identifier"})).prompt.safety_id is None


@pytest.mark.parametrize(("user", "has_key"), [
    (json.dumps({"device_id": "d", "session_id": "s1"}), True), ("user_1_account_2_session_ab-12", True), ("ann", False),
    ("{", False),
    ("[1]", False), (json.dumps({"session_id": 5}), False),
])  # fmt: skip
def test_a_session_makes_a_cache_key(user: str, has_key: bool) -> None:
    """Claude Code's session keeps its requests together at OpenAI, where that pays; the id itself does not cross."""
    key = who("AC", end_user=user).prompt.cache.key
    assert has_key == (key is not None) and (key is None or (len(key) <= 64 and "s1" not in key and "ab-12" not in key))
    assert "k" == who("AC", end_user=user, cache=CachePolicy(key="k")).prompt.cache.key


@pytest.mark.parametrize(("way", "tier", "expected", "lost"), [
    ("CA", "priority", None, True), ("CA", "auto", None, False), ("GS", "FLEX", None, True), ("AC", "standard_only", None, True),
    ("CS", "flex", "flex", False), ("SC", "priority", "priority", False), ("CS", "scale", None, True),
])  # fmt: skip
def test_tiers_do_not_cross(way: str, tier: str, expected: str | None, lost: bool) -> None:
    """Each vendor has its own prices."""
    made = who(way, tier=tier)
    assert (expected, [("tier", "dropped")] if lost else []) == (made.prompt.tier, made.lost)


def test_what_stands_beside() -> None:
    """Metadata is OpenAI's, safety settings Google's, the number of calls and what to include Responses'."""
    fields: Any = {"metadata": {"a": "b"}, "safety": ({"x": 1},), "max_tool_calls": 3, "include": frozenset({"x"})}
    made = who("SC", **fields)
    assert ({"a": "b"}, (), None, frozenset()) == (
        made.prompt.metadata, made.prompt.safety, made.prompt.max_tool_calls, made.prompt.include,
    )  # fmt: skip
    assert [("safety", "dropped"), ("max_tool_calls", "dropped")] == made.lost
    made = who("GA", metadata={"a": "b"})
    assert (None, [("metadata", "dropped")]) == (made.prompt.metadata, made.lost)
    assert None is who("SC", metadata={"a": "b"}, refuses=frozenset({"metadata"})).prompt.metadata
    made = who("GS", include=frozenset({"x"}), max_tool_calls=3)
    assert (frozenset({"x"}), 3) == (made.prompt.include, made.prompt.max_tool_calls)


def test_nothing_to_do() -> None:
    """A request without any of it stays itself."""
    prompt = Prompt(items=(USER,))
    assert stepped(State, "CA", prompt).prompt is prompt
