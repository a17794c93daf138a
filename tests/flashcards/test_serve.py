"""`flashcards serve`: how it starts, how it is told to stop, and what it says when it cannot."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from sluicegate.flashcards import _serve
from sluicegate.flashcards._faults import DEFAULT_FAULTS, FaultPlan
from sluicegate.flashcards._serve import serve_command
from sluicegate.flashcards.cli import app
from sluicegate.flashcards.server import DEFAULT_RATE

OPTIONS = {"host": "127.0.0.1", "port": 0, "rate": "50/s;burst=50", "faults": "none", "seed": 0}
MODULE = [sys.executable, "-W", "error", "-m", "sluicegate.flashcards"]
SERVE = [*MODULE, "serve", "--port", "0", "--faults", "none"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_prints_its_url_alone_and_stops_cleanly_on_a_signal(number, code):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(SERVE, **pipes) as process:
        url = process.stdout.readline()
        assert url.startswith("http://127.0.0.1:")
        process.send_signal(number)
        rest, said = process.communicate(timeout=20)
    assert process.returncode == code
    assert rest == ""
    assert said.splitlines()[1:] == ["0 requests, 0 admitted, 0 refused; faults: none"]


def test_a_port_in_use_is_one_line_and_exit_code_3(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert serve_command(**OPTIONS | {"port": port}) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"flashcards: cannot listen on 127.0.0.1:{port}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(("option", "value"), [("faults", "explode=1"), ("rate", "many"), ("port", 70_000)])
def test_an_option_that_makes_no_sense_is_one_line_and_exit_code_3(capsys, option, value):
    assert serve_command(**OPTIONS | {option: value}) == 3
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("content", [None, b"\xff", b"a,b\n"])
def test_a_vocabulary_that_cannot_be_read_is_one_line_and_exit_code_2(capsys, tmp_path, content):
    path = tmp_path / "words.csv"
    if content is not None:
        path.write_bytes(content)
    assert serve_command(**OPTIONS, vocabulary=path) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"flashcards: {path}: ")
    assert err.count("\n") == 1


def test_rows_that_are_bad_are_told_and_the_rest_is_served(tmp_path):
    path = tmp_path / "words.csv"
    path.write_text("position,term,type\n1,물,n\nx,불,n\n")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*SERVE, "--vocabulary", str(path)], **pipes) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)
    bad, greeting, _ = said.splitlines()
    assert bad.endswith(f"{path}: line 3: position 'x' is not an integer above 0")
    assert "1 words" in greeting


def test_the_key_that_is_required_is_the_one_of_the_environment(monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", " sk-right-key ")
    assert _serve._key() == "sk-right-key"


def test_requires_a_key_only_where_there_is_one(capsys):
    assert serve_command(**OPTIONS, require_key=True) == 3
    assert capsys.readouterr().err == (
        "flashcards: there is no key to require; set FLASHCARDS_API_KEY or OPENROUTER_API_KEY\n"
    )


def test_the_command_hands_over_what_it_was_asked(monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setattr("sluicegate.flashcards._serve.serve_command", lambda **given: seen.update(given) or 0)
    path = tmp_path / "words.csv"
    arguments = f"serve --port 8080 --rate inf --faults cut=1 --seed 7 --vocabulary {path} --require-key"
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert seen == {
        "host": "127.0.0.1",
        "port": 8080,
        "rate": "inf/s",
        "faults": "cut=1",
        "seed": 7,
        "vocabulary": path,
        "require_key": True,
    }


def test_the_command_serves_by_default_as_the_job_does(monkeypatch):
    seen = {}
    monkeypatch.setattr("sluicegate.flashcards._serve.serve_command", lambda **given: seen.update(given) or 0)
    CliRunner().invoke(app, ["serve"])
    assert seen["rate"] == DEFAULT_RATE
    plan = FaultPlan.parse(seen["faults"])
    assert plan.in_a_row == DEFAULT_FAULTS.in_a_row
    assert plan.total == pytest.approx(DEFAULT_FAULTS.total)
