from __future__ import annotations

import pytest

from llmgw.urls import problems

SCHEME = "base_url does not begin with http:// or https://"
USER = "base_url holds a user or a password: a key belongs in the environment"
QUERY = "base_url has a query or a fragment, behind which no path can stand"


@pytest.mark.parametrize(
    "url",
    [
        "http://h",
        "https://api.acme.ai/v1/",
        "http://localhost:11434/v1",
        "http://[::1]:8080",
        "HTTP://H",
        "http://my_host",
        "https://acme.ai/a@b",
    ],
)
def test_good_urls(url: str) -> None:
    """A scheme, a host and perhaps a port and a path."""
    assert [] == problems(url, {})


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", [SCHEME]),
        ("h/v1", [SCHEME]),
        ("//h", [SCHEME]),
        ("ht!tp://[x", [SCHEME]),
        ("ftp://h", [SCHEME]),
        ("http://", ["base_url names no host"]),
        ("http:///v1", ["base_url names no host"]),
        ("http://my host", ["base_url names no host"]),
        ("http://h:99999", ["base_url is no URL"]),
        ("http://h:port", ["base_url is no URL"]),
        ("http://me:sesame@h", [USER]),
        ("http://h?key=sesame", [QUERY]),
        ("http://h#", [QUERY]),
        ("ftp://me@h?x", [SCHEME, USER, QUERY]),
    ],
)
def test_bad_urls(url: str, expected: list[str]) -> None:
    """All that is wrong is said, and nothing of the URL, which may hold a key."""
    assert expected == problems(url, {})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("x-team", "a b\tc", []),
        ("x-team", "Grüße", []),
        ("", "a", ["a header cannot be called ''"]),
        ("x team", "a", ["a header cannot be called 'x team'"]),
        ("x-team:", "a", ["a header cannot be called 'x-team:'"]),
        *(
            (
                "x-team",
                f"sesame{bad}",
                ["the value of the header 'x-team' holds a line break or another character that no header may hold"],
            )
            for bad in ("\n", "\r", "\0", "\x7f", "\ud800")
        ),
    ],
)
def test_headers(name: str, value: str, expected: list[str]) -> None:
    """A name is a token (RFC 9110, 5.6.2), a value holds no line break (5.5), and no value is shown."""
    assert expected == problems("http://h", {name: value})
