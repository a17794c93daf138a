"""The whole job over a real socket: the embedded server on loopback, seeded, with faults on purpose."""

import json
import random
import select
import signal
import subprocess
import sys
from itertools import pairwise

import pytest
from typer.testing import CliRunner

from sluicegate.flashcards._api import Api
from sluicegate.flashcards._output import COLUMNS, TsvOutput
from sluicegate.flashcards._run import End, Run
from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards._tally import Tally
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.flashcards.cli import app
from sluicegate.flashcards.server import EmbeddedServer
from sluicegate.testing import ManualClock

TERMS = [
    "내가",
    "그",
    "난",
    "안",
    "수",
    "이",
    "네",
    "좀",
    "왜",
    "더",
    "물",
    "불",
    "흙",
    "집",
    "책",
    "말",
    "손",
    "발",
]
WORDS = "position,term,type\n" + "".join(f"{n},{term},noun\n" for n, term in enumerate(TERMS, start=1))
FAULTY = "error=0.1,hidden=0.05,limit=0.05,cut=0.05,garbled=0.03,truncated=0.03,empty=0.03"


@pytest.fixture
def vocabulary():
    return WORDS


def flashcards(*arguments, **options):
    return CliRunner().invoke(app, ["process", *map(str, arguments)], **options)


async def cards_of(items, path, *, concurrency, faults="none", rate="inf/s", clock=None):
    tally = Tally()
    with EmbeddedServer(items, rate="inf/s", faults=faults) as server:
        settings = Settings(base_url=server.base_url, rate=rate, concurrency=concurrency, max_attempts=9)
        with TsvOutput(path) as output:
            async with Api(settings, tally=tally, clock=clock, rng=random.Random(1)) as api:
                run = Run(items, api, output, tally, concurrency=concurrency, window=200)
                assert await run.execute() is End.COMPLETED
            output.complete()
    return run, tally


def items_of(*terms):
    return [VocabularyItem(position, term, "noun") for position, term in enumerate(terms, start=1)]


async def test_the_same_words_give_the_same_bytes_at_any_concurrency_and_through_any_faults(tmp_path):
    items = items_of(*TERMS)
    alone, together = tmp_path / "alone.tsv", tmp_path / "together.tsv"
    clock = ManualClock(autojump=True, quiet=0.1)
    run, _ = await cards_of(items, alone, concurrency=1, clock=clock)
    assert not run.failed
    run, tally = await cards_of(items, together, concurrency=20, faults=FAULTY, clock=clock)
    assert not run.failed
    assert tally.retries > 0
    assert alone.read_bytes() == together.read_bytes()
    header, *rows = alone.read_text().splitlines()
    assert header == "\t".join(COLUMNS)
    positions = [int(row.split("\t")[0]) for row in rows]
    assert positions == sorted(positions)
    assert set(positions) == set(range(1, len(TERMS) + 1))


async def test_every_row_carries_the_position_of_its_own_word_also_where_words_repeat(tmp_path):
    items = [VocabularyItem(position, "물", "noun") for position in (5, 5, 900)]
    path = tmp_path / "cards.tsv"
    await cards_of(items, path, concurrency=3)
    rows = [row.split("\t") for row in path.read_text().splitlines()[1:]]
    assert {(row[0], row[2]) for row in rows} == {("5", "5"), ("900", "900")}
    of_900 = [row[3:] for row in rows if row[0] == "900"]
    assert [row[3:] for row in rows if row[0] == "5"] == of_900 * 2


async def test_a_pronoun_is_one_to_the_end(tmp_path):
    path = tmp_path / "cards.tsv"
    await cards_of([VocabularyItem(1, "내가", "pronoun")], path, concurrency=1)
    assert "pronoun" in path.read_text()


