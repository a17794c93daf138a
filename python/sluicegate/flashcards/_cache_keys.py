"""What an answer is kept under, and where: its call without the position, and the user's own folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from . import _stage1, _stage2
from ._settings import DEFAULT_BASE_URL, Settings
from ._stage1 import WordNuance
from ._vocabulary import VocabularyItem

PROMPT_VERSION = "1"
"""Changes when the same word is asked in another way, so that older answers no longer serve."""

FILE_NAME = "answers.db"


def cache_path(settings: Settings, environment: Mapping[str, str]) -> Path:
    """Return the file of the cache: in `cache_dir`, or else in the user's folder for caches."""
    if settings.cache_dir is not None:
        return settings.cache_dir / FILE_NAME
    folder = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(folder).expanduser() / "flashcards" / FILE_NAME


def nuance_key(settings: Settings, item: VocabularyItem) -> bytes:
    """Return the key of stage 1's answer: API, model, prompt version, term and type."""
    return _digest(settings, _stage1.MODEL, item)


def cards_key(settings: Settings, item: VocabularyItem, nuance: WordNuance) -> bytes:
    """Return the key of stage 2's answer: that of stage 1, and what stage 1 found out."""
    told = json.dumps(nuance.as_json(0), ensure_ascii=False, sort_keys=True)
    return _digest(settings, _stage2.MODEL, item, told)


def _digest(settings: Settings, model: str, item: VocabularyItem, *more: str) -> bytes:
    asked = [settings.base_url or DEFAULT_BASE_URL, model, PROMPT_VERSION, item.term, item.type, *more]
    return hashlib.sha256(json.dumps(asked, ensure_ascii=False).encode()).digest()
