"""Envelopes: what is sealed comes out as it was, and nothing else passes for one."""

from __future__ import annotations

import base64
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw.model import Carrier
from llmgw_dialects import envelope

PROVIDERS = st.from_regex(r"[a-z0-9_.-]{1,20}", fullmatch=True).filter(lambda name: name != "none")
FAMILIES = st.none() | st.from_regex(r"[A-Za-z0-9_./-]{1,30}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
CARRIERS = st.builds(
    Carrier,
    provider=PROVIDERS,
    kind=st.sampled_from(get_args(get_type_hints(Carrier)["kind"])),
    payload=TEXTS,
    family=FAMILIES,
    position=st.sampled_from(("on", "before", "after")),
    scope=st.none() | TEXTS.filter(bool),
)


@given(carrier=st.none() | CARRIERS, text=st.none() | TEXTS)
def test_what_is_sealed_comes_out(carrier: Carrier | None, text: str | None) -> None:
    """A carrier comes out equal, and the thought it belongs to with it."""
    sealed = envelope.sealed(carrier, text)
    opened = envelope.opened(sealed)
    assert opened is not None and opened.carrier == carrier and opened.text == (text or None)
    assert opened.thought("something else") == (text or "something else")
    assert envelope.is_sealed(sealed) and envelope.MARKS[0] in sealed.encode()


@given(carrier=CARRIERS)
def test_base64_survives_any_alphabet(carrier: Carrier) -> None:
    """Google's SDK writes base64 again, with another alphabet and maybe without padding."""
    slot = envelope.in_base64(envelope.sealed(carrier))
    for spelt in (slot, slot.rstrip("="), base64.urlsafe_b64encode(base64.b64decode(slot)).decode()):
        opened = envelope.opened(spelt)
        assert opened is not None and opened.carrier == carrier
        assert envelope.is_sealed(spelt) and any(mark in spelt.encode() for mark in envelope.MARKS)


@given(text=TEXTS)
def test_other_things_are_no_envelopes(text: str) -> None:
    """A vendor's own signature is not taken for one."""
    assert envelope.opened(text) is None and not envelope.is_sealed(text)


@pytest.mark.parametrize("slot", [
    "llmgw1:", "llmgw1:a:b:signature", "llmgw1:a:b:nothing:e30", "llmgw1:A:b:signature:e30", "llmgw1:a:b:signature:!!",
    "llmgw1:a:b:signature:W10", "llmgw1:a:b:signature:eyJwIjoxfQ", "llmgw1:a:b:signature:eyJhdCI6IngifQ",
    "llmgw1:a:b:signature:x",
])  # fmt: skip
def test_damaged_envelopes_are_known_and_not_opened(slot: str) -> None:
    """What a client made of it must not reach a provider, and is not believed."""
    assert envelope.opened(slot) is None and envelope.is_sealed(slot)


def test_too_large_an_envelope_is_not_opened() -> None:
    """What comes back is untrusted, and bounded."""
    assert envelope.opened("llmgw1:a:b:signature:" + "e" * envelope.MOST) is None


@pytest.mark.parametrize(("size", "shown", "thought"), [
    (10, "other", "x" * 10), (envelope.MOST_TEXT + 1, "other", None),
    (envelope.MOST_TEXT + 1, "x" * (envelope.MOST_TEXT + 1), "x" * (envelope.MOST_TEXT + 1)),
])  # fmt: skip
def test_long_thoughts_must_come_back_themselves(size: int, shown: str, thought: str | None) -> None:
    """An envelope repeats a thought up to a size; beyond that the client's copy counts, if it is the same."""
    carrier = Carrier(provider="anthropic", kind="signature", payload="s")
    opened = envelope.opened(envelope.sealed(carrier, "x" * size))
    assert opened is not None and opened.thought(shown) == thought


def test_the_same_gives_the_same() -> None:
    """Envelopes do not break a prompt cache."""
    made: Any = [envelope.sealed(Carrier(provider="google", kind="thought_signature", payload="p"), "t") for _ in range(2)]
    assert made[0] == made[1] == "llmgw1:google::thought_signature:" + made[0].rpartition(":")[2]
