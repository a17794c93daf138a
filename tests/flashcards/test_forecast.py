"""`process --dry-run`: no request is made, and what is foretold is what a run then takes."""

import json
import re
import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

from sluicegate.flashcards._failures import FailedWord
from sluicegate.flashcards._forecast import foresee, seconds_of
from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards._tokens import FIRST_ESTIMATE, Tokens
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.flashcards._wire import request_body
from sluicegate.flashcards.cli import app
from sluicegate.flashcards.store import Store

PAID = {"base_url": "http://far.side/v1"}


@pytest.fixture
def vocabulary():
    return "position,term,type\n" + "".join(f"{n},물{n},noun\n" for n in range(1, 21))


def flashcards(*arguments, **options):
    return CliRunner().invoke(app, ["process", *map(str, arguments)], **options)


def foretold(words, server, *arguments):
    result = flashcards(words, "--base-url", server.base_url, "--dry-run", "--json", "--quiet", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


def items(*terms):
    return [VocabularyItem(position, term, "noun") for position, term in enumerate(terms, start=1)]


def test_what_is_foretold_is_what_a_run_then_asks(words, server):
    told = foretold(words, server)
    assert (told["words"], told["from_cache"]) == (20, 0)
    assert told["calls"] == {"stage1": 20, "stage2": 20, "total": 40}
    assert server.stats.requests == 0
    assert not words.with_suffix(".tsv").exists()
    flashcards(words, "--base-url", server.base_url, "--rate", "inf")
    assert server.stats.requests == 40


def test_what_is_kept_is_not_asked_again(words, server):
    flashcards(words, "--base-url", server.base_url, "--rate", "inf", "--limit", "15")
    told = foretold(words, server)
    assert (told["words"], told["from_cache"], told["calls"]["total"]) == (20, 15, 10)
    assert server.stats.requests == 30
    assert foretold(words, server, "--no-cache")["calls"]["total"] == 40


def test_a_word_whose_second_stage_is_missing_asks_that_alone(words, server, home):
    flashcards(words, "--base-url", server.base_url, "--rate", "inf", "--limit", "1")
    with closing(sqlite3.connect(home / "cache" / "flashcards" / "answers.db")) as connection, connection:
        connection.execute("DELETE FROM answers WHERE stored_at = (SELECT MAX(stored_at) FROM answers)")
    told = foretold(words, server, "--limit", "1")
    assert told["calls"] == {"stage1": 0, "stage2": 1, "total": 1}


def test_looking_makes_no_cache(words, server, home):
    foretold(words, server)
    assert not (home / "cache").exists()


def test_what_the_run_to_be_gone_on_with_has_is_not_asked_again(words, server, tmp_path):
    kept = ("--database-url", f"sqlite:///{tmp_path}/runs.db", "--no-cache")
    budget = ("--token-budget", "4000", "--concurrency", "2")
    result = flashcards(words, "--base-url", server.base_url, "--rate", "inf", "--json", *kept, *budget)
    done = json.loads(result.stdout)["done"]
    assert 0 < done < 20
    before = (tmp_path / "runs.db").read_bytes()
    told = foretold(words, server, *kept)
    assert (told["run"], told["from_run"], told["words"]) == (1, done, 20)
    started = server.stats.requests
    calls = told["calls"]["total"]
    assert calls <= 2 * (20 - done)
    assert (tmp_path / "runs.db").read_bytes() == before
    result = flashcards(words, "--base-url", server.base_url, "--dry-run", *kept)
    assert f"{done} from run 1" in result.stderr
    assert foretold(words, server, *kept, "--no-resume")["calls"]["total"] == 40
    assert flashcards(words, "--base-url", server.base_url, "--rate", "inf", *kept).exit_code == 0
    assert server.stats.requests - started == calls


def test_a_word_in_quarantine_is_told_as_skipped(words, server, tmp_path):
    url = f"sqlite:///{tmp_path}/runs.db"
    with Store(Settings(database_url=url), {}) as store:
        item = VocabularyItem(3, "물3", "noun")
        run = store.begin("words.csv", server.base_url, "1", [item])
        run.end(0, FailedWord(item, "400: no", by_api=True, code="invalid_request", is_invalid=True))
        run.finish("completed", 1)
    told = foretold(words, server, "--database-url", url)
    assert (told["skipped"], told["run"], told["calls"]["total"]) == (1, None, 38)
    result = flashcards(words, "--base-url", server.base_url, "--dry-run", "--database-url", url)
    assert "1 skipped in quarantine" in result.stderr


def test_looking_makes_no_database(words, server, tmp_path):
    foretold(words, server, "--database-url", f"sqlite:///{tmp_path}/deep/runs.db")
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize("content", [b"", b"no database" * 100])
def test_a_database_that_says_nothing_counts_for_nothing(words, server, tmp_path, content):
    path = tmp_path / "runs.db"
    path.write_bytes(content)
    arguments = ("--base-url", server.base_url, "--dry-run", "--json", "--database-url", f"sqlite:///{path}")
    told = json.loads(flashcards(words, *arguments).stdout)
    assert told["calls"]["total"] == 40
    assert told["degraded"] == (["database"] if content else [])


def test_a_word_that_comes_twice_is_asked_once_where_answers_are_kept():
    twice = items("물", "물", "불")
    assert foresee(twice, Settings(**PAID), None).calls == 4
    assert foresee(twice, Settings(**PAID, cache=False), None).calls == 6
    assert foresee(twice, Settings(), None).calls == 6


def test_tokens_are_those_that_would_be_reserved():
    (item,) = items("물")
    need = foresee([item], Settings(**PAID), None).stages["stage1"]
    body = request_body("@preset/nuance-creator", {"position": 1, "term": "물", "type": "noun"})
    assert need.asked_tokens + need.answer_tokens == Tokens(None, None).estimate(body)
    assert need.answer_tokens == FIRST_ESTIMATE


def test_the_answer_of_stage_1_is_counted_once_more_in_the_question_of_stage_2():
    usage = foresee(items("물"), Settings(**PAID), None).usage
    assert FIRST_ESTIMATE < usage.prompt_tokens < FIRST_ESTIMATE + 150
    assert usage.completion_tokens == 2 * FIRST_ESTIMATE
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


@pytest.mark.parametrize(("kept", "learned"), [(9, False), (10, True)])
def test_answers_that_are_kept_tell_how_long_the_others_will_be(words, server, kept, learned):
    flashcards(words, "--base-url", server.base_url, "--rate", "inf", "--limit", str(kept))
    told = foretold(words, server)
    calls = told["calls"]["total"]
    assert (told["completion_tokens"] < FIRST_ESTIMATE * calls / 2) is learned
    assert (told["completion_tokens"] == FIRST_ESTIMATE * calls) is not learned


def test_the_tokens_of_offline_cards_are_foretold_within_a_third(words):
    foretold = json.loads(flashcards(words, "--dry-run", "--json", "--quiet").stdout)
    told = json.loads(flashcards(words, "--rate", "inf", "--json", "--quiet").stdout)
    assert foretold["completion_tokens"] == pytest.approx(told["completion_tokens"], rel=1 / 3)
    assert foretold["total_tokens"] == pytest.approx(told["total_tokens"], rel=1 / 3)


def test_the_cost_is_that_of_the_prices_and_unknown_without(words, server):
    assert foretold(words, server)["cost"] is None
    told = foretold(words, server, "--prompt-price", "1", "--completion-price", "2")
    assert told["cost"] == (told["prompt_tokens"] + 2 * told["completion_tokens"]) / 1e6


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({"rate": "inf/s"}, 0.0),
        ({"rate": "60/minute;burst=1"}, 199.0),
        ({"rate": "1/s;burst=200"}, 1.0),  # a tenth of a second's worth of the burst is kept back: one
        ({"rate": "0/s;burst=199"}, float("inf")),
        ({"rate": "inf/s", "stage2_rate": "1/2s;burst=1"}, 198.0),
        ({"rate": "10/s;burst=1", "stage1_rate": "1/s;burst=1"}, 99.0),
    ],
)
def test_the_time_is_that_of_the_slowest_limit(settings, seconds):
    settings = Settings(**PAID, **settings)
    found = foresee(items(*map(str, range(100))), settings, None)
    assert seconds_of(found, settings) == pytest.approx(seconds)


