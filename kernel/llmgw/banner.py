"""What ``llmgw serve`` says when it starts: where it listens, what is on, what to try."""

from __future__ import annotations

from collections.abc import Mapping

from llmgw.gateway import Gateway
from llmgw.version import VERSION


def banner(gateway: Gateway, address: str, notes: list[str], ports: Mapping[int, int] | None = None) -> str:
    """Five lines, and one for each thing that was decided otherwise than asked.

    Args:
        gateway: about to serve.
        address: as ``http://127.0.0.1:8000``.
        notes: such decisions.
        ports: further ones, by what front-ends asked for, which 0 is for any free one.
    """
    key = ' -H "Authorization: Bearer YOUR-KEY"' if gateway.authenticates else ""
    lines = [
        f"llmgw {VERSION} listens on {address} ({_who(gateway)})",
        f"  back-ends  {_backends(gateway)}",
        f"  front-ends {_frontends(gateway, ports or {})}",
        f"  on         {', '.join(item.id for item, _ in gateway.plugins)}{_off(gateway)}",
        f"  try        {_try(gateway, address, key)}",
    ]
    return "\n".join([*lines, *(f"  note       {note}" for note in notes)])


def _who(gateway: Gateway) -> str:
    return "asks for a key" if gateway.authenticates else "asks for no key, serves this machine"


def _backends(gateway: Gateway) -> str:
    described = [f"{name} ({backend.credential_state})" for name, backend in gateway.backends.items()]
    default = f"; default {gateway.default_backend}" if gateway.default_backend else "; no default: ask for backend:model"
    return (", ".join(described) + default) if described else "none"


def _frontends(gateway: Gateway, ports: Mapping[int, int]) -> str:
    """Where answers are to be had, one path for each dialect and port; what else is served, each client finds beside it."""
    paths: dict[tuple[str, int | None], str] = {}
    for one in gateway.endpoints:
        if one.operation == "generate":
            paths.setdefault((one.dialect.name, one.port), one.path)
    return ", ".join(path if port is None else f":{ports.get(port, port)}{path}" for (_, port), path in paths.items()) or "none"


def _off(gateway: Gateway) -> str:
    idle = [f"{item.id} ({why})" for item, why in gateway.idle]
    return f"; off: {', '.join(idle)}" if idle else ""


def _try(gateway: Gateway, address: str, key: str) -> str:
    for endpoint in gateway.endpoints:
        if endpoint.operation == "generate":
            return f"curl {address}{endpoint.path}{key} -d '{endpoint.dialect.example(_model(gateway))}'"
    return f"curl {address}/health"


def _model(gateway: Gateway) -> str:
    """A model to try; the last resort answers to its own name."""
    name = gateway.default_backend or next(iter(gateway.backends), None)
    if name is None:
        return "backend:MODEL"
    return name if gateway.backends[name].last_resort else f"{name}:{gateway.config.default_model or 'MODEL'}"
