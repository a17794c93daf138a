"""The log of a job: on stderr, from the level that was set, and without a secret."""

import logging

import pytest
from typer.testing import CliRunner

from sluicegate.flashcards._log import LOG, RedactingFormatter, logged
from sluicegate.flashcards._secrets import ApiKey
from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards.cli import app
from sluicegate.flashcards.server import EmbeddedServer

KEY = "sk-right-key"


def settings(**environment):
    return Settings.load({}, {"FLASHCARDS_API_KEY": KEY} | environment)


@pytest.mark.parametrize(
    ("level", "told"),
    [("debug", "diwe"), ("info", "iwe"), ("warning", "we"), ("error", "e")],
)
def test_what_is_below_the_level_is_not_written(capsys, level, told):
    with logged(settings(FLASHCARDS_LOG_LEVEL=level)):
        LOG.debug("d")
        LOG.info("i")
        LOG.warning("w")
        LOG.error("e")
    assert "".join(line[-1] for line in capsys.readouterr().err.splitlines()) == told


def test_quiet_raises_the_default_level_and_not_one_that_was_set(capsys):
    with logged(settings(), quiet=True):
        LOG.warning("not told")
        LOG.error("told")
    with logged(settings(FLASHCARDS_LOG_LEVEL="info"), quiet=True):
        LOG.info("told as well")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("flashcards: ")[2] for line in lines] == ["told", "told as well"]


def test_afterwards_the_process_logs_as_before(capsys):
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    with logged(settings(FLASHCARDS_LOG_LEVEL="debug")):
        assert root.level == logging.DEBUG
    assert (root.level, root.handlers) == before


def test_no_secret_is_written_by_whatever_logger(capsys):
    with logged(settings(FLASHCARDS_LOG_LEVEL="debug")):
        other = logging.getLogger("some.library")
        other.debug("headers %r", {"authorization": f"Bearer {KEY}", "accept": "*/*"})
        other.debug("headers %r", [(b"Authorization", b"Bearer another-key")])
        other.debug("sent Bearer another-key to postgresql://me:hush@host/cards")
        try:
            raise RuntimeError(f"the key is {KEY}")
        except RuntimeError:
            other.exception("failed")
    told = capsys.readouterr().err
    assert told.count("\n") > 4
    for secret in (KEY, "another-key", "hush"):
        assert secret not in told
    assert "the key is [redacted]" in told


def test_without_a_key_there_is_nothing_to_cut_out():
    assert RedactingFormatter().redact("water") == "water"
    assert RedactingFormatter(ApiKey("x1")).redact("x1y") == "[redacted]y"


def process(tmp_path, server, *arguments):
    words = tmp_path / "words.csv"
    words.write_text("position,term,type\n1,물,noun\n")
    command = ["process", str(words), "--base-url", server.base_url, "--rate", "inf", *arguments]
    return CliRunner().invoke(app, command)


def test_a_run_at_the_level_info_says_what_happens_on_the_way(tmp_path, monkeypatch):
    monkeypatch.setenv("FLASHCARDS_API_KEY", KEY)
    with EmbeddedServer(rate="inf/s", faults="error=1", api_key=KEY) as server:
        result = process(tmp_path, server, "--log-level", "info", "--max-attempts", "2")
    assert result.exit_code == 4
    assert "1 words, asked of http://127.0.0.1:" in result.stderr
    assert "stage1, attempt 2: " in result.stderr
    assert "word 1 failed: " in result.stderr
    assert "httpx2" not in result.stderr
    assert KEY not in result.output


def test_at_the_level_debug_the_libraries_below_tell_no_key(tmp_path, monkeypatch):
    monkeypatch.setenv("FLASHCARDS_API_KEY", KEY)
    with EmbeddedServer(rate="inf/s", faults="none", api_key=KEY) as server:
        result = process(tmp_path, server, "--log-level", "debug")
    assert result.exit_code == 0
    assert "DEBUG http" in result.stderr
    assert KEY not in result.output


def test_by_default_a_run_in_good_health_logs_nothing(tmp_path, server):
    result = process(tmp_path, server, "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
