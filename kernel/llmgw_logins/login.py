"""A login that is kept fresh: one state machine for all vendors, who differ in their files, their locks and their words.

What it does when a token is due, or was refused, in this order:

1. read the file again: whoever else uses it may have been faster;
2. let only one of this process go on, and only one of llmgw's processes (a lock beside the file that only llmgw knows);
3. take the vendor's lock as the vendor's own client takes it, and read again;
4. ask for a token, and put it into what the file holds at that moment.

A refresh token that was refused for good is not tried again until the file changes.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

import aiohttp
from attrs import define, field, frozen

from llmgw.errors import CredentialUnusable
from llmgw.stages import Clock, CredentialState
from llmgw_logins.commands import CommandFailed
from llmgw_logins.files import CredentialFile
from llmgw_logins.grants import GrantRefused
from llmgw_logins.locks import LockBusy, flocked

log = logging.getLogger("llmgw.logins")

Mode = Literal["env", "delegate", "follow", "co-manage"]

_OURS_WAIT = 60.0
"""Seconds for another of llmgw's processes to refresh: longer than any token server may take."""


@frozen
class Tokens:
    """What a file or a variable holds.

    Args:
        access: shown to the provider.
        refresh: for a fresh one; None where there is none.
        expires_at: Unix seconds; None where nobody says.
        about: what else a back-end needs, as the account's id.
    """

    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    about: Mapping[str, str] = field(factory=dict)


class Vendor(ABC):
    """What is a vendor's own about its login."""

    advice: ClassVar[str]
    """What to do where there is no login: ``Run: acme login``."""
    skew: ClassVar[float] = 60.0
    """Seconds before the end at which a token is due."""
    locks_grant: ClassVar[bool] = True
    """Whether the vendor's lock is held while the token server is asked, and not only while the file is written."""

    @abstractmethod
    def tokens(self, tree: Mapping[str, Any]) -> Tokens | None:
        """What a file's content holds; None where nobody is logged in."""

    async def grant(self, http: aiohttp.ClientSession, tokens: Tokens) -> Mapping[str, Any]:
        """Ask for fresh ones.

        Raises:
            GrantRefused: there are none.
        """
        raise GrantRefused("this login cannot be refreshed here", permanent=True)

    def merged(self, tree: Mapping[str, Any], answer: Mapping[str, Any], now: float) -> dict[str, Any]:
        """What a file holds once the token server's answer is in it; whatever else is there stays.

        Args:
            tree: what it holds now.
            answer: the server's.
            now: Unix seconds.
        """
        raise NotImplementedError

    def lock(self, file: CredentialFile, clock: Clock) -> AbstractAsyncContextManager[None]:
        """The lock that the vendor's own client takes; none by default.

        Raises:
            LockBusy: on entering, somebody else holds it.
        """
        return nullcontext()


