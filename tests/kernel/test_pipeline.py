from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from attrs import define, field

from llmgw import attempts, pipeline
from llmgw.attempts import attempted
from llmgw.errors import (
    BadRequest,
    GatewayError,
    GatewayFault,
    Misconfigured,
    ModelNotFound,
    Redo,
    UpstreamBroken,
    UpstreamTimeout,
)
from llmgw.events import (
    BlockDelta,
    BlockStop,
    Error,
    Event,
    Events,
    Invariants,
    Progress,
    Reply,
    ResponseEnd,
    ResponseStart,
    Stop,
    StopReason,
    UsageUpdate,
    fold,
)
from llmgw.events import Usage as Used
from llmgw.exchange import Exchange
from llmgw.model import Request
from llmgw.stages import Count, Filter, Observer, Target
from llmgw.tokens import estimated
from tests.toys import (
    Player,
    Tagging,
    Toybox,
    Watching,
    answered,
    canned,
    delta,
    ending,
    exchange,
    filtering,
    observing,
    opening,
    plugin,
    reply,
    request,
    routing,
    said,
    serving,
    told,
    until,
)

# ---- filters ------------------------------------------------------------------------------------


async def test_requests_run_down_and_replies_up(toybox: Toybox) -> None:
    """Filters see the request in the order of the configuration, and its answer in reverse."""
    log: list[str] = []
    player = Player()
    gateway = toybox.gateway(*filtering(Tagging("a", log), Tagging("b", log), Tagging("c", log)), serving(player))
    events = await answered(gateway)

    assert ["Hiabc"] == player.said
    assert "Hellocba" == told(events)
    assert ["a>", "b>", "c>", "<c", "<b", "<a"] == log


async def test_no_filter_is_no_generator_more(toybox: Toybox) -> None:
    """Without filters the client is handed the attempts themselves."""
    gateway = toybox.gateway(*filtering(None, None))
    async with aclosing(await pipeline.answer(exchange(gateway), request())) as events:
        assert attempted.__qualname__ == events.__qualname__


async def test_one_that_sits_out_is_not_there(toybox: Toybox) -> None:
    """A filter that is None for this exchange changes nothing of it."""
    gateway = toybox.gateway(*filtering(None, Tagging("b"), None))

    assert "Hellob" == told(await answered(gateway))


@define(eq=False)
class Only(Filter):
    """Changes requests and is not interested in answers."""

    async def request(self, request: Request) -> Request | Reply:
        return request.with_model("other")


async def test_a_filter_of_requests_leaves_frames_unread(toybox: Toybox) -> None:
    """A filter without ``events`` is not in the chain of events, and does not keep frames from being relayed."""
    player = Player()
    gateway = toybox.gateway(*filtering(Only()), serving(player))
    one = exchange(gateway)
    async with aclosing(await pipeline.answer(one, request())) as events:
        assert "Hello" == told([event async for event in events])

    assert not one.reads_events
    assert ["other"] == [target.model for target, _ in player.asked]


async def test_a_filter_of_events_has_frames_read(toybox: Toybox) -> None:
    """A filter with ``events`` wants to see them."""
    one = exchange(toybox.gateway(*filtering(Tagging("a"))))
    async with aclosing(await pipeline.answer(one, request())):
        assert one.reads_events


@define(eq=False)
class Canned(Filter):
    """Answers by itself."""

    async def request(self, request: Request) -> Request | Reply:
        return canned("from the tin")


async def test_a_reply_of_a_filter_short_cuts(toybox: Toybox) -> None:
    """When a filter replies, nobody below it hears of the exchange, and those above it see the reply as any other."""
    log: list[str] = []
    player = Player()
    gateway = toybox.gateway(*filtering(Tagging("a", log), Canned(), Tagging("c", log)), serving(player))

    assert "from the tina" == told(await answered(gateway))
    assert ([], ["a>", "<a"]) == (player.asked, log)


async def test_a_bug_in_a_filter_is_not_hidden(toybox: Toybox) -> None:
    """What a filter raises ends the exchange; going on without the filter would let through what it should have stopped."""

    @define(eq=False)
    class Buggy(Filter):
        async def request(self, request: Request) -> Request | Reply:
            raise ZeroDivisionError

    player = Player()
    with pytest.raises(ZeroDivisionError):
        await answered(toybox.gateway(*filtering(Buggy()), serving(player)))
    assert [] == player.asked


