"""Signature Version 4, by which AWS knows who asks (AWS, "Create a signed AWS API request")."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote, urlsplit

from attrs import field, frozen

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_PORTS: Final = {"http": 80, "https": 443}


@frozen
class Keys:
    """What AWS gave somebody to sign with.

    Args:
        access_key: names them, and may be seen.
        secret_key: never leaves.
        token: goes with keys that are good for a while only.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


def signed(
    keys: Keys, service: str, region: str, *, method: str, url: str, headers: Mapping[str, str], body: bytes, now: float
) -> dict[str, str]:
    """The headers that make a request a signed one, beside those given.

    Args:
        keys: to sign with.
        service: as ``bedrock``.
        region: as ``us-east-1``.
        method: as ``POST``.
        url: as it is sent.
        headers: that are signed besides the host, by their names in lower case; all must be sent as they are.
        body: as it is sent.
        now: Unix seconds.
    """
    at = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    given = {"x-amz-date": at} | ({"x-amz-security-token": keys.token} if keys.token else {})
    told = {**headers, **given, "host": _host(url)}
    names = ";".join(sorted(told))
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    canonical = "\n".join([method, *_address(url), *_lines(told), "", names, hashlib.sha256(body).hexdigest()])
    words = "\n".join([_ALGORITHM, at, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{keys.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, words.encode(), "sha256").hex()
    return {
        **given,
        "authorization": f"{_ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names}, Signature={signature}",
    }


def _address(url: str) -> tuple[str, str]:
    """Path and query: what is sent is encoded once more, since every service but S3 reads it so."""
    parts = urlsplit(url)
    pairs = sorted(tuple(pair.partition("=")[::2]) for pair in parts.query.split("&")) if parts.query else []
    return quote(parts.path or "/", safe="/~"), "&".join(f"{name}={value}" for name, value in pairs)


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    return host if parts.port in (None, _PORTS.get(parts.scheme)) else f"{host}:{parts.port}"


def _lines(headers: Mapping[str, str]) -> list[str]:
    return [f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)]
