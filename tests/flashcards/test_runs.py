"""`flashcards db`, `quarantine` and `export`: what is kept of runs, looked at and handed out again."""

import json
import sys
import zipfile

import pytest
from typer.testing import CliRunner

from sluicegate import ErrorCategory
from sluicegate.flashcards._failures import FailedWord
from sluicegate.flashcards._format import Format
from sluicegate.flashcards._runs import export
from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards._stage2 import Card, Cards
from sluicegate.flashcards._stats import described
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.flashcards.cli import app
from sluicegate.flashcards.store import Store

ITEMS = [VocabularyItem(number, f"물{number}", "noun") for number in (5, 5, 900)]
CARDS = Cards((Card("Scene", "primer", "front\t", "back\\", "tag", ""),), 0)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/runs.db"


@pytest.fixture
def store(url):
    with Store(Settings(database_url=url), {}) as store:
        yield store


def flashcards(url, *arguments):
    return CliRunner().invoke(app, [*map(str, arguments), "--database-url", url])


def keep(store, outcomes, state="completed"):
    run = store.begin("words.csv", "api", "1", ITEMS, resume=False)
    for number, outcome in outcomes.items():
        run.end(number, outcome)
    run.finish(state, 0)
    return run.run_id


def invalid(number):
    return FailedWord(ITEMS[number], "400: no", True, ErrorCategory.VALIDATION, "invalid", is_invalid=True)


def test_the_cards_of_the_last_run_are_written_in_the_order_of_the_input(url, store):
    keep(store, {})
    keep(store, {2: CARDS, 0: CARDS, 1: CARDS})
    result = flashcards(url, "export", "tsv")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        f"{item.position}\t{item.term}\t{item.position}\tScene\tprimer\tfront\\t\tback\\\\\ttag\t"
        for item in ITEMS
    ]
    assert result.stderr == "flashcards: run 2 of words.csv (completed): 3 of 3 words, 3 rows\n"


