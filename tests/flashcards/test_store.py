"""The database: runs that are gone on with, words in quarantine, and what makes it unusable."""

import asyncio
import os
import sqlite3
import threading
from contextlib import closing
from types import SimpleNamespace

import pytest

from sluicegate import ConfigurationError, ErrorCategory
from sluicegate.flashcards._failures import FailedWord
from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards._stage2 import Card, Cards
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.flashcards.store import (
    Database,
    Pruned,
    Store,
    StoredRun,
    StoreError,
    _owners,
    default_path,
)
from sluicegate.flashcards.store._owners import is_alive

ITEMS = [VocabularyItem(number, f"물{number}", "noun") for number in range(1, 11)]
CARDS = Cards((Card("Scene", "primer", "front\t", "back" * 500, "tag", ""),), 1)
DAY = 86_400


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "runs.db"


@pytest.fixture
def settings(path):
    return Settings(database_url=f"sqlite:///{path}", pool_timeout=0.2)


@pytest.fixture
def store(settings):
    with Store(settings, {}) as store:
        yield store


def begin(store, items=ITEMS, api="api", **options):
    return store.begin("words.csv", api, "1", items, **options)


def failed(number, **told):
    told = {"by_api": True, "category": ErrorCategory.EXTERNAL_SERVICE, "code": "server_error"} | told
    return FailedWord(ITEMS[number], "500: no", **told)


def run_once(store, outcomes, state="completed"):
    """Make a run in which some words come to an end, by their number."""
    run = begin(store)
    for number, outcome in outcomes.items():
        run.end(number, outcome)
    run.finish(state, 0)
    assert not run.fault
    return run


def change(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement, values).fetchall()


@pytest.mark.parametrize("state", ["interrupted", "refused", "misaddressed", "outage", "budget"])
def test_a_run_that_was_not_completed_is_gone_on_with(store, state):
    first = run_once(store, {0: CARDS, 3: CARDS, 4: failed(4)}, state)
    run = begin(store)
    assert (run.run_id, run.resumed, run.is_new) == (first.run_id, 2, False)
    assert [run.known(number) for number in range(10)] == [CARDS, None, None, CARDS, *[None] * 6]
    assert store.kept_run().words == {
        "pending": 8,
        "in progress": 0,
        "done": 2,
        "failed": 0,
        "quarantined": 0,
    }
    run.close()


def test_a_run_that_nobody_finished_is_gone_on_with(store):
    run = begin(store)
    run.end(2, CARDS)
    run.close()
    again = begin(store)
    assert (again.run_id, again.resumed) == (run.run_id, 1)
    again.close()


@pytest.mark.parametrize(
    "other",
    [{"items": ITEMS[:9]}, {"items": [*ITEMS[:9], VocabularyItem(10, "불", "noun")]}, {"api": "b"}],
)
def test_a_run_of_other_words_or_another_api_is_a_new_one(store, other):
    first = run_once(store, {0: CARDS}, "interrupted")
    run = begin(store, **other)
    assert (run.run_id != first.run_id, run.resumed, run.is_new) == (True, 0, True)
    assert run.known(0) is None
    run.close()


def test_a_completed_run_is_not_begun_again_and_a_new_one_may_be_asked_for(store):
    first = run_once(store, {0: CARDS})
    second = run_once(store, {0: CARDS}, "interrupted")
    assert second.run_id > first.run_id
    run = begin(store, resume=False)
    assert run.run_id > second.run_id
    run.close()


async def test_a_run_on_which_another_process_works_is_left_to_it(store, path):
    first = begin(store)
    await first.begin(0)
    first.close()
    host = _owners.this_process().rpartition(":")[0]
    change(path, "UPDATE runs SET owner = ?", f"{host}:{os.getppid()}")
    second = begin(store)
    assert second.run_id != first.run_id
    second.close()


def test_who_is_alive():
    host = _owners.this_process().rpartition(":")[0]
    assert is_alive(f"{host}:1", 1e9)
    assert not is_alive(_owners.this_process(), 0.0)
    assert not is_alive(f"{host}:{2**22 + 1}", 0.0)
    assert is_alive("elsewhere:1", 59.0)
    assert not is_alive("elsewhere:1", 61.0)


def test_damaged_cards_are_asked_for_anew(store, path):
    run_once(store, {0: CARDS, 1: CARDS}, "interrupted")
    change(path, "UPDATE words SET cards = ? WHERE number = 0", b"\x01damaged")
    run = begin(store)
    assert (run.known(0), run.known(1)) == (None, CARDS)
    run.close()


