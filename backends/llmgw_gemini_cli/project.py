"""Code Assist with a Google Cloud project, and the credentials that a machine has for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Final

from attrs import define, field

from llmgw import Backend, CredentialState, Gateway, hookimpl
from llmgw_gemini_cli.assist import PROJECTS, CodeAssist
from llmgw_logins import Terms, Tokens, strange
from llmgw_logins.adc import ADVICE, TOKEN_URL, Adc

TERMS: Final = Terms("Code Assist wants a licence of its Standard or Enterprise edition; the back-end 'vertex' needs none")


@define(eq=False, kw_only=True)
class GeminiCliProject(CodeAssist):
    """Gemini through Code Assist, by the Google Cloud credentials of this machine.

    These are application default credentials: ``gcloud auth application-default login``, a service account, or the account of
    the machine in Google Cloud. The account must have a licence of Code Assist Standard or Enterprise. The back-end ``vertex``
    takes the same credentials, bills the project, and needs no licence.

    Args:
        project: the id of the project that has the licences; else ``GOOGLE_CLOUD_PROJECT``, ``GOOGLE_CLOUD_PROJECT_ID``, or the
            one that the credentials name.
        credentials_file: instead of the one that ``GOOGLE_APPLICATION_CREDENTIALS`` names or gcloud keeps.
        delegate: whether ``gcloud auth application-default print-access-token`` is asked for tokens, instead of its file.
        token_url: where tokens are asked for.
        metadata_url: of the metadata server of a machine in Google Cloud.
        base_url: Google's, or that of a test server.
        version: of the API.
        models: names to list; else those that the account has quotas for.
        allow_insecure_origin: whether a token may be shown to a URL that is not Google's.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program Google is told that this is.
    """

    login_advice: ClassVar[str] = ADVICE
    terms = TERMS
    notices = (TERMS.notice,)

    name: str = "gemini-cli-cloud-project"
    credentials_file: Path | None = None
    delegate: bool = False
    token_url: str | None = None
    metadata_url: str | None = None
    _adc: Adc | None = field(default=None, init=False, repr=False)

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
        env = gateway.env
        self.project = self.project or next((env[name] for name in PROJECTS if env.get(name)), None)
        self._adc = Adc(env, gateway.clock, self.credentials_file, self.token_url, self.metadata_url, self.delegate)
        return [self]

    @property
    def adc(self) -> Adc:
        """The application default credentials."""
        assert self._adc is not None, "the hook has made them"
        return self._adc

    @property
    def login_state(self) -> CredentialState:
        """What there is to say of the credentials."""
        return self.adc.state

    def obstacles(self) -> Iterable[str]:
        """Why the credentials may not be shown."""
        yield from super().obstacles()
        if self.token_url and not self.allow_insecure_origin and (why := strange(self.token_url, TOKEN_URL)) is not None:
            yield why

    async def tokens(self, gateway: Gateway) -> Tokens:
        """One of the credentials'."""
        return await self.adc.token(gateway.http)

    async def another(self, gateway: Gateway, refused: str) -> Tokens | None:
        """A fresh one."""
        return await self.adc.renewed(gateway.http, refused)