# ---- what is opened is closed -------------------------------------------------------------------


async def test_outermost_first(toybox: Toybox) -> None:
    """When the client leaves in the middle, every generator is closed, the one nearest to the client first."""
    log: list[str] = []
    player = Player.of([*opening("Hello"), asyncio.Event()])
    player.log = log
    gateway = toybox.gateway(*filtering(Tagging("a", log), Tagging("b", log)), serving(player))
    events = await pipeline.answer(exchange(gateway), request())
    async for event in events:
        if isinstance(event, BlockDelta):
            break
    await events.aclose()

    assert ["a>", "b>", "open", "<a", "<b", "close"] == log


async def test_a_cancelled_exchange_closes_all(toybox: Toybox) -> None:
    """A cancellation while the provider is silent leaves nothing open."""
    player = Player.of([asyncio.Event()])
    gateway = toybox.gateway(*filtering(Tagging("a", player.log)), serving(player))
    task = asyncio.ensure_future(answered(gateway))
    await until(lambda: "open" in player.log)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert ["a>", "open", "close", "<a"] == player.log


async def test_one_that_fails_to_close_does_not_keep_the_others_open(toybox: Toybox) -> None:
    """Whatever a filter raises while it is closed, the provider's stream is closed all the same."""

    @define(eq=False)
    class Clumsy(Filter):
        async def events(self, events: Events) -> AsyncGenerator[Event, None]:
            try:
                async for event in events:
                    yield event
            finally:
                raise ZeroDivisionError

    player = Player.of([*opening("Hello"), asyncio.Event()])
    events = await pipeline.answer(exchange(toybox.gateway(*filtering(Clumsy()), serving(player))), request())
    await anext(events)
    with pytest.raises(ZeroDivisionError):
        await events.aclose()

    assert ["open", "close"] == player.log


# ---- attempts -----------------------------------------------------------------------------------


@define(eq=False)
class Trying:
    """A route over models, that notes what failed and that it was closed."""

    models: tuple[str, ...]
    failures: list[GatewayError | None] = field(factory=list)
    closed: int = 0
    backend: str = "toy"

    async def run(self) -> AsyncGenerator[Target, GatewayError | None]:
        try:
            for model in self.models:
                self.failures.append((yield Target(self.backend, model)))
        finally:
            self.closed += 1


def trying(route: Trying) -> type:
    """A plugin with this route."""
    return routing(lambda exchange, request: route.run())


@pytest.mark.parametrize(
    "failing",
    [
        [UpstreamTimeout("slow")],
        [Error(error=UpstreamTimeout("slow"))],
        [ResponseStart(), Progress(), UsageUpdate(usage=Used(input_total=1)), UpstreamTimeout("slow")],
        [ResponseStart(), Error(error=UpstreamTimeout("slow"))],
    ],
)
async def test_before_the_commit_the_route_may_cure(toybox: Toybox, failing: list[Any]) -> None:
    """Until something of meaning came, a failure, raised or as an event, goes to the route, and nothing of it to the client."""
    route, player = Trying(("bad", "good")), Player.of(failing, reply("Hello"))
    one = exchange(toybox.gateway(trying(route), serving(player)))
    async with aclosing(await pipeline.answer(one, request())) as events:
        seen = [event async for event in events]

    assert reply("Hello") == seen
    assert ["slow"] == [failure and failure.message for failure in route.failures]
    assert ["bad", "good"] == [attempt.target.model for attempt in one.attempts]
    assert Target("toy", "good") == one.target


async def test_silence_is_a_failure(toybox: Toybox) -> None:
    """An attempt that ends without a word goes back to the route."""
    route, player = Trying(("bad", "good")), Player.of([], [ResponseStart()], reply("Hello"))

    with pytest.raises(UpstreamBroken, match="it sent nothing"):
        await answered(toybox.gateway(trying(route), serving(player)))
    assert [UpstreamBroken, UpstreamBroken] == list(map(type, route.failures))


@pytest.mark.parametrize("failing", [[*opening("Hel"), UpstreamTimeout("slow")], [*opening(), UpstreamTimeout("slow")]])
async def test_after_the_commit_a_failure_ends_the_exchange(toybox: Toybox, failing: list[Any]) -> None:
    """Once something of meaning came, no other attempt is made."""
    route, player = Trying(("bad", "good")), Player.of(failing, reply("Hello"))

    with pytest.raises(UpstreamTimeout):
        await answered(toybox.gateway(trying(route), serving(player)))
    assert 1 == len(player.asked)
    assert [] == route.failures


