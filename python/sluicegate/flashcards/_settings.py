"""The settings: flags over environment over TOML over defaults, each under one name everywhere.

A setting `name` is `name` in the TOML file, `FLASHCARDS_NAME` in the environment and `--name` on the command
line. The key alone is different: it comes from the environment and from nowhere else.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from sluicegate import ConfigurationError

from ._one_line import os_reason
from ._secrets import ApiKey
from ._setting_names import KEY_VARIABLES, SETTINGS, Setting
from ._wire import Usage

DEFAULT_BASE_URL = "https://openrouter.ai/api/v1"
"""Where a key without a base URL is used."""

DEFAULT_RATE = "60/minute;burst=10"
"""The limit on requests to an API that is paid for."""

EMBEDDED_RATE = "50/s;burst=50"
"""The limit on requests to the embedded server: the one it announces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the job is done; what each field means and where it is found is told by `SETTINGS`.

    Attributes:
        base_url: where the API lives; None for the default, or without a key for the embedded server.
        api_key: what it is paid with; None sends no Authorization.
        rate: requests altogether, such as ``60/minute;burst=10``; None for the default of the API.
        stage1_rate: requests of stage 1 alone; None for no limit of its own.
        stage2_rate: requests of stage 2 alone; None for no limit of its own.
        tokens_rate: tokens altogether, reserved by estimate and settled at `usage`; None for no limit.
        token_budget: the tokens a run may spend; None for no end.
        concurrency: words in progress at once.
        timeout: seconds an attempt may take in all.
        connect_timeout: seconds a connection may take to be made.
        max_attempts: how often a call is sent before its word fails.
        http_referer: sent as `HTTP-Referer` where set: some APIs rank applications by it.
        x_title: sent as `X-Title` where set.
        prompt_price: what a million tokens of questions cost, for estimates; None where it is not known.
        completion_price: what a million tokens of answers cost, for estimates; None where it is not known.
        cache: whether answers are looked for in the cache.
        cache_dir: the folder of the cache; None for the user's own.
        cache_ttl: seconds an answer is kept.
        cache_jitter: the share by which that varies, so that not all expire at once.
        cache_size: the most bytes the cache may hold.
        database_url: where runs are kept, by a SQLAlchemy URL; None for a file of the user's own.
        pool_size: connections kept open.
        pool_overflow: connections above that under load.
        pool_timeout: seconds to wait for a connection.
        pool_recycle: seconds after which a connection is replaced; -1 for never.
        pool_pre_ping: whether a connection is tried before it is used.
        pool_logging: whether the pool writes what it does into the log.
        telemetry: whether traces and metrics are made.
        log_level: the least level that is logged.
        share_calls: whether identical calls in flight are made once.
        wait_for_breaker: whether words wait out an open breaker; where not, they fail at once.
        degrade: whether the job goes on without a cache, database or telemetry that cannot be had.
        sources: where each came from, by name; what is not there is a default.
    """

    base_url: str | None = None
    api_key: ApiKey | None = None
    rate: str | None = None
    stage1_rate: str | None = None
    stage2_rate: str | None = None
    tokens_rate: str | None = None
    token_budget: int | None = None
    concurrency: int = 20
    timeout: float = 30.0
    connect_timeout: float = 5.0
    max_attempts: int = 5
    http_referer: str | None = None
    x_title: str | None = None
    prompt_price: float | None = None
    completion_price: float | None = None
    cache: bool = True
    cache_dir: Path | None = None
    cache_ttl: float = 30 * 86_400.0
    cache_jitter: float = 0.1
    cache_size: int = 256 * 1024**2
    database_url: str | None = field(default=None, repr=False)
    pool_size: int = 5
    pool_overflow: int = 10
    pool_timeout: float = 30.0
    pool_recycle: float = 1_800.0
    pool_pre_ping: bool = True
    pool_logging: bool = False
    telemetry: bool = False
    log_level: str = "warning"
    share_calls: bool = True
    wait_for_breaker: bool = True
    degrade: bool = True
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def embedded(self) -> bool:
        """Whether the job brings its own server, having neither a key nor a base URL."""
        return self.base_url is None and self.api_key is None

    @property
    def effective_rate(self) -> str:
        """The limit on requests that holds."""
        return self.rate or (EMBEDDED_RATE if self.embedded else DEFAULT_RATE)

    def price(self, usage: Usage) -> float | None:
        """Return what tokens cost, in the currency of the prices; None where a price is not known."""
        if self.prompt_price is None or self.completion_price is None:
            return None
        asked, answered = usage.prompt_tokens, usage.completion_tokens
        return (asked * self.prompt_price + answered * self.completion_price) / 1_000_000

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
        for name, setting in SETTINGS.items():
            candidates = (
                (flags.get(name), setting.flag),
                (environment.get(setting.variable) or None, setting.variable),
                (table.pop(name, None), f"{name} in {config}"),
            )
            for value, source in candidates:
                if value is not None:
                    values[name] = _converted(setting, value, source)
                    sources[name] = source
                    break
        if table:
            name = next(iter(table))
            known = ", ".join(SETTINGS)
            raise ConfigurationError(f"{config}: no setting {name!r}; there are {known}", field=name)
        for variable in KEY_VARIABLES:
            if environment.get(variable, "").strip():
                values["api_key"] = _key(environment[variable], variable)
                sources["api_key"] = variable
                break
        if values.get("base_url") == DEFAULT_BASE_URL and "api_key" not in values:
            raise ConfigurationError(
                f"{DEFAULT_BASE_URL} needs a key: set OPENROUTER_API_KEY", field="api_key"
            )
        return cls(**values, sources=sources)


def users_config(environment: Mapping[str, str]) -> Path | None:
    """Return the user's own settings, never any in the working directory.

    A file that came with somebody's vocabulary could otherwise send the key wherever it likes.
    """
    folder = environment.get("XDG_CONFIG_HOME") or "~/.config"
    path = Path(folder).expanduser() / "flashcards" / "config.toml"
    return path if path.is_file() else None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            return tomllib.load(stream)
    except OSError as error:
        message = f"cannot read {path}: {os_reason(error)}; name another file by --config"
        raise ConfigurationError(message, field="config", value=str(path)) from error
    except (ValueError, RecursionError) as error:  # numbers too long, tables too deep
        raise ConfigurationError(f"{path} is no TOML: {error}", field="config", value=str(path)) from error


def _key(text: str, source: str) -> ApiKey:
    try:
        return ApiKey(text)
    except ConfigurationError as error:
        problem = f"{source}: {error}; copy the key anew"
        raise ConfigurationError(problem, field="api_key", value="***") from error


def _converted(setting: Setting, value: object, source: str) -> Any:
    try:
        return setting.convert(value)
    except (TypeError, ValueError) as error:
        told = "***" if setting.secret else value
        raise ConfigurationError(f"{source}: {error}", field=setting.name, value=told) from error
