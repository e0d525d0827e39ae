"""YAML, read strictly: no key hides an equal one, and every error has a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError

from llmgw.errors import ConfigError
from llmgw.mistakes import told


def load(path: Path) -> dict[str, Any]:
    """Read a file that holds a mapping; an empty one holds an empty mapping.

    Raises:
        ConfigError: it cannot be read, is no YAML, or holds something else.
    """
    try:
        data = yaml.load(path.read_bytes(), _Loader)  # noqa: S506 -- it is a SafeLoader
    except OSError as error:
        raise ConfigError(f"cannot be read: {(error.strerror or str(error)).lower()} @ {path}") from None
    except yaml.MarkedYAMLError as error:
        what = ", ".join(filter(None, [error.context, error.problem]))
        mark = error.problem_mark or error.context_mark
        raise ConfigError(f"{what} @ {path}" + (f", line {mark.line + 1}, column {mark.column + 1}" if mark else "")) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"this is not YAML: {str(error).partition(chr(10))[0]} @ {path}") from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"invalid value for type, expected a mapping, found {told(data)} @ {path}")
    return data


class _Loader(yaml.SafeLoader):
    """Refuses duplicate keys, and leaves dates as text: ``api_version: 2026-01-01``."""

    yaml_implicit_resolvers = {  # noqa: RUF012 -- PyYAML looks here
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Looks for duplicates here, where what ``<<`` merges is not yet among the keys."""
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            name = (key.tag, str(key.value))
            if name in lines:
                what = f"the key {key.value!r} stands here a second time, first in line {lines[name]}"
                raise ComposerError(None, None, what, key.start_mark)
            lines[name] = key.start_mark.line + 1
        return node
