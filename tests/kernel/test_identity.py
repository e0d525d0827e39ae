from __future__ import annotations

import pytest

from llmgw.identity import OURS, Identity
from llmgw.version import VERSION

CLIENT = {"User-Agent": "acme/1", "Referer": "https://acme.example", "X-Title": "Acme", "X-Session": "s"}


def test_nobody_is_imitated() -> None:
    """Unless told otherwise, this gateway says its own name, and nothing of the client's."""
    assert {"user-agent": f"llmgw/{VERSION}"} == Identity().headers(CLIENT)


def test_fixed_values() -> None:
    """They are sent as they stand."""
    one = Identity(user_agent="shop/2", referer="https://shop.example", x_title="Shop", headers={"X-Team": "a"})
    told = {"user-agent": "shop/2", "http-referer": "https://shop.example", "x-title": "Shop", "x-team": "a"}
    assert told == one.headers(CLIENT) == one.headers({})


def test_what_the_client_says() -> None:
    """``client`` stands for it, whatever the case of its header's name."""
    one = Identity(user_agent="client", referer="client", x_title="client", headers={"x-session": "client"})
    told = {"user-agent": "acme/1", "http-referer": "https://acme.example", "x-title": "Acme", "x-session": "s"}
    assert told == one.headers(CLIENT)


@pytest.mark.parametrize("client", [{}, {"other": "x"}])
def test_what_the_client_does_not_say(client: dict[str, str]) -> None:
    """It is not sent; the user agent is then this gateway's, which must have one."""
    one = Identity(user_agent="client", referer="client", headers={"x-session": "client"})
    assert {"user-agent": OURS} == one.headers(client)
