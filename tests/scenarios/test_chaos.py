"""Thousands of exchanges over providers that fail in every class: each ends once, as the policy says, and is accounted for."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import entry_points
from itertools import count, permutations
from typing import Any, Final, Protocol

import aiohttp
import pytest
from attrs import define, field, frozen

from llmgw import Exchange, GatewayError, Observer, Resting
from llmgw.events import Event
from llmgw_testing import RunningGateway, run_gateway
from tests.scenarios.chaos import (
    BY_NAME,
    FATES,
    FEW,
    GO_ON,
    STRICT,
    Asked,
    ChaosProvider,
    Course,
    Dialect,
    Fate,
    Fates,
    Oracle,
    Plan,
    Policy,
    Ticking,
    Try,
    statuses,
)
from tests.toys import Toybox, plugin

pytestmark = pytest.mark.scenario

SEED: Final = 20260726
EXCHANGES: Final = 5000
AT_ONCE: Final = 50
LEAST_HITS: Final = 20

PROVIDERS: Final[dict[str, Dialect]] = {"ada": "chat", "bob": "chat", "cyd": "anthropic", "dan": "anthropic"}
FRONTENDS: Final = {"openai-chat", "anthropic-messages"}
ABSENT: Final = "gone"
KEYS: Final = {name: [f"key-{name}-{number}" for number in range(1, 2)] for name in PROVIDERS}


SHAPES: Final = ("one", "chain", "chain", "chain", "weights", "race", "handicap", "race in a chain", "via")
POLICIES: Final[dict[str, dict[str, Any]]] = {
    "twice": {"rounds": 2},
    "few": {"attempts": FEW},
    "strict": {"on": sorted(STRICT)},
}

_POLICY_OF: Final[Mapping[str, Policy]] = {"twice": "twice", "few": "few", "strict": "strict", "via": "via"}

# ---- plans --------------------------------------------------------------------------------------


def planned(marker: int) -> Plan:
    """What the exchange of this number asks for."""
    drawn = random.Random(f"{SEED}:plan:{marker}")
    names = [*PROVIDERS, ABSENT]
    drawn.shuffle(names)
    shape = drawn.choice(tuple(POLICIES) if marker % 40 == 0 else SHAPES)
    chain: tuple[tuple[str, ...], ...] = tuple((name,) for name in names[: drawn.randint(2, 4)])
    match shape:
        case "one":
            chain = chain[:1]
        case "race" | "handicap":
            chain = (tuple(names[: drawn.randint(2, 3)]),)
        case "race in a chain":
            chain = ((names[0],), (names[1], names[2]), (names[3],))
        case "twice":
            chain = chain[: drawn.randint(1, 2)]
        case "via":
            chain = chain[:2]
        case "few" | "strict":
            chain = tuple((name,) for name in names[:4])
        case _:
            pass
    return Plan(
        marker,
        client=drawn.choice(("chat", "anthropic")),
        stream=drawn.random() < 0.6,
        chain=chain,
        by_chance=shape == "weights",
        policy=_POLICY_OF.get(shape, "plain"),
        handicap=0.5 if shape == "handicap" else 0.0,
        leaves=drawn.uniform(0.0, 0.05) if drawn.random() < 0.05 else None,
    )


# ---- clients ------------------------------------------------------------------------------------


@define
class Heard:
    """What a client got."""

    status: int = 0
    headers: dict[str, str] = field(factory=dict)
    raw: str = ""
    text: str = ""
    successes: int = 0
    errors: list[Any] = field(factory=list)
    left: bool = False
    broken: str = ""


class Asking(Protocol):
    """What a client needs to know."""

    @property
    def marker(self) -> int:
        """The exchange's number."""
        ...

    @property
    def client(self) -> Dialect:
        """The dialect that is spoken."""
        ...

    @property
    def stream(self) -> bool:
        """Whether a stream is asked for."""
        ...

    @property
    def name(self) -> str:
        """The model's name."""
        ...

    @property
    def leaves(self) -> float | None:
        """Seconds after which the client leaves."""
        ...


