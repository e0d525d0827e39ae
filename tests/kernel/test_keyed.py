from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from llmgw.errors import Misconfigured
from llmgw.identity import Identity
from llmgw.keyed import KeyBackend, pool
from llmgw.secret import Secret
from llmgw.stages import Target
from tests.toys import TOY

KEY = Secret("ACME_KEY", "k1")
NONE = Secret("ACME_KEY")


@define(eq=False, kw_only=True)
class Acme(KeyBackend):
    """A vendor of the simplest kind."""

    dialect = TOY
    vendor = "https://acme.example"
    base_url: str = "https://acme.example"
    name: str = "acme"


def acme(env: Mapping[str, str] | None = None, **options: Any) -> Acme:
    one = Acme(**{"api_key": KEY} | options)
    one.gather(env or {})
    return one


def values(found: list[Secret]) -> dict[str, str]:
    return {one.name: one.reveal() for one in found}


# ---- finding keys -------------------------------------------------------------------------------


def test_numbered_variables() -> None:
    """Beside the first, up to any gap: somebody may have taken one out."""
    env = {"ACME_KEY": "k1", "ACME_KEY_2": "k2", "ACME_KEY_4": "k4", "ACME_KEY_1": "no", "ACME_KEYS": "no", "ACME_KEY_3": ""}
    assert {"ACME_KEY": "k1", "ACME_KEY_2": "k2", "ACME_KEY_4": "k4"} == values(pool(KEY, [], env))


def test_listed_keys_are_all_there_are() -> None:
    """Whoever lists them means them."""
    listed = [Secret("B", "b"), Secret("A", "a")]
    assert listed == pool(KEY, listed, {"ACME_KEY_2": "k2"})


def test_without_the_first() -> None:
    """A second one alone is a key, too; without any, the first is what is missing."""
    assert {"ACME_KEY_2": "k2"} == values(pool(NONE, [], {"ACME_KEY_2": "k2"}))
    assert [NONE.name] == [one.name for one in pool(NONE, [], {})]


@given(st.dictionaries(st.sampled_from([f"ACME_KEY_{n}" for n in range(2, 9)]), st.text(min_size=1)))
def test_no_key_is_found_twice(env: dict[str, str]) -> None:
    """Each variable is one credential."""
    names = [one.name for one in pool(KEY, [], env)]
    assert len(names) == len(set(names)) == len(env) + 1


# ---- showing them -------------------------------------------------------------------------------


def test_the_key_of_a_target() -> None:
    """By its variable's name; a target that names none, or one that is gone, gets the first."""
    one = acme({"ACME_KEY_2": "k2"})
    shown = {name: one.headers(Target("acme", "m", name))["authorization"] for name in ("default", "ACME_KEY_2", "GONE")}
    assert {"default": "Bearer k1", "ACME_KEY_2": "Bearer k2", "GONE": "Bearer k1"} == shown


def test_the_vendor_is_not_asked_without_a_key() -> None:
    """What would be refused over there is told here; a server of one's own may ask for none."""
    with pytest.raises(Misconfigured, match="ACME_KEY is not set"):
        acme(api_key=NONE).headers(Target("acme", "m"))
    assert {} == acme(api_key=NONE, base_url="http://localhost:1").headers(Target("acme", "m"))


def test_what_people_hear() -> None:
    """Each key's variable, what is missing and what to do; never a key."""
    one = acme({"ACME_KEY_2": "k2"})
    assert "key from ACME_KEY, key from ACME_KEY_2" == one.credential_state
    [missing] = acme(api_key=NONE).credentials
    assert ("no key: ACME_KEY is not set", True) == (missing.told, "Export ACME_KEY" in missing.problem)
    [none] = acme(api_key=NONE, base_url="http://localhost:1").credentials
    assert ("no key", "") == (none.told, none.problem)
    assert "k1" not in repr(one) and "k2" not in f"{one} {one.credentials}"


def test_what_is_wrong_with_it() -> None:
    """Its URL, its headers, and any of its keys; a key that is missing is told of elsewhere."""
    assert [] == list(acme().problems()) == list(acme(api_key=NONE).problems())
    assert 1 == len(list(acme(base_url="ftp://acme.example").problems()))
    assert 1 == len(list(acme({"ACME_KEY_2": "k\n2"}).problems()))
    assert 1 == len(list(acme(identity=Identity(user_agent="a\r\nb")).problems()))
