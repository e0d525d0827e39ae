"""A client's body, as far as every dialect looks at it before anybody asks for the prompt."""

from __future__ import annotations

from typing import Any

from llmgw import jsons
from llmgw.errors import BadRequest, InvalidField
from llmgw.model import JSON
from llmgw_dialects.fields import invalid, opt_list


def object_in(body: bytes, example: str) -> dict[str, Any]:
    """The JSON object that a body is.

    Args:
        body: as it came.
        example: of a body, for the client that sent something else.

    Raises:
        BadRequest: it is none.
    """
    try:
        tree = jsons.loads(body)
    except jsons.JsonError as error:
        raise BadRequest(f"The body of your request is not valid JSON: {error}.") from None
    if not isinstance(tree, dict):
        raise BadRequest(f"The body of your request must be a JSON object, as {example}.")
    return tree


def model_in(tree: dict[str, Any]) -> str:
    """The model that a body names.

    Raises:
        InvalidField: it names none.
    """
    model = tree.get("model")
    if not isinstance(model, str) or not model:
        raise InvalidField("You must name a model: 'model' must be a string that is not empty.", param="model")
    return model


def check_messages(messages: JSON) -> None:
    """See that these are messages, each somebody's.

    Raises:
        InvalidField: they are not, or there is none.
    """
    if not isinstance(messages, list):
        raise invalid(("messages",), "an array of objects", messages)
    if not messages:
        raise InvalidField("'messages' must hold at least one message.", param="messages")
    for n, message in enumerate(messages):
        if not isinstance(message, dict):
            raise invalid(("messages", n), "an object", message)
        if not isinstance(message.get("role"), str):
            raise invalid(("messages", n, "role"), "a string", message.get("role"))


def listed(tree: dict[str, Any], key: str) -> enumerate[Any]:
    """The entries of a list that may be missing, with their places."""
    return enumerate(opt_list(tree, key, ()) or ())
