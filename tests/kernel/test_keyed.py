from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, ClassVar

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from llmgw.errors import Misconfigured
from llmgw.gateway import Gateway
from llmgw.hookspecs import hookimpl
from llmgw.identity import Identity
from llmgw.keyed import MOST, KeyBackend, pool
from llmgw.secret import Secret
from llmgw.stages import Backend, Dialect, Target
from llmgw_testing import Provider, run_gateway, whole
from tests.toys import TOY, Toybox

VENDOR = "https://acme.example/v1"


@define(eq=False, kw_only=True)
class Acme(KeyBackend):
    """A provider that asks for a key."""

    dialect: ClassVar[Dialect] = TOY
    path: ClassVar[str] = "/say"
    vendor: ClassVar[str] = VENDOR

    name: str = "acme"
    base_url: str = VENDOR
    api_key: Secret = Secret.env("ACME_API_KEY")

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend]:
        self.gather(gateway.env)
        return [self]


def acme(env: dict[str, str] | None = None, **options: Any) -> Acme:
    """The back-end of a deployment whose environment is this."""
    env = env or {}
    made = Acme(api_key=Secret("ACME_API_KEY", env.get("ACME_API_KEY")), **options)
    made.gather(env)
    return made


def shown(backend: Acme, credential: str = "default") -> str:
    return backend.headers(Target("acme", "m", credential)).get("authorization", "")


def names(keys: Iterable[Secret]) -> list[str]:
    return [one.name for one in keys]


# ---- which keys there are -----------------------------------------------------------------------


def test_one_key() -> None:
    """The variable that is named."""
    assert ["K"] == names(pool(Secret("K", "1"), [], {"K": "1"}))


def test_numbered_keys() -> None:
    """Those behind the first count, in their order; an empty one and a gap are passed over, and there is no ``K_1``."""
    env = {"K_2": "2", "K_3": "", "K_10": "10", "K_1": "1", "K_x": "x", "KK_2": "3"}
    assert ["K", "K_2", "K_10"] == names(pool(Secret("K", "1"), [], env))


def test_numbered_keys_without_the_first() -> None:
    """The first may be missing."""
    assert ["K_2"] == names(pool(Secret("K"), [], {"K_2": "2"}))


def test_no_key_at_all() -> None:
    """The first is named all the same, so that somebody can be told to set it."""
    assert ["K"] == names(pool(Secret("K"), [], {}))


def test_listed_keys() -> None:
    """They are taken as they are listed, and nothing beside them."""
    listed = [Secret("B", "b"), Secret("A")]
    assert ["B", "A"] == names(pool(Secret("K", "1"), listed, {"K_2": "2"}))


def test_a_key_without_a_name() -> None:
    """Nothing is looked for behind it."""
    assert [""] == names(pool(Secret("", None), [], {"_2": "2"}))


@given(st.sets(st.integers(2, MOST - 1)))
def test_however_many(numbers: set[int]) -> None:
    """All of them, by number and not by spelling."""
    env = {f"K_{number}": str(number) for number in numbers}
    assert ["K", *(f"K_{number}" for number in sorted(numbers))] == names(pool(Secret("K", "1"), [], env))


# ---- which one is shown -------------------------------------------------------------------------


def test_the_first_serves_who_names_none() -> None:
    """As a bearer token (RFC 6750)."""
    assert "Bearer 1" == shown(acme({"ACME_API_KEY": "1", "ACME_API_KEY_2": "2"}))


def test_a_target_names_its_key() -> None:
    """By the variable it stands in; one that is gone after a reload is replaced by the first."""
    backend = acme({"ACME_API_KEY": "1", "ACME_API_KEY_2": "2"})
    assert ("Bearer 2", "Bearer 1") == (shown(backend, "ACME_API_KEY_2"), shown(backend, "ACME_API_KEY_3"))