def test_a_run_with_words_that_have_no_cards_is_exported_in_part_and_exits_1(url, store, tmp_path):
    first = keep(store, {0: CARDS, 1: invalid(1)}, "interrupted")
    keep(store, {0: CARDS, 1: CARDS, 2: CARDS})
    path = tmp_path / "cards.jsonl"
    result = flashcards(url, "export", "jsonl", "--run", first, "--output", path, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert (told["run"], told["state"], told["done"], told["rows"]) == (first, "interrupted", 1, 1)
    assert told["words"] == {"pending": 1, "in progress": 0, "done": 1, "failed": 1, "quarantined": 0}
    assert [json.loads(line)["position"] for line in path.read_text().splitlines()] == [5]


def test_a_run_is_exported_as_an_anki_package(url, store, tmp_path):
    keep(store, {0: CARDS, 1: CARDS, 2: CARDS})
    path = tmp_path / "cards.apkg"
    assert flashcards(url, "export", "apkg", "-o", path).exit_code == 0
    assert "collection.anki2" in zipfile.ZipFile(path).namelist()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tsv",), "there is no run yet"),
        (("tsv", "--run", "7"), "there is no run 7"),
        (("tsv", "--json"), "--output"),
        (("csv",), "csv"),
    ],
)
def test_what_cannot_be_exported_is_usage(url, arguments, told):
    result = flashcards(url, "export", *arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_an_anki_package_is_not_written_to_a_terminal(url, store, monkeypatch, capsys):
    keep(store, {0: CARDS})
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    options = {"run": None, "output": None, "as_json": False}
    assert export({"database_url": url}, None, Format.APKG, **options) == 2
    assert "an Anki package is nothing for a terminal" in capsys.readouterr().err


def test_an_export_that_cannot_be_written_is_storage(url, store, tmp_path):
    keep(store, {0: CARDS})
    result = flashcards(url, "export", "tsv", "--output", tmp_path / "missing" / "cards.tsv")
    assert result.exit_code == 5


def test_the_quarantine_is_listed_and_opened(url, store):
    keep(store, {0: invalid(0), 2: invalid(2)})
    result = flashcards(url, "quarantine", "list")
    assert result.stdout == "5\t물5\tnoun\t1 run\t400: no\n900\t물900\tnoun\t1 run\t400: no\n"
    [first, _] = json.loads(flashcards(url, "quarantine", "list", "--json").stdout)
    assert (first["term"], first["api"], first["failures"]) == ("물5", "api", 1)
    assert first["quarantined_at"].endswith("+00:00")
    result = flashcards(url, "quarantine", "retry", "물900")
    assert (result.exit_code, result.stdout) == (0, "1 word let out; the next run asks for them\n")
    result = flashcards(url, "quarantine", "retry", "--json")
    assert json.loads(result.stdout) == {"released": 1, "unknown": []}
    result = flashcards(url, "quarantine", "list")
    assert (result.stdout, result.stderr) == ("", "flashcards: no word is in quarantine\n")


def test_a_term_that_is_not_in_quarantine_is_named(url, store):
    keep(store, {0: invalid(0)})
    result = flashcards(url, "quarantine", "retry", "물5", "불")
    assert result.exit_code == 1
    assert "not in quarantine: 불" in result.stderr
    assert flashcards(url, "quarantine", "list").stdout == ""


def test_the_database_is_made_and_says_what_it_holds(url, tmp_path):
    made = json.loads(flashcards(url, "db", "migrate", "--json").stdout)
    assert made == {"database": url, "before": None, "after": "0003"}
    assert flashcards(url, "db", "migrate").stdout == f"{url} is at revision 0003\n"
    with Store(Settings(database_url=url), {}) as store:
        keep(store, {0: CARDS, 2: invalid(2)}, "outage")
    told = json.loads(flashcards(url, "db", "stats", "--json").stdout)
    assert told["database"] == url
    assert told["runs"]["outage"] == 1
    assert told["words"] == {"pending": 1, "in progress": 0, "done": 1, "failed": 1, "quarantined": 0}
    assert (told["quarantine"], told["last_run"]["run"], told["pool"]["checked_out"]) == (1, 1, 0)
    assert flashcards(url, "db", "stats").stdout.splitlines() == [
        f"database    {url}",
        "schema      revision 0003",
        "runs        1: 1 outage",
        "words       3: 1 pending, 1 done, 1 failed",
        "attempts    0 sent, 0 of them failed",
        "quarantine  1 word",
        "last run    number 1 of words.csv, outage: 1 of 3 words done",
        "connections 1 open of 5 kept and 10 more under load; taken 3 times, at most 1 at once",
    ]


def test_old_runs_are_forgotten_when_asked_for(url, store):
    for _ in range(2):
        keep(store, {0: CARDS})
    result = flashcards(url, "db", "prune")
    assert (result.exit_code, result.stdout) == (0, "0 runs with 0 words forgotten, 2 runs kept\n")
    result = flashcards(url, "db", "prune", "--older-than", "0", "--json")
    assert json.loads(result.stdout) == {"runs": 1, "words": 3, "kept": 1}
    assert flashcards(url, "db", "prune", "--older-than", "-1").exit_code == 2


def test_an_empty_database_says_so(url):
    lines = flashcards(url, "db", "stats").stdout.splitlines()
    assert lines[2:4] == ["runs        0", "words       0"]
    assert not any("last run" in line for line in lines)


def test_a_pool_that_was_short_of_connections_is_told_of():
    pool = {"open": 1, "size": 1, "overflow": 0, "checkouts": 9, "most_checked_out": 1}
    pool |= {"waits": 2, "waited_seconds": 3.2, "recycled": 1, "invalidated": 1}
    stats = {"database": "", "schema": "", "runs": {}, "words": {}, "quarantine": 0, "last_run": None}
    told = dict(described({**stats, "attempts": {"sent": 0, "failed": 0}, "pool": pool}))
    assert "waited for 2 times, 3 s in all; replaced: 1 by age, 1 broken" in told["connections"]


@pytest.mark.parametrize(
    "command",
    [
        ("db", "stats"),
        ("db", "migrate"),
        ("db", "prune"),
        ("quarantine", "list"),
        ("quarantine", "retry"),
        ("export", "tsv"),
    ],
)
def test_a_database_that_cannot_be_used_is_storage_and_a_url_without_sense_configuration(command, tmp_path):
    (tmp_path / "file").write_text("")
    result = flashcards(f"sqlite:///{tmp_path}/file/runs.db", *command)
    assert result.exit_code == 5
    assert "--database-url" in result.stderr
    result = flashcards("nosuchdatabase://me:secret@host/cards", *command)
    assert result.exit_code == 3
    assert "secret" not in result.output
