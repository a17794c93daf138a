"""`flashcards serve`: how it starts, how it is told to stop, and what it says when it cannot."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from sluicegate.flashcards._serve import serve_command

OPTIONS = {"host": "127.0.0.1", "port": 0, "rate": "50/s;burst=50", "faults": "none", "seed": 0}
SCRIPT = (
    f"from sluicegate.flashcards._serve import serve_command; raise SystemExit(serve_command(**{OPTIONS}))"
)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_prints_its_url_alone_and_stops_cleanly_on_a_signal(number, code):
    command = [sys.executable, "-W", "error", "-c", SCRIPT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
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
