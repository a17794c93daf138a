"""The `sluicegate` command."""

import json

import pytest
from typer.testing import CliRunner

from sluicegate import (
    CircuitBreaker,
    CircuitBreakerConfig,
    CircuitBreakerRegistry,
    CircuitState,
    KeyedRateLimiter,
    RateLimiter,
)
from sluicegate.cli import app

run = CliRunner().invoke


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")


def said(*arguments):
    result = run(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_nothing_is_shared_at_first():
    assert said("list") == "nothing is shared\n"
    assert json.loads(said("list", "--json")) == []


def test_list_shows_debts_refusals_and_states():
    RateLimiter("0/s;burst=3", shared="api").try_acquire(2)
    RateLimiter("0/s;burst=3", shared="api").try_acquire(2)
    CircuitBreaker(shared="search").isolate()
    text = said("list")
    (api,) = (line.split() for line in text.splitlines() if "api" in line)
    assert api == ["api", "limiter", "1", "1", "1", "3"]
    assert "isolated" in next(line for line in text.splitlines() if "search" in line).lower()
    rows = json.loads(said("list", "--json"))
    assert [(row["name"], row.get("remaining")) for row in rows] == [("api", 1), ("search", None)]


def test_show_tells_all_of_a_limiter():
    limiter = RateLimiter("0/s;burst=3", shared="api")
    limiter.try_acquire(3)
    found = json.loads(said("show", "api", "--json"))
    assert (found["allowed_permits"], found["remaining"], found["retry_after"]) == (3, 0, None)
    assert "allowed permits" in said("show", "api")


def test_show_tells_of_a_key():
    KeyedRateLimiter("0/s;burst=3", max_keys=10, shared="users").try_acquire("alice", 2)
    assert json.loads(said("show", "users", "--key", "alice", "--json"))["remaining"] == 1
    assert json.loads(said("show", "users", "--json"))["slots_in_use"] == 1


def test_show_makes_nothing(segments):
    result = run(app, ["show", "api"])
    assert result.exit_code == 1
    assert "nothing is shared under 'api'" in result.output
    assert list(segments.iterdir()) == []


def test_show_says_what_is_wrong_with_a_segment(segments):
    (segments / "api").write_text("somebody's letters")
    result = run(app, ["show", "api", "--json"])
    assert result.exit_code == 1
    assert "no segment" in json.loads(result.output)["problem"]


def test_a_breaker_is_isolated_and_reset_by_hand():
    breaker = CircuitBreaker(shared="search")
    assert said("isolate", "search").startswith("search is ")
    assert breaker.state is CircuitState.ISOLATED
    assert json.loads(said("reset", "search", "--json"))["state"] == str(CircuitState.CLOSED)
    assert breaker.state is CircuitState.CLOSED


def test_the_breaker_of_a_key_is_isolated():
    registry = CircuitBreakerRegistry(CircuitBreakerConfig(), max_keys=10, shared="hosts")
    said("isolate", "hosts", "--key", "a.example")
    assert registry["a.example"].state is CircuitState.ISOLATED
    assert registry["b.example"].state is CircuitState.CLOSED
    assert json.loads(said("list", "--json"))[0]["keys"] == 2
    assert "isolated" in said("show", "hosts", "--key", "a.example").lower()


def test_what_is_no_breaker_is_not_isolated():
    RateLimiter("1/s", shared="api")
    CircuitBreaker(shared="search")
    CircuitBreakerRegistry(max_keys=10, shared="hosts")
    for arguments in (["isolate", "api"], ["isolate", "hosts"], ["reset", "search", "--key", "a"]):
        result = run(app, arguments)
        assert (result.exit_code, "sluicegate: " in result.output) == (1, True)


def test_isolating_past_the_last_place_says_so():
    registry = CircuitBreakerRegistry(max_keys=1, shared="hosts")
    assert [registry[key]._is_shared for key in "ab"] == [True, True]
    result = run(app, ["isolate", "hosts", "--key", "c"])
    assert result.exit_code == 1
    assert "is full" in result.output


def test_watch_prints_a_line_of_json_a_look():
    RateLimiter("1/s", shared="api").try_acquire()
    lines = said("watch", "--interval", "0.01", "--count", "2", "--json").splitlines()
    assert len(lines) == 2
    (row,) = json.loads(lines[1])
    assert (row["name"], row["allowed_per_second"]) == ("api", 0.0)


def test_watch_redraws_its_table_in_a_terminal_and_gives_the_cursor_back():
    RateLimiter("1/s", shared="api").try_acquire()
    arguments = ["watch", "--interval", "0.01", "--count", "2"]
    shown = run(app, arguments, env={"FORCE_COLOR": "1"})
    assert shown.exit_code == 0
    hidden, given_back = shown.output.find("\x1b[?25l"), shown.output.rfind("\x1b[?25h")
    assert 0 <= hidden < shown.output.find("api") < given_back


def test_watch_ends_well_when_it_is_interrupted(monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupt)
    RateLimiter("1/s", shared="api")
    assert said("watch") == ""


def test_watch_prints_tables_where_there_is_no_terminal():
    RateLimiter("1/s", shared="api").try_acquire()
    CircuitBreaker(shared="search")
    text = said("watch", "api", "--interval", "0.01", "--count", "1")
    assert "allowed/s" in text
    assert "search" not in text
