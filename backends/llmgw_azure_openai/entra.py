"""Tokens of Entra ID, Microsoft's logins: asked of the command ``az``, or granted to a service principal."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final

import aiohttp
from attrs import define, field, frozen

from llmgw import jsons
from llmgw.errors import CredentialUnusable
from llmgw.secret import Secret
from llmgw.stages import Clock, CredentialState
from llmgw_logins import CommandFailed, GrantRefused, ask, expiry, found, granted

log = logging.getLogger("llmgw.logins")

SKEW: Final = 60.0
"""Seconds before its end at which a token is due."""
UNTOLD: Final = 300.0
"""Seconds for which a token is used that does not say when it ends."""
_DEFAULT: Final = "/.default"


@frozen
class Token:
    """A token, and when it ends, in Unix seconds."""

    access: str = field(repr=False)
    expires_at: float


class Source(ABC):
    """Where tokens come from."""

    advice: str
    """What to do where none comes."""

    @abstractmethod
    async def token(self, http: aiohttp.ClientSession, now: float) -> Token:
        """A fresh one.

        Raises:
            CommandFailed: the command gave none.
            GrantRefused: the token server gave none.
        """

    @property
    @abstractmethod
    def state(self) -> CredentialState:
        """What there is to say of it without asking."""


@frozen
class Principal(Source):
    """A service principal, who shows a secret (RFC 6749, 4.4).

    Args:
        token_url: of its tenant.
        client_id: who it is.
        secret: its own.
        scope: of the tokens.
    """

    token_url: str
    client_id: str
    secret: Secret
    scope: str

    @property
    def advice(self) -> str:  # type: ignore[override]  # it names the principal
        """What to do where its secret is refused."""
        return (
            f"Check AZURE_TENANT_ID, AZURE_CLIENT_ID and {self.secret.name}; for a new secret run: "
            f"az ad app credential reset --id {self.client_id}"
        )

    async def token(self, http: aiohttp.ClientSession, now: float) -> Token:
        """One that its tenant's token server grants."""
        form = {"grant_type": "client_credentials", "client_id": self.client_id, "client_secret": self.secret.reveal()}
        answer = await granted(http, self.token_url, form={**form, "scope": self.scope})
        return Token(answer["access_token"], now + _seconds(answer.get("expires_in")))

    @property
    def state(self) -> CredentialState:
        """Who it is."""
        return CredentialState(self.secret.name, f"service principal {self.client_id} with {self.secret.name}")


@frozen
class Az(Source):
    """The Azure CLI, which keeps somebody's login and knows best how.

    Args:
        scope: of the tokens.
        env: the environment in which it is run.
    """

    scope: str
    env: Mapping[str, str] = field(repr=False)
    advice: str = "Run: az login"

    async def token(self, http: aiohttp.ClientSession, now: float) -> Token:
        """One that it has, or gets."""
        command = found("az", self.env)
        if command is None:
            raise CommandFailed("there is no 'az' on PATH")
        resource = self.scope.removesuffix(_DEFAULT)
        printed = await ask([command, "account", "get-access-token", "--resource", resource, "--output", "json"], env=self.env)
        return _printed(printed, now)

    @property
    def state(self) -> CredentialState:
        """Whether it is there."""
        if found("az", self.env) is not None:
            return CredentialState("az", "login of 'az'")
        problem = (
            "Install the Azure CLI and run: az login. Or export AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET of a "
            "service principal."
        )
        return CredentialState("az", "no login: there is no 'az' on PATH", problem=problem)


@define(eq=False)
class Entra:
    """Tokens from one source, each used until it ends.

    Args:
        name: of the back-end, for messages.
        source: where they come from.
        clock: the gateway's.
    """

    name: str
    source: Source
    clock: Clock
    _known: Token | None = field(default=None, init=False, repr=False)
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def token(self, http: aiohttp.ClientSession) -> str:
        """A token that Azure may be expected to take; many who ask at once cause one question.

        Raises:
            CredentialUnusable: there is none; the message says what to run.
        """
        if (known := self._lasting(SKEW)) is not None:
            return known
        async with self._turn:
            if (known := self._lasting(SKEW)) is not None:
                return known
            try:
                return await self._asked(http)
            except CredentialUnusable as error:
                if (known := self._lasting(0.0)) is None:
                    raise
                log.warning("back-end '%s': the token is not renewed now: %s", self.name, error.message)
                return known

    async def renewed(self, http: aiohttp.ClientSession, refused: str) -> bool:
        """Whether there is another token now than the one that Azure has refused.

        Raises:
            CredentialUnusable: there is none at all.
        """
        async with self._turn:
            if self._known is not None and self._known.access != refused:
                return True
            return await self._asked(http) != refused

    @property
    def state(self) -> CredentialState:
        """What there is to say of it."""
        told, known = self.source.state, self._known
        return told if known is None else CredentialState(told.name, told.told, told.problem, known.expires_at)

    def _lasting(self, skew: float) -> str | None:
        known = self._known
        return known.access if known is not None and known.expires_at - self.clock.time() > skew else None

    async def _asked(self, http: aiohttp.ClientSession) -> str:
        try:
            self._known = await self.source.token(http, self.clock.time())
        except CommandFailed as error:
            raise CredentialUnusable(f"'{self.name}' has no token of Entra ID: {error}. {self.source.advice}") from None
        except GrantRefused as error:
            then = self.source.advice if error.permanent else "Ask again later."
            raise CredentialUnusable(f"'{self.name}' has no token of Entra ID: {error}. {then}") from None
        return self._known.access


def _printed(printed: bytes, now: float) -> Token:
    """What ``az`` prints; since 2.54 it says the end in Unix seconds (``expires_on``), and the token itself does too."""
    try:
        tree = jsons.loads(printed)
    except jsons.JsonError:
        tree = None
    tree = tree if isinstance(tree, dict) else {}
    access = tree.get("accessToken")
    if not isinstance(access, str) or not access:
        raise CommandFailed("'az' printed no token")
    told = tree.get("expires_on")
    ends = float(told) if isinstance(told, int | float) and not isinstance(told, bool) else expiry(access)
    return Token(access, now + UNTOLD if ends is None else ends)


def _seconds(told: object) -> float:
    try:
        return float(told)  # type: ignore[arg-type]  # what is no number says nothing
    except (TypeError, ValueError):
        return UNTOLD
