"""Stands before targets, and lets through what is short enough."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, Literal

from attrs import define, evolve, frozen

from llmgw import Exchange, Gateway, GatewayError, Guard, Loss, Onward, Race, Request, Route, Target, next_step, resolve
from llmgw.errors import ClientError, Kind, Misconfigured, UpstreamError
from llmgw.tokens import Words, each, estimated, frame
from llmgw_context_window.cutting import Shorter, shortened
from llmgw_context_window.limits import Limit, Policy
from llmgw_context_window.vocabularies import vocabulary

_NEAR: Final = 0.15
"""How far from the limit the estimate may be for the provider to be asked."""
_LONG: Final = 64 * 1024
"""Bytes of a body from which on it is counted beside the event loop."""
_FRAME: Final = 512
"""Tokens that a provider may put around a prompt, beside what stands in its body."""
# What takes more tokens than it has bytes: pictures, files, what the provider keeps. A match that is none costs a reading only.
_HEAVY: Final = re.compile(
    rb'"(?:(?:input_)?(?:image|file|audio|video)(?:_url|_data|_id|_uri|Data|Uri)?|document|inline_?[dD]ata|container_upload'
    rb'|item_reference|previous_response_id|conversation|cached_?[cC]ontent|prompt|encrypted_content|compaction)"'
)


class TooLong(UpstreamError):
    """A prompt that its model cannot take; the provider was not asked."""

    status = 400
    kind: Kind = "context_length"
    code: str | None = "context_length_exceeded"


@frozen
class Terms:
    """What holds for a target.

    Args:
        limit: how much it takes.
        policy: what becomes of more.
        route: another model to ask then.
        count: who counts.
        reserve: tokens for an answer of no said length.
    """

    limit: Limit
    policy: Policy
    route: str | None
    count: Literal["local", "provider"]
    reserve: int

    def surely_fits(self, request: Request) -> bool:
        """Whether a prompt is short enough without being read: a token has a byte at least."""
        raw = request.raw
        if raw is None or not request.untouched:
            return False
        most = min(self.limit.least_room, self.limit.room(self.reserve)) - _FRAME
        return len(raw.data) <= most and not _HEAVY.search(raw.data)

    def room(self, request: Request) -> int:
        """Tokens that its prompt may have."""
        asked = request.prompt.sampling.max_output
        return self.limit.room(self.reserve if asked is None else asked)


@define(eq=False)
class Standing(Guard):
    """Guards the targets of one exchange.

    Args:
        exchange: whose they are.
        terms: what holds for each.
    """

    exchange: Exchange
    terms: Callable[[Gateway, Target], Terms | None]

    async def attempts(self, target: Target, onward: Onward) -> AsyncGenerator[Target | Race, GatewayError | None]:
        """The attempts of those behind, of a target that can take the prompt.

        Raises:
            TooLong: it cannot, and nothing else is allowed.
        """
        async with aclosing(await self._route(target, onward)) as inner:
            failure: GatewayError | None = None
            while (step := await next_step(inner, failure)) is not None:
                failure = yield step

    async def _route(self, target: Target, onward: Onward) -> Route:
        request = target.request
        if request is None or request.operation != "generate":  # who counts or shortens a prompt must be able to
            return onward(target)
        terms = self.terms(self.exchange.gateway, target)
        if terms is None or terms.surely_fits(request):
            return onward(target)
        words, room = vocabulary(target.model), terms.room(request)
        tokens = await self._counted(target, request, room, terms, words)
        if tokens <= room:
            return onward(target)
        told = f"about {tokens:,} tokens are too many for '{target.name[:200]}', which takes {room:,}"
        if terms.route is not None and terms.route not in (target.name, request.model):
            self.exchange.remark(f"{told}: '{terms.route}' is asked instead")
            return resolve(self.exchange, request.with_model(terms.route))
        cut = _cut(request, tokens, room, words) if terms.policy == "truncate-oldest" else None
        if cut is None:
            self.exchange.remark(told)
            raise self._too_long(target, tokens, room)
        self._note(told, cut)
        return onward(evolve(target, request=request.with_prompt(items=cut.items)))

    # ---- counting

    async def _counted(self, target: Target, request: Request, room: int, terms: Terms, words: Words | None) -> int:
        prompt, raw = request.prompt, request.raw
        if raw is not None and len(raw.data) < _LONG:
            tokens = estimated(prompt, words)
        else:
            tokens = await asyncio.to_thread(estimated, prompt, words)
        if terms.count == "provider" and abs(tokens - room) <= _NEAR * room:
            return await self._asked(target, request) or tokens
        return tokens

    async def _asked(self, target: Target, request: Request) -> int | None:
        """What the provider counts; None where it does not, or would not tell."""
        exchange, backend = self.exchange, self.exchange.backend(target)
        asked = evolve(request.with_model(target.model), operation="count_tokens", stream=False)
        losses, headers = list(exchange.losses), exchange.reply_headers
        try:
            found = None if backend is None else await backend.count(exchange, target, asked)
        except (UpstreamError, ClientError, Misconfigured) as error:
            exchange.remark(f"'{target.name[:200]}' did not count the prompt: {error.message}")
            return None
        finally:  # what is lost, and what the provider's headers say, is told of the attempt that follows
            exchange.losses[:], exchange.reply_headers = losses, headers
        return None if found is None else found.tokens

    # ---- what is too long

    def _note(self, told: str, cut: Shorter) -> None:
        self.exchange.remark(f"{told}: the {cut.dropped} oldest items of its history are left out")
        self.exchange.losses.append(Loss("messages", "history", "dropped", from_=f"{cut.dropped} oldest items"))

    def _too_long(self, target: Target, tokens: int, room: int) -> TooLong:
        """In the words by which clients of each dialect know that they must shorten a conversation."""
        advice = f"'{target.name[:200]}' was not asked. Shorten the conversation, or ask for a model with a larger window."
        name = self.exchange.dialect.name
        if name.startswith("anthropic."):
            return TooLong(f"prompt is too long: {tokens} tokens > {room} maximum. {advice}")
        if name.startswith("google."):
            return TooLong(f"The input token count ({tokens}) exceeds the maximum number of tokens allowed ({room}). {advice}")
        return TooLong(
            f"This prompt has about {tokens:,} tokens, '{target.name[:200]}' takes {room:,}: your input exceeds the context "
            "window of this model. Shorten the conversation, or ask for a model with a larger window."
        )


def _cut(request: Request, tokens: int, room: int, words: Words | None) -> Shorter | None:
    """The history in steps of a quarter of what the model takes."""
    sizes = each(request.prompt, words)
    scale = tokens / max(1, frame(request.prompt, words) + sum(sizes))
    return shortened(request.prompt.items, [size * scale for size in sizes], tokens - room, room / 4)