def test_a_listed_key_that_is_not_set() -> None:
    """Another that is set serves who names none; who names it is told."""
    backend = acme(keys=[Secret("A"), Secret("B", "b")])
    assert "Bearer b" == shown(backend)
    with pytest.raises(Misconfigured, match="A is not set"):
        shown(backend, "A")


def test_without_a_key_at_the_vendors_own_url() -> None:
    """Nobody gets in, so the provider is not asked."""
    with pytest.raises(Misconfigured, match="ACME_API_KEY is not set"):
        shown(acme())


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/v1", "https://acme.example/v2"])
def test_without_a_key_elsewhere(url: str) -> None:
    """Whoever runs another server may ask for none, and none is shown."""
    assert "" == shown(acme(base_url=url))


def test_a_slash_makes_no_difference() -> None:
    """It is still the vendor's own."""
    assert acme(base_url=VENDOR + "/").needs_key


# ---- what is told of them -----------------------------------------------------------------------


def test_each_key_is_told_of() -> None:
    """By its variable; one that is not set has a problem, and its cure."""
    states = acme(keys=[Secret("A", "a"), Secret("B")]).credentials
    assert [("A", "key from A"), ("B", "no key: B is not set")] == [(one.name, one.told) for one in states]
    assert ["", "Export B, or name another variable in the configuration."] == [one.problem for one in states]


def test_another_value_has_another_fingerprint() -> None:
    """So that whoever remembers something of a key knows when the variable holds another one; the name makes no difference."""
    states = acme(keys=[Secret("A", "one"), Secret("B", "two"), Secret("C", "one"), Secret("D")]).credentials
    first, second, third, missing = (one.fingerprint for one in states)
    assert first == third != second
    assert (12, "") == (len(first), missing)


def test_elsewhere_no_key_is_no_problem() -> None:
    """It is told that there is none."""
    [state] = acme(base_url="http://127.0.0.1:1").credentials
    assert ("no key", "") == (state.told, state.problem)


def test_a_key_that_no_header_can_hold() -> None:
    """It is said where it stands, and not what it is."""
    [problem] = acme({"ACME_API_KEY": "SECRET\nSECRET"}).problems()
    assert "authorization" in problem and "SECRET" not in problem


def test_a_missing_key_is_no_problem_of_its_headers() -> None:
    """It is told of by its credentials."""
    assert [] == list(acme().problems())


def test_what_else_is_wrong() -> None:
    """Its URL, and what the deployment says of itself."""
    assert 1 == len(list(acme(base_url="ftp://acme.example").problems()))
    assert 1 == len(list(acme(identity=Identity(user_agent="a\r\nb")).problems()))


@given(st.text("abcXYZ0189._-", min_size=8), st.sampled_from(["ACME_API_KEY", "ACME_API_KEY_2"]))
def test_no_key_is_ever_shown(key: str, name: str) -> None:
    """Wherever it stands: neither in what is printed, nor in what is told, nor in a message."""
    backend = acme({name: key})
    told = f"{backend!r} {backend.credentials} {backend.credential_state} {list(backend.problems())} {backend.api_key}"
    assert key not in told and f"Bearer {key}" == shown(backend)


# ---- on the wire --------------------------------------------------------------------------------


async def test_the_key_of_the_environment_goes_out(toybox: Toybox, provider: Provider, caplog: pytest.LogCaptureFixture) -> None:
    """And nowhere else: not to the client, not to the log."""
    caplog.set_level(logging.DEBUG)
    provider.answers(whole({"error": "no such key"}, 401))
    config = toybox.deployment(Acme)
    [name] = config["backends"]
    config["backends"][name] = {"base_url": provider.base_url}
    async with run_gateway(config, {"ACME_API_KEY": "SECRET"}) as running:
        status, answer = await running.post({"model": "m"}, "/toy", authorization="Bearer client")
    assert (401, "Bearer SECRET") == (status, provider.seen[0].headers["authorization"])
    assert "SECRET" not in f"{answer} {caplog.text}"
