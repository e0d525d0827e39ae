"""``llmgw status``: what a running gateway tells of itself."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from llmgw import jsons
from llmgw.errors import ConfigError

PATIENCE = 10.0
"""Seconds for a gateway to tell."""


def run(url: str, key: str | None, *, raw: bool = False) -> int:
    """Ask a gateway, and print what it tells.

    Args:
        url: of the gateway, as ``http://127.0.0.1:8000``.
        key: to show it, if it asks for one.
        raw: print the JSON as it came.

    Returns:
        The exit code: 0 when it can serve.

    Raises:
        ConfigError: it cannot be asked.
    """
    status, told = _asked(url.rstrip("/") + "/health?verbose", key)
    print(jsons.dumps(told).decode() if raw else "\n".join(printed(told)))
    return 0 if status == 200 else 1


def _asked(url: str, key: str | None) -> tuple[int, dict[str, Any]]:
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{url} is no http URL @ --url")
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"} if key else {})  # noqa: S310 -- http or https
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310 -- the same
            return response.status, jsons.loads(response.read())
    except urllib.error.HTTPError as error:
        if error.code == 401:
            raise ConfigError("the gateway asks for its key: say --key-env NAME for the variable it stands in") from None
        body = error.read()
        if error.code != 503 or not body.startswith(b"{"):
            raise ConfigError(f"the gateway answered with {error.code} @ --url") from None
        return error.code, jsons.loads(body)
    except (urllib.error.URLError, TimeoutError, jsons.JsonError) as error:
        raise ConfigError(f"no gateway answers at {url}: {getattr(error, 'reason', error)} @ --url") from None


def printed(told: Mapping[str, Any]) -> Iterator[str]:
    """What was told, for people: a line for the gateway, a table for each report.

    Args:
        told: the JSON of ``/health?verbose``.
    """
    plain = {name: value for name, value in told.items() if not isinstance(value, list)}
    yield ", ".join(f"{name} {value}" for name, value in plain.items())
    for title, rows in told.items():
        if isinstance(rows, list):
            yield ""
            yield f"{title}:{'' if rows else ' nothing to tell'}"
            yield from (f"  {line}" for line in _table(rows))


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [columns, *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(line[number]) for line in cells) for number in range(len(columns))]
    for line in cells if rows else ():
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