async def asked(http: aiohttp.ClientSession, url: str, plan: Asking) -> Heard:
    """Ask as one client does, and hear all, or leave when the plan says so."""
    heard = Heard()
    path = "/v1/chat/completions" if plan.client == "chat" else "/v1/messages"
    body = {"model": plan.name, "messages": [{"role": "user", "content": f"chaos {plan.marker}"}], "stream": plan.stream}
    if plan.client == "anthropic":
        body["max_tokens"] = 100
    headers = {"x-chaos": str(plan.marker), "anthropic-version": "2023-06-01"}
    try:
        async with asyncio.timeout(plan.leaves), http.post(url + path, json=body, headers=headers) as response:
            heard.status = response.status
            heard.headers = {name.lower(): value for name, value in response.headers.items()}
            heard.raw = (await response.read()).decode()
    except TimeoutError:
        heard.left = True
        return heard
    except aiohttp.ClientError as error:
        heard.broken = repr(error)
        return heard
    try:
        _understand(heard, plan.client)
    except ValueError as error:
        heard.broken = f"not JSON: {error}"
    return heard


def _understand(heard: Heard, dialect: Dialect) -> None:
    if not heard.headers["content-type"].startswith("text/event-stream"):
        trees = [json.loads(heard.raw)]
    else:
        lines = [line.removeprefix("data: ") for line in heard.raw.splitlines() if line.startswith("data: ")]
        trees = [json.loads(line) if line.startswith("{") else {"mark": line} for line in lines]
    for tree in trees:
        (_of_chat if dialect == "chat" else _of_anthropic)(heard, tree)


def _of_chat(heard: Heard, tree: dict[str, Any]) -> None:
    if "error" in tree:
        heard.errors.append(tree["error"])
    for choice in tree.get("choices", ()):
        heard.text += (choice.get("delta") or choice.get("message"))["content"] or "" if _has_content(choice) else ""
        heard.successes += choice["finish_reason"] is not None


def _has_content(choice: dict[str, Any]) -> bool:
    return "content" in (choice.get("delta") or choice.get("message") or {})


def _of_anthropic(heard: Heard, tree: dict[str, Any]) -> None:
    match tree.get("type"):
        case "error":
            heard.errors.append(tree["error"])
        case "message":
            heard.text += "".join(block["text"] for block in tree["content"])
            heard.successes += tree["stop_reason"] is not None
        case "content_block_delta":
            heard.text += tree["delta"]["text"]
        case "message_stop":
            heard.successes += 1
        case _:
            pass


# ---- the gateway's own account ------------------------------------------------------------------


@frozen
class Line:
    """An attempt, as the gateway accounts for it."""

    backend: str
    model: str
    credential: str
    requests: int
    outcome: str


@define
class Ended:
    """An exchange that is over."""

    error: BaseException | None
    account: list[Line]
    remarks: list[str]
    began: int
    """When, counting all beginnings and ends."""
    ended: int
    since: float
    """The same on the gateway's clock."""
    until: float


@define
class Register:
    """How often exchanges began and ended, and their accounts; observers of half of them read every event."""

    begun: Counter[int] = field(factory=Counter)
    closed: Counter[int] = field(factory=Counter)
    watched: set[int] = field(factory=set)
    ended: dict[int, list[Ended]] = field(factory=dict)
    _turns: Iterator[int] = field(factory=count)

    def plugin(self) -> type:
        """The plugin that keeps it."""

        def open_observer(exchange: Exchange) -> Observer | None:
            marker = int(exchange.head.headers["x-chaos"])
            self.begun[marker] += 1
            began, since, clock = next(self._turns), exchange.started, exchange.gateway.clock

            async def over(error: BaseException | None) -> None:
                lines = [
                    Line(one.target.backend, one.target.model, one.target.credential, one.requests, one.outcome)
                    for one in exchange.attempts
                ]
                self.ended.setdefault(marker, []).append(
                    Ended(error, lines, list(exchange.remarks), began, next(self._turns), since, clock.monotonic())
                )

            exchange.endings.append(over)
            if marker % 2:
                return None
            self.watched.add(marker)
            return _Watching(self.closed, marker)

        return plugin(open_observer=open_observer)


