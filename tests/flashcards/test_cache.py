"""The cache of answers: what it keeps, forgets and takes for damaged; and runs that are killed and go on."""

import asyncio
import json
import os
import random
import select
import sqlite3
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from sluicegate import ConfigurationError
from sluicegate.flashcards import cache as module
from sluicegate.flashcards.cache import CompressedCache, get_ttl_with_jitter, pack, unpack
from sluicegate.flashcards.cli import app
from sluicegate.flashcards.server import EmbeddedServer

KILLS = int(os.environ.get("FLASHCARDS_TEST_KILLS", "3"))
LONG = "물은 물이다. " * 500


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "answers.db"


def change(path, statement, *values):
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement, values)
    connection.close()


@pytest.mark.parametrize("base", [0.001, 1, 5, 3600])
def test_a_time_to_live_varies_around_its_base_however_small(base):
    drawn = {get_ttl_with_jitter(base) for _ in range(200)}
    assert len(drawn) > 100
    assert base * 0.9 <= min(drawn) < max(drawn) <= base * 1.1


def test_a_time_to_live_is_never_nothing():
    assert min(get_ttl_with_jitter(1, 1.0) for _ in range(5000)) > 0


@pytest.mark.parametrize(
    "arguments", [(0,), (-1,), (float("nan"),), (float("inf"),), (1, -0.1), (1, 1.1), (1, float("nan"))]
)
def test_a_time_to_live_out_of_range_is_refused(arguments):
    with pytest.raises(ConfigurationError):
        get_ttl_with_jitter(*arguments)


@pytest.mark.parametrize("size", [0, 1, 1024, 1025, 100_000])
def test_a_value_comes_back_whole_on_either_side_of_the_threshold(size):
    assert unpack(pack("a" * size)) == "a" * size


def test_only_values_over_the_threshold_are_compressed():
    assert len(pack("a" * 1024)) == 1024 + 5
    assert len(pack("a" * 1025)) < 100