async def test_an_error_event_after_the_commit_goes_on_to_the_client(toybox: Toybox) -> None:
    """It is the end that the client gets."""
    error = Error(error=UpstreamTimeout("slow"))
    player = Player.of([*opening("Hel"), error])

    assert [*opening("Hel"), error] == await answered(toybox.gateway(serving(player)))


async def test_what_was_held_comes_in_order(toybox: Toybox) -> None:
    """Events that came before the commit are not lost."""
    script = [ResponseStart(), Progress(), *reply("Hello")[1:]]

    assert script == await answered(toybox.gateway(serving(Player.of(script))))


async def test_keep_alives_do_not_pile_up(toybox: Toybox) -> None:
    """A provider that sends signs of life for ever is committed at some point."""
    player = Player.of([Progress() for _ in range(attempts.MOST_HELD + 1)] + [asyncio.Event()])
    async with aclosing(await pipeline.answer(exchange(toybox.gateway(serving(player))), request())) as events:
        assert Progress() == await anext(events)


async def test_the_route_is_closed_at_the_commit(toybox: Toybox) -> None:
    """A route learns that its target was right before the reply is over."""
    route, player = Trying(("good",)), Player.of([*opening("Hello"), asyncio.Event()])
    one = exchange(toybox.gateway(trying(route), serving(player)))
    async with aclosing(await pipeline.answer(one, request())) as events:
        await anext(events)
        assert (1, True) == (route.closed, one.committed)


async def test_the_route_is_closed_when_all_fails(toybox: Toybox) -> None:
    """The last failure goes to the client, and nothing stays open."""
    route, player = Trying(("a", "b")), Player.of([UpstreamTimeout("first")], [UpstreamTimeout("second")])

    with pytest.raises(UpstreamTimeout, match="second"):
        await answered(toybox.gateway(trying(route), serving(player)))
    assert 1 == route.closed
    assert ["open", "close", "open", "close"] == player.log


async def test_attempts_do_not_overlap(toybox: Toybox) -> None:
    """A failed attempt is closed before the next one begins."""
    route, player = Trying(("a", "b")), Player.of([Error(error=UpstreamTimeout("slow")), asyncio.Event()], reply("Hello"))
    await answered(toybox.gateway(trying(route), serving(player)))

    assert ["open", "close", "open", "close"] == player.log


async def test_the_clients_fault_is_not_tried_again(toybox: Toybox) -> None:
    """What another target could not cure goes to the client at once."""
    route, player = Trying(("a", "b")), Player.of([BadRequest("no")])

    with pytest.raises(BadRequest):
        await answered(toybox.gateway(trying(route), serving(player)))
    assert 1 == len(player.asked)


async def test_a_back_end_that_is_not_there(toybox: Toybox) -> None:
    """A route that names an unknown back-end is told so, and may name another."""
    route = Trying(("a", "b"), backend="nowhere")

    with pytest.raises(Misconfigured, match="'nowhere'"):
        await answered(toybox.gateway(trying(route)))
    assert [Misconfigured, Misconfigured] == list(map(type, route.failures))


async def test_a_route_without_a_target(toybox: Toybox) -> None:
    """A route that yields nothing at all is a fault of the deployment."""
    with pytest.raises(Misconfigured, match="no target"):
        await answered(toybox.gateway(trying(Trying(()))))


async def test_the_first_route_that_knows_the_model_is_taken(toybox: Toybox) -> None:
    """A route may leave a model to the next one."""
    mine, player = Trying(("mine",)), Player()
    gateway = toybox.gateway(routing(lambda exchange, request: None), trying(mine), trying(Trying(("other",))), serving(player))
    await answered(gateway)

    assert ["mine"] == [target.model for target, _ in player.asked]


async def test_without_a_route_the_model_decides(toybox: Toybox) -> None:
    """When no route wants the model, ``backend:model`` and the default back-end decide."""
    one, two = Player(name="one"), Player(name="two")
    gateway = toybox.gateway(routing(lambda exchange, request: None), serving(one, two))
    await answered(gateway, request(model="two:m"))

    assert ([], [Target("two", "m")]) == (one.asked, [target for target, _ in two.asked])
    with pytest.raises(ModelNotFound):
        await answered(gateway, request(model="m"))


