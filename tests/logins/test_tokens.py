from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw_logins import claims, expiry


def jwt(payload: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


def test_what_a_token_says() -> None:
    """Its claims, and when it ends."""
    token = jwt({"exp": 1_800_000_000, "sub": "ann"})
    assert ({"exp": 1_800_000_000, "sub": "ann"}, 1.8e9) == (claims(token), expiry(token))


@pytest.mark.parametrize(
    "token", ["", "opaque", "a.b", "a.b.c", "e30.W10.x", jwt([1]), "e30.!!!.x", jwt({"exp": "soon"}), jwt({"exp": True})]
)
def test_what_says_nothing(token: str) -> None:
    """Not every token is a JWT, and not every JWT says when it ends."""
    assert expiry(token) is None


@given(st.text())
def test_no_token_is_too_strange(token: str) -> None:
    """Whatever a file holds, reading it is safe."""
    assert isinstance(claims(token), dict)


@given(st.integers(-(10**12), 10**12) | st.floats(-1e12, 1e12))
def test_its_end_is_in_seconds(at: float) -> None:
    """As RFC 7519 has it (NumericDate), with or without a fraction."""
    assert float(at) == expiry(jwt({"exp": at}))


@given(st.dictionaries(st.text(), st.text() | st.integers(0, 2**53) | st.booleans()))
def test_any_claims_come_back(payload: dict[str, Any]) -> None:
    """Whatever their length, for the padding is left out."""
    assert payload == claims(jwt(payload))


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e999", "-1e999"])
@pytest.mark.parametrize("odd", ["", '"odd": "\\ud800", '])
def test_a_number_that_is_too_large(number: str, odd: str) -> None:
    """It is no time, whichever way such a token is read."""
    body = base64.urlsafe_b64encode(f'{{{odd}"exp": {number}}}'.encode()).decode().rstrip("=")
    assert expiry(f"e30.{body}.c2ln") is None