@pytest.mark.parametrize("text", ["water", LONG])
def test_a_value_with_any_byte_changed_is_damaged(text):
    value = pack(text)
    for index in range(0, len(value), 1 + len(value) // 50):
        assert unpack(value[:index] + bytes([value[index] ^ 1]) + value[index + 1 :]) is None
        assert unpack(value[:index]) is None


def test_a_pickle_is_a_miss():
    assert unpack(b"\x80\x04cos\nsystem\n(S'true'\ntR.") is None


def test_what_is_kept_is_there_when_it_is_opened_again(path):
    with CompressedCache(path) as cache:
        asyncio.run(cache.keep(b"key", LONG))
    with CompressedCache(path) as cache:
        assert cache.get(b"key") == LONG
        assert cache.get(b"other") is None
        stats = cache.stats()
    assert (stats.entries, stats.hits, stats.misses, stats.hit_rate) == (1, 1, 1, 0.5)


def test_a_damaged_entry_is_a_miss_and_may_be_kept_anew(path):
    with CompressedCache(path) as cache:
        asyncio.run(cache.keep(b"key", "water"))
        change(path, "UPDATE answers SET value = ?", b"\x00damaged")
        assert cache.get(b"key") is None
        asyncio.run(cache.keep(b"key", "water"))
        assert cache.get(b"key") == "water"


def test_an_answer_past_its_time_is_a_miss_and_goes_with_the_next_opening(path):
    now = 1000.0
    with CompressedCache(path, ttl=10, jitter=0, clock=lambda: now) as cache:
        asyncio.run(cache.keep(b"key", "water"))
        now = 1009.0
        assert cache.get(b"key") == "water"
        now = 1010.0
        assert cache.get(b"key") is None
    with CompressedCache(path, clock=lambda: now) as cache:
        assert cache.stats().entries == 0


def test_beyond_its_size_the_oldest_answers_go(path):
    ticks = iter(range(1_000_000))
    with CompressedCache(path, size=20_000, clock=lambda: float(next(ticks))) as cache:
        for number in range(60):
            asyncio.run(cache.keep(b"%d" % number, "x" * 500))
        assert cache.stats().bytes <= 20_000
        assert cache.get(b"0") is None
        assert cache.get(b"59") == "x" * 500


def test_warming_keeps_all_and_clearing_none(path):
    with CompressedCache(path) as cache:
        assert cache.warm((b"%d" % number, "water") for number in range(1000)) == 1000
    with CompressedCache(path) as cache:
        assert cache.stats().entries == 1000
        assert cache.clear() == 1000
        assert cache.stats().entries == 0


async def test_many_answers_at_once_share_commits(path, monkeypatch):
    commits = []
    commit = CompressedCache._commit
    monkeypatch.setattr(
        CompressedCache, "_commit", lambda self, values: (commits.append(len(values)), commit(self, values))
    )
    with CompressedCache(path) as cache:
        await asyncio.gather(*(cache.keep(b"%d" % number, LONG) for number in range(1000)))
        assert cache.get(b"999") == LONG
    assert sum(commits) == 1000
    assert max(commits) > 1
    assert max(commits) <= module.MAX_BATCH


async def test_one_who_no_longer_waits_loses_no_answer(path):
    with CompressedCache(path) as cache:
        task = asyncio.create_task(cache.keep(b"key", "water"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    with CompressedCache(path) as cache:
        assert cache.get(b"key") == "water"


async def test_an_answer_that_cannot_be_written_is_told_and_nobody_waits(path):
    with CompressedCache(path) as cache:
        change(path, "DROP TABLE answers")
        await asyncio.wait_for(cache.keep(b"key", "water"), 10)
        assert "answers" in cache.fault


def test_a_file_that_is_no_cache_is_refused_and_left(path):
    path.parent.mkdir()
    path.write_bytes(b"not a database, though long enough to be looked at" * 10)
    with pytest.raises(sqlite3.DatabaseError):
        CompressedCache(path)
    assert path.read_bytes().startswith(b"not a database")


@pytest.fixture
def vocabulary():
    return "position,term,type\n" + "".join(f"{n},물{n},noun\n" for n in range(1, 41))


def process(words, server, *arguments):
    command = ["process", str(words), "--base-url", server.base_url, "--rate", "inf", "--json", "--quiet"]
    result = CliRunner().invoke(app, [*command, *arguments])
    return result, json.loads(result.stdout)


def test_a_second_run_asks_nothing_and_writes_the_same(words, server):
    _, told = process(words, server)
    assert (told["requests"], told["cache_hit_rate"]) == (80, 0.0)
    cards = words.with_suffix(".tsv").read_bytes()
    words.with_suffix(".tsv").unlink()
    _, told = process(words, server)
    assert (told["requests"], told["cache_hits"], told["cache_hit_rate"]) == (0, 80, 1.0)
    assert words.with_suffix(".tsv").read_bytes() == cards
    _, told = process(words, server, "--no-cache")
    assert told["requests"] == 80


def test_replies_of_no_use_are_not_kept(words):
    with EmbeddedServer(rate="inf/s", faults="empty=1") as server:
        process(words, server)
        result, told = process(words, server, "--cache-only")
    assert result.exit_code == 1
    assert told["cache_hits"] == 0


def test_from_the_cache_alone_what_is_missing_is_listed_and_nothing_asked(words, server):
    process(words, server, "--limit", "30")
    before = server.stats.requests
    result, told = process(words, server, "--cache-only")
    assert server.stats.requests == before
    assert result.exit_code == 1
    assert [word["position"] for word in told["failed"]] == list(range(31, 41))
    assert {word["reason"] for word in told["failed"]} == {"stage1 is not in the cache"}


def test_from_no_cache_at_all_is_a_usage_error(words):
    result = CliRunner().invoke(app, ["process", str(words), "--cache-only", "--no-cache"])
    assert result.exit_code == 2


def test_without_its_cache_the_job_goes_on_and_says_so(words, tmp_path, server):
    (tmp_path / "file").write_text("")
    result, told = process(words, server, "--cache-dir", str(tmp_path / "file"))
    assert (result.exit_code, told["done"]) == (0, 40)
    assert "the job goes on" in result.stderr
    (degraded,) = told["degraded"]
    assert (degraded["part"], degraded["effect"]) == ("cache", "answers are neither found nor kept")


def test_without_its_cache_the_job_ends_before_it_pays_where_it_is_told_to(words, tmp_path, server):
    (tmp_path / "file").write_text("")
    command = ["process", str(words), "--base-url", server.base_url, "--no-degrade"]
    result = CliRunner().invoke(app, [*command, "--cache-dir", str(tmp_path / "file")])
    assert server.stats.requests == 0
    assert result.exit_code == 5
    assert "name another folder by --cache-dir; or let the job go on without by --degrade" in result.stderr


def test_answers_that_could_not_be_kept_on_the_way_are_told_in_the_summary(words, monkeypatch, server):
    def full(self, values):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(CompressedCache, "_commit", full)
    result, told = process(words, server, "--limit", "1")
    assert (result.exit_code, told["done"]) == (0, 1)
    assert "database or disk is full; not every answer was kept" in result.stderr
    assert [part["effect"] for part in told["degraded"]] == ["not every answer was kept"]


def test_a_cache_that_must_be_read_and_cannot_is_a_storage_error(words, tmp_path):
    (tmp_path / "file").write_text("")
    command = ["process", str(words), "--cache-only", "--cache-dir", str(tmp_path / "file")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 5
    assert "--cache-dir" in result.stderr


def test_the_cache_is_looked_at_and_cleared_by_command(tmp_path):
    path = tmp_path / "kept" / "answers.db"
    with CompressedCache(path) as cache:
        cache.warm([(b"key", "water")])
    told = CliRunner().invoke(app, ["cache", "stats", "--cache-dir", str(path.parent)])
    assert json.loads(told.stdout) == {"path": str(path), "entries": 1, "bytes": 10}
    cleared = CliRunner().invoke(app, ["cache", "clear", "--cache-dir", str(path.parent)])
    assert cleared.stdout == f"1 answers forgotten in {path}\n"
    told = CliRunner().invoke(app, ["cache", "stats", "--cache-dir", str(path.parent)])
    assert json.loads(told.stdout)["entries"] == 0


@pytest.mark.parametrize("command", ["stats", "clear"])
def test_a_cache_that_cannot_be_opened_is_a_storage_error(tmp_path, command):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["cache", command, "--cache-dir", str(tmp_path / "file")])
    assert result.exit_code == 5
    assert "cannot use the cache" in result.stderr


def test_killed_at_any_instant_a_run_goes_on_with_what_it_has_paid_for(words, tmp_path):
    """`FLASHCARDS_TEST_KILLS=20` kills as often."""
    rng = random.Random(20)
    with EmbeddedServer(rate="inf/s", faults="slow=1,slow_seconds=0.02") as server:
        process(words, server, "--no-cache")
        expected = words.with_suffix(".tsv").read_bytes()
        words.with_suffix(".tsv").unlink()
        for number in range(KILLS):
            folder = tmp_path / f"kept-{number}"
            started = server.stats.requests
            command = [sys.executable, "-m", "sluicegate.flashcards", "process", str(words), "--quiet"]
            command += ["--base-url", server.base_url, "--rate", "inf", "--cache-dir", str(folder)]
            killed = subprocess.Popen([*command, "--concurrency", "3"], stderr=subprocess.PIPE)
            instant = started + rng.randint(1, 70)
            while server.stats.requests < instant:
                select.select([killed.stderr], [], [], rng.random() / 500)
                assert killed.poll() is None
            killed.kill()
            killed.communicate(timeout=20)
            assert not words.with_suffix(".tsv").exists()
            with CompressedCache(folder / "answers.db") as cache:
                kept = cache.stats().entries
            assert kept >= instant - started - 2 * 3
            result, told = process(words, server, "--cache-dir", str(folder))
            assert result.exit_code == 0
            assert told["requests"] == 80 - kept
            assert words.with_suffix(".tsv").read_bytes() == expected
            words.with_suffix(".tsv").unlink()
