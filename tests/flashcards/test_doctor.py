"""`flashcards doctor`: what is wrong is found before a run is begun, and what to do is said."""

import errno
import importlib.util
import json
import socket

import pytest
from typer.testing import CliRunner

from sluicegate import RateLimiter
from sluicegate.flashcards import _doctor
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


@pytest.mark.parametrize(("scheme", "port"), [("https", 443), ("http", 80)])
def test_the_port_that_an_address_goes_without_is_told(monkeypatch, scheme, port):
    def refuse(address, timeout):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    found = findings("--base-url", f"{scheme}://cards.test/v1")["network"]
    assert found["found"] == "connection refused"
    assert f"base_url (cards.test:{port})" in found["remedy"]


def test_an_api_without_a_key_is_asked_without_authorization():
    found = findings("--base-url", "http://127.0.0.1:9/v1")["key"]
    assert found == {
        "check": "key",
        "ok": True,
        "found": "none; http://127.0.0.1:9/v1 is asked without Authorization",
        "remedy": "",
    }


def test_a_machine_that_allows_no_server_is_found_before_the_embedded_one_is_wanted(monkeypatch):
    def forbid(address):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket, "create_server", forbid)
    assert findings()["network"] == {
        "check": "network",
        "ok": False,
        "found": "permission denied",
        "remedy": "allow sockets on 127.0.0.1",
    }


def test_a_core_that_admits_what_it_must_refuse_is_found(monkeypatch):
    monkeypatch.setattr(_doctor, "RateLimiter", lambda config: RateLimiter("inf/s"))
    result = doctor()
    assert result.exit_code == 1
    assert "NO  core      the native module decides wrongly\n" in result.stdout
    assert "install sluicegate anew" in result.stdout


def test_without_its_library_the_database_is_a_finding_that_says_what_to_install(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "sqlalchemy" else found(name, *rest)
    )
    assert findings()["database"] == {
        "check": "database",
        "ok": False,
        "found": "SQLAlchemy is not installed",
        "remedy": 'pip install "sluicegate[flashcards]"',
    }


def test_the_database_of_earlier_runs_is_opened_where_none_is_named(home):
    path = home / "data" / "flashcards" / "runs.db"
    CliRunner().invoke(app, ["db", "migrate"])
    assert path.exists()
    assert findings()["database"]["found"] == f"sqlite:///{path} opens, and has tables of revision 0003"


def test_a_folder_that_no_database_can_be_made_in_is_found_and_named(home):
    (home / "data").touch()
    found = findings()["database"]
    assert not found["ok"]
    assert found["remedy"] == f"make {home / 'data' / 'flashcards'} writable, or name another by database_url"
