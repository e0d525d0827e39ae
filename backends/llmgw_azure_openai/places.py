"""Where a resource of Azure's is, under its several names (Microsoft Learn, Azure OpenAI "API version lifecycle")."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from yarl import URL

_HOSTS: Final = tuple(
    f".{service}.{cloud}"
    for service in ("openai", "services.ai", "cognitiveservices")
    for cloud in ("azure.com", "azure.us", "azure.cn")
)
"""Microsoft's own, in its public and its national clouds."""
_ELSEWHERE: Final = re.compile(r"\.(?:openai|cognitiveservices)\.(?=azure\.)")
_FOUNDRY: Final = ".services.ai."
_TAILS: Final = ("/openai/v1", "/openai", "/anthropic/v1", "/anthropic")


def root(url: str) -> str:
    """A resource's URL without what people copy along with it, as ``/openai/v1/``."""
    bare = url.rstrip("/")
    return next((bare.removesuffix(tail) for tail in _TAILS if bare.endswith(tail)), bare)


def resource_in(env: Mapping[str, str]) -> str:
    """The resource that the environment names, by its URL or its name; empty where it names none."""
    name = env.get("AZURE_RESOURCE_NAME", "")
    return env.get("AZURE_OPENAI_ENDPOINT", "") or (f"https://{name}.openai.azure.com" if name else "")


def foundry(resource: str, env: Mapping[str, str]) -> str:
    """Where the same resource answers for Claude: only under its name at Foundry.

    Args:
        resource: its URL, by either name.
        env: may name another one, as Anthropic's SDK has it.
    """
    name = env.get("ANTHROPIC_FOUNDRY_RESOURCE", "")
    given = env.get("ANTHROPIC_FOUNDRY_BASE_URL", "") or (f"https://{name}.services.ai.azure.com/anthropic" if name else "")
    return (root(given) if given else _ELSEWHERE.sub(_FOUNDRY, resource)) + "/anthropic"


def is_azure(url: str) -> bool:
    """Whether a URL is a resource's at Microsoft, over TLS."""
    try:
        read = URL(url)
    except ValueError:
        return False
    return read.scheme == "https" and (read.host or "").endswith(_HOSTS)


def openai_path(path: str, model: str, api_version: str | None) -> str:
    """A path of the API of OpenAI's shape.

    Args:
        path: as OpenAI has it, ``/chat/completions``.
        model: the deployment's name.
        api_version: of the older API, in which a deployment is part of the path; None is the newer one, which refuses a version.
    """
    if api_version is None:
        return f"/openai/v1{path}"
    deployment = f"/deployments/{quote(model, safe='')}" if path.startswith("/chat/") else ""
    return f"/openai{deployment}{path}?api-version={quote(api_version, safe='')}"
