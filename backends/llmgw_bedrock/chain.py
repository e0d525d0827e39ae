"""Where AWS keeps somebody's keys: the variables, else all that botocore knows: profiles, single sign-on, roles, instances."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from attrs import define, field

from llmgw.errors import CredentialUnusable
from llmgw.stages import CredentialState
from llmgw_bedrock.signing import Keys

_FILES: Final = {"AWS_CONFIG_FILE": "config_file", "AWS_SHARED_CREDENTIALS_FILE": "credentials_file"}
_INSTALL: Final = "pip install 'llmgw[aws]'"
_NOWHERE: Final = (
    "Export AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; or log in with: aws configure, "
    "or: aws sso login"
)


@define(eq=False)
class Chain:
    """Keys, from the first place that has some.

    Args:
        name: of the back-end, for messages.
        profile: of AWS's own files, from the configuration; the variables with keys then do not count, as in AWS's own tools.
        env: the environment.
    """

    name: str
    profile: str
    env: Mapping[str, str] = field(repr=False)
    _found: Any = field(default=None, init=False, repr=False)
    """Botocore's, which refreshes itself."""
    _turn: asyncio.Lock = field(factory=asyncio.Lock, init=False)

    async def keys(self) -> Keys:
        """Keys that are good now; botocore, which may wait for a server or a program, is asked in a thread.

        Raises:
            CredentialUnusable: there are none; the message says what to run.
        """
        if (known := self._exported) is not None:
            return known
        async with self._turn:
            try:
                frozen = self._found.get_frozen_credentials() if self._lasts else await asyncio.to_thread(self._looked_up)
            except _failures() as error:  # what they say may hold what nobody should see
                raise CredentialUnusable(
                    f"The AWS login of '{self.name}' gives no keys ({type(error).__name__}). {self._again}"
                ) from None
        if frozen is None:
            raise CredentialUnusable(f"'{self.name}' has no AWS credentials. {_NOWHERE}")
        return Keys(frozen.access_key, frozen.secret_key, frozen.token)

    def forget(self) -> None:
        """AWS has refused these keys: look for them anew, since somebody may have logged in meanwhile."""
        self._found = None

    @property
    def region(self) -> str:
        """The region of the profile; empty where it names none."""
        if find_spec("botocore") is None:
            return ""
        try:
            return str(self._session().get_config_variable("region") or "")
        except _failures():  # a profile that is not there is told of when it is used
            return ""

    @property
    def state(self) -> CredentialState:
        """What there is to say of it without asking anybody."""
        if self._exported is not None:
            return CredentialState("AWS_ACCESS_KEY_ID", "keys from AWS_ACCESS_KEY_ID")
        profile = self.profile or self.env.get("AWS_PROFILE", "")
        told = f"AWS profile {profile}" if profile else "AWS credentials, wherever botocore finds some"
        missing = find_spec("botocore") is None
        return CredentialState("aws", told, problem=f"These need botocore: {_INSTALL}. Or: {_NOWHERE}" if missing else "")

    @property
    def _exported(self) -> Keys | None:
        access, secret = self.env.get("AWS_ACCESS_KEY_ID"), self.env.get("AWS_SECRET_ACCESS_KEY")
        if self.profile or not access or not secret:
            return None
        return Keys(access, secret, self.env.get("AWS_SESSION_TOKEN") or None)

    @property
    def _again(self) -> str:
        profile = self.profile or self.env.get("AWS_PROFILE", "")
        named = f" --profile {profile}" if profile else ""
        return f"Run: aws sso login{named} (or: aws configure{named}), and see: aws sts get-caller-identity{named}"

    @property
    def _lasts(self) -> bool:
        """Whether there are keys that need no refreshing now."""
        due = getattr(self._found, "refresh_needed", None)
        return self._found is not None and (due is None or not due())

    def _looked_up(self) -> Any:
        if find_spec("botocore") is None:
            raise ImportError(_INSTALL)
        found = self._found
        if found is None:
            found = self._found = self._session().get_credentials()
        return None if found is None else found.get_frozen_credentials()

    def _session(self) -> Any:
        session = import_module("botocore.session").Session(profile=self.profile or self.env.get("AWS_PROFILE") or None)
        # SECURITY: on DEBUG it would write what programs and servers answered
        logging.getLogger("botocore").setLevel(logging.WARNING)
        for variable, option in _FILES.items():
            if self.env.get(variable):
                session.set_config_variable(option, self.env[variable])
        return session


def _failures() -> tuple[type[BaseException], ...]:
    """What botocore raises, of its own and of files and programs."""
    others = (ImportError, OSError, ValueError, KeyError)
    if find_spec("botocore") is None:
        return others
    return (import_module("botocore.exceptions").BotoCoreError, *others)