@define(eq=False)
class _Watching(Observer):
    closings: Counter[int]
    marker: int

    def event(self, event: Event) -> None:
        """Override it, so that the reply is read event by event."""

    def closed(self, error: BaseException | None) -> None:
        self.closings[self.marker] += 1


# ---- judging ------------------------------------------------------------------------------------


@define
class Case:
    """All that is known of one exchange.

    Args:
        plan: what was meant.
        heard: what the client got.
        ended: the gateway's account.
        log: what the providers say.
        watched: whether anybody read the events.
        unseen: requests over kept connections that their provider closed at the same moment.
    """

    plan: Plan
    heard: Heard
    ended: Ended
    log: Sequence[Asked]
    watched: bool
    unseen: Counter[str] = field(factory=Counter)

    def faults(self, oracle: Oracle) -> list[str]:
        """What is wrong with it: nothing, where it went one of the ways that are allowed."""
        if self.heard.broken:
            return [f"the reply cannot be read: {self.heard.broken}"]
        found = []
        for course in oracle.courses(self.plan):
            self.unseen.clear()
            wrong = self._account(course) or ("" if self.heard.left else self._ending(course))
            if not wrong:
                return []
            found.append(f"{[[(one.backend, one.fate.name) for one in tries] for tries in course.groups]}: {wrong}")
        return found

    # the account, and the providers' logs

    def _account(self, course: Course) -> str:
        lines, log = list(self.ended.account), list(self.log)
        for tries in course.groups:
            taken: dict[str, Line] = {}
            while lines and lines[0].backend in {one.backend for one in tries} - taken.keys():
                line = lines.pop(0)
                taken[line.backend] = line
            seen: list[Asked] = []
            for one in tries:
                mine = [entry for entry in log if entry.backend == one.backend]
                if wrong := self._line(one, taken.get(one.backend), mine, seen):
                    return wrong
            if sorted(entry.number for entry in seen) != [entry.number for entry in log[: len(seen)]]:
                return f"another order: {log}"
            del log[: len(seen)]
        return f"attempts too many: {lines}" if lines else f"requests too many: {log}" if log else ""

    def _line(self, one: Try, line: Line | None, log: list[Asked], seen: list[Asked]) -> str:
        if line is None:
            return "" if one.may_lack or self.heard.left else f"{one.backend} was not tried"
        allowed = one.outcomes | ({"ok", "cancelled"} if self.heard.left else set())
        if line.outcome not in allowed:
            return f"{line} is none of {sorted(allowed)}"
        mine = log[: line.requests]
        seen += mine
        for entry in mine:
            if (entry.model, entry.key, entry.fate.name) != (self.plan.model, KEYS[one.backend][0], one.fate.name):
                return f"{entry} should be {one.fate}"
        unseen = line.requests - len(mine)
        if one.backend == ABSENT:
            return "" if unseen == 1 or self.heard.left else f"{line}: where nobody listens, nothing is repeated"
        if unseen and line.outcome != "cancelled" and not self.heard.left:
            self.unseen[one.backend] += unseen
            return "" if mine else f"{line}: it never came"
        return ""

    # what the client got

    def _ending(self, course: Course) -> str:
        fate, heard, error = course.fate, self.heard, self.ended.error
        kind = error.kind if isinstance(error, GatewayError) else None
        if kind != fate.kind or (error is not None and kind is None):
            return f"it ended with {error!r} ({kind}), not {fate.kind}"
        mine = [entry for entry in self.log if entry.backend == course.last.backend]
        if wrong := self._told_account(course):
            return wrong
        if fate.place == "fine":
            good: tuple[int, str, int, list[Any]] = (200, mine[-1].text, 1, [])
            return "" if good == (heard.status, heard.text, heard.successes, heard.errors) else f"not {good}"
        if heard.successes or len(heard.errors) != 1:
            return "a failure must be one error, and no success"
        if fate.told and f"<{mine[-1].number}.error>" not in heard.errors[0]["message"]:
            return f"it does not hear of {mine[-1]}"
        if fate.place == "after":
            whole = mine[-1].text
            good_text = heard.text and whole.startswith(heard.text) and heard.status == 200
            return "" if good_text else "not the beginning of what was said"
        provider = PROVIDERS.get(course.last.backend, "chat")
        known = statuses(fate, provider, self.plan.client, stream=self.plan.stream, watched=self.watched)
        return "" if heard.status in known and not heard.text else f"not one of {known}"

    def _told_account(self, course: Course) -> str:
        """The header, which is written when the reply begins: what breaks off behind that is not in it."""
        account = [(f"{line.backend}:{line.model}", line.outcome) for line in self.ended.account]
        if course.fate.place == "after":
            broke = max(place for place, (name, _) in enumerate(account) if name.startswith(f"{course.last.backend}:"))
            account[broke] = account[broke][0], "ok"
        told = ", ".join("=".join(one) for one in account) if len(account) > 1 else None
        return "" if told == self.heard.headers.get("x-llmgw-attempts") else f"the header should be {told}"


