"""The names of the settings: how each is read, under which panel of the help it stands, what it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from . import _setting_values as values

ENVIRONMENT_PREFIX = "FLASHCARDS_"
KEY_VARIABLES = ("FLASHCARDS_API_KEY", "OPENROUTER_API_KEY")
"""Where the key is looked for; the first that is set counts."""

MAX_CONCURRENCY = 1_000
"""The most words in progress at once: each holds a connection."""

API = "API"
CACHE = "Cache"
DATABASE = "Database"
TELEMETRY = "Telemetry"
FEATURES = "Features"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting by its one name.

    Attributes:
        name: in TOML, and in `Settings`.
        convert: reads a value, or raises ValueError or TypeError.
        panel: of the help.
        kind: what stands for its value in the help; empty for a switch.
        help: one line.
        secret: whether its value is masked wherever it is shown.
    """

    name: str
    convert: Callable[[object], Any]
    panel: str
    kind: str
    help: str
    secret: bool = False

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return ENVIRONMENT_PREFIX + self.name.upper()


def _price(value: object) -> float:
    return values.number(0.0, 1e9, "a price per million tokens is")(value)


_ALL = (
    Setting(
        "base_url", values.base_url, API, "URL", "The API; without it and a key, a server on this machine."
    ),
    Setting("rate", values.parse_rate, API, "RATE", 'Requests in all, such as "60/minute;burst=10"; or inf.'),
    Setting("stage1_rate", values.parse_rate, API, "RATE", "Requests of stage 1 alone."),
    Setting("stage2_rate", values.parse_rate, API, "RATE", "Requests of stage 2 alone."),
    Setting("tokens_rate", values.parse_rate, API, "RATE", 'Tokens in all, such as "100000/minute".'),
    Setting("token_budget", values.whole(1, 10**12), API, "TOKENS", "Tokens a run may spend."),
    Setting("concurrency", values.whole(1, MAX_CONCURRENCY), API, "WORDS", "Words in progress at once; 20."),
    Setting("timeout", values.positive_seconds, API, "SECONDS", "For an attempt; 30."),
    Setting("connect_timeout", values.positive_seconds, API, "SECONDS", "For a connection; 5."),
    Setting("max_attempts", values.whole(1, 100), API, "TIMES", "How often a call is sent; 5."),
    Setting("http_referer", values.printable, API, "TEXT", "Sent as HTTP-Referer."),
    Setting("x_title", values.printable, API, "TEXT", "Sent as X-Title."),
    Setting("prompt_price", _price, API, "PRICE", "Of a million tokens asked, for estimates."),
    Setting("completion_price", _price, API, "PRICE", "Of a million tokens answered, for estimates."),
    Setting("cache", values.switch, CACHE, "", "Whether answers are taken from the cache."),
    Setting("cache_dir", values.folder, CACHE, "FOLDER", "Where answers are kept."),
    Setting("cache_ttl", values.positive_seconds, CACHE, "SECONDS", "How long an answer is kept; 30 days."),
    Setting(
        "cache_jitter",
        values.number(0.0, 1.0, "a share from 0 to 1 is"),
        CACHE,
        "SHARE",
        "By how much that varies; 0.1.",
    ),
    Setting("cache_size", values.size, CACHE, "BYTES", "The most it may hold; 256M."),
    Setting(
        "database_url",
        values.database_url,
        DATABASE,
        "URL",
        "Where runs are kept; a SQLite file.",
        secret=True,
    ),
    Setting("pool_size", values.whole(1, 1_000), DATABASE, "COUNT", "Connections kept open; 5."),
    Setting("pool_overflow", values.whole(0, 1_000), DATABASE, "COUNT", "Connections above that; 10."),
    Setting("pool_timeout", values.positive_seconds, DATABASE, "SECONDS", "To wait for a connection; 30."),
    Setting(
        "pool_recycle",
        values.number(-1.0, 1e9, "seconds, or -1 for never, are"),
        DATABASE,
        "SECONDS",
        "The age at which a connection is replaced; 1800, -1 for never.",
    ),
    Setting("pool_pre_ping", values.switch, DATABASE, "", "Whether a connection is tried before use."),
    Setting("pool_logging", values.switch, DATABASE, "", "Whether the pool logs what it does."),
    Setting("telemetry", values.switch, TELEMETRY, "", "Whether traces and metrics are made."),
    Setting(
        "log_level",
        values.choice("debug", "info", "warning", "error"),
        TELEMETRY,
        "LEVEL",
        "debug, info, warning or error; warning.",
    ),
    Setting("share_calls", values.switch, FEATURES, "", "Whether identical calls in flight are made once."),
    Setting(
        "wait_for_breaker", values.switch, FEATURES, "", "Whether words wait out an open breaker, or fail."
    ),
    Setting(
        "degrade",
        values.switch,
        FEATURES,
        "",
        "Whether a job goes on without a cache, database or telemetry that it cannot have.",
    ),
)

SETTINGS: Mapping[str, Setting] = {setting.name: setting for setting in _ALL}
"""Every setting but the key, by its name."""