def test_a_word_is_in_quarantine_after_three_runs_that_it_failed_in(store):
    for _ in range(3):
        assert store.quarantined() == []
        run_once(store, {1: failed(1), 2: CARDS})
    [word] = store.quarantined()
    assert (word.term, word.failures, word.reason) == ("물2", 3, "500: no")
    run = begin(store)
    skipped = run.known(1)
    assert (skipped.is_skipped, skipped.reason) == (True, "in quarantine: 500: no")
    assert run.known(2) is None
    run.finish("completed", 1)
    assert store.kept_run().words["quarantined"] == 1
    assert store.quarantined() == [word]
    other = begin(store, api="another")
    assert other.known(1) is None
    other.close()


def test_a_run_counts_once_however_often_it_is_gone_on_with(store):
    for _ in range(5):
        run_once(store, {1: failed(1), 2: failed(1)}, "interrupted")
    assert store.quarantined() == []


def test_invalid_input_is_in_quarantine_at_once(store):
    run_once(store, {1: failed(1, is_invalid=True)})
    assert [word.failures for word in store.quarantined()] == [1]


@pytest.mark.parametrize("code", ["not_in_cache", "circuit_open"])
def test_a_word_that_was_not_sent_has_not_failed(store, code):
    for _ in range(4):
        run_once(store, {1: failed(1, code=code)})
    assert store.quarantined() == []


def test_a_word_that_gets_its_cards_has_a_clean_slate(store):
    for outcome in (failed(1), failed(1), CARDS, failed(1), failed(1)):
        run_once(store, {1: outcome})
    assert store.quarantined() == []
    run_once(store, {1: failed(1)})
    assert len(store.quarantined()) == 1


def test_words_are_let_out_of_quarantine(store):
    run_once(store, {number: failed(number, is_invalid=True) for number in range(4)})
    assert store.release(["물1", "물2", "no such word"]) == 2
    assert [word.term for word in store.quarantined()] == ["물3", "물4"]
    assert store.release() == 2
    assert store.quarantined() == []


async def test_attempts_are_taken_down(store, path):
    run = begin(store)
    run.attempt("stage1", ITEMS[0], 0.25, ConnectionError("cut"))
    run.attempt("stage1", ITEMS[0], 0.5, None)
    run.finish("completed", 0)
    rows = change(path, "SELECT stage, term, seconds, error FROM attempts")
    assert rows == [("stage1", "물1", 0.25, "ConnectionError: cut"), ("stage1", "물1", 0.5, None)]
    assert store.stats()["attempts"] == {"sent": 2, "failed": 1}


async def test_words_in_progress_are_pending_again_when_the_run_ends(store, path):
    run = begin(store)
    await run.begin(0)
    run.close()
    assert change(path, "SELECT state FROM words WHERE number = 0") == [("in progress",)]
    run = begin(store)
    await run.begin(0)
    run.finish("interrupted", 130)
    assert change(path, "SELECT DISTINCT state FROM words") == [("pending",)]


async def test_answers_of_a_run_without_a_cache_are_kept_until_it_is_completed(store, path):
    run = begin(store, keep_answers=True)
    await asyncio.wait_for(asyncio.gather(run.answers.keep(b"k", "one"), run.answers.keep(b"k", "two")), 30)
    assert run.answers.get(b"k") is None  # asked twice in one go is paid for twice
    run.finish("interrupted", 130)
    run = begin(store, keep_answers=True)
    assert (run.answers.get(b"k"), run.answers.get(b"other")) == ("two", None)
    run.finish("completed", 0)
    assert change(path, "SELECT COUNT(*) FROM answers") == [(0,)]


async def test_an_answer_that_cannot_be_written_keeps_nobody_waiting(store, path):
    run = begin(store, keep_answers=True)
    change(path, "ALTER TABLE answers RENAME TO elsewhere")
    for _ in range(2):
        await asyncio.wait_for(run.answers.keep(b"k", "one"), 30)
    assert "no such table: answers" in run.fault
    run.close()


async def test_a_word_that_begins_and_ends_at_once_is_done(store):
    run = begin(store)
    await run.begin(0)
    run.end(0, CARDS)
    run.finish("completed", 0)
    assert store.kept_run().words["done"] == 1


