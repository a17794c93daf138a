"""The settings: flags over environment over TOML over defaults, each under one name everywhere.

A setting `name` is `name` in the TOML file, `FLASHCARDS_NAME` in the environment and `--name` on the command
line. The key alone is different: it comes from the environment and from nowhere else.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from sluicegate import ConfigurationError, RateLimiterConfig

from ._one_line import os_reason
from ._secrets import ApiKey

DEFAULT_BASE_URL = "https://openrouter.ai/api/v1"
"""Where a key without a base URL is used."""

DEFAULT_RATE = "60/minute;burst=10"
"""The limit on requests to an API that is paid for."""

EMBEDDED_RATE = "50/s;burst=50"
"""The limit on requests to the embedded server: the one it announces."""

ENVIRONMENT_PREFIX = "FLASHCARDS_"
KEY_VARIABLES = ("FLASHCARDS_API_KEY", "OPENROUTER_API_KEY")
"""Where the key is looked for; the first that is set counts."""

MAX_CONCURRENCY = 1_000
"""The most words in progress at once: each holds a connection."""


def parse_rate(text: object) -> str:
    """Return a rate that `RateLimiterConfig.parse` understands; a bare ``inf`` lifts the limit.

    Raises:
        ConfigurationError: it is no rate.

    Examples:
        >>> parse_rate("inf"), parse_rate("60/minute;burst=10")
        ('inf/s', '60/minute;burst=10')
    """
    if not isinstance(text, str):
        raise ConfigurationError(f"a rate is a text such as {DEFAULT_RATE!r}", field="rate", value=text)
    rate = "inf/s" if text.strip().lower() == "inf" else text
    RateLimiterConfig.parse(rate)
    return rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the job talks to the API.

    Attributes:
        base_url: where the API lives; None for the default, or without a key for the embedded server.
        api_key: what it is paid with; None sends no Authorization.
        rate: requests altogether, such as ``60/minute;burst=10``; None for the default of the API.
        stage1_rate: requests of stage 1 alone; None for no limit of its own.
        stage2_rate: requests of stage 2 alone; None for no limit of its own.
        concurrency: words in progress at once.
        timeout: seconds an attempt may take in all.
        connect_timeout: seconds a connection may take to be made.
        max_attempts: how often a call is sent before its word fails.
        http_referer: sent as `HTTP-Referer` where set: some APIs rank applications by it.
        x_title: sent as `X-Title` where set.
    """

    base_url: str | None = None
    api_key: ApiKey | None = None
    rate: str | None = None
    stage1_rate: str | None = None
    stage2_rate: str | None = None
    concurrency: int = 20
    timeout: float = 30.0
    connect_timeout: float = 5.0
    max_attempts: int = 5
    http_referer: str | None = None
    x_title: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def embedded(self) -> bool:
        """Whether the job brings its own server, having neither a key nor a base URL."""
        return self.base_url is None and self.api_key is None

    @property
    def effective_rate(self) -> str:
        """The limit on requests that holds."""
        return self.rate or (EMBEDDED_RATE if self.embedded else DEFAULT_RATE)

    @classmethod
    def load(
        cls, flags: Mapping[str, object], environment: Mapping[str, str], config: Path | None = None
    ) -> Self:
        """Return the settings that hold, with where each came from in `sources`.

        Args:
            flags: by the name of the setting; None where a flag was not given.
            environment: the process's environment.
            config: the TOML file; None for none.

        Raises:
            ConfigurationError: a value makes no sense, or the file cannot be read; it names the source. Or
                the API that is always paid for is to be used without a key.
        """
        table = {} if config is None else _read_toml(config)
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for name, convert in _CONVERSIONS.items():
            variable = ENVIRONMENT_PREFIX + name.upper()
            candidates = (
                (flags.get(name), "--" + name.replace("_", "-")),
                (environment.get(variable) or None, variable),
                (table.pop(name, None), f"{name} in {config}"),
            )
            for value, source in candidates:
                if value is not None:
                    values[name] = _converted(convert, value, name, source)
                    sources[name] = source
                    break
        if table:
            name = next(iter(table))
            known = ", ".join(_CONVERSIONS)
            raise ConfigurationError(f"{config}: no setting {name!r}; there are {known}", field=name)
        for variable in KEY_VARIABLES:
            if environment.get(variable, "").strip():
                values["api_key"] = ApiKey(environment[variable])
                sources["api_key"] = variable
                break
        if values.get("base_url") == DEFAULT_BASE_URL and "api_key" not in values:
            raise ConfigurationError(
                f"{DEFAULT_BASE_URL} needs a key: set OPENROUTER_API_KEY", field="api_key"
            )
        return cls(**values, sources=sources)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        message = f"cannot read {path}: {os_reason(error)}"
        raise ConfigurationError(message, field="config", value=str(path)) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no TOML: {error}", field="config", value=str(path)) from error


def _converted(convert: Callable[[object], Any], value: object, name: str, source: str) -> Any:
    try:
        return convert(value)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{source}: {error}", field=name, value=value) from error


def _base_url(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a base URL is a text")
    text = value.strip().rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError("a base URL looks like https://host/path")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a base URL holds no user, query or fragment")
    return text


def _whole(least: int, most: int) -> Callable[[object], int]:
    def convert(value: object) -> int:
        number = int(value) if isinstance(value, str) else value
        if type(number) is not int or not least <= number <= most:
            raise ValueError(f"a whole number from {least} to {most} is wanted, not {value!r}")
        return number

    return convert


def _positive_seconds(value: object) -> float:
    number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    if not 0.0 < number < math.inf:
        raise ValueError(f"seconds above 0 are wanted, not {value!r}")
    return number


def _header(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ValueError("a header is printable ASCII")
    return value


_CONVERSIONS: Mapping[str, Callable[[object], Any]] = {
    "base_url": _base_url,
    "rate": parse_rate,
    "stage1_rate": parse_rate,
    "stage2_rate": parse_rate,
    "concurrency": _whole(1, MAX_CONCURRENCY),
    "timeout": _positive_seconds,
    "connect_timeout": _positive_seconds,
    "max_attempts": _whole(1, 100),
    "http_referer": _header,
    "x_title": _header,
}
