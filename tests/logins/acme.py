"""A vendor with a login: what is its own, and its token server, which knows a refresh token that comes twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from attrs import define, field

from llmgw.stages import Clock
from llmgw_logins import CredentialFile, Login, Mode, Tokens, Vendor, granted, lock_file
from tests.backends.fakes.server import Came, FakeVendor, Refused

LIFE = 3600
ADVICE = "Run: acme login"


@define(eq=False)
class TokenServer(FakeVendor):
    """Grants tokens ``a1``, ``a2`` ... and turns ``r1`` into ``r2`` ...; a refresh token is good once."""

    turns_over: bool = True
    granted: int = 0
    used: set[str] = field(factory=set)

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        form = await request.post() if not came.body.startswith(b"{") else came.json
        assert "refresh_token" == form["grant_type"]
        token = str(form["refresh_token"])
        if token in self.used or not token.startswith("r"):
            raise Refused(400, {"error": "invalid_grant"})
        if self.turns_over:
            self.used.add(token)
        self.granted += 1
        fresh = {"refresh_token": f"r{self.granted}"} if self.turns_over else {}
        return web.json_response({"access_token": f"a{self.granted}", "expires_in": LIFE, **fresh})


@define(eq=False)
class Acme(Vendor):
    """Keeps ``{"token": {"access", "refresh", "until"}, ...}``, with its times in milliseconds."""

    url: str
    locked: Path | None = None
    advice = ADVICE
    skew = 60.0

    def tokens(self, tree: Mapping[str, Any]) -> Tokens | None:
        held = tree.get("token")
        if not isinstance(held, dict) or not held.get("access"):
            return None
        return Tokens(held["access"], held.get("refresh"), held["until"] / 1000 if "until" in held else None)

    async def grant(self, http: aiohttp.ClientSession, tokens: Tokens) -> Mapping[str, Any]:
        return await granted(http, self.url, form={"grant_type": "refresh_token", "refresh_token": tokens.refresh or ""})

    def merged(self, tree: Mapping[str, Any], answer: Mapping[str, Any], now: float) -> dict[str, Any]:
        held = {**tree["token"], "access": answer["access_token"], "until": int((now + answer["expires_in"]) * 1000)}
        if "refresh_token" in answer:
            held["refresh"] = answer["refresh_token"]
        return {**tree, "token": held}

    def lock(self, file: CredentialFile, clock: Clock) -> AbstractAsyncContextManager[None]:
        if self.locked is None:
            return super().lock(file, clock)
        return lock_file(self.locked, stale=1e12, tries=3, pause=lambda number: 1.0, clock=clock)


def written(path: Path, access: str, refresh: str | None, until: float, **rest: Any) -> None:
    """Write a login, as Acme's own client would."""
    held = {"access": access, "until": int(until * 1000)} | ({} if refresh is None else {"refresh": refresh})
    other = path.with_name("new")
    other.write_text(json.dumps({"first": 1, "token": held, **rest}))
    other.replace(path)


def login(path: Path, url: str, clock: Clock, mode: Mode = "co-manage", **rest: Any) -> Login:
    """A login that is kept in a file."""
    locked = rest.pop("locked", None)
    return Login("acme", Acme(url, locked), CredentialFile(path, ADVICE), mode, clock, **rest)
