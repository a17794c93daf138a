"""Runs that end before their time, and what the same command does then."""

import json
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from typer.testing import CliRunner

from sluicegate.flashcards.cli import app
from sluicegate.flashcards.server import EmbeddedServer

KILLS = int(os.environ.get("FLASHCARDS_TEST_KILLS", "1"))
WORDS = 40


@pytest.fixture
def vocabulary():
    return "position,term,type\n" + "".join(f"{n},물{n},noun\n" for n in range(1, WORDS + 1))


@pytest.fixture
def database(tmp_path):
    return tmp_path / "kept" / "runs.db"


def process(words, server, *arguments):
    command = ["process", str(words), "--base-url", server.base_url, "--rate", "inf", "--json"]
    result = CliRunner().invoke(app, [*command, *map(str, arguments)])
    return result, json.loads(result.stdout) if result.stdout else None


def rows(path, statement):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def stop_at(words, server, instant, number, *arguments):
    """Begin a run in a process of its own, and send it a signal once so many requests have come."""
    command = [sys.executable, "-m", "sluicegate.flashcards", "process", str(words), "--quiet"]
    command += ["--base-url", server.base_url, "--rate", "inf", "--concurrency", "3", *map(str, arguments)]
    running = subprocess.Popen(command, stderr=subprocess.PIPE)
    end = server.stats.requests + instant
    while server.stats.requests < end:
        select.select([running.stderr], [], [], 0.002)
        assert running.poll() is None
    running.send_signal(number)
    running.communicate(timeout=20)
    return running.returncode


def test_killed_at_any_instant_only_unfinished_words_repeat_without_a_cache(words, tmp_path):
    """`FLASHCARDS_TEST_KILLS=20` kills as often."""
    rng = random.Random(21)
    with EmbeddedServer(rate="inf/s", faults="slow=1,slow_seconds=0.02") as server:
        process(words, server, "--no-cache", "--database-url", f"sqlite:///{tmp_path}/whole.db")
        expected = words.with_suffix(".tsv").read_bytes()
        words.with_suffix(".tsv").unlink()
        for number in range(KILLS):
            path = tmp_path / f"runs-{number}.db"
            kept = ("--no-cache", "--database-url", f"sqlite:///{path}")
            started = server.stats.requests
            assert stop_at(words, server, rng.randint(1, 70), signal.SIGKILL, *kept) == -signal.SIGKILL
            assert not words.with_suffix(".tsv").exists()
            [(done,)] = rows(path, "SELECT COUNT(*) FROM words WHERE state = 'done'")
            [(kept_answers,)] = rows(path, "SELECT COUNT(*) FROM answers")
            result, told = process(words, server, *kept)
            assert result.exit_code == 0
            assert (told["run"], told["resumed"], told["done"]) == (1, done, WORDS)
            assert kept_answers >= server.stats.requests - told["requests"] - started - 2 * 3
            assert told["requests"] == 2 * WORDS - kept_answers
            assert rows(path, "SELECT COUNT(*) FROM answers") == [(0,)]
            assert words.with_suffix(".tsv").read_bytes() == expected
            words.with_suffix(".tsv").unlink()
            assert rows(path, "SELECT state FROM runs") == [("completed",)]


def test_what_a_run_without_a_cache_was_answered_serves_it_with_one(words, database):
    kept = ("--database-url", f"sqlite:///{database}")
    with EmbeddedServer(rate="inf/s", faults="slow=1,slow_seconds=0.02") as server:
        assert stop_at(words, server, 31, signal.SIGKILL, *kept, "--no-cache") == -signal.SIGKILL
        [(answers,)] = rows(database, "SELECT COUNT(*) FROM answers")
        [(done,)] = rows(database, "SELECT COUNT(*) FROM words WHERE state = 'done'")
        assert answers > 2 * done
        _, told = process(words, server, *kept)
        assert (told["resumed"], told["requests"]) == (done, 2 * WORDS - answers)
        _, told = process(words, server, *kept, "--no-resume")
    assert told["requests"] == 2 * done  # the rest was kept on its way


def test_an_interrupted_run_is_gone_on_with_and_says_so(words, database):
    kept = ("--no-cache", "--database-url", f"sqlite:///{database}")
    with EmbeddedServer(rate="inf/s", faults="slow=1,slow_seconds=0.02") as server:
        assert stop_at(words, server, 30, signal.SIGINT, *kept) == 130
        [(done,)] = rows(database, "SELECT COUNT(*) FROM words WHERE state = 'done'")
        assert 0 < done < WORDS
        assert rows(database, "SELECT state, exit_code FROM runs") == [("interrupted", 130)]
        _, told = process(words, server, *kept, "--no-resume", "--limit", "1")
        assert (told["run"], told["resumed"], told["requests"]) == (2, 0, 2)
        result, told = process(words, server, *kept)
    assert told["resumed"] == done
    assert f"going on with run 1: {done} of 40 words have their cards" in result.stderr


