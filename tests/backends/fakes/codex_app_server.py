"""A stand-in for ``codex app-server``: JSON, a line each way; it refreshes the login as Codex 0.169.0 was seen to do.

``STANDIN`` in the environment says how it fails: ``silent``, ``broken``, ``error``, ``nobody``, ``old``, ``chatty``, or ``late``
for an error once all is done.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

HOW = os.environ.get("STANDIN", "")


def say(message: dict[str, Any]) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def refresh(file: Path) -> None:
    """Ask for fresh tokens, and write them under the lock."""
    tree = json.loads(file.read_text())
    asked = {
        "client_id": "app_EMoamEEZ73f0CkXaXp7hrann", "grant_type": "refresh_token", "refresh_reason": "forced",
        "refresh_token": tree["tokens"]["refresh_token"],
    }  # fmt: skip
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(os.environ["TOKEN_URL"], json.dumps(asked).encode(), headers)
    try:
        with urllib.request.urlopen(request) as response:  # a test's own server
            told = json.load(response)
    except urllib.error.HTTPError:
        return
    with Path(f"{file}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = file.with_name("auth.tmp")
        made.write_text(json.dumps({**tree, "tokens": {**tree["tokens"], **told}}))
        made.replace(file)


def answered(question: dict[str, Any]) -> dict[str, Any]:
    """The result of a question."""
    home = Path(os.environ["CODEX_HOME"])
    if question["method"] == "initialize":
        assert {"name", "title", "version"} == set(question["params"]["clientInfo"])
        return {"userAgent": "llmgw/0.169.0", "codexHome": str(home)}
    if question["method"] == "account/read":
        if question["params"]["refreshToken"] and HOW not in ("nobody", "old"):
            refresh(home / "auth.json")
        return {"account": None if HOW == "nobody" else {"type": "chatgpt", "planType": "plus"}, "requiresOpenaiAuth": True}
    raise ValueError(question["method"])


def main() -> None:
    """Answer until nobody asks any more."""
    assert ["app-server"] == sys.argv[1:]
    initialized = False
    for line in sys.stdin:
        question = json.loads(line)
        initialized = initialized or question["method"] == "initialized"
        if "id" not in question:
            continue
        assert initialized or question["method"] == "initialize", "asked before it was initialized"
        if HOW == "broken":
            raise SystemExit(3)
        if HOW == "silent":
            continue
        if HOW == "chatty":
            sys.stdout.write("no JSON\n")
            say({"id": question["id"], "method": "a/question", "params": {}})
            say({"method": "account/updated", "params": {}})
        if HOW == "late" and question["method"] == "account/read":
            refresh(Path(os.environ["CODEX_HOME"]) / "auth.json")
        if HOW in ("error", "late") and question["method"] != "initialize":
            say({"id": question["id"], "error": {"code": -32600, "message": "secret words"}})
        else:
            say({"id": question["id"], "result": answered(question)})


main()
