"""`flashcards doctor`: what is wrong is found before a run is begun, and what to do is said."""

import json
import socket

import pytest
from typer.testing import CliRunner

from sluicegate.flashcards.cli import app


def doctor(*arguments):
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


def findings(*arguments):
    return {finding["check"]: finding for finding in json.loads(doctor("--json", *arguments).stdout)}


def test_all_is_well_without_a_key_or_an_api(tmp_path):
    result = doctor("--cache-dir", tmp_path / "cache")
    assert result.exit_code == 0, result.output
    assert [line[:3] for line in result.stdout.splitlines()] == ["ok "] * 6


def test_an_api_that_is_not_there_is_found_and_the_setting_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = doctor("--base-url", f"http://127.0.0.1:{port}/v1")
    assert result.exit_code == 1
    assert "NO  network" in result.stdout
    assert f"base_url (127.0.0.1:{port})" in result.stdout


def test_an_api_that_is_there_is_reached_and_asked_nothing():
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = findings("--base-url", f"http://127.0.0.1:{server.getsockname()[1]}/v1")
        connection, _ = server.accept()
        with connection:
            assert connection.recv(1) == b""
    assert found["network"]["ok"]


def test_a_cache_that_cannot_be_written_is_found(tmp_path):
    file = tmp_path / "file"
    file.touch()
    found = findings("--cache-dir", file)
    assert not found["cache"]["ok"]
    assert str(file) in found["cache"]["remedy"]


def test_a_cache_that_is_switched_off_is_not_looked_at():
    assert findings("--no-cache")["cache"]["found"] == "switched off"


def test_the_source_of_the_key_is_told_and_not_the_key(monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        result = doctor("--base-url", f"http://127.0.0.1:{server.getsockname()[1]}/v1")
    assert "set by OPENROUTER_API_KEY" in result.stdout
    assert "sk-secret" not in result.output


def test_settings_that_make_no_sense_are_a_finding(monkeypatch):
    monkeypatch.setenv("FLASHCARDS_TIMEOUT", "soon")
    result = doctor()
    assert result.exit_code == 1
    assert "FLASHCARDS_TIMEOUT: seconds above 0 are wanted, not 'soon'" in result.stdout


def test_a_database_that_is_not_there_yet_can_be_made():
    found = findings()["database"]
    assert found["ok"]
    assert found["found"].endswith("runs.db can be made")


def test_the_revision_of_the_database_is_told(tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"
    assert findings("--database-url", url)["database"]["found"] == f"{url} opens, and has no tables yet"
    CliRunner().invoke(app, ["db", "migrate", "--database-url", url])
    assert findings("--database-url", url)["database"]["found"].endswith("has tables of revision 0003")


@pytest.mark.parametrize(
    "url", ["sqlite:////dev/null/runs.db", "nosuchdatabase://me:secret@host/cards", "://secret"]
)
def test_a_database_that_cannot_be_opened_is_found_and_its_password_is_not_told(url):
    result = doctor("--database-url", url)
    assert result.exit_code == 1
    assert "NO  database" in result.stdout
    assert "secret" not in result.output