def test_a_word_that_failed_in_three_runs_is_skipped_and_the_run_exits_1(words, database):
    words.write_text("position,term,type\n1,물,noun\n2,불,noun\n")
    kept = ("--database-url", f"sqlite:///{database}", "--max-attempts", "1", "--no-cache")
    with EmbeddedServer(rate="inf/s", faults="empty=1") as server:
        for _ in range(3):
            result, told = process(words, server, *kept)
            assert (result.exit_code, told["skipped"], told["requests"] > 0) == (1, 0, True)
        result, told = process(words, server, *kept)
    assert (result.exit_code, told["skipped"], told["requests"]) == (1, 2, 0)
    assert {word["reason"] for word in told["failed"]} == {"in quarantine: the reply is empty"}
    assert "2 skipped in quarantine" in result.stderr


def test_the_summary_tells_of_run_and_pool(words, database, server):
    _, told = process(words, server, "--database-url", f"sqlite:///{database}", "--pool-size", "2")
    assert (told["run"], told["resumed"], told["skipped"]) == (1, 0, 0)
    assert told["pool"]["size"] == 2
    assert told["pool"]["checkouts"] > 0
    assert told["pool"]["checked_out"] == 0
    assert rows(database, "SELECT COUNT(*) FROM attempts") == [(told["requests"],)]


def test_the_pool_writes_what_it_does_into_the_log(words, database, server):
    kept = ("--database-url", f"sqlite:///{database}")
    assert "from pool" not in process(words, server, *kept)[0].stderr
    result, told = process(words, server, *kept, "--pool-logging")
    assert told["done"] == WORDS  # and stdout held nothing but JSON
    assert "checked out from pool" in result.stderr


def test_no_key_is_kept(words, database, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-very-secret")
    with EmbeddedServer(rate="inf/s", faults="empty=1") as server:
        process(words, server, "--database-url", f"sqlite:///{database}", "--limit", "3")
    assert rows(database, "SELECT COUNT(*) FROM attempts WHERE error IS NOT NULL") > [(0,)]
    for file in database.parent.iterdir():
        assert b"very-secret" not in file.read_bytes()


def test_only_the_cache_asked_no_run_is_kept(words, database, server):
    _, told = process(words, server, "--cache-only", "--database-url", f"sqlite:///{database}")
    assert (told["run"], told["pool"]) == (None, None)
    assert not database.exists()


@pytest.mark.parametrize("broken", ["folder", "content", "schema"])
def test_without_its_database_the_job_goes_on_and_says_so(words, database, broken, server):
    database.parent.mkdir()
    if broken == "folder":
        database.parent.rmdir()
        database.parent.write_text("")
    elif broken == "content":
        database.write_bytes(b"no database" * 100)
    else:
        rows(database, "CREATE TABLE words (meaning TEXT)")
    result, told = process(words, server, "--database-url", f"sqlite:///{database}")
    assert (result.exit_code, told["done"], told["run"], told["pool"]) == (0, WORDS, None, None)
    assert "the job goes on, and the run is not kept" in result.stderr
    assert str(database) in result.stderr


def test_where_nothing_can_be_kept_that_is_paid_for_it_is_a_storage_error(words, tmp_path, server):
    (tmp_path / "file").write_text("")
    nowhere = ("--cache-dir", tmp_path / "file", "--database-url", f"sqlite:///{tmp_path}/file/runs.db")
    result, _ = process(words, server, *nowhere)
    assert server.stats.requests == 0
    assert result.exit_code == 5
    assert "nothing that is paid for could be kept" in result.stderr
    assert not words.with_suffix(".tsv").exists()


def test_a_missing_driver_is_a_configuration_error_without_the_password(words, server):
    result, _ = process(words, server, "--database-url", "postgresql+nodriver://me:secret@host/cards")
    assert server.stats.requests == 0
    assert result.exit_code == 3
    assert "nodriver" in result.stderr
    assert "secret" not in result.output


def test_a_database_that_breaks_on_the_way_is_told_and_the_cards_are_written(words, database, server):
    kept = ("--database-url", f"sqlite:///{database}", "--no-cache")
    process(words, server, *kept, "--limit", "1")
    rows(
        database,
        "CREATE TRIGGER full BEFORE UPDATE ON words BEGIN SELECT RAISE(ABORT, 'disk is full'); END",
    )
    result, told = process(words, server, *kept)
    assert (result.exit_code, told["done"]) == (0, WORDS)
    assert "cannot keep the run" in result.stderr
    assert "disk is full" in result.stderr
