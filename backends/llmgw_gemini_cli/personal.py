"""Code Assist with the login of the Gemini CLI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar, Final, Literal

from attrs import define, field

from llmgw import Backend, CredentialState, CredentialUnusable, Gateway, Secret, hookimpl
from llmgw_gemini_cli.assist import PROJECTS, CodeAssist
from llmgw_gemini_cli.login import ADVICE, TOKEN_URL, GeminiLogin, home, torn
from llmgw_logins import CredentialFile, Login, Mode, Terms, Tokens, strange

TERMS: Final = Terms(
    "Google's terms forbid the Gemini CLI's login in other programs, and it was ended for individuals on 18 June 2026; the "
    "account may be restricted. Better: the back-end 'gemini' with a GEMINI_API_KEY, or 'vertex'",
    forbidden=True,
)
GIVEN: Final = "GOOGLE_CLOUD_ACCESS_TOKEN"
TRIES: Final = 3
"""Times that a half-written file is read again."""
MOMENT: Final = 0.05
"""Seconds before that, as the CLI needs for writing it."""


@define(eq=False, kw_only=True)
class GeminiCliPersonal(CodeAssist):
    """Gemini with the login of the Gemini CLI. Google's terms forbid that in other programs than its own, and since 18 June 2026
    it works only for accounts that have a licence of Code Assist Standard or Enterprise. Off unless ``i_accept_vendor_terms``
    is true, and then for this machine alone.

    The CLI's file is read whenever it changes and never written, unless ``refresh`` is true.

    Args:
        i_accept_vendor_terms: whether you know that Google forbids this, and may restrict your account.
        credentials_file: instead of ``~/.gemini/oauth_creds.json``, or that below ``GEMINI_CLI_HOME``.
        source: ``env`` for the variable, ``follow`` for the file; else the variable where it is set, and, if it is the CLI's
            own, ``GOOGLE_GENAI_USE_GCA=true``, as for the CLI.
        access_token: that variable.
        refresh: whether the login is refreshed here, and the file written; needs the two that follow.
        client_id: of the CLI, published in gemini-cli, ``packages/core/src/code_assist/oauth2.ts``; else
            ``GEMINI_CLI_CLIENT_ID``.
        client_secret: from the same place, where it also says why it is none.
        token_url: where fresh tokens are asked for.
        project: the id of the Google Cloud project that the licence is for; else ``GOOGLE_CLOUD_PROJECT`` or
            ``GOOGLE_CLOUD_PROJECT_ID``, or the one that Google names.
        base_url: Google's, or that of a test server.
        version: of the API.
        models: names to list; else those that the account has quotas for.
        allow_insecure_origin: whether the login may be shown to a URL that is not Google's.
        profile: what a model can do, where it is known better than here; fields of ``llmgw.Profile``.
        identity: whose program Google is told that this is.
    """

    login_advice: ClassVar[str] = ADVICE
    loopback_only = True
    terms = TERMS
    notices = (TERMS.notice,)

    name: str = "gemini-cli-oauth-personal"
    i_accept_vendor_terms: bool = False
    credentials_file: Path | None = None
    source: Literal["env", "follow"] | None = None
    access_token: Secret = Secret.env(GIVEN)
    refresh: bool = False
    client_id: str | None = None
    client_secret: Secret = Secret.env("GEMINI_CLI_CLIENT_SECRET")
    token_url: str = TOKEN_URL
    _login: Login | None = field(default=None, init=False, repr=False)

    @hookimpl
    def backends(self, gateway: Gateway) -> Iterable[Backend] | None:
        """Only this one."""
        env = gateway.env
        self.project = self.project or next((env[name] for name in PROJECTS if env.get(name)), None)
        self.client_id = self.client_id or env.get("GEMINI_CLI_CLIENT_ID")
        path = self.credentials_file or home(env) / "oauth_creds.json"
        given = self._is_given(env)
        self._login = Login(
            self.name,
            GeminiLogin(self.token_url, self.client_id, self.client_secret),
            CredentialFile(path, _advice(env.get("GEMINI_FORCE_ENCRYPTED_FILE_STORAGE") == "true")),
            self._mode(given),
            gateway.clock,
            given=Tokens(self.access_token.reveal()) if given else None,
            where=self.access_token.name,
        )
        return [self]

    def _is_given(self, env: Mapping[str, str]) -> bool:
        """Whether a variable's token counts, and not the file."""
        wanted = self.source == "env" or self.access_token.name != GIVEN or env.get("GOOGLE_GENAI_USE_GCA") == "true"
        return wanted and self.source != "follow" and self.access_token.is_set

    def _mode(self, given: bool) -> Mode:
        if given:
            return "env"
        return "co-manage" if self.refresh and self._has_client else "follow"

    @property
    def _has_client(self) -> bool:
        return bool(self.client_id) and self.client_secret.is_set

    @property
    def login(self) -> Login:
        """The login."""
        assert self._login is not None, "the hook has made it"
        return self._login

    @property
    def login_state(self) -> CredentialState:
        """What there is to say of the login."""
        return self.login.state

    def obstacles(self) -> Iterable[str]:
        """Why the login may not be shown."""
        if TERMS.forbidden and not self.i_accept_vendor_terms:
            yield f"{TERMS.notice}. Whoever accepts that says `i_accept_vendor_terms: true`"
        if self.source == "env" and not self.access_token.is_set:
            yield f"{self.access_token.name} is not set; export it, or leave out `source: env`"
        yield from super().obstacles()
        if self.refresh and not self.allow_insecure_origin and (why := strange(self.token_url, TOKEN_URL)) is not None:
            yield why

    def problems(self) -> Iterable[str]:
        """The same, and what the refreshing lacks."""
        yield from super().problems()
        if self.refresh and not self._has_client:
            yield (
                "`refresh: true` needs the CLI's client: export GEMINI_CLI_CLIENT_ID and GEMINI_CLI_CLIENT_SECRET, as published "
                "in gemini-cli's packages/core/src/code_assist/oauth2.ts; until then the login is only read"
            )

    async def tokens(self, gateway: Gateway) -> Tokens:
        """Those of the file, once it is whole."""
        for _ in range(TRIES):
            try:
                return await self.login.tokens(gateway.http)
            except CredentialUnusable:
                if not torn(self.login.file.path):
                    raise
            await gateway.clock.sleep(MOMENT)
        return await self.login.tokens(gateway.http)

    async def another(self, gateway: Gateway, refused: str) -> Tokens | None:
        """What the file holds by now, or a refreshed one."""
        return await self.login.renewed(gateway.http, refused)


def _advice(sealed: bool) -> str:
    """What to do where there is no file."""
    if not sealed:
        return ADVICE
    return (
        f"The CLI keeps its login in the keychain, where nobody can read it: unset GEMINI_FORCE_ENCRYPTED_FILE_STORAGE. {ADVICE}"
    )
