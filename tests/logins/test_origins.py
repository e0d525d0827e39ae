from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw_logins import strange

VENDOR = "https://acme.example/api"


@pytest.mark.parametrize(
    "url", ["https://acme.example", "https://acme.example/v1", "https://acme.example:443/x", "https://ACME.Example/api"]
)
def test_a_vendors_own_door(url: str) -> None:
    """Whatever the path, and however it is spelled."""
    assert strange(url, VENDOR) is None


@pytest.mark.parametrize(
    "url",
    ["http://acme.example", "https://acme.example:8443", "https://evil.example", "https://acme.example.evil.example",
     "https://acme.example@evil.example", "https://user@evil.example/acme.example", "https://evil.example#acme.example",
     "https://evil.example?acme.example", "https://notacme.example", "https://api.acme.example", "http://127.0.0.1:1",
     "//acme.example", "acme.example", "", "https://", "https://acme.example:99999", "https://[::1", "ftp://acme.example"],
)  # fmt: skip
def test_another_door(url: str) -> None:
    """A subscription's login is not shown there; it is said where it may be, and what a test says."""
    told = strange(url, VENDOR) or ""
    assert told.startswith("a subscription's login is shown to https://acme.example only")
    assert told.endswith("say `allow_insecure_origin: true`")


def test_a_vendor_without_tls_has_no_door() -> None:
    """Not even where the vendor's own URL was misconfigured to be like that."""
    assert strange("http://acme.example", "http://acme.example") is not None


@given(st.text())
def test_no_url_is_too_strange(url: str) -> None:
    """Nothing but the vendor's own host passes, and nothing ends in a traceback."""
    assert strange(url, VENDOR) is not None


@given(st.text("abcXYZ0189", min_size=8))
def test_a_password_in_a_url_is_not_shown(password: str) -> None:
    """Nor its query."""
    assert password not in (strange(f"https://me:{password}@evil.example/?key={password}", VENDOR) or "")
