"""What a setting's text means: each function turns a value of a flag, a variable or TOML into what is used.

All raise ValueError or TypeError with a message that says what is wanted; `Settings.load` puts the source in
front.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from sluicegate import ConfigurationError

_SWITCH = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def parse_rate(text: object) -> str:
    """Return a rate that `RateLimiterConfig.parse` understands; a bare ``inf`` lifts the limit.

    Raises:
        ConfigurationError: it is no rate.

    Examples:
        >>> parse_rate("inf"), parse_rate("60/minute;burst=10")
        ('inf/s', '60/minute;burst=10')
    """
    from sluicegate import RateLimiterConfig  # noqa: PLC0415 - help does without

    if not isinstance(text, str):
        raise ConfigurationError('a rate is a text such as "60/minute;burst=10"', field="rate", value=text)
    rate = "inf/s" if text.strip().lower() == "inf" else text
    RateLimiterConfig.parse(rate)
    return rate


def base_url(value: object) -> str:
    """Return a base URL without the slash at its end."""
    text = printable(value).strip().rstrip("/")
    parts = urlsplit(text)
    if parts.username is not None or parts.query or parts.fragment:
        # Not shown: what stands there may be a password.
        raise ValueError("a base URL holds no user, query or fragment; the key goes into OPENROUTER_API_KEY")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.port == 0:
        raise ValueError(f"a base URL looks like https://host/path, not {text!r}")
    return text


def whole(least: int, most: int) -> Callable[[object], int]:
    """Return what reads a whole number from `least` to `most`."""

    def convert(value: object) -> int:
        try:
            number = int(value) if isinstance(value, str) else value
        except ValueError:
            number = None
        if type(number) is not int or not least <= number <= most:
            raise ValueError(f"a whole number from {least} to {most} is wanted, not {value!r}")
        return number

    return convert


def size(value: object) -> int:
    """Return a number of bytes; K, M and G at the end of a text multiply by 1024.

    Examples:
        >>> size("256M"), size(4096)
        (268435456, 4096)
    """
    text = str(value).strip().lower()
    unit = text[-1:] if text[-1:] in {"k", "m", "g"} else ""
    digits = text.removesuffix(unit)
    if isinstance(value, bool) or not (digits.isascii() and digits.isdigit()) or not int(digits):
        raise ValueError(f"bytes above 0, such as 256M, are wanted, not {value!r}")
    return int(digits) * _UNITS[unit]


def number(least: float, most: float, what: str, *, above: bool = False) -> Callable[[object], float]:
    """Return what reads a number from `least` to `most`, without `least` itself where `above`."""

    def convert(value: object) -> float:
        try:
            found = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not least <= found <= most or found == math.inf or (above and found == least):
            raise ValueError(f"{what} wanted, not {value!r}")
        return found

    return convert


positive_seconds = number(0.0, math.inf, "seconds above 0 are", above=True)


def switch(value: object) -> bool:
    """Return yes or no.

    Examples:
        >>> switch("on"), switch(False)
        (True, False)
    """
    found = value if isinstance(value, bool) else _SWITCH.get(str(value).strip().lower())
    if found is None:
        raise ValueError(f"true or false is wanted, not {value!r}")
    return found


def choice(*names: str) -> Callable[[object], str]:
    """Return what reads one of some words, in any case."""

    def convert(value: object) -> str:
        text = str(value).strip().lower()
        if text not in names:
            raise ValueError(f"one of {', '.join(names)} is wanted, not {value!r}")
        return text

    return convert


def printable(value: object) -> str:
    """Return a text that may travel in a header: printable ASCII."""
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ValueError(f"printable ASCII is wanted, not {value!r}")
    return value


def folder(value: object) -> Path:
    """Return a folder; `~` is the user's own."""
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ValueError(f"a folder is wanted, not {value!r}")
    return Path(value).expanduser()


def database_url(value: object) -> str:
    """Return a SQLAlchemy URL; it is never shown in an error, since it may hold a password."""
    if not isinstance(value, str) or "://" not in value or not value.isprintable():
        raise ValueError("a database URL looks like sqlite:///file.db or postgresql+psycopg://user@host/name")
    return value.strip()
