"""Words that the modules of this dialect share: its types of items, and which tool stands behind each."""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen

from llmgw.model import JSON

NAME: Final = "openai.responses"
VENDOR: Final = "openai"
ENCRYPTED: Final = "reasoning.encrypted_content"
LOGPROBS: Final = "message.output_text.logprobs"


@frozen
class Client:
    """A tool of OpenAI's making that the client runs.

    Args:
        tool: its name.
        call: the type of the item that calls it.
        action: the key of what is to be done.
        output: the type of the item with the result.
    """

    tool: str
    call: str
    action: str
    output: str


CLIENTS: Final = (
    Client("shell", "shell_call", "action", "shell_call_output"),
    Client("local_shell", "local_shell_call", "action", "local_shell_call_output"),
    Client("apply_patch", "apply_patch_call", "operation", "apply_patch_call_output"),
    Client("computer", "computer_call", "action", "computer_call_output"),
)
BY_CALL: Final = {one.call: one for one in CLIENTS}
BY_OUTPUT: Final = {one.output: one for one in CLIENTS}
BY_TOOL: Final = {one.tool: one for one in CLIENTS}

HOSTED: Final[dict[str, str]] = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_execution",
    "image_generation_call": "image_generation",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcp_list_tools",
    "mcp_approval_request": "mcp_approval_request",
    "tool_search_call": "tool_search",
    "program": "program",
}
"""Items that say that OpenAI ran a tool, or wants to."""
RESULTS: Final[dict[str, str]] = {"tool_search_output": "tool_search", "program_output": "program"}
"""Items that say what such a tool gave."""
_INPUTS: Final = ("action", "queries", "code", "arguments")


def text_of(node: dict[str, Any], key: str) -> str:
    """A string in what a provider sent; nothing where it is something else."""
    value = node.get(key)
    return value if isinstance(value, str) else ""


def dict_of(node: JSON, key: str) -> dict[str, Any]:
    """An object in what a provider sent; an empty one where it is something else."""
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, dict) else {}


def list_of(node: JSON, key: str) -> list[Any]:
    """A list in what a provider sent; an empty one where it is something else."""
    value = node.get(key) if isinstance(node, dict) else None
    return value if isinstance(value, list) else []


def given(**fields: JSON) -> dict[str, JSON]:
    """Those of the fields that say something."""
    return {key: value for key, value in fields.items() if value is not None}


def is_local(item: dict[str, Any]) -> bool:
    """Whether a call of a tool in ``CLIENTS`` is the client's to run; a shell may also be one of OpenAI's containers."""
    environment = item.get("environment")
    return not isinstance(environment, dict) or environment.get("type") == "local"


def input_of(item: dict[str, Any]) -> JSON:
    """What a tool that OpenAI ran was asked, as far as the item tells."""
    key = next((key for key in _INPUTS if item.get(key) is not None), None)
    return None if key is None else {key: item[key]} if key in ("queries", "code") else item[key]


def is_assistants(kind: str) -> bool:
    """Whether an item of a type that we do not know is part of what the model said."""
    return kind.endswith("_call")
