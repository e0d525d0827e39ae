"""Tools of a vendor's making that the client runs: how they look as functions, with the arguments that the vendor published."""

from __future__ import annotations

import re
from typing import Any, Final

from attrs import frozen

from llmgw.model import BuiltinTool

_VERSION: Final = re.compile(r"(?:_preview)?(?:_\d{8}|_\d{4}_\d{2}_\d{2})?$")
_SAME: Final = {"code_interpreter": "code_execution", "computer_use": "computer", "google_search": "web_search"}


@frozen
class Wrapper:
    """A function in the place of a vendor's tool.

    Args:
        name: what the vendor's models call it.
        description: what it is for.
        schema: of its arguments.
    """

    name: str
    description: str
    schema: dict[str, Any]


def canonical(kind: str) -> str:
    """What a kind of tool is called here, whatever its version: ``bash`` for ``bash_20250124``."""
    plain = _VERSION.sub("", kind)
    return _SAME.get(plain, plain)


def wrapper(tool: BuiltinTool) -> Wrapper | None:
    """The function for a tool; None for one that the client does not run, or of which the arguments are not known."""
    if isinstance(tool.config, dict) and "toolset" in str(tool.config.get("type")):  # many tools under one entry
        return None
    vendor = "openai" if tool.vendor.startswith("openai") else "anthropic" if tool.vendor.startswith("anthropic") else ""
    return _WRAPPERS.get((vendor, canonical(tool.kind)))


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _string(about: str, *values: str) -> dict[str, Any]:
    return {"type": "string", "description": about, **({"enum": list(values)} if values else {})}


def _integer(about: str) -> dict[str, Any]:
    return {"type": "integer", "description": about}


def _list(kind: str, about: str) -> dict[str, Any]:
    return {"type": "array", "items": {"type": kind}, "description": about}


_BASH: Final = Wrapper(
    "bash",
    "Run a command in a persistent bash session.",
    _object(
        [],
        command=_string("The bash command to run. Required unless the session is being restarted."),
        restart={"type": "boolean", "description": "Whether to restart the session."},
    ),
)
_TEXT_EDITOR: Final = Wrapper(
    "str_replace_based_edit_tool",
    "View, create and edit files.",
    _object(
        ["command", "path"],
        command=_string("What to do.", "view", "create", "str_replace", "insert"),
        path=_string("Absolute path of the file or directory."),
        view_range=_list("integer", "For view: the first and the last line to show; -1 is the end of the file."),
        file_text=_string("For create: the content of the file."),
        old_str=_string("For str_replace: the text to replace, which must stand in the file exactly once."),
        new_str=_string("For str_replace: the new text."),
        insert_line=_integer("For insert: the line behind which to insert; 0 is the beginning."),
        insert_text=_string("For insert: the text to insert."),
    ),
)
_MEMORY: Final = Wrapper(
    "memory",
    "Keep notes in files under /memories, which outlast the conversation. Look there before you begin.",
    _object(
        ["command"],
        command=_string("What to do.", "view", "create", "str_replace", "insert", "delete", "rename"),
        path=_string("Path of the file or directory, under /memories; not for rename."),
        view_range=_list("integer", "For view: the first and the last line to show."),
        file_text=_string("For create: the content of the file."),
        old_str=_string("For str_replace: the text to replace."),
        new_str=_string("For str_replace: the new text."),
        insert_line=_integer("For insert: the line at which to insert."),
        insert_text=_string("For insert: the text to insert."),
        old_path=_string("For rename: the path now."),
        new_path=_string("For rename: the new path."),
    ),
)
_ACTIONS: Final = (
    "key", "type", "mouse_move", "left_click", "left_click_drag", "right_click", "middle_click", "double_click", "triple_click",
    "left_mouse_down", "left_mouse_up", "scroll", "hold_key", "wait", "screenshot", "cursor_position", "zoom",
)  # fmt: skip
_COMPUTER: Final = Wrapper(
    "computer",
    "Use the screen, the mouse and the keyboard of a computer.",
    _object(
        ["action"],
        action=_string("What to do.", *_ACTIONS),
        coordinate=_list("integer", "x and y in pixels, from the left and the top."),
        start_coordinate=_list("integer", "For left_click_drag: x and y where it starts."),
        text=_string("For type the text, for key and hold_key the keys, for clicks and scroll the keys held down."),
        duration={"type": "number", "description": "For wait and hold_key: seconds."},
        scroll_direction=_string("For scroll.", "up", "down", "left", "right"),
        scroll_amount=_integer("For scroll: how many clicks of the wheel."),
        region=_list("integer", "For zoom: x and y of the upper left and of the lower right corner."),
    ),
)
_SHELL: Final = Wrapper(
    "shell",
    "Run shell commands.",
    _object(
        ["commands"],
        commands=_list("string", "The commands to run, in their order."),
        timeout_ms=_integer("The longest that they may take, in milliseconds."),
        max_output_length=_integer("How many characters of output to return at most."),
    ),
)
_LOCAL_SHELL: Final = Wrapper(
    "local_shell",
    "Run one command on the user's machine.",
    _object(
        ["type", "command"],
        type=_string("Always exec.", "exec"),
        command=_list("string", "The program and its arguments."),
        env={"type": "object", "additionalProperties": {"type": "string"}, "description": "Environment variables."},
        timeout_ms=_integer("The longest that it may take, in milliseconds."),
        user=_string("Who is to run it."),
        working_directory=_string("Where to run it."),
    ),
)
_APPLY_PATCH: Final = Wrapper(
    "apply_patch",
    "Create, update or delete one file.",
    _object(
        ["type", "path"],
        type=_string("What to do.", "create_file", "update_file", "delete_file"),
        path=_string("Path of the file, from the root of the workspace."),
        diff=_string("For create_file and update_file: the change, in the V4A diff format."),
    ),
)
_CUA: Final = Wrapper(
    "computer",
    "Use the screen, the mouse and the keyboard of a computer.",
    _object(
        ["type"],
        type=_string("What to do.", "click", "double_click", "drag", "keypress", "move", "screenshot", "scroll", "type", "wait"),
        x=_integer("Pixels from the left."),
        y=_integer("Pixels from the top."),
        button=_string("For click.", "left", "right", "wheel", "back", "forward"),
        keys=_list("string", "For keypress: the keys; for others: the keys held down."),
        text=_string("For type."),
        scroll_x=_integer("For scroll: how far to the right."),
        scroll_y=_integer("For scroll: how far down."),
        path={
            "type": "array",
            "items": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}},
            "description": "For drag: the points that the mouse passes.",
        },
    ),
)
_WRAPPERS: Final = {
    ("anthropic", "bash"): _BASH,
    ("anthropic", "text_editor"): _TEXT_EDITOR,
    ("anthropic", "memory"): _MEMORY,
    ("anthropic", "computer"): _COMPUTER,
    ("openai", "shell"): _SHELL,
    ("openai", "local_shell"): _LOCAL_SHELL,
    ("openai", "apply_patch"): _APPLY_PATCH,
    ("openai", "computer"): _CUA,
}