async def test_a_word_waits_while_too_much_is_on_its_way_to_the_disk(store, monkeypatch):
    monkeypatch.setattr("sluicegate.flashcards.store._stored_run.MAX_BACKLOG", 0)
    run = begin(store)
    await asyncio.wait_for(run.begin(0), 30)
    assert run._writer.backlog == 0
    run.close()


async def test_what_cannot_be_written_is_told_and_nobody_waits(store, path):
    run = begin(store)
    change(path, "ALTER TABLE words RENAME TO elsewhere")
    run.end(0, CARDS)
    run.finish("completed", 0)
    assert "no such table: words" in run.fault
    await run.begin(1)


async def test_what_fails_once_is_tried_once_more(store, monkeypatch):
    run = begin(store)
    commit, failing = StoredRun._commit, [StoreError("the connection was cut")]

    def cut(self, entries):
        if entries and failing:
            raise failing.pop()
        commit(self, entries)

    monkeypatch.setattr(run._writer, "_commit", lambda entries: cut(run, entries))
    run.end(0, CARDS)
    run.finish("completed", 0)
    assert (run.fault, failing) == ("", [])
    assert store.kept_run().words["done"] == 1


def test_a_database_that_is_locked_is_told_after_the_wait(settings, path):
    Store(settings, {}).database.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="database is locked"):
            Store(settings, {})


def test_the_cards_of_a_run_are_read_back_in_order(store):
    run = run_once(store, {4: CARDS, 1: CARDS, 2: failed(2)})
    assert [item for item, _ in store.cards(run.run_id)] == [ITEMS[1], ITEMS[4]]
    assert store.kept_run(run.run_id).words["done"] == 2
    assert store.kept_run(99) is None


def test_cards_that_are_damaged_are_left_out(store, path):
    run = run_once(store, {0: CARDS, 1: CARDS, 2: CARDS})
    change(path, "UPDATE words SET cards = ? WHERE number = 1", b"\x01damaged")
    assert [item for item, _ in store.cards(run.run_id)] == [ITEMS[0], ITEMS[2]]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"])
def test_a_database_in_memory_makes_no_folder(tmp_path, monkeypatch, url):
    monkeypatch.chdir(tmp_path)
    with Store(Settings(database_url=url), {}) as store:
        run = run_once(store, {0: CARDS})
        assert [item for item, _ in store.cards(run.run_id)] == [ITEMS[0]]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql+nosuchdriver://me:secret@host/cards", "nosuchdriver"),
        ("postgresql+pg8000://me:secret@host/cards", "pg8000"),
        ("nosuchdatabase://me:secret@host/cards", "nosuchdatabase"),
        ("sqlite+aiosqlite:///x.db", "aiosqlite"),
        ("://secret@", "no URL"),
    ],
)
def test_a_url_without_its_driver_is_a_configuration_error(url, told):
    with pytest.raises(ConfigurationError, match=told) as caught:
        Store(Settings(database_url=url), {})
    assert "secret" not in str(caught.value)
    assert caught.value.field == "database_url"


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file"):
        Store(Settings(database_url=f"sqlite:///{tmp_path}/file/runs.db"), {})


def test_a_file_that_is_no_database_is_refused_and_left(settings, path):
    path.parent.mkdir()
    path.write_bytes(b"not a database, though long enough to be looked at" * 10)
    with pytest.raises(StoreError, match="not a database"):
        Store(settings, {})
    assert path.read_bytes().startswith(b"not a database")


def test_it_lies_in_the_users_folder_for_data(tmp_path):
    assert default_path({"XDG_DATA_HOME": str(tmp_path)}) == tmp_path / "flashcards" / "runs.db"
    with Store(Settings(), {"XDG_DATA_HOME": str(tmp_path)}) as store:
        assert store.migrated[0] is None
    assert change(tmp_path / "flashcards" / "runs.db", "PRAGMA journal_mode") == [("wal",)]


def test_the_pool_tells_what_it_does(settings):
    with Database(settings, {}) as database:
        with database.reading(), database.reading():
            stats = database.pool.stats()
            assert (stats.open, stats.checked_out, stats.checkouts) == (2, 2, 2)
        stats = database.pool.stats()
        assert (stats.open, stats.checked_out, stats.most_checked_out) == (2, 0, 2)
        assert stats.oldest_seconds > 0
        assert (stats.waits, stats.recycled, stats.invalidated) == (0, 0, 0)
    assert database.pool.stats().open == 0


