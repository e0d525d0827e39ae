"""Z.ai's Coding Plan, which is for the tools that Z.ai lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Final

from attrs import define

from llmgw import Backend, ConfigError, CredentialUnusable, Gateway, ModelInfo, Target, hookimpl
from llmgw_logins import Terms, strange
from llmgw_zai.backend import Zai
from llmgw_zai.models import PLANNED
from llmgw_zai.places import PLACES, Place

TERMS: Final = Terms(
    "Z.ai's Coding Plan is strictly limited to use within officially supported tools (docs.z.ai/devpack/overview), and llmgw is "
    "none of them; the plan may be restricted. Better: the back-end 'zai' with a ZAI_API_KEY that is paid by use.",
    forbidden=True,
)


@define(eq=False, kw_only=True)
class ZaiCodingPlan(Zai):
    """Z.ai's models, paid by its Coding Plan, which Z.ai limits to the tools that it lists.

    Off unless ``i_accept_vendor_terms`` is true, and then for this machine alone.

    Args:
        i_accept_vendor_terms: whether you know that the plan is for the tools that Z.ai lists, and that it may restrict yours.
        api_key: of the plan; else ``ZHIPU_API_KEY``, which counts first in China. There is only one: a plan is one person's.
        region: ``international`` for Z.ai, ``china`` for bigmodel.cn; keys of one are not taken by the other.
        base_url: before ``/chat/completions``; else the region's, for the plan.
        messages_url: before ``/v1/messages``; else the region's, where ``base_url`` is the region's, too.
        responses_url: before ``/responses``; the same, but China has none.
        api: ``chat``, ``messages``, ``responses``, or ``auto``: the client's own dialect where there is an endpoint for it, for
            others Chat Completions.
        version: the ``anthropic-version`` of requests to ``messages_url`` whose client does not name one.
        allow_insecure_origin: whether the key may be shown to a URL that is not Z.ai's.
        models: names to list, instead of those that the plan had in November 2026: there is no list to ask for.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program Z.ai is told that this is.
    """

    is_plan: ClassVar[bool] = True
    loopback_only = True
    terms = TERMS
    notices = (TERMS.notice,)

    name: str = "zai-coding-plan"
    i_accept_vendor_terms: bool = False
    allow_insecure_origin: bool = False

    def chat_url(self, place: Place) -> str:
        """Where the region has Chat Completions for the plan."""
        return place.plan

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one.

        Raises:
            ConfigError: nobody has accepted the vendor's terms.
        """
        if not self.i_accept_vendor_terms:
            raise ConfigError(
                f"{TERMS.notice} Whoever accepts the risk says `i_accept_vendor_terms: true` @ backends.{self.name}"
            )
        return super().backends(gateway)

    def gather(self, env: Mapping[str, str]) -> None:
        """The one key; what stands in ``ZAI_API_KEY_2`` is another account's.

        Raises:
            ConfigError: several are listed.
        """
        if self.keys:
            raise ConfigError(f"a plan is one person's, so there is one key: say `api_key` @ backends.{self.name}.keys")

    @property
    def needs_key(self) -> bool:
        """Always: a plan is a key."""
        return True

    async def authorization(self, gateway: Gateway, target: Target) -> Mapping[str, str]:
        """The key, where it may be shown."""
        for problem in self.strangers():  # SECURITY: before the key is looked for
            raise CredentialUnusable(f"The back-end '{self.name}' is not asked: {problem}.")
        return self.headers(target)

    def problems(self) -> Iterable[str]:
        """What is wrong with its URLs, and whose they are."""
        return [*super().problems(), *self.strangers()]

    def strangers(self) -> Iterable[str]:
        """Why the key may not be shown."""
        if self.allow_insecure_origin:
            return
        for url in filter(None, (self.base_url, self.messages_url, self.responses_url)):
            if (why := strange(url, PLACES[self.region].plan)) is not None:
                yield why

    async def models(self, gateway: Gateway) -> Sequence[ModelInfo]:
        """Those that the deployment lists, or that the plan has."""
        return self.named(self.listed or PLANNED)
