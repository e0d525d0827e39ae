"""``llmgw init``: a commented configuration from what the environment holds."""

from __future__ import annotations

from collections.abc import Mapping

from llmgw import config as configuration
from llmgw.config import ProxyConfig
from llmgw.gateway import Gateway
from llmgw.items import SECTIONS
from llmgw.stages import Backend

_HEAD = """\
# llmgw's configuration. Check it with `llmgw check --config FILE`; a running gateway reads it anew on SIGHUP.
# Keys never stand here: every key is taken from the environment, by the variable named (env:NAME).

proxy:
  host: {host}        # beyond this machine only with a key of the gateway's own, see auth-key below
  port: {port}
  # deadline: 600         # seconds for a whole exchange; none by default

auth:
  disable_auth: false     # true: ask nobody, and listen on 127.0.0.1 only
"""


def configuration_of(gateway: Gateway) -> str:
    """The YAML that says what this gateway does anyway."""
    proxy = ProxyConfig()
    lines = [_HEAD.format(host=proxy.host, port=proxy.port)]
    if gateway.default_backend:
        lines.append(f"default_backend: {gateway.default_backend}   # where requests go that name no back-end; or ID:MODEL\n")
    lines.append("backends:                 # ask for a model as id:model")
    for name, kind, backend in _backends(gateway):
        options = "{}" if name == kind else f"{{type: {kind}}}"
        lines.append(f"  {name}: {options:30} # {backend.credential_state}")
    lines += [f"  # {item.id}: {{type: {item.name}}}   # off: {why}" for item, why in gateway.idle if item.section == "backends"]
    for section in SECTIONS:
        lines += _section(gateway, section) if section != "backends" else []
    lines += ["", "# filters:                # requests run down this list, replies run up it", "#   - NAME: {OPTION: VALUE}", ""]
    return "\n".join(lines)


def _section(gateway: Gateway, section: str) -> list[str]:
    """What is on in a section, and what would be, as comments; nothing where it has neither."""
    lines = [f"  - {item.name}" for item, _ in gateway.plugins if item.section == section]
    lines += [f"  # - {item.name}   # off: {why}" for item, why in gateway.idle if item.section == section]
    return ["", f"{section}:", *lines] if lines else []


def configuration_text(env: Mapping[str, str]) -> str:
    """The same, of the gateway that would run without a file."""
    return configuration_of(Gateway.build(configuration.load(None, env)))


def _backends(gateway: Gateway) -> list[tuple[str, str, Backend]]:
    """Each back-end's id, the type that makes it, and itself."""
    found = []
    for item, plugin in gateway.plugins:
        if item.section == "backends":
            made = plugin.backends(gateway=gateway) or ()  # type: ignore[attr-defined]  # the loader has seen to it
            found += [(backend.name, item.name, backend) for backend in made]
    return found
