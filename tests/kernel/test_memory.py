from __future__ import annotations

from typing import Any

import pytest

from llmgw import jsons, memory
from llmgw.errors import UpstreamBroken, UpstreamError
from llmgw.memory import CARRIERS, Memory
from llmgw.model import Carrier, Message, Reasoning, Request, Text, ToolCall
from llmgw.transport import Written
from llmgw_testing import Provider, RunningGateway, run_gateway, whole
from tests.toys import ABROAD, TOY, AbroadHttp, Toybox, ToyHttp, request, serving, states

HELLO = whole({"said": "Hello"})
NO_TOP = whole({"field": "top"}, 400)
NO_STATE = whole({"carriers": True}, 400)


async def post(running: RunningGateway, losses: str | None = None, **more: Any) -> int:
    """The status of an answer, whose losses are these."""
    body = {"model": "m", "say": "Hi", **more}
    async with running.http.post(running.url + "/toy", json=body) as response:
        assert losses == response.headers.get("x-llmgw-losses")
        return response.status


# ---- fields -------------------------------------------------------------------------------------


async def test_a_field_that_is_refused_is_left_out(toybox: Toybox, provider: Provider) -> None:
    """The provider is asked once more without it, and the client is told of the loss."""
    provider.answers(NO_TOP, HELLO)
    async with run_gateway(toybox.deployment(serving(AbroadHttp(base_url=provider.base_url)))) as running:
        assert 200 == await post(running, "top", options={"top": 1, "low": 2})

    first, second = (seen.json for seen in provider.seen)
    assert {"top": 1, "low": 2}.items() <= first.items()
    assert {key: value for key, value in first.items() if key != "top"} == second


async def test_it_is_remembered_for_its_model(toybox: Toybox, provider: Provider) -> None:
    """The next request goes out without it at once, and tells the loss again; another model is asked with it."""
    provider.answers(NO_TOP, HELLO)
    async with run_gateway(toybox.deployment(serving(AbroadHttp(base_url=provider.base_url)))) as running:
        await post(running, "top", options={"top": 1})
        await post(running, "top", options={"top": 1})
        await post(running, None, options={"low": 1})
        await post(running, None, options={"top": 1}, model="other")

    assert [True, False, False, False, True] == ["top" in seen.json for seen in provider.seen]


async def test_it_is_left_out_once(toybox: Toybox, provider: Provider) -> None:
    """A provider that goes on refusing the same field is not asked a third time; its own words reach the client."""
    provider.answers(NO_TOP, NO_TOP, HELLO)
    async with run_gateway(toybox.deployment(serving(AbroadHttp(base_url=provider.base_url)))) as running:
        status, body = await running.post({"model": "m", "options": {"top": 1}}, "/toy")

    assert (400, 2) == (status, len(provider.seen))
    assert '{"field": "top"}' == body["error"]


async def test_a_field_inside_another(toybox: Toybox, provider: Provider) -> None:
    """Is left out alone."""
    provider.answers(whole({"field": "deep.down"}, 400), HELLO)
    async with run_gateway(toybox.deployment(serving(AbroadHttp(base_url=provider.base_url)))) as running:
        assert 200 == await post(running, "deep.down", options={"deep": {"down": 1, "up": 2}})

    assert {"up": 2} == provider.seen[1].json["deep"]


@pytest.mark.parametrize("field", ["absent", "top.deeper", "say.x"])
async def test_a_field_that_was_not_sent(toybox: Toybox, provider: Provider, field: str) -> None:
    """Nothing can be left out, so the refusal goes to the client."""
    provider.answers(whole({"field": field}, 400), HELLO)
    async with run_gateway(toybox.deployment(serving(AbroadHttp(base_url=provider.base_url)))) as running:
        assert 400 == await post(running, options={"top": 1})

    assert 1 == len(provider.seen)


async def test_a_client_of_the_same_dialect_hears_it_itself(toybox: Toybox, provider: Provider) -> None:
    """It chose the field; what it sends is never trimmed."""
    provider.answers(NO_TOP, HELLO)
    async with run_gateway(toybox.deployment(serving(ToyHttp(base_url=provider.base_url)))) as running:
        status, body = await running.post({"model": "m", "top": 1}, "/toy")
        assert (400, {"field": "top"}) == (status, body)
        await running.post({"model": "m", "top": 1}, "/toy")

    assert [True, True] == ["top" in seen.json for seen in provider.seen]


async def test_what_may_not_be_lost_is_not_left_out(toybox: Toybox, provider: Provider) -> None:
    """Where the policy says so, the client is told instead, also by later requests without asking the provider."""
    provider.answers(NO_TOP, HELLO)
    config = toybox.deployment(serving(AbroadHttp(base_url=provider.base_url)), losses={"top": "reject"})
    async with run_gateway(config) as running:
        for _ in range(2):
            status, body = await running.post({"model": "m", "options": {"top": 1}}, "/toy")
            assert (400, "unsupported_feature") == (status, body["kind"])

    assert 1 == len(provider.seen)