async def test_the_back_end_is_asked_for_the_targets_model(toybox: Toybox) -> None:
    """The request names the model as the target does, and is otherwise as the client sent it."""
    player = Player()
    await answered(toybox.gateway(serving(player)), request(model="toy:small"))

    (target, asked) = player.asked[0]
    assert ("small", "small", True) == (target.model, asked.model, asked.untouched)


async def test_a_bug_in_a_back_end_is_not_cured(toybox: Toybox) -> None:
    """A bug is no failure of the provider, and is not hidden by another attempt."""
    route, player = Trying(("a", "b")), Player.of([ZeroDivisionError()])

    with pytest.raises(ZeroDivisionError):
        await answered(toybox.gateway(trying(route), serving(player)))
    assert (1, 1, ["open", "close"]) == (len(player.asked), route.closed, player.log)


# ---- redo ---------------------------------------------------------------------------------------


@define(eq=False)
class Again(Filter):
    """Makes another attempt when it sees a word that it does not like."""

    redoes = True
    bad: str = "bad"
    log: list[str] = field(factory=list)

    async def events(self, events: Events) -> AsyncGenerator[Event, None]:
        try:
            async for event in events:
                if isinstance(event, BlockDelta) and event.fragment == self.bad:
                    raise Redo(request("Once more"))
                yield event
        finally:
            self.log.append("<again")


def broken_laws(events: list[Event]) -> list[str]:
    """What these events break."""
    laws = Invariants()
    return [broken for event in events if (broken := laws.feed(event))]


async def test_redo_splices(toybox: Toybox) -> None:
    """Another attempt follows in the same reply: one start, open blocks closed, blocks numbered through, one end."""
    player = Player.of([*opening("Hel", "bad"), *ending()], [*opening("lo"), *ending()])
    events = await answered(toybox.gateway(*filtering(Again()), serving(player)))

    assert [] == broken_laws(events)
    assert "Hello" == told(events)
    assert [0, 1] == sorted({event.index for event in events if isinstance(event, BlockDelta)})
    assert ["Hi", "Once more"] == player.said


@define(eq=False)
class AtTheEnd(Filter):
    """Makes another attempt when the first one has said all."""

    redoes = True
    _again: bool = True

    async def events(self, events: Events) -> AsyncGenerator[Event, None]:
        async for event in events:
            if isinstance(event, ResponseEnd) and self._again:
                self._again = False
                raise Redo(request("Once more"))
            yield event


async def test_redo_at_the_end_of_an_attempt(toybox: Toybox) -> None:
    """Of a choice that had ended only the last end counts, and what both attempts used is added up."""
    used = UsageUpdate(usage=Used(input_total=7, output_total=2))
    first = [*opening("Hel"), BlockStop(index=0), Stop(reason=StopReason("tool_use")), used, ResponseEnd()]
    second = [*opening("lo"), BlockStop(index=0), Stop(reason=StopReason("end")), used, ResponseEnd()]
    events = await answered(toybox.gateway(*filtering(AtTheEnd()), serving(Player.of(first, second))))
    whole = fold(events)

    assert [] == broken_laws(events)
    assert ["end"] == [choice.stop.kind for choice in whole.choices if choice.stop]
    assert Used(input_total=14, output_total=4) == whole.usage


async def test_redo_numbers_each_attempt_through(toybox: Toybox) -> None:
    """Of three attempts with blocks of their own none overwrites another's."""
    two_blocks = [*opening("a"), ending()[0], *opening("b", index=1)[1:], delta("bad", 1)]
    player = Player.of(two_blocks, two_blocks, reply("c"))
    events = await answered(toybox.gateway(*filtering(Again()), serving(player)))

    assert [] == broken_laws(events)
    assert "ababc" == told(events)


async def test_redo_enters_behind_the_filter_that_raised(toybox: Toybox) -> None:
    """Filters before it do not see the new request; those behind it do, with generators of their own."""
    log: list[str] = []
    player = Player.of([*opening("bad2"), *ending()], reply("good"))
    gateway = toybox.gateway(*filtering(Tagging("1", log), Again("bad22", log), Tagging("2", log)), serving(player))
    events = await answered(gateway)

    assert ["Hi12", "Once more2"] == player.said
    assert "good21" == told(events)
    assert [] == broken_laws(events)