def test_a_run_without_key_and_base_url_brings_its_own_server(words):
    result = flashcards(words, "--json")
    assert result.exit_code == 0, result.stderr
    summary = json.loads(result.stdout)
    assert (summary["end"], summary["words"], summary["done"]) == ("completed", len(TERMS), len(TERMS))
    assert summary["rows"] == len(words.with_suffix(".tsv").read_text().splitlines()) - 1
    assert summary["requests"] >= 2 * len(TERMS)


def test_no_proxy_stands_before_the_server_it_brings(words, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert flashcards(words, "--limit", 1).exit_code == 0


def test_the_summary_tells_what_was_done(words, server):
    result = flashcards(words, "--base-url", server.base_url, "--rate", "inf")
    assert result.exit_code == 0
    assert result.stdout == ""
    for name in ("words", "cards", "requests", "refusals", "faults", "waits", "breaker", "tokens"):
        assert f"\n{name} " in f"\n{result.stderr}"
    assert f"{len(TERMS)} of {len(TERMS)} done" in result.stderr


def test_quiet_tells_errors_only(words, server):
    result = flashcards(words, "--base-url", server.base_url, "--rate", "inf", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    words.write_text("position,term,type\n0,물,n\n1,불,n\n")
    result = flashcards(words, "--base-url", server.base_url, "--rate", "inf", "--quiet")
    assert result.exit_code == 1
    assert result.stderr == "bad rows (1):\n  line 2: position '0' is not an integer above 0\n"


def test_bad_rows_are_told_by_line_and_the_rest_proceed(words, server):
    words.write_text("position,term,type\n1,물,n\nx,불,n\n3,,n\n4,흙,n\n")
    result = flashcards(words, "--base-url", server.base_url, "--rate", "inf")
    assert result.exit_code == 1
    assert "line 3: position 'x'" in result.stderr
    assert "line 4: the term is blank" in result.stderr
    assert "2 of 2 done, 2 bad rows left out" in result.stderr
    positions = {row.split("\t")[0] for row in words.with_suffix(".tsv").read_text().splitlines()[1:]}
    assert positions == {"1", "4"}


def test_start_from_and_limit_count_data_rows(words, server):
    result = flashcards(
        words, "--base-url", server.base_url, "--rate", "inf", "--start-from", 3, "--limit", 2, "--json"
    )
    assert json.loads(result.stdout)["words"] == 2
    positions = [row.split("\t")[0] for row in words.with_suffix(".tsv").read_text().splitlines()[1:]]
    assert sorted(set(positions)) == ["3", "4"]


def test_from_the_standard_input_cards_go_to_the_standard_output(server):
    result = flashcards("-", "--base-url", server.base_url, "--rate", "inf", "--quiet", input=WORDS)
    assert result.exit_code == 0
    assert result.stdout.startswith("\t".join(COLUMNS) + "\n1\t내가\t1\t")


def test_an_api_that_refuses_the_key_ends_the_run_at_once_and_writes_nothing(words, monkeypatch):
    monkeypatch.setenv("FLASHCARDS_API_KEY", "sk-wrong-key")
    with EmbeddedServer(rate="inf/s", faults="none", api_key="sk-right-key") as server:
        result = flashcards(words, "--base-url", server.base_url, "--concurrency", 1)
        assert server.stats.requests == 1
    assert result.exit_code == 4
    assert "401" in result.stderr
    assert "sk-" not in result.stderr
    assert sorted(path.name for path in words.parent.iterdir()) == ["words.csv"]


def test_the_key_is_sent_and_shown_nowhere(words, monkeypatch):
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-right-key")
    with EmbeddedServer(rate="inf/s", faults="none", api_key="sk-right-key") as server:
        result = flashcards(words, "--base-url", server.base_url, "--rate", "inf", "--json")
    assert result.exit_code == 0
    assert "sk-right-key" not in result.output


def test_words_that_all_fail_by_the_api_are_its_refusal_and_leave_the_old_cards(words):
    words.with_suffix(".tsv").write_text("old")
    with EmbeddedServer(rate="inf/s", faults="limit=1") as server:
        result = flashcards(words, "--base-url", server.base_url, "--max-attempts", 1, "--limit", 1)
    assert result.exit_code == 4
    assert "failed words (1):\n  1 내가: 429: " in result.stderr
    assert "every word failed by the API" in result.stderr
    assert words.with_suffix(".tsv").read_text() == "old"


def test_words_whose_replies_are_of_no_use_leave_the_rest_in_peace(words):
    with EmbeddedServer(rate="inf/s", faults="empty=0.6") as server:
        result = flashcards(words, "--base-url", server.base_url, "--rate", "inf", "--json")
    summary = json.loads(result.stdout)
    assert result.exit_code == 1
    assert 0 < len(summary["failed"]) < len(TERMS)
    assert {word["reason"] for word in summary["failed"]} == {"the reply is empty"}


async def test_the_announced_rate_is_never_exceeded(tmp_path):
    class Noted(Api):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.times = []

        async def _send(self, call):
            self.times.append(clock.now())
            return await super()._send(call)

    clock = ManualClock(autojump=True, quiet=0.02)
    items = items_of(*TERMS)
    with EmbeddedServer(items, rate="inf/s", faults="none") as server:
        settings = Settings(base_url=server.base_url, rate="5/s;burst=3", concurrency=20)
        with TsvOutput(tmp_path / "cards.tsv") as output:
            async with Noted(settings, clock=clock) as api:
                await Run(items, api, output, Tally(), concurrency=20, window=200).execute()
    times = api.times
    assert len(times) >= 2 * len(TERMS)
    assert all(
        sum(start <= time <= start + window for time in times) <= 3 + 5 * window + 1e-9
        for start in times
        for window in (0.0, 0.2, 1.0, 3.0)
    )
    assert all(earlier <= later for earlier, later in pairwise(times))


@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_ends_the_run_with_130_and_nothing_half_written(words, times):
    faults = "slow=1,slow_seconds=1.0" if times == 1 else "hang=1"
    with EmbeddedServer(rate="inf/s", faults=faults) as server:
        command = [sys.executable, "-m", "sluicegate.flashcards", "process", str(words)]
        command += ["--base-url", server.base_url, "--rate", "inf", "--concurrency", "2"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        while server.stats.requests < 2:
            select.select([process.stderr], [], [], 0.01)
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert "once more to stop now" in process.stderr.readline()
        if times == 2:
            process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=20)
        requests = server.stats.requests
    assert process.returncode == 130
    assert requests == 2
    assert "nothing written" in told
    assert sorted(path.name for path in words.parent.iterdir()) == ["words.csv"]


def test_the_summary_for_machines_tells_rates_latencies_and_cost(words, server):
    result = flashcards(
        words, "--base-url", server.base_url, "--rate", "inf", "--json", "--quiet",
        "--prompt-price", "1", "--completion-price", "2",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["error_rate"] == 0.0
    for stage in ("stage1", "stage2"):
        latency = told["latency"][stage]
        assert latency["count"] == len(TERMS)
        assert 0 < latency["p50_ms"] <= latency["p95_ms"] <= latency["p99_ms"]
    assert told["cost"] == (told["prompt_tokens"] + 2 * told["completion_tokens"]) / 1_000_000
    assert told["limiter_refusals"] == 0


def test_a_budget_that_is_spent_ends_the_run_and_says_so(words, server):
    result = flashcards(words, "--base-url", server.base_url, "--rate", "inf", "--token-budget", "2000")
    assert result.exit_code == 1
    assert "raise token_budget to go on" in result.stderr
    assert sorted(path.name for path in words.parent.iterdir()) == ["words.csv"]


@pytest.mark.parametrize("form", ["tsv", "jsonl", "apkg"])
def test_the_cards_go_beside_the_file_with_the_suffix_of_their_form(words, server, form):
    result = flashcards(words, "--base-url", server.base_url, "--rate", "inf", "--format", form, "--quiet")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in words.parent.iterdir()) == sorted(["words.csv", f"words.{form}"])
