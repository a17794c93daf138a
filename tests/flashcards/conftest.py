"""What every test of the application has: folders that are not the user's, words, and a far side."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sluicegate.flashcards.server import EmbeddedServer


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path_factory) -> Path:
    """The folder of settings, cache and runs; no setting comes from outside."""
    for name in list(os.environ):
        if name.startswith("FLASHCARDS_") or name == "OPENROUTER_API_KEY":
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    for name in ("config", "cache", "data", "state"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(home / name))
    return home


@pytest.fixture
def vocabulary() -> str:
    """What `words` holds; a module that wants other words has a fixture of this name."""
    return "position,term,type\n1,물,noun\n2,불,noun\n"


@pytest.fixture
def words(tmp_path, vocabulary) -> Path:
    """A file of words, alone in its folder."""
    folder = tmp_path / "words"
    folder.mkdir()
    path = folder / "words.csv"
    path.write_text(vocabulary)
    return path


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    """A far side that does nothing wrong and limits nobody."""
    with EmbeddedServer(rate="inf/s", faults="none") as server:
        yield server
