"""What a configuration takes from the environment: values by ``${NAME}``, keys by ``env:NAME``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from llmgw.mistakes import Mistakes
from llmgw.secret import Secret

_VARIABLE = re.compile(r"(?P<escaped>\$?)\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<otherwise>[^}]*))?\}", re.ASCII)
_KEY = re.compile(r"env:(?P<env>[A-Za-z_]\w*)|\$\{(?P<braced>[A-Za-z_]\w*)\}", re.ASCII)


def interpolate(text: str, env: Mapping[str, str]) -> str:
    """Fill in ``${NAME}`` and ``${NAME:-otherwise}``; as in a shell, an empty variable is otherwise too.

    Args:
        text: in which ``$${`` is a plain ``${``.
        env: the environment.

    Raises:
        Mistakes: a variable is not set and nothing stands behind ``:-``.
    """

    def filled(found: re.Match[str]) -> str:
        name, otherwise = found["name"], found["otherwise"]
        if found["escaped"]:
            return found[0][1:]
        if otherwise is not None:
            return env.get(name) or otherwise
        if name not in env:
            raise Mistakes.here(f"{name} is not set", f"export it, or write ${{{name}:-a value}}")
        return env[name]

    return _VARIABLE.sub(filled, text)


def secret(written: object, env: Mapping[str, str]) -> Secret:
    """The key that ``env:NAME`` or ``${NAME}`` names; whether it is set, its user finds out.

    Raises:
        Mistakes: something else is written, which is not shown, since it may be the key.
    """
    found = _KEY.fullmatch(written) if isinstance(written, str) else None
    if found is None:
        raise Mistakes.here("a key must not stand in the file", "write env:NAME and export NAME")
    name = found["env"] or found["braced"]
    return Secret(name, env.get(name))
