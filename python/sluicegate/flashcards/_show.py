"""`flashcards config show`: every setting, its value and where it came from, with secrets masked."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from sluicegate import ConfigurationError

from ._setting_names import SETTINGS
from ._settings import Settings, users_config

MASKED = "***"
_PASSWORD = re.compile(r"(?<=://)([^:/?#@]*):[^/?#]*@")


def masked_url(url: str) -> str:
    """Return a URL without its password, and without what follows a question mark.

    Examples:
        >>> masked_url("postgresql://me:secret@host/cards?sslpassword=x")
        'postgresql://me:***@host/cards?***'
    """
    url = _PASSWORD.sub(rf"\1:{MASKED}@", url)
    before, question, _ = url.partition("?")
    return before + question + (MASKED if question else "")


def shown_settings(settings: Settings) -> dict[str, dict[str, object]]:
    """Return each setting's value and source by its name; the rate is the one that holds."""
    told: dict[str, dict[str, object]] = {
        "api_key": {
            "value": None if settings.api_key is None else MASKED,
            "source": _source(settings, "api_key"),
        }
    }
    for name, setting in SETTINGS.items():
        value = settings.effective_rate if name == "rate" else getattr(settings, name)
        if setting.secret and value is not None:
            value = masked_url(value)
        told[name] = {
            "value": str(value) if isinstance(value, Path) else value,
            "source": _source(settings, name),
        }
    return told


def show_settings(flags: Mapping[str, object], config: Path | None, *, as_json: bool) -> int:
    """Print the settings on stdout, and return the exit code: 3 where one makes no sense."""
    try:
        settings = Settings.load(flags, os.environ, config or users_config(os.environ))
    except ConfigurationError as error:
        print(f"flashcards: {error}", file=sys.stderr)
        return 3
    told = shown_settings(settings)
    if as_json:
        print(json.dumps(told))
        return 0
    width = max(map(len, told))
    for name, entry in told.items():
        value = "-" if entry["value"] is None else json.dumps(entry["value"], ensure_ascii=False).strip('"')
        print(f"{name:{width}}  {value:<28}  {entry['source']}")
    return 0


def _source(settings: Settings, name: str) -> str:
    return settings.sources.get(name, "default")
