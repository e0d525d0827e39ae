from __future__ import annotations

import hmac
import logging
from typing import Any

import attrs
import pytest

from llmgw.errors import Misconfigured
from llmgw.secret import Secret

KEY = "sk-hunter2"


@attrs.define(eq=False)
class Plugin:
    """Has a key."""

    api_key: Secret


@pytest.mark.parametrize(
    "shown",
    [
        lambda secret: repr(secret),
        lambda secret: str(secret),
        lambda secret: f"{secret}",
        lambda secret: f"{secret:>80}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 -- logging does it this way
        lambda secret: repr([secret, {"key": secret}]),
        lambda secret: repr(Plugin(secret)),
        lambda secret: repr(attrs.asdict(Plugin(secret))),
    ],
)
def test_hides(shown: Any) -> None:
    """However a secret is shown, its variable can be read and the key cannot."""
    text = shown(Secret("ACME_API_KEY", KEY))

    assert KEY not in text
    assert "ACME_API_KEY" in text


def test_hides_in_logs(caplog: pytest.LogCaptureFixture) -> None:
    """A logged secret is hidden."""
    logging.getLogger("test").warning("the key is %s", Secret("ACME_API_KEY", KEY))

    assert ["the key is Secret('ACME_API_KEY', set)"] == caplog.messages


def test_reveals_when_asked() -> None:
    """The one way to the key is to ask for it."""
    assert KEY == Secret("ACME_API_KEY", KEY).reveal()


@pytest.mark.parametrize("value", [None, ""])
def test_not_set(value: str | None) -> None:
    """A variable that is missing or empty holds no key, and asking for it says which one to export."""
    secret = Secret("ACME_API_KEY", value)

    assert not secret.is_set
    with pytest.raises(Misconfigured, match=r"^ACME_API_KEY is not set: export it, or name another variable"):
        secret.reveal()


def test_env_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A default in a class names a variable and reads no environment."""
    monkeypatch.setenv("ACME_API_KEY", KEY)

    assert not Secret.env("ACME_API_KEY").is_set


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (Secret("A", KEY), Secret("B", KEY), True),
        (Secret("A", KEY), Secret("A", KEY + "!"), False),
        (Secret("A", "schlüssel\ud83d"), Secret("A", "schlüssel\ud83d"), True),
        (Secret("A"), Secret("A"), False),
        (Secret("A", ""), Secret("B", ""), False),
        (Secret("A"), Secret("A", KEY), False),
        (Secret("A", KEY), KEY, False),
    ],
)
def test_equality(one: Secret, other: object, equal: bool) -> None:
    """Equal are two that hold the same key, never two that hold none, or an empty key would open a gateway without one."""
    assert equal is (one == other)


def test_compares_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library's comparison that tells nothing by its time is the one used."""
    asked = list[tuple[bytes, bytes]]()
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: asked.append((one, other)) or True)

    assert Secret("A", "one") == Secret("B", "two")
    assert [(b"one", b"two")] == asked


def test_has_no_hash() -> None:
    """A secret cannot be a key of a table, which would compare it in a time that tells."""
    with pytest.raises(TypeError, match="unhashable"):
        hash(Secret("A", KEY))