# ---- the run ------------------------------------------------------------------------------------


@define
class Run:
    """What became of all exchanges.

    Args:
        register: the gateway's side.
        providers: the other side.
        heard: what the clients got, by number.
        left_open: exchanges that had not ended when all clients had.
    """

    register: Register
    providers: Sequence[ChaosProvider]
    heard: dict[int, Heard] = field(factory=dict)
    left_open: int = 0

    @property
    def log(self) -> list[Asked]:
        """Of all providers, in the order of the requests."""
        return sorted((entry for one in self.providers for entry in one.log), key=lambda entry: entry.number)

    @property
    def logs(self) -> dict[int, list[Asked]]:
        """The same, by exchange."""
        found: dict[int, list[Asked]] = {}
        for entry in self.log:
            found.setdefault(entry.marker, []).append(entry)
        return found

    @property
    def hits(self) -> Counter[str]:
        """How often each class of failure came."""
        return Counter(entry.fate.name for entry in self.log)

    def check(self) -> None:
        """What must be so whatever the providers did."""
        begun, ended = self.register.begun, self.register.ended
        assert [] == [fault for one in self.providers for fault in one.faults]
        assert 0 == self.left_open
        assert {1} == set(begun.values()) == {len(each) for each in ended.values()}
        assert begun.keys() == ended.keys()
        assert Counter(self.register.watched) == self.register.closed
        assert {entry.marker for entry in self.log} <= ended.keys()
        assert {marker for marker, one in self.heard.items() if not one.left} <= ended.keys()


async def driven(
    toybox: Toybox, providers: Sequence[ChaosProvider], plans: Iterable[Asking], clock: Ticking, **routing: Any
) -> Run:
    """Ask all that is planned of a gateway with these providers."""
    run, waiting = Run(Register(), providers), iter(plans)
    async with AsyncExitStack() as stack:
        for one in providers:
            await stack.enter_async_context(one.serving())
        backends: dict[str, Any] = {one.name: one.options for one in providers}
        config = {
            "proxy": {"silence_timeout": 6, "commit_delay": 3600, "heartbeat": 3600},
            "defaults": dict.fromkeys(sorted(entry_points(group="llmgw.defaults").names - FRONTENDS), False),
            "backends": backends | {ABSENT: {"type": "openai-compatible", "base_url": "http://127.0.0.1:1/v1"}},
            "observers": toybox.install(run.register.plugin()),
        }
        env = {name: key for one in providers for name, key in one.env.items()}
        running = await stack.enter_async_context(run_gateway(config | routing, env, clock.clock))
        await stack.enter_async_context(clock.running())
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:

            async def client() -> None:
                for plan in waiting:
                    run.heard[plan.marker] = await asked(http, running.url, plan)

            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(client())
        run.left_open = await _settled(running)
    return run


async def _settled(running: RunningGateway) -> int:
    """How many exchanges are still open when those whose clients have left had time to end."""
    for _ in range(200):
        if not running.gateway.exchanges:
            break
        await asyncio.sleep(0.01)
    return len(running.gateway.exchanges)