def test_a_limit_on_tokens_takes_its_time():
    settings = Settings(**PAID, rate="inf/s", tokens_rate="100/s;burst=100")
    found = foresee(items("물"), settings, None)
    assert seconds_of(found, settings) == pytest.approx((found.usage.tokens - 100) / 100)


def test_a_budget_that_would_not_do_is_told(words, server):
    told = foretold(words, server, "--token-budget", "1000")
    assert (told["within_budget"], told["token_budget"]) == (False, 1000)
    result = flashcards(words, "--base-url", server.base_url, "--dry-run", "--token-budget", "1000")
    assert "more than the budget of 1,000" in result.stderr


def test_people_are_told_in_five_lines(words, server):
    result = flashcards(words, "--base-url", server.base_url, "--dry-run")
    assert (result.exit_code, result.stdout) == (0, "")
    assert [line.split()[0] for line in result.stderr.splitlines()] == [
        "words", "calls", "tokens", "cost", "time",
    ]  # fmt: skip
    assert "20 of stage1, 20 of stage2" in result.stderr
    assert "at least 31 s at 60/minute;burst=10" in result.stderr


def test_cards_of_this_machine_cost_nothing(words):
    result = flashcards(words, "--dry-run")
    assert result.exit_code == 0
    assert re.search(r"cost +nothing", result.stderr)
    assert "a server on this machine" in result.stderr


def test_a_limit_that_would_never_let_all_words_pass_is_told(words, server):
    arguments = ("--base-url", server.base_url, "--dry-run", "--rate", "0/s;burst=5")
    result = flashcards(words, *arguments)
    assert "no end: a limit with rate 0 lets only its burst pass" in result.stderr
    assert json.loads(flashcards(words, *arguments, "--json").stdout)["seconds"] is None


def test_bad_rows_are_told_by_line(words, server):
    words.write_text("position,term,type\n1,물,n\nx,불,n\n")
    result = flashcards(words, "--base-url", server.base_url, "--dry-run", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["bad_rows"] == [
        {"line": 3, "reason": "position 'x' is not an integer above 0"}
    ]
    assert "line 3: position 'x'" in result.stderr


def test_from_the_standard_input_it_tells_as_well(server):
    text = "position,term,type\n1,물,n\n"
    result = flashcards("-", "--base-url", server.base_url, "--dry-run", "--json", "--quiet", input=text)
    assert json.loads(result.stdout)["words"] == 1


def test_with_cache_only_it_makes_no_sense(words):
    result = flashcards(words, "--dry-run", "--cache-only")
    assert result.exit_code == 2
    assert "leave --cache-only out" in result.stderr
