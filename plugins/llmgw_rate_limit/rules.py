"""What limits one client: a rule for each limit that holds for what it asks, with its own buckets and its own table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from ipaddress import IPv6Address, ip_address, ip_network
from math import inf
from typing import Final, Literal
from urllib.parse import quote

from attrs import evolve, frozen

from llmgw import Bucket, Exchange, Limits
from llmgw.model import RateLimit

Scope = Literal["requests", "tokens"]

MINUTE: Final = 60.0
_PREFIX: Final = "rate-limit"
_NETWORK: Final = 64
"""Bits of an IPv6 address that one client cannot choose: all that is behind them is its own (RFC 6177, 2)."""


def stored(*words: str) -> str:
    """A key in the store; no words make the key of others.

    SECURITY: names of clients and patterns of the configuration, never what a client has written.
    """
    return ":".join([_PREFIX, *(quote(word, safe="") for word in words)])


@frozen
class Client:
    """Who is limited.

    Args:
        id: unique, for keys in the store.
        told: for messages, as ``The key 'alice'``.
    """

    id: str
    told: str

    @classmethod
    def of(cls, exchange: Exchange) -> Client:
        """By its key, or by its address where nobody is asked for one."""
        if exchange.principal is not None:
            return cls(f"key {exchange.principal.name}", f"The key '{exchange.principal.name}'")
        return cls(f"peer {_network(exchange.peer)}", "Each client")


def _network(peer: str) -> str:
    """An address, or the network that a client of IPv6 has for itself."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:  # a Unix socket has none
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or ip_network((address, _NETWORK), strict=False))


@frozen
class Rule:
    """One limit.

    Args:
        key: of its buckets and its table.
        limits: how much.
        told: who has it, the beginning of a sentence.
        where: the end of it.
        pattern: of the names it is for; None for all.
    """

    key: str
    limits: Limits
    told: str
    where: str = ""
    pattern: str | None = None

    def covers(self, names: Iterable[str]) -> bool:
        """Whether it is for any of these names."""
        return self.pattern is None or matches(self.pattern, names)

    def part(self, client: Client, active: int) -> Rule:
        """What of a shared limit is this client's, while so many share it."""
        limits, among = self.limits, max(1, active)
        return evolve(
            self,
            key=f"{self.key}:{quote(client.id, safe='')}",
            limits=Limits(
                requests=None if limits.requests is None else limits.requests / among,
                tokens=None if limits.tokens is None else limits.tokens / among,
                concurrent=None if limits.concurrent is None else max(1, limits.concurrent // among),
            ),
            told="Each client",
            where=f"{self.where}, the equal part of {among} who share a limit",
        )

    def amounts(self) -> Iterator[tuple[Scope, float]]:
        """What it limits by the minute."""
        limits: tuple[tuple[Scope, float | None], ...] = (("requests", self.limits.requests), ("tokens", self.limits.tokens))
        for scope, amount in limits:
            if amount is not None and amount < inf:
                yield scope, amount

    def sentence(self, scope: Scope | Literal["concurrent"]) -> str:
        """What it allows, for people."""
        limits = self.limits
        match scope:
            case "requests":
                return f"{self.told} may make {limits.requests:g} requests a minute{self.where}."
            case "tokens":
                return f"{self.told} may use {limits.tokens:g} tokens a minute{self.where}."
            case "concurrent":
                return f"{self.told} may have {limits.concurrent} requests under way at the same time{self.where}."


def matches(pattern: str, names: Iterable[str]) -> bool:
    """Whether any of these names is like a pattern of a shell."""
    return any(fnmatchcase(name, pattern) for name in names)


@frozen
class Share:
    """What one exchange takes by one rule.

    Args:
        rule: by which.
        scope: requests or tokens.
        bucket: to take from.
    """

    rule: Rule
    scope: Scope
    bucket: Bucket

    @classmethod
    def of(cls, rule: Rule, scope: Scope, a_minute: float, amount: float, burst: float) -> Share:
        """Take an amount of what comes in a minute; of requests a bucket holds at least one."""
        least = 1.0 if scope == "requests" else 0.0
        capacity = max(least, a_minute * burst)
        return cls(rule, scope, Bucket(f"{rule.key}:{scope}", amount, capacity, a_minute / MINUTE))

    def told(self, left: float, now: float) -> RateLimit:
        """For the client's headers; the limit is what can be had at once, and ``now`` is in Unix seconds."""
        bucket = self.bucket
        until = now + max(0.0, bucket.capacity - left) / bucket.rate
        return RateLimit(self.scope, int(bucket.capacity), max(0, int(left)), until)

    def due(self, used: float, names: Iterable[str]) -> float:
        """What it comes to in the end: requests were made, and tokens only of what the rule is for."""
        if self.scope == "requests":
            return self.bucket.amount
        return used if self.rule.covers(names) else 0.0

    def missing(self, left: float) -> float:
        """Seconds until there is enough; infinite where there never is."""
        bucket = self.bucket
        if bucket.amount > bucket.capacity:
            return inf
        return max(0.0, bucket.amount - left) / bucket.rate
