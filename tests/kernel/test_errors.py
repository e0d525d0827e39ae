from __future__ import annotations

import re
from typing import get_args

import pytest

from llmgw import errors
from llmgw.errors import GatewayError, Kind, ModelNotFound, Redo, UpstreamError, UpstreamRefused, UpstreamReply
from tests.toys import request

TREE = re.findall(r"[├└]── (\w+) +(\d+|=)", errors.__doc__ or "")
ALL = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, GatewayError)]


@pytest.mark.parametrize(("name", "status"), TREE)
def test_the_drawing_is_right(name: str, status: str) -> None:
    """Each error of the drawing has the status that stands there; ``=`` is the provider's own."""
    cls = getattr(errors, name)
    reply = UpstreamReply(418, b"", "toy")
    error = cls("x", upstream=reply) if cls is UpstreamRefused else cls("x")

    assert (418 if status == "=" else int(status)) == error.status


def test_the_drawing_is_complete() -> None:
    """Every error stands in it, below its parent."""
    lines = [line for line in (errors.__doc__ or "").splitlines() if "── " in line or line.strip() == "GatewayError"]
    parents: list[tuple[int, str]] = []
    drawn = {}
    for line in lines:
        name = re.sub(r"[│├└─ ]+", " ", line).split()[0]
        depth = line.index(name)
        parents = [parent for parent in parents if parent[0] < depth]
        drawn[name] = parents[-1][1] if parents else "Exception"
        parents.append((depth, name))

    assert {cls.__name__: cls.__bases__[0].__name__ for cls in ALL} == drawn


@pytest.mark.parametrize("cls", ALL)
def test_each_kind_is_one_that_dialects_know(cls: type[GatewayError]) -> None:
    """A dialect translates kinds, and there are no others."""
    assert cls.kind in get_args(Kind)
    assert cls.__doc__


def test_what_another_target_can_cure() -> None:
    """What lies with the provider or its credential, and nothing that lies with the request."""
    kinds = {kind for kind in get_args(Kind) if UpstreamError("x", kind=kind).curable}

    assert {
        "rate_limited", "overloaded", "upstream_error", "timeout", "authentication", "billing", "permission", "model_not_found",
    } == kinds  # fmt: skip


def test_a_refusal_has_the_providers_status() -> None:
    """And its own kind and code where the provider told them."""
    error = UpstreamRefused(
        "no", upstream=UpstreamReply(429, b"", "toy"), kind="rate_limited", code="slow", param="p", retry_after=2
    )

    assert (429, "rate_limited", "slow", "p", 2) == (error.status, error.kind, error.code, error.param, error.retry_after)


def test_kind_and_code_of_one_are_not_those_of_all() -> None:
    """What a provider told about one failure does not stick to the class."""
    UpstreamError("x", kind="billing", code="broke")

    assert ("upstream_error", None) == (UpstreamError("x").kind, UpstreamError("x").code)


def test_a_missing_model_is_the_fields_fault() -> None:
    """Unless told otherwise."""
    assert ("model", "id") == (ModelNotFound("x").param, ModelNotFound("x", param="id").param)


def test_a_providers_words_do_not_stand_in_a_repr() -> None:
    """What a repr shows ends in logs, and a body may hold a conversation, a header a key."""
    reply = UpstreamReply(400, b"secret", "toy", {"set-cookie": "secret"})

    assert "secret" not in repr(reply)


def test_mistakes_are_lines() -> None:
    """A configuration's mistakes are told together."""
    assert "a\nb" == str(errors.ConfigError("a", "b"))


def test_redo_is_no_error() -> None:
    """It is control flow and must not be caught as a failure."""
    one = request()

    assert one is Redo(one).request
    assert not issubclass(Redo, GatewayError)
