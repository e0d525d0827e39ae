from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw_logins import claims, expiry, strange


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


@pytest.mark.parametrize("url", ["https://acme.example", "https://acme.example/v1", "https://acme.example:443/x"])
def test_a_vendors_own_door(url: str) -> None:
    """Whatever the path."""
    assert strange(url, "https://acme.example/api") is None


@pytest.mark.parametrize(
    "url",
    ["http://acme.example", "https://acme.example:8443", "https://evil.example", "https://acme.example.evil.example",
     "https://user@evil.example/acme.example", "http://127.0.0.1:1", "acme.example", ""],
)  # fmt: skip
def test_another_door(url: str) -> None:
    """A subscription's login is not shown there."""
    assert (
        "allow_insecure_origin" in (strange(url, "https://acme.example/api") or "")
        or strange(url, "https://acme.example") is not None
    )