async def test_redo_closes_the_attempt_that_it_breaks_off(toybox: Toybox) -> None:
    """The first provider is not read any further, nor kept waiting, while the second answers."""
    player = Player.of([*opening("bad"), asyncio.Event()], reply("good"))
    await answered(toybox.gateway(*filtering(Again(), Tagging("", player.log)), serving(player)))

    assert ["open", "<", "close", "open", "close", "<"] == [word for word in player.log if not word.endswith(">")]


async def test_redo_is_bounded(toybox: Toybox) -> None:
    """A filter that never has enough ends the exchange."""
    player = Player.of([*opening("bad"), *ending()])

    with pytest.raises(GatewayFault, match="more than 5"):
        await answered(toybox.gateway(*filtering(Again()), serving(player)))
    assert pipeline.MOST_REDOS + 1 == len(player.asked)
    assert len(player.asked) == player.log.count("close")


async def test_redo_fails_as_any_attempt(toybox: Toybox) -> None:
    """When the further attempt fails, the exchange has failed."""
    player = Player.of([*opening("bad"), *ending()], [UpstreamTimeout("slow")])

    with pytest.raises(UpstreamTimeout):
        await answered(toybox.gateway(*filtering(Again()), serving(player)))


async def test_redo_leaves_nothing_open(toybox: Toybox) -> None:
    """When the client leaves during a further attempt, all that was opened for any attempt is closed, once."""
    player = Player.of([*opening("bad"), *ending()], [*opening("good"), asyncio.Event()])
    again = Again()
    gateway = toybox.gateway(*filtering(again), serving(player))
    events = await pipeline.answer(exchange(gateway), request())
    async for event in events:
        if isinstance(event, BlockDelta):
            break
    await events.aclose()

    assert (["open", "close", "open", "close"], ["<again", "<again"]) == (player.log, again.log)


async def test_a_filter_that_may_redo_and_does_not_changes_nothing(toybox: Toybox) -> None:
    """Watching over it costs the reply nothing."""
    assert reply("Hello") == await answered(toybox.gateway(*filtering(Again())))


# ---- observers ----------------------------------------------------------------------------------


async def test_observers_are_asked_in_order(toybox: Toybox) -> None:
    """Those that sit out are not there."""
    first, second = Watching(), Watching()
    one = exchange(toybox.gateway(observing(first), observing(None), observing(second)))
    pipeline.open_observers(one)
    one.saw("client", "in", b"x")

    assert [("client", "in", b"x")] == first.wires == second.wires
    assert 2 == len(one.observers)


async def test_only_observers_of_events_have_frames_read(toybox: Toybox) -> None:
    """One that overrides ``event`` has the reply read; one that looks at bytes alone does not."""

    @define(eq=False)
    class Bytes(Observer):
        def wire(self, leg: Any, direction: Any, data: bytes) -> None:
            pass

    blind, seeing = exchange(toybox.gateway(observing(Bytes()))), exchange(toybox.gateway(observing(Watching())))
    pipeline.open_observers(blind)
    pipeline.open_observers(seeing)

    assert (False, True) == (blind.reads_events, seeing.reads_events)


