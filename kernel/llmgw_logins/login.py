"""A login that is kept fresh: one state machine for all vendors, who differ in their files, their locks and their words.

What it does when a token is due, or was refused, in this order:

1. read the file again: whoever else uses it may have been faster;
2. let only one of this process go on, and only one of llmgw's processes (a lock beside the file that only llmgw knows);
3. take the vendor's lock as the vendor's own client takes it, and read again;
4. ask for a token, and put it into what the file holds at that moment.

A refresh token that was refused for good is not tried again until the file changes, and a token server that is down is left
alone for a while. Whoever asked may leave in the middle: what has been begun is brought to its end, for the token server may
have taken the old refresh token already. What it answered is never thrown away: where it cannot be written it is kept in memory,
and written as soon as it can be. Lost is it only where this process is killed between the answer and the write, and then only
at vendors whose refresh tokens are good for one use: there the message is the one for a login that was revoked.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal, TypeVar

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
_T = TypeVar("_T")

_OURS_WAIT = 60.0
"""Seconds for another of llmgw's processes to refresh: longer than any token server may take."""

_NEW = 60.0
"""Seconds after a grant within which its token is not exchanged for another, whatever the provider says of it."""

PAUSE = 10.0
"""Seconds for which nobody is asked again who gave no fresh token, so that a hundred requests do not each wait for it."""


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
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False, repr=False)
    _dead: str | None = field(default=None, init=False, repr=False)
    """The refresh token that was refused for good."""
    _paused: tuple[float, str, str] | None = field(default=None, init=False, repr=False)
    """Until when nobody is asked for another token than this one, and why."""
    _new: tuple[float, str] | None = field(default=None, init=False, repr=False)
    """Until when this token, which we were granted, is a new one."""
    _unwritten: list[tuple[Mapping[str, Any], float]] = field(factory=list, init=False, repr=False)
    """What the token server answered, and when, as long as it could not be written."""
    _of: str | None = field(default=None, init=False, repr=False)
    """The refresh token that the file then still holds."""
    _write_at: float = field(default=0.0, init=False, repr=False)

    async def tokens(self, http: aiohttp.ClientSession) -> Tokens:
        """Tokens that the provider may be expected to take.

        Raises:
            CredentialUnusable: nobody is logged in, or the login has ended; the message says what to run.
        """
        if self.given is not None:
            if self._due(self.given, 0.0):
                raise CredentialUnusable(self._spent(self.given))
            return self.given
        if self._unwritten and self.clock.monotonic() >= self._write_at:
            await self._written_at_last()
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
        if known.access != refused and not self._due(known, 0.0):
            return known
        fresh = await self._fresh(http, known, refused=True)
        return fresh if fresh.access != refused else None

    @property
    def state(self) -> CredentialState:
        """What there is to say of it."""
        if self.given is not None:
            problem = self._spent(self.given) if self._due(self.given, 0.0) else ""
            return CredentialState(self.where, f"token from {self.where}", problem=problem, expires_at=self.given.expires_at)
        try:
            known = self._read()
        except CredentialUnusable as error:
            return CredentialState(self.file.shown, "no login", problem=str(error))
        told = f"login from {self.file.shown}, {self.mode}"
        hopeless = self.mode == "follow" or (self.mode == "co-manage" and known.refresh in (None, self._dead))
        problem = self._ended(known) if hopeless and self._due(known, 0.0) else ""
        return CredentialState(self.file.shown, told, problem=problem, expires_at=known.expires_at)

    # ---- refreshing

    async def _fresh(self, http: aiohttp.ClientSession, old: Tokens, *, refused: bool) -> Tokens:
        async with self._turn:
            known = self._read()
            if self._better(known, old):
                return known
            if self.mode == "follow":
                return self._still_good(known)
            if refused and self._new is not None and self._is(known, *self._new):
                return known  # a provider that refuses what is quite fresh does not want another
            if self._paused is not None and self._is(known, *self._paused[:2]):
                return self._without(known, self._paused[2], refused=refused)
            if self.mode == "delegate":
                return await _to_the_end(self._delegated(known, refused=refused))
            return await _to_the_end(self._granted(http, known, refused=refused))

    async def _delegated(self, old: Tokens, *, refused: bool) -> Tokens:
        assert self.delegate is not None
        try:
            await self.delegate()
        except CommandFailed as error:
            log.warning("back-end '%s': the vendor's own command gave no fresh token: %s", self.name, error)
        known = self._read()
        return known if self._better(known, old) else self._failed(known, "", refused=refused)

    async def _granted(self, http: aiohttp.ClientSession, old: Tokens, *, refused: bool) -> Tokens:
        try:
            async with AsyncExitStack() as held:
                await held.enter_async_context(self._ours())
                if self.vendor.locks_grant:
                    await held.enter_async_context(self.vendor.lock(self.file, self.clock))
                return await self._asked(http, old, refused=refused)
        except LockBusy as busy:
            why = f"{busy} is held by somebody else"
        except OSError as error:
            why = f"no lock can be made beside its file ({error.strerror})"
        log.warning("back-end '%s': the login is not refreshed now: %s", self.name, why)
        known = self._read()
        return known if self._better(known, old) else self._failed(known, why, refused=refused)

    def _ours(self) -> AbstractAsyncContextManager[None]:
        """The lock among llmgw's own processes; all who come to the same file by other paths take the same one."""
        path = self.file.path.resolve()
        return flocked(path.with_name(f"{path.name}.llmgw.lock"), wait=_OURS_WAIT, clock=self.clock)

    async def _asked(self, http: aiohttp.ClientSession, old: Tokens, *, refused: bool) -> Tokens:
        """Ask the token server, alone, and keep what it answers; where somebody logs in meanwhile, ask once more for that one."""
        for _ in range(2):
            known = self._read()
            if self._better(known, old):
                return known
            if known.refresh is None or known.refresh == self._dead:
                return self._hopeless(known, refused=refused)
            try:
                answer = await self.vendor.grant(http, known)
            except GrantRefused as failure:
                if self._read().refresh in (None, known.refresh):
                    return self._refused(failure, known, refused=refused)
            else:
                return await self._kept(known, answer)
        return self._failed(self._read(), "somebody else changes it all the time", refused=refused)

    def _refused(self, failure: GrantRefused, old: Tokens, *, refused: bool) -> Tokens:
        known = self._read()
        if self._better(known, old):
            return known  # somebody else has a fresh one meanwhile
        if not failure.permanent:
            log.warning("back-end '%s': the login is not refreshed now: %s", self.name, failure)
            return self._failed(known, str(failure), refused=refused)
        self._dead = old.refresh
        message = f"The login of '{self.name}' was revoked or has ended ({failure}). {self.vendor.advice}"
        if refused or self._due(old, 0.0):
            raise CredentialUnusable(message)
        log.warning("back-end '%s': %s", self.name, message)
        return old

    def _failed(self, known: Tokens, why: str, *, refused: bool) -> Tokens:
        self._paused = (self.clock.monotonic() + PAUSE, known.access, why)
        return self._without(known, why, refused=refused)

    def _without(self, known: Tokens, why: str, *, refused: bool) -> Tokens:
        """The old ones while they are good; there are no others for the time being."""
        if self.mode == "delegate":
            return known if refused else self._still_good(known)
        if refused or self._due(known, 0.0):
            told = f"The login of '{self.name}' cannot be refreshed now: {why}. Ask again later."
            raise CredentialUnusable(told, retry_after=PAUSE)
        return known

    # ---- keeping what the token server answered

    async def _kept(self, old: Tokens, answer: Mapping[str, Any]) -> Tokens:
        if not self._unwritten:
            self._of = old.refresh
        self._unwritten.append((answer, self.clock.time()))
        await self._stored(locked=self.vendor.locks_grant)
        known = self._read()
        self._new = (self.clock.monotonic() + _NEW, known.access)
        return known

    async def _stored(self, *, locked: bool) -> None:
        """Write what is not yet written, under the vendor's lock."""
        try:
            async with nullcontext() if locked else self.vendor.lock(self.file, self.clock):
                return self._write()
        except (LockBusy, OSError) as error:
            # The old refresh token may be spent: it is worse to leave it in the file than to write when it is not our turn.
            log.warning("back-end '%s': the fresh login is written without the lock: %s", self.name, type(error).__name__)
        return self._write()

    def _write(self) -> None:
        try:
            self.file.merge(self._change)
        except CredentialUnusable as error:
            if not self.file.path.exists():  # somebody has logged out
                self._unwritten.clear()
                raise
            self._write_at = self.clock.monotonic() + PAUSE
            log.error("back-end '%s': %s The fresh login is kept in memory until it can be written.", self.name, error)
        else:
            self._unwritten.clear()

    def _change(self, tree: dict[str, Any]) -> dict[str, Any] | None:
        """What the file is to hold; None where somebody has logged in or out meanwhile, which counts more."""
        held = self.vendor.tokens(tree)
        return None if held is None or held.refresh != self._of else self._merged(tree)

    def _merged(self, tree: dict[str, Any]) -> dict[str, Any]:
        for answer, at in self._unwritten:
            tree = self.vendor.merged(tree, answer, at)
        return tree

    async def _written_at_last(self) -> None:
        async with self._turn:
            if self._unwritten:
                await _to_the_end(self._stored(locked=False))

    # ---- reading

    def _read(self) -> Tokens:
        tree = self.file.read()
        known = self.vendor.tokens(tree)
        if known is None:
            self._unwritten.clear()
            raise CredentialUnusable(f"Nobody is logged in: {self.file.shown} holds no token. {self.vendor.advice}")
        if self._unwritten:
            if known.refresh == self._of:
                return self.vendor.tokens(self._merged(tree)) or known
            self._unwritten.clear()  # somebody has logged in anew
        return known

    def _better(self, known: Tokens, old: Tokens) -> bool:
        """Whether somebody else has come by a fresh token."""
        return known.access != old.access and not self._due(known, 0.0)

    def _is(self, known: Tokens, until: float, access: str) -> bool:
        return known.access == access and self.clock.monotonic() < until

    def _due(self, known: Tokens, skew: float) -> bool:
        return known.expires_at is not None and known.expires_at - self.clock.time() <= skew

    def _still_good(self, known: Tokens) -> Tokens:
        if self._due(known, 0.0):
            raise CredentialUnusable(self._ended(known))
        return known

    def _hopeless(self, known: Tokens, *, refused: bool) -> Tokens:
        if refused:
            raise CredentialUnusable(self._ended(known))
        return self._still_good(known)

    def _ended(self, known: Tokens) -> str:
        ended = f"has ended{_on(known)}" if self._due(known, 0.0) else "was refused"
        return f"The login in {self.file.shown} {ended}. {self.vendor.advice}"

    def _spent(self, given: Tokens) -> str:
        return f"The token in {self.where} has ended{_on(given)}. Put a fresh one there, or unset it. {self.vendor.advice}"


def _on(known: Tokens) -> str:
    """When it ended, for people."""
    try:
        return datetime.fromtimestamp(known.expires_at or 0, UTC).strftime(" on %Y-%m-%d %H:%M UTC") if known.expires_at else ""
    except (ValueError, OverflowError, OSError):  # a time that is none
        return ""


async def _to_the_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Its result; it is not broken off when whoever waits is."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})  # or another would begin while this one is still at it
        raise