# ---- opaque state -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", [ToyHttp, AbroadHttp])
async def test_opaque_state_that_is_refused_is_left_out(toybox: Toybox, provider: Provider, backend: type[ToyHttp]) -> None:
    """All of it, once; the next turn of the conversation does not fail first, and what came since stays."""
    old = [f"{number:03}" + "x" * 60 for number in range(100)]
    provider.answers(NO_STATE, HELLO)
    async with run_gateway(toybox.deployment(serving(backend(base_url=provider.base_url)))) as running:
        assert 200 == await post(running, "carrier", state=old)
        assert 200 == await post(running, "carrier", state=[*old, "new"])
        assert 200 == await post(running, None, state=["other"])

    assert [old, None, ["new"], ["other"]] == [seen.json.get("state") for seen in provider.seen]
    assert 4 == len(provider.seen)


async def test_it_is_refused_once(toybox: Toybox, provider: Provider) -> None:
    """A provider that refuses what holds none is not asked again."""
    provider.answers(NO_STATE, NO_STATE, HELLO)
    async with run_gateway(toybox.deployment(serving(ToyHttp(base_url=provider.base_url)))) as running:
        status, body = await running.post({"model": "m", "state": ["a"]}, "/toy")
        assert (400, {"carriers": True}, 2) == (status, body, len(provider.seen))

        provider.answers(NO_STATE)
        assert 400 == (await running.post({"model": "m"}, "/toy"))[0]
    assert 3 == len(provider.seen)


async def test_an_untouched_body_stays_so(toybox: Toybox, provider: Provider) -> None:
    """Of a conversation without what was refused every byte goes out as it came."""
    provider.answers(NO_STATE, HELLO)
    body = b'{ "model":"m","state":["fine"] }'
    async with run_gateway(toybox.deployment(serving(ToyHttp(base_url=provider.base_url)))) as running:
        await post(running, "carrier", state=["bad"])
        await running.post(body, "/toy")

    assert body == provider.seen[-1].body


def refused(cure: Any) -> UpstreamError:
    """A refusal that names a cure."""
    error = UpstreamBroken("no")
    error.cure = cure
    return error


def attempt(asked: Request, dialect: Any = TOY) -> Written:
    """What was refused."""
    return Written(dialect, asked, dialect.write_request(asked))


def test_a_message_of_nothing_else_goes() -> None:
    """Thoughts go with their signature; words and calls stay without it; what is left of nothing is not sent."""
    carrier = Carrier("toy", "signature", "abc")
    thought = Reasoning(raw_text=("hm",), carrier=carrier)
    call = ToolCall(call_id="1", name="f", arguments="{}", carrier=carrier)
    items = (
        Message(role="assistant", parts=(thought,)),
        Message(role="assistant", parts=(thought, Text("Hi", carrier=carrier), call, Reasoning(raw_text=("bare",)))),
        Message(role="user", parts=(Text("Go"),)),
    )
    left = Memory().without_carriers(request().with_prompt(items=items), everything=True).prompt.items

    assert (
        Message(
            role="assistant",
            parts=(Text("Hi"), ToolCall(call_id="1", name="f", arguments="{}"), Reasoning(raw_text=("bare",))),
        ),
        items[2],
    ) == left
    assert left[1] is items[2]


def test_nothing_to_leave_out_changes_nothing() -> None:
    """The very request comes back."""
    asked = request()

    assert asked is Memory().without_carriers(asked, everything=True)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten first."""
    monkeypatch.setattr(memory, "MOST_REFUSED", 3)
    monkeypatch.setattr(memory, "MOST_REFUSALS", 2)
    learnt = Memory()
    names = ["##a", "##b", "##c", "##d"]
    for name in names:
        assert CARRIERS == learnt.cure(refused("carriers"), attempt(request(state=[name])), "m")

    assert ["##a"] == states(learnt.without_carriers(request(state=names), everything=False))
    assert [False, False, True, True] == [learnt.may_hold_refused(request(state=[name]), TOY) for name in names]


def test_in_another_dialect_it_may_be_wrapped() -> None:
    """There the body's text does not tell, so the prompt is looked at; before any refusal nothing is."""
    learnt = Memory()
    assert not learnt.may_hold_refused(request(state=["a"]), ABROAD)
    learnt.cure(refused("carriers"), attempt(request(state=["abc"])), "m")

    assert learnt.may_hold_refused(request(), ABROAD)
    assert not learnt.may_hold_refused(request(), TOY)


def test_odd_state() -> None:
    """Half a surrogate pair and no text at all are opaque state, too."""
    learnt = Memory()
    odd = request(state=["\ud800", ""])
    assert CARRIERS == learnt.cure(refused("carriers"), Written(TOY, odd, b"{}"), "m")
    assert not learnt.may_hold_refused(request(), TOY)
    assert None is learnt.cure(refused("carriers"), Written(TOY, request(state=[""]), b"{}"), "m")


@pytest.mark.parametrize("cure", [None, "field"])
def test_other_failures_teach_nothing(cure: Any) -> None:
    """Nothing is left out for a refusal that names nothing."""
    assert None is Memory().cure(refused(cure), attempt(request(), ABROAD), "m")


def test_trimming_leaves_a_body_alone() -> None:
    """Bytes without a refused field are the very bytes."""
    learnt, body = Memory(), jsons.dumps({"model": "m", "low": 1})
    error = refused("field")
    error.param = "low"
    assert "low" == learnt.cure(error, Written(ABROAD, request(), body), "m")

    other = b'{ "high": 1 }'
    assert (other, []) == learnt.trimmed("m", other)
    assert (body, []) == learnt.trimmed("n", body)
    assert (b'{"model":"m"}', ["low"]) == learnt.trimmed("m", body)