def _errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


# ---- chains and races ---------------------------------------------------------------------------


async def test_every_exchange_ends_once_as_the_policy_says_and_is_accounted_for(
    toybox: Toybox, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever providers do, a client gets one answer of one attempt or the error that the policy leaves, and nothing is lost."""
    fates = Fates(SEED)
    plans = [planned(marker) for marker in range(1, EXCHANGES + 1)]
    providers = [ChaosProvider(name, dialect, fates, KEYS[name]) for name, dialect in PROVIDERS.items()]
    policies = {plan.name: POLICIES[plan.policy] | {"chain": plan.joined} for plan in plans if plan.policy in POLICIES}
    aliases = {f"{one}-{other}-*": f"{one}:via-{{1}}|{other}:via-{{1}}" for one, other in permutations((*PROVIDERS, ABSENT), 2)}
    routes = [{"failover": {"models": policies}}, "race", {"selectors": {"aliases": aliases}}]

    run = await driven(toybox, providers, plans, Ticking(), routes=routes, plugins=["key-rotation", "circuit-breaker"])

    oracle, logs, unseen = Oracle(fates, frozenset({ABSENT})), run.logs, Counter[str]()
    wrong: list[str] = []
    for plan in plans:
        if plan.marker in run.register.ended:
            watched = plan.marker in run.register.watched or plan.policy == "via"
            ended = run.register.ended[plan.marker][0]
            case = Case(plan, run.heard[plan.marker], ended, logs.get(plan.marker, []), watched)
            if faults := case.faults(oracle):
                wrong.append("\n".join([str(case), *faults]))
            unseen += case.unseen
    assert not wrong, f"{len(wrong)} went wrong; {run.hits}\n" + "\n\n".join(wrong[:5])
    run.check()
    assert [] == _errors(caplog)
    assert unseen <= Counter({one.name: one.hasty for one in providers}), unseen
    assert sum(one.left for one in run.heard.values()) >= LEAST_HITS
    assert {} == {fate.name: run.hits[fate.name] for fate in FATES if run.hits[fate.name] < LEAST_HITS}, run.hits


# ---- what exchanges learn from one another ------------------------------------------------------

IVY_KEYS: Final = ("key-ivy-1", "key-ivy-2", "key-ivy-revoked", "key-ivy-4")
CROWD: Final = 1000
PHASE: Final = 200
"""Exchanges after which the provider of a worn model is down, or up again."""
CROWD_KEYS: Final = {"ivy": IVY_KEYS, "joe": ("key-joe",)}
QUOTA_REST: Final = 0.5
"""Seconds that a key without quota rests in the crowd's deployment."""
LEAST_REST: Final = 60.0
"""Seconds that a key which was refused rests at least."""
FAILURES: Final = 3
OPEN: Final = 2.0
"""When the circuit breaker opens, and for how long."""
OF_A_KEY: Final = frozenset({"rate_limited", "billing", "authentication", "permission"})
"""The classes after which another key is tried (docs/routing.md)."""
AMONG_KEYS: Final = tuple(
    BY_NAME[name]
    for name in ("rate limit", "rate limit, later", "unpaid", "no quota", "forbidden", "server error", "invalid", "fine and slow",
                 "cut within a word", "closed")
)  # fmt: skip


@frozen
class Ask:
    """One exchange with what others have learned before it.

    Args:
        marker: its number.
        client: the dialect that is spoken.
        stream: whether a stream is asked for.
        name: what is asked for.
        leaves: None stays.
    """

    marker: int
    client: Dialect
    stream: bool
    name: str
    leaves: float | None = None


def crowded(marker: int) -> Ask:
    """What the exchange of this number asks for: a model of its own at a provider with several keys, or the worn one."""
    drawn = random.Random(f"{SEED}:crowd:{marker}")
    name = drawn.choice((f"ivy:key-{marker}", f"ivy:key-{marker}|joe:spare-{marker}", "joe:worn"))
    return Ask(marker, drawn.choice(("chat", "anthropic")), drawn.random() < 0.6, name)


def _of_ivy(marker: int, model: str, key: str) -> Fate | None:
    return BY_NAME["unauthorized"] if key == "key-ivy-revoked" else None


def _of_joe(marker: int, model: str, key: str) -> Fate | None:
    return BY_NAME["unavailable" if model == "worn" and marker // PHASE % 2 else "fine"]


def _key(line: Line) -> str:
    """The key that a credential of the account stands for."""
    keys = CROWD_KEYS[line.backend]
    return keys[0] if line.credential == "default" else keys[int(line.credential.removeprefix(f"{line.backend.upper()}_"))]


@define
class Story:
    """One exchange of the crowd."""

    ask: Ask
    heard: Heard
    ended: Ended
    log: list[Asked]

    @property
    def reply(self) -> str:
        """What is wrong with what the client got."""
        heard, last, error = self.heard, self.log[-1] if self.log else None, self.ended.error
        if isinstance(error, Resting):  # it was not asked for a reply, or with no further key
            told = (heard.status >= 400, len(heard.errors), heard.text, heard.successes, "retry-after" in heard.headers)
            return "" if told == (True, 1, "", 0, True) else "it should be told to ask later"
        if last is None:
            return "nobody was asked"
        if last.fate.kind != (error.kind if isinstance(error, GatewayError) else None):
            return f"it should have ended as {last.fate}"
        if last.fate.kind is None:
            good: tuple[int, str, int, list[Any]] = (200, last.text, 1, [])
            return "" if good == (heard.status, heard.text, heard.successes, heard.errors) else f"not {good}"
        if heard.successes or len(heard.errors) != 1 or not last.text.startswith(heard.text):
            return "a failure must be one error, no success, and the beginning of one text"
        heard_of = not last.fate.told or f"<{last.number}.error>" in heard.errors[0]["message"]
        return "" if heard_of else "it does not hear of its own failure"

    @property
    def account(self) -> str:
        """Where the account is not what the providers' logs have."""
        log = [(entry.backend, entry.model, entry.key, entry.fate.kind or "ok") for entry in self.log]
        lines = [
            (line.backend, line.model, _key(line), line.outcome) for line in self.ended.account for _ in range(line.requests)
        ]
        return "" if lines == log else f"the logs have {log}"


@define
class Crowd:
    """All of them, and what each could know."""

    stories: Sequence[Story]
    revoked: list[tuple[Story, Asked]] = field(init=False)
    unpaid: list[tuple[Story, Asked]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        marks = [(story, entry) for story in self.stories for entry in story.log if entry.backend == "ivy"]
        self.revoked = [(story, entry) for story, entry in marks if entry.fate.kind == "authentication"]
        self.unpaid = [(story, entry) for story, entry in marks if entry.fate.kind == "billing"]

    def may_rest(self, story: Story, key: str) -> bool:
        """Whether another exchange may have found out in time that a key is to be left alone."""
        end = story.ended.until
        return any(entry.key == key and entry.at <= end for _, entry in self.revoked) or any(
            entry.key == key and entry.at <= end and story.ended.since <= entry.at + QUOTA_REST + 2.0 for _, entry in self.unpaid
        )

    def must_rest(self, story: Story, asked: Asked) -> bool:
        """Whether it was known before the exchange began that the key is to be left alone."""
        marks = [(other, entry.at + LEAST_REST) for other, entry in self.revoked if entry.key == asked.key]
        marks += [(other, entry.at + QUOTA_REST) for other, entry in self.unpaid if entry.key == asked.key]
        return any(other.ended.ended < story.ended.began and asked.at < until for other, until in marks)

    def keys(self, story: Story) -> str:
        """What is wrong with the choice of keys, and with what came after them."""
        lines = [line for line in story.ended.account if line.backend == "ivy"]
        used = [_key(line) for line in lines]
        if len(used) != len(set(used)):
            return "a key was used twice"
        if wrong := [line for line in lines[:-1] if line.outcome not in OF_A_KEY]:
            return f"another key does not cure {wrong}"
        if wrong_keys := [entry for entry in story.log if entry.backend == "ivy" and self.must_rest(story, entry)]:
            return f"a key that rests was used: {wrong_keys}"
        spent = not lines or lines[-1].outcome in OF_A_KEY
        if spent and (left := [key for key in IVY_KEYS if key not in used and not self.may_rest(story, key)]):
            return f"keys were left: {left}"
        begun = any(entry.backend == "ivy" and entry.fate.place in ("fine", "after") for entry in story.log)
        goes_on = "|" in story.ask.name and not begun and (not lines or lines[-1].outcome in GO_ON)
        others = [line for line in story.ended.account if line.backend != "ivy"]
        if goes_on != (len(others) == 1):
            return "the chain should go on" if goes_on else "the chain should end"
        if isinstance(story.ended.error, Resting) and not spent:
            return "not all keys rest"
        return ""

    def breaker(self, story: Story) -> str:
        """What is wrong with how the worn model was left alone."""
        worn = [one for one in self.stories if one.ask.name == "joe:worn"]
        failed = [one for one in worn if one.log and one.log[0].fate.kind and one is not story]
        if not story.log:
            before = [one for one in failed if one.log[0].at <= story.ended.until]
            justified = isinstance(story.ended.error, Resting) and story.ended.error.status == 503 and len(before) >= FAILURES
            return "" if justified else "it should have been asked"
        asked = story.log[0].at
        recent = [one for one in failed if one.ended.ended < story.ended.began and asked < one.log[0].at + 0.75 * OPEN]
        since = min((one.ended.began for one in recent), default=0)
        fine = [one for one in worn if one.log and one.log[0].fate.kind is None and one.ended.ended > since]
        fine = [one for one in fine if one.ended.began < story.ended.began and one is not story]
        return "" if len(recent) < FAILURES or fine else "it should have been left alone"


async def test_keys_that_were_refused_and_models_that_keep_failing_are_left_alone(
    toybox: Toybox, caplog: pytest.LogCaptureFixture
) -> None:
    """What one exchange learns of a key or of a model holds for those that begin after it, and for none longer than it should."""
    clock, fates = Ticking(), Fates(SEED, fine=50, among=AMONG_KEYS)
    plans = [crowded(marker) for marker in range(1, CROWD + 1)]
    providers = [
        ChaosProvider("ivy", "chat", fates, CROWD_KEYS["ivy"], _of_ivy, lambda: clock.now),
        ChaosProvider("joe", "anthropic", fates, CROWD_KEYS["joe"], _of_joe, lambda: clock.now),
    ]
    plugins = [
        {"key-rotation": {"quota_rest": QUOTA_REST}},
        {"circuit-breaker": {"failures": FAILURES, "open": OPEN, "longest": 2 * OPEN}},
    ]

    run = await driven(toybox, providers, plans, clock, routes=["failover"], plugins=plugins)

    ended, logs = run.register.ended, run.logs
    crowd = Crowd([Story(plan, run.heard[plan.marker], ended[plan.marker][0], logs.get(plan.marker, [])) for plan in plans])
    wrong = [
        f"{story}\n{fault}"
        for story in crowd.stories
        if (fault := story.account or story.reply or (crowd.breaker if story.ask.name == "joe:worn" else crowd.keys)(story))
    ]
    assert not wrong, f"{len(wrong)} went wrong; {run.hits}\n" + "\n\n".join(wrong[:5])
    run.check()
    assert [] == _errors(caplog)
    assert 1 == sum("refuses the key of" in record.getMessage() for record in caplog.records)
    used = {entry.key for story in crowd.stories for entry in story.log if entry.backend == "ivy"}
    assert used == set(IVY_KEYS)
    worn = [story for story in crowd.stories if story.ask.name == "joe:worn"]
    spared, again = [one for one in worn if not one.log], [one for one in worn if one.ask.marker > 4 * PHASE and one.log]
    assert len(spared) >= LEAST_HITS and again, (len(spared), len(again), run.hits)
