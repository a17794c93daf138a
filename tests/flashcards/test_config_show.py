"""`flashcards config show`: each value, where it came from, and no secret."""

import json

from typer.testing import CliRunner

from sluicegate.flashcards._setting_names import SETTINGS
from sluicegate.flashcards.cli import app


def show(*arguments):
    return CliRunner().invoke(app, ["config", "show", *arguments])


def test_says_where_each_value_came_from(monkeypatch, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text("timeout = 7\n")
    monkeypatch.setenv("FLASHCARDS_POOL_SIZE", "3")
    told = json.loads(show("--json", "--config", str(path), "--cache-dir", "/tmp/cards", "--no-cache").stdout)
    assert told["timeout"] == {"value": 7.0, "source": f"timeout in {path}"}
    assert told["pool_size"] == {"value": 3, "source": "FLASHCARDS_POOL_SIZE"}
    assert told["cache_dir"] == {"value": "/tmp/cards", "source": "--cache-dir"}
    assert told["cache"] == {"value": False, "source": "--cache"}
    assert told["concurrency"] == {"value": 20, "source": "default"}
    assert told.keys() == {"api_key", *SETTINGS}


def test_masks_the_key_and_the_password_of_the_database(monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-secret")
    monkeypatch.setenv("FLASHCARDS_DATABASE_URL", "postgresql://me:hunter2@host/cards?password=hunter2")
    for arguments in ((), ("--json",)):
        result = show(*arguments)
        assert result.exit_code == 0
        assert "sk-secret" not in result.output
        assert "hunter2" not in result.output
        assert "postgresql://me:***@host/cards?***" in result.stdout


def test_shows_the_rate_that_holds():
    told = json.loads(show("--json").stdout)
    assert told["rate"] == {"value": "50/s;burst=50", "source": "default"}


def test_fits_80_columns_for_people():
    assert max(map(len, show().stdout.splitlines())) <= 80


def test_a_setting_that_makes_no_sense_is_told_with_its_source(monkeypatch):
    monkeypatch.setenv("FLASHCARDS_CACHE_SIZE", "much")
    result = show()
    assert result.exit_code == 3
    assert result.stderr == (
        "flashcards: FLASHCARDS_CACHE_SIZE: bytes above 0, such as 256M, are wanted, not 'much'\n"
    )


def test_a_flag_that_makes_no_sense_is_usage():
    result = show("--cache-jitter", "2")
    assert result.exit_code == 2
    assert "--cache-jitter" in result.stderr
