"""The options of what is built from a config, from its fields, or from a config with some fields changed."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

C = TypeVar("C")


def config_of(kind: type[C], config: C | None, fields: Mapping[str, Any]) -> C:
    """Return the config that `config` and `fields` together stand for.

    Raises:
        ConfigurationError: A field makes no sense.
        TypeError: `config` is no such config, or has no such field.
    """
    if config is None:
        return kind(**fields)
    if not isinstance(config, kind):
        raise TypeError(f"config must be a {kind.__name__}, or left out for its fields, not {config!r}")
    return dataclasses.replace(config, **fields) if fields else config  # type: ignore[type-var]  # they are