@define(eq=False)
class Login:
    """A vendor's login.

    Args:
        name: of the back-end, for messages.
        vendor: whose.
        file: where the vendor's client keeps it.
        mode: how a fresh token is come by.
        clock: the gateway's.
        given: the token that a variable holds, for ``env``.
        where: that variable.
        delegate: makes the vendor's client refresh its file, for ``delegate``; where it raises ``CommandFailed`` that is
            told, and the file followed.
    """

    name: str
    vendor: Vendor
    file: CredentialFile
    mode: Mode
    clock: Clock
    given: Tokens | None = None
    where: str = ""
    delegate: Callable[[], Awaitable[None]] | None = None
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _dead: str | None = field(default=None, init=False, repr=False)
    """The refresh token that was refused for good."""

    async def tokens(self, http: aiohttp.ClientSession) -> Tokens:
        """Tokens that the provider may be expected to take.

        Raises:
            CredentialUnusable: nobody is logged in, or the login has ended; the message says what to run.
        """
        if self.given is not None:
            return self.given
        known = self._read()
        if not self._due(known, self.vendor.skew):
            return known
        return await self._fresh(http, known, refused=False)

    async def renewed(self, http: aiohttp.ClientSession, refused: str) -> Tokens | None:
        """Other tokens than these, which the provider has refused; None where there are none.

        Args:
            http: the gateway's session.
            refused: the access token.

        Raises:
            CredentialUnusable: the login has ended.
        """
        if self.given is not None:
            return None
        known = self._read()
        if known.access != refused:
            return known
        if self.mode == "follow":
            return None
        fresh = await self._fresh(http, known, refused=True)
        return fresh if fresh.access != refused else None

    @property
    def state(self) -> CredentialState:
        """What there is to say of it."""
        if self.given is not None:
            return CredentialState(self.where, f"token from {self.where}", expires_at=self.given.expires_at)
        try:
            known = self._read()
        except CredentialUnusable as error:
            return CredentialState(self.file.shown, "no login", problem=str(error))
        told = f"login from {self.file.shown}, {self.mode}"
        problem = self._ended(known) if self._due(known, 0.0) and self.mode == "follow" else ""
        return CredentialState(self.file.shown, told, problem=problem, expires_at=known.expires_at)

    # ---- refreshing

    async def _fresh(self, http: aiohttp.ClientSession, old: Tokens, *, refused: bool) -> Tokens:
        async with self._turn:
            known = self._read()
            if known.access != old.access:
                return known
            if self.mode == "follow":
                return self._still_good(known)
            if self.mode == "delegate":
                return await self._delegated(known, refused=refused)
            return await self._granted(http, known, refused=refused)

    async def _delegated(self, old: Tokens, *, refused: bool) -> Tokens:
        assert self.delegate is not None
        try:
            await self.delegate()
        except CommandFailed as error:
            log.warning("back-end '%s': the vendor's own command gave no fresh token: %s", self.name, error)
        known = self._read()
        return known if known.access != old.access or refused else self._still_good(known)

    async def _granted(self, http: aiohttp.ClientSession, old: Tokens, *, refused: bool) -> Tokens:
        ours = self.file.path.with_name(f"{self.file.path.name}.llmgw.lock")
        try:
            async with flocked(ours, wait=_OURS_WAIT, clock=self.clock):
                if not self.vendor.locks_grant:
                    return await self._asked(http, old, refused=refused)
                async with self.vendor.lock(self.file, self.clock):
                    return await self._asked(http, old, refused=refused)
        except LockBusy as busy:
            log.warning("back-end '%s': %s is held by somebody else; the login is not refreshed now", self.name, busy)
        except OSError as error:
            log.warning("back-end '%s': no lock for the login: %s", self.name, error.strerror)
        return self._still_good(self._read())

    async def _asked(self, http: aiohttp.ClientSession, old: Tokens, *, refused: bool) -> Tokens:
        """Ask the token server, alone, and keep what it answers."""
        known = self._read()
        if known.access != old.access:
            return known
        if known.refresh is None or known.refresh == self._dead:
            raise CredentialUnusable(self._ended(known))
        try:
            answer = await self.vendor.grant(http, known)
        except GrantRefused as failure:
            return self._refused(failure, known, refused=refused)
        if self.vendor.locks_grant:
            return self._written(answer)
        async with self.vendor.lock(self.file, self.clock):
            return self._written(answer)

    def _written(self, answer: Mapping[str, Any]) -> Tokens:
        now = self.clock.time()
        made = self.vendor.tokens(self.file.merge(lambda tree: self.vendor.merged(tree, answer, now)))
        assert made is not None, "the answer had a token"
        return made

    def _refused(self, failure: GrantRefused, old: Tokens, *, refused: bool) -> Tokens:
        known = self._read()
        if known.access != old.access or (known.refresh is not None and known.refresh != old.refresh):
            return known  # somebody else has logged in meanwhile
        if failure.permanent:
            self._dead = old.refresh
            raise CredentialUnusable(f"The login of '{self.name}' was revoked or has ended ({failure}). {self.vendor.advice}")
        log.warning("back-end '%s': the login is not refreshed now: %s", self.name, failure)
        if refused or self._due(old, 0.0):
            raise CredentialUnusable(f"The login of '{self.name}' cannot be refreshed now: {failure}. Ask again later.")
        return old

    # ---- reading

    def _read(self) -> Tokens:
        known = self.vendor.tokens(self.file.read())
        if known is None:
            raise CredentialUnusable(f"Nobody is logged in: {self.file.shown} holds no token. {self.vendor.advice}")
        return known

    def _due(self, known: Tokens, skew: float) -> bool:
        return known.expires_at is not None and known.expires_at - self.clock.time() <= skew

    def _still_good(self, known: Tokens) -> Tokens:
        if self._due(known, 0.0):
            raise CredentialUnusable(self._ended(known))
        return known

    def _ended(self, known: Tokens) -> str:
        at = datetime.fromtimestamp(known.expires_at, UTC).strftime(" on %Y-%m-%d %H:%M UTC") if known.expires_at else ""
        return f"The login in {self.file.shown} has ended{at}. {self.vendor.advice}"
