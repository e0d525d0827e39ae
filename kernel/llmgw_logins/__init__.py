"""Logins that somebody else made: a vendor's own client keeps them in a file, and llmgw may use them and keep them fresh.

There are four ways to come by a token, and a back-end takes the first that fits:

- ``env``: a variable holds it.
- ``delegate``: the vendor's own command is asked for a fresh one, as it knows best how.
- ``follow``: the vendor's file is read, again whenever it has changed, and never written.
- ``co-manage``: only when told to: the token is refreshed here and written back as the vendor's own client would do it.
"""

from __future__ import annotations

from llmgw_logins.commands import CommandFailed, ask, found
from llmgw_logins.files import CredentialFile
from llmgw_logins.grants import GrantRefused, granted
from llmgw_logins.locks import LockBusy, flocked, lock_directory, lock_file
from llmgw_logins.login import Login, Mode, Tokens, Vendor
from llmgw_logins.origins import strange
from llmgw_logins.terms import Terms
from llmgw_logins.tokens import claims, expiry

__all__ = [
    "CommandFailed",
    "CredentialFile",
    "GrantRefused",
    "LockBusy",
    "Login",
    "Mode",
    "Terms",
    "Tokens",
    "Vendor",
    "ask",
    "claims",
    "expiry",
    "flocked",
    "found",
    "granted",
    "lock_directory",
    "lock_file",
    "strange",
]
