"""Gemini for clients: ``generateContent`` and ``streamGenerateContent`` under every version that Google's SDKs ask for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import define

from llmgw import Endpoint, Gateway, hookimpl
from llmgw_dialects.google_gemini import DIALECT

VERSIONS = ("v1beta", "v1", "v1alpha")


@define(eq=False)
class GeminiGenerate:
    """Gemini for clients: ``/v1beta/models/MODEL:generateContent``, ``:streamGenerateContent``, ``:countTokens``.

    Args:
        prefix: before every path; clients put it into their base URL.
    """

    prefix: str = ""

    @hookimpl
    def frontend_endpoints(self, gateway: Gateway) -> Iterable[Endpoint] | None:
        """The same under each version."""
        return [endpoint for version in VERSIONS for endpoint in _served(f"{self.prefix}/{version}/models")]


def _served(path: str) -> Iterator[Endpoint]:
    model = f"{path}/{{model:.+}}"  # which may have slashes and colons of its own: the method stands behind the last one
    yield Endpoint("POST", f"{model}:generateContent", DIALECT)
    yield Endpoint("POST", f"{model}:streamGenerateContent", DIALECT)
    yield Endpoint("POST", f"{model}:countTokens", DIALECT, "count_tokens")
    yield Endpoint("GET", path, DIALECT, "models")
    yield Endpoint("GET", f"{path}/{{id:.+}}", DIALECT, "model")