def test_the_pool_tells_who_waited(path):
    settings = Settings(database_url=f"sqlite:///{path}", pool_size=1, pool_overflow=0, pool_timeout=30.0)
    with Database(settings, {}) as database:

        def read():
            with database.reading():
                pass

        waiting = threading.Thread(target=read)
        with database.reading():
            waiting.start()
            waiting.join(0.1)
            assert waiting.is_alive()
        waiting.join()
        stats = database.pool.stats()
        assert (stats.waits, stats.open) == (1, 1)
        assert 0.05 < stats.waited_seconds < 30


def test_a_pool_that_is_used_up_is_a_store_error(path):
    settings = Settings(database_url=f"sqlite:///{path}", pool_size=1, pool_overflow=0, pool_timeout=0.01)
    with Database(settings, {}) as database, database.reading():
        with pytest.raises(StoreError, match="QueuePool limit"):
            database.reading().__enter__()
        assert database.pool.stats().waits == 1


def test_a_connection_past_its_age_is_replaced_and_counted(path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("sqlalchemy.pool.base.time", SimpleNamespace(time=lambda: now[0]))
    settings = Settings(database_url=f"sqlite:///{path}", pool_recycle=10.0)
    with Database(settings, {}) as database:
        for now[0] in (0.0, 9.0, 11.0, 12.0, 22.0):
            with database.reading():
                pass
        stats = database.pool.stats()
        assert (stats.open, stats.recycled) == (1, 2)


def test_a_connection_that_broke_is_not_counted_as_recycled(settings):
    with Database(settings, {}) as database:
        with pytest.raises(StoreError), database.reading() as connection:
            connection.invalidate()
        with database.reading():
            pass
        stats = database.pool.stats()
        assert (stats.invalidated, stats.recycled, stats.open) == (1, 0, 1)


def age(path, *runs, days=31):
    """Make runs look as if nobody had worked on them for so long."""
    change(
        path, f"UPDATE runs SET seen_at = seen_at - ? WHERE id IN ({', '.join(map(str, runs))})", days * DAY
    )


def left(path):
    return [run for (run,) in change(path, "SELECT id FROM runs ORDER BY id")]


def test_old_runs_that_nothing_needs_are_forgotten_with_all_they_hold(store, path):
    for _ in range(3):
        run_once(store, {0: CARDS})
    change(path, "INSERT INTO answers VALUES (1, 'key', 'value')")
    change(path, "INSERT INTO attempts VALUES (1, 1, 'stage1', '물1', 'noun', 0, 0, NULL)")
    age(path, 1, 3)
    assert store.prune(30 * DAY) == Pruned(runs=1, words=10, kept=2)
    assert left(path) == [2, 3]
    for table in ("words", "answers", "attempts"):
        assert change(path, f"SELECT COUNT(*) FROM {table} WHERE run_id = 1") == [(0,)]
    assert store.prune(30 * DAY) == Pruned(runs=0, words=0, kept=2)


def test_the_last_run_stays_however_old_it_is(store, path):
    run_once(store, {0: CARDS})
    age(path, 1)
    assert store.prune(0).runs == 0


def test_a_run_that_would_be_gone_on_with_stays(store, path):
    run_once(store, {0: CARDS}, "outage")
    other = begin(store, items=ITEMS[:2])
    other.finish("completed", 0)
    age(path, 1, 2)
    assert store.prune(30 * DAY).runs == 0
    again = begin(store)
    assert (again.run_id, again.resumed) == (1, 1)
    again.close()


def test_a_run_that_a_later_one_of_the_same_words_stands_before_is_forgotten(store, path):
    run_once(store, {0: CARDS}, "outage")
    run = begin(store, resume=False)
    run.finish("completed", 0)
    age(path, 1)
    assert store.prune(30 * DAY).runs == 1
    assert left(path) == [2]


def test_a_run_on_which_a_process_works_stays(store, path):
    for _ in range(2):
        begin(store, resume=False).close()
    age(path, 1)
    host = _owners.this_process().rpartition(":")[0]
    change(path, "UPDATE runs SET owner = ?", f"{host}:{os.getppid()}")
    assert store.prune(30 * DAY).runs == 0


def test_quarantine_outlives_the_run(store, path):
    run_once(store, {0: failed(0, is_invalid=True)})
    run_once(store, {1: CARDS})
    age(path, 1)
    assert store.prune(30 * DAY).runs == 1
    assert [word.term for word in store.quarantined()] == ["물1"]
