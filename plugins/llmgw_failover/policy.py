"""When to go on to another target, and when to give up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, get_args

from attrs import asdict, define, evolve, frozen

from llmgw.errors import GatewayError, Kind, Misconfigured, Unsupported, UpstreamError
from llmgw.nearest import did_you_mean

_NEVER: Final = ("cancelled", "gateway_config", "internal")


@frozen
class Limits:
    """A policy, complete; the arguments are the options of ``Failover``."""

    GO_ON: ClassVar[tuple[Kind, ...]] = (
        "rate_limited", "overloaded", "upstream_error", "timeout", "authentication", "billing", "permission",
        "model_not_found", "context_length", "unsupported_feature",
    )  # fmt: skip

    on: Sequence[str]
    attempts: int
    deadline: float
    rounds: int
    wait: float
    pause: float

    def allows(self, failure: GatewayError) -> bool:
        """Whether another target may be tried after this failure.

        Args:
            failure: of a provider, of its credential that is not set, or a request that one model cannot take.
        """
        if isinstance(failure, Misconfigured):
            return True
        return isinstance(failure, UpstreamError | Unsupported) and failure.kind in self.on

    def problems(self) -> Iterator[str]:
        """What is wrong with the numbers and the names."""
        known = [kind for kind in get_args(Kind) if kind not in _NEVER]
        for kind in self.on:
            if kind not in known:
                advice = did_you_mean(kind, known) or f"there are: {', '.join(known)}"
                yield f"no class of failure is called {kind!r}; {advice} @ routes.failover"
        for name, least in (("attempts", 1), ("rounds", 1), ("deadline", 0), ("wait", 0), ("pause", 0)):
            if not least <= getattr(self, name) < float("inf"):
                yield f"{name} must be a number from {least} on, found {getattr(self, name)} @ routes.failover"


@define(eq=False, kw_only=True)
class Policy:
    """What of the plugin's own options is otherwise for one model, and what stands behind its name.

    Args:
        chain: the targets, as one text with signs or as a list; None asks for the name itself.
        on: as the plugin's.
        attempts: as the plugin's.
        deadline: as the plugin's.
        rounds: as the plugin's.
        wait: as the plugin's.
        pause: as the plugin's.
    """

    chain: str | list[str] | None = None
    on: list[str] | None = None
    attempts: int | None = None
    deadline: float | None = None
    rounds: int | None = None
    wait: float | None = None
    pause: float | None = None

    def over(self, usual: Limits) -> Limits:
        """The usual policy, with what is otherwise here."""
        told = {name: value for name, value in asdict(self).items() if name != "chain" and value is not None}
        return evolve(usual, **told)