@pytest.mark.parametrize("where", ["wire", "event", "closed"])
async def test_an_observer_that_raises_is_dropped(toybox: Toybox, where: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, never called again, and the exchange and its neighbour go on."""

    class Breaking(Watching):
        def wire(self, leg: Any, direction: Any, data: bytes) -> None:
            super().wire(leg, direction, data)
            assert where != "wire"

        def event(self, event: Event) -> None:
            super().event(event)
            assert where != "event"

        def closed(self, error: BaseException | None) -> None:
            super().closed(error)
            assert where != "closed"

    breaking, neighbour = Breaking(), Watching()
    one = exchange(toybox.gateway(observing(breaking), observing(neighbour)))
    pipeline.open_observers(one)
    for observer in one.observers:
        for _ in range(2):
            observer.wire("client", "in", b"x")
            observer.event(ResponseEnd())
        observer.closed(None)

    assert [2, 2, 1] == [len(neighbour.wires), len(neighbour.events), len(neighbour.ends)]
    expected = {"wire": [1, 0, 0], "event": [1, 1, 0], "closed": [2, 2, 1]}
    assert expected[where] == [len(breaking.wires), len(breaking.events), len(breaking.ends)]
    assert ["observer Breaking failed and is dropped from this exchange"] == [one.getMessage() for one in caplog.records]
    assert logging.ERROR == caplog.records[0].levelno


# ---- the session --------------------------------------------------------------------------------


async def test_the_first_plugin_names_the_session(toybox: Toybox) -> None:
    """The first plugin that knows the conversation names it, and filters find the name."""
    found: list[str | None] = []

    def first(exchange: Exchange, request: Request) -> str | None:
        return None

    def second(exchange: Exchange, request: Request) -> str | None:
        return f"session of {said(request)}"

    def open_filter(exchange: Exchange) -> None:
        found.append(exchange.session)

    gateway = toybox.gateway(plugin(session_key=first), plugin(session_key=second), plugin(open_filter=open_filter))
    await answered(gateway)

    assert ["session of Hi"] == found


# ---- counting -----------------------------------------------------------------------------------


@define(eq=False)
class Counter(Player):
    """A back-end that counts, or fails to."""

    outcome: Count | GatewayError | None = None

    async def count(self, exchange: Exchange, target: Target, request: Request) -> Count | None:
        self.asked.append((target, request))
        if isinstance(self.outcome, GatewayError):
            raise self.outcome
        return self.outcome


async def test_a_back_ends_own_count(toybox: Toybox) -> None:
    """Of the request as the filters leave it, for the model as the back-end calls it; and the exchange knows who was asked."""
    counter = Counter(outcome=Count(7))
    gateway = toybox.gateway(*filtering(Tagging("a"), None), serving(counter))
    one = exchange(gateway)

    assert Count(7) == await pipeline.count(one, request(model="toy:big"))
    assert [("Hia", "big", "big")] == [(said(asked), asked.model, target.model) for target, asked in counter.asked]
    assert Target("toy", "big") == one.target


@pytest.mark.parametrize("outcome", [None, UpstreamTimeout("slow"), UpstreamBroken("what?")])
async def test_else_it_is_estimated(toybox: Toybox, outcome: Any) -> None:
    """Where the provider does not count, and where it fails; and of what the filters leave, too."""
    gateway = toybox.gateway(*filtering(Tagging(" and more")), serving(Counter(outcome=outcome)))

    expected = Count(estimated(request("Hi and more").prompt), estimated=True)
    assert expected == await pipeline.count(exchange(gateway), request())


@pytest.mark.parametrize("error", [BadRequest("no"), Misconfigured("no key")])
async def test_our_own_errors_are_no_reason_to_guess(toybox: Toybox, error: GatewayError) -> None:
    """What would fail when it is asked in earnest fails now."""
    gateway = toybox.gateway(serving(Counter(outcome=error)))
    with pytest.raises(type(error)):
        await pipeline.count(exchange(gateway), request())


async def test_a_filter_that_answers_itself_is_counted_as_far_as_it(toybox: Toybox) -> None:
    """Nobody would be asked, so nobody is."""

    @define(eq=False)
    class Answering(Filter):
        async def request(self, request: Request) -> Request | Reply:
            return canned("no")

    counter = Counter(outcome=Count(7))
    gateway = toybox.gateway(*filtering(Tagging("a"), Answering()), serving(counter))

    assert Count(estimated(request("Hia").prompt), estimated=True) == await pipeline.count(exchange(gateway), request())
    assert [] == counter.asked


async def test_a_count_goes_where_the_route_says(toybox: Toybox) -> None:
    """To its first target; and the route is closed."""
    closed: list[str] = []

    async def route() -> Any:
        try:
            yield Target("b", "n")
        finally:
            closed.append("closed")

    a, b = Counter(name="a", outcome=Count(1)), Counter(name="b", outcome=Count(2))
    gateway = toybox.gateway(routing(lambda *_: route()), serving(a, b))

    assert (Count(2), ["closed"]) == (await pipeline.count(exchange(gateway), request()), closed)
    assert [] == a.asked


async def test_a_count_that_goes_nowhere(toybox: Toybox) -> None:
    """A model that nobody has, a route without a target, and one whose back-end is not there."""

    async def nothing() -> Any:
        return
        yield

    async def nobody() -> Any:
        yield Target("nobody", "m")

    with pytest.raises(ModelNotFound):
        await pipeline.count(exchange(toybox.gateway(serving(Player(name="a"), Player(name="b")))), request())
    for made in (nothing, nobody):
        gateway = toybox.gateway(routing(lambda *_, made=made: made()))
        with pytest.raises(Misconfigured):
            await pipeline.count(exchange(gateway), request())
