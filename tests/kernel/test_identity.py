from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgw.identity import CLIENT, OURS, Identity
from llmgw.version import VERSION

CLIENTS = {"User-Agent": "acme/1", "Referer": "https://acme.example", "X-Title": "Acme", "X-Tool": "tool"}


def test_by_default_it_is_this_gateway() -> None:
    """And nothing else is said, whoever the client is."""
    assert {"user-agent": f"llmgw/{VERSION}"} == Identity().headers(CLIENTS)


def test_a_fixed_one() -> None:
    """The deployment's own program."""
    identity = Identity(user_agent="mine/1", referer="https://mine.example", x_title="Mine", headers={"X-Team": "a"})
    assert {
        "user-agent": "mine/1",
        "http-referer": "https://mine.example",
        "x-title": "Mine",
        "x-team": "a",
    } == identity.headers(CLIENTS)


def test_the_clients() -> None:
    """What it says of itself, by whatever case of letters."""
    identity = Identity(user_agent=CLIENT, referer=CLIENT, x_title=CLIENT, headers={"x-tool": CLIENT})
    assert {
        "user-agent": "acme/1",
        "http-referer": "https://acme.example",
        "x-title": "Acme",
        "x-tool": "tool",
    } == identity.headers(CLIENTS)


def test_a_client_that_says_nothing() -> None:
    """Then nothing is said, and the user agent is this gateway's."""
    identity = Identity(user_agent=CLIENT, referer=CLIENT, x_title=CLIENT, headers={"x-tool": CLIENT})
    assert {"user-agent": OURS} == identity.headers({})


def test_a_clients_own_http_referer_comes_first() -> None:
    """It may name another site than its page."""
    headers = {"Referer": "https://page.example", "HTTP-Referer": "https://program.example"}
    assert "https://program.example" == Identity(referer=CLIENT).headers(headers)["http-referer"]


def test_one_header_is_said_once() -> None:
    """Whichever way it was set, in lower case."""
    identity = Identity(user_agent="a", headers={"User-Agent": "b"})
    assert {"user-agent": "b"} == identity.headers({})


@pytest.mark.parametrize("value", [CLIENT, "Bearer mine"])
@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "X-Goog-Api-Key", "api-key", "Cookie", "Proxy-Authorization"])
def test_a_key_is_no_identity(name: str, value: str) -> None:
    """A client's key for this gateway would reach the provider, and one of the deployment's would stand in a file."""
    with pytest.raises(ValueError, match="shows a key") as raised:
        Identity(headers={name: value})
    assert "mine" not in str(raised.value)


@pytest.mark.parametrize(
    "name", ["Connection", "Transfer-Encoding", "content-length", "Host", "TE", "Upgrade", "Keep-Alive", "Trailer", "Expect"]
)
def test_what_is_https_own(name: str) -> None:
    """It belongs to one connection or one body."""
    with pytest.raises(ValueError, match="HTTP's own"):
        Identity(headers={name: CLIENT})


WORDS = st.text("abcdefgh-", min_size=1, max_size=12)


@given(st.dictionaries(WORDS, st.text(max_size=5)), st.dictionaries(WORDS, st.just(CLIENT) | st.text(max_size=5)))
def test_only_what_was_named_is_sent(client: dict[str, str], named: dict[str, str]) -> None:
    """Of a client's headers none that the deployment has not named; its value is the client's own or the deployment's."""
    sent = Identity(headers=named).headers(client)
    assert set(sent) <= {"user-agent", *named}
    for name, value in sent.items():
        assert value == OURS or value == (client[name] if named[name] == CLIENT else named[name])
