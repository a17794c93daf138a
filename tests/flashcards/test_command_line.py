"""The command line as people meet it: every exit code, messages that name value and remedy, completion."""

import os
import re
import select
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from sluicegate.flashcards.cli import app
from sluicegate.flashcards.server import EmbeddedServer

FLASHCARDS = [sys.executable, "-m", "sluicegate.flashcards"]


def flashcards(*arguments, **options):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], **options)


def told(result):
    """Return what was said as one line, without the frame that is drawn around it."""
    return re.sub(r"[\s│╭╮╰╯─]+", " ", result.stderr)


def test_exit_code_0_is_every_word_with_its_cards(words, server):
    assert flashcards("process", words, "--base-url", server.base_url).exit_code == 0


def test_the_summary_tells_what_the_run_cost_where_prices_are_known(words, server):
    command = ("process", words, "--base-url", server.base_url, "--no-cache", "--no-resume")
    assert "cost" not in flashcards(*command).stderr
    priced = flashcards(*command, "--prompt-price", "1000000", "--completion-price", "0")
    tokens = re.search(r"tokens +([\d,]+) \+ [\d,]+ = [\d,]+, cost ([\d,]+)\.0000", priced.stderr)
    assert tokens is not None, priced.stderr
    assert tokens[1] == tokens[2]


def test_exit_code_1_is_rows_that_were_bad(words, vocabulary, server):
    words.write_text(vocabulary + "x,흙,noun\n")
    assert flashcards("process", words, "--base-url", server.base_url).exit_code == 1


def test_exit_code_2_is_a_command_that_makes_no_sense(words):
    assert flashcards("process", words, "--rate", "fast").exit_code == 2


def test_exit_code_3_is_a_key_that_is_missing(words):
    result = flashcards("process", words, "--base-url", "https://openrouter.ai/api/v1")
    assert result.exit_code == 3
    assert result.stderr == ("flashcards: https://openrouter.ai/api/v1 needs a key: set OPENROUTER_API_KEY\n")


@pytest.mark.parametrize("code", [401, 402, 403])
def test_exit_code_4_is_an_api_that_refuses_and_the_remedy_is_told(words, monkeypatch, code):
    from sluicegate import APIError
    from sluicegate.flashcards import _api

    async def refused(self, call):
        raise APIError(code, f"{code}: not you")

    monkeypatch.setattr(_api.Api, "_send", refused)
    result = flashcards("process", words, "--base-url", "http://127.0.0.1:9/v1", "--quiet")
    assert result.exit_code == 4
    assert result.stderr == (
        f"flashcards: {code}: not you; check the key, its credit and its rights; "
        "the same command then goes on where it stopped\n"
    )


def test_exit_code_5_is_a_place_that_cannot_be_written(words, server):
    result = flashcards("process", words, "--base-url", server.base_url, "--output", "/dev/full")
    assert result.exit_code == 5
    assert "cannot write /dev/full: no space left on device" in result.stderr


@pytest.mark.parametrize("times", [1, 2])
def test_exit_code_130_is_an_interrupt_after_which_the_same_command_goes_on(words, times):
    faults = "slow=1,slow_seconds=0.5" if times == 1 else "hang=1"
    with EmbeddedServer(rate="inf/s", faults=faults) as server:
        command = [*FLASHCARDS, "process", str(words), "--base-url", server.base_url, "--quiet"]
        process = subprocess.Popen([*command, "--concurrency", "1"], stderr=subprocess.PIPE, text=True)
        while server.stats.requests < 1:
            assert process.poll() is None
            select.select([process.stderr], [], [], 0.01)
        process.send_signal(signal.SIGINT)
        assert "once more to stop now" in process.stderr.readline()
        if times == 2:
            process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=30)
    assert process.returncode == 130
    assert rest == "flashcards: interrupted; the same command goes on where it stopped\n"


@pytest.mark.parametrize(
    ("arguments", "value", "remedy"),
    [
        (("--batch-size", "0"), "not 0", "from 1 to 100"),
        (("--batch-size", "101"), "not 101", "from 1 to 100"),
        (("--start-from", "0"), "not 0", "above 0"),
        (("--limit", "-3"), "not -3", "above 0"),
        (("--rate", "fast"), "'fast'", "write it like '100/s'"),
        (("--concurrency", "2000"), "'2000'", "from 1 to 1000"),
        (("--base-url", "ftp://x"), "'ftp://x'", "looks like https://host/path"),
        (("--token-budget", "x"), "'x'", "a whole number from 1"),
        (("--cache-size", "5X"), "'5X'", "such as 256M"),
        (("--log-level", "loud"), "'loud'", "one of debug, info, warning, error"),
        (("--timeout", "-1"), "'-1'", "seconds above 0"),
        (("--prompt-price", "much"), "'much'", "a price per million tokens"),
        (("--format", "pdf"), "'pdf'", "'tsv', 'jsonl', 'apkg'"),
    ],
)
def test_a_flag_that_is_refused_names_itself_its_value_and_what_is_wanted(words, arguments, value, remedy):
    result = flashcards("process", words, *arguments)
    assert result.exit_code == 2
    for text in (arguments[0], value, remedy):
        assert text in told(result)


@pytest.mark.parametrize(
    ("arguments", "value"),
    [(("--port", "70000"), "not 70000"), (("--faults", "7"), "7.0"), (("--faults", "explode=1"), "explode")],
)
def test_a_flag_of_the_server_that_is_refused_names_itself_and_its_value(arguments, value):
    result = flashcards("serve", *arguments)
    assert result.exit_code == 2
    assert arguments[0] in told(result)
    assert value in told(result)


def test_the_key_is_no_flag(words):
    for flag in ("--api-key", "--key"):
        result = flashcards("process", words, flag, "sk-secret")
        assert result.exit_code == 2
        assert "sk-secret" not in result.output


@pytest.mark.parametrize("key", ["sk with blanks", "sk-é"])
def test_a_key_that_cannot_be_sent_is_told_by_its_variable_and_never_shown(words, monkeypatch, key):
    monkeypatch.setenv("OPENROUTER_API_KEY", key)
    result = flashcards("process", words)
    assert result.exit_code == 3
    assert result.stderr.startswith("flashcards: OPENROUTER_API_KEY: the API key must be printable ASCII")
    assert key not in result.output


@pytest.mark.parametrize("command", [["process", "-"], ["cache", "warm", "-"]])
def test_a_standard_input_that_is_closed_is_usage(command, tmp_path):
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    script = f"{sys.executable} -m sluicegate.flashcards {' '.join(command)} <&-"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("flashcards: the standard input is closed; give a ")
    assert done.stderr.count("\n") == 1


def completed(words, position):
    environment = os.environ | {
        "_FLASHCARDS_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(position),
    }
    command = [sys.executable, "-c", "from sluicegate.flashcards.cli import app; app(prog_name='flashcards')"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.split()


def test_the_shell_completes_commands_and_flags():
    assert {"process", "serve", "cache", "config", "doctor"} <= set(completed("flashcards ", 1))
    assert completed("flashcards process --dry", 2) == ["--dry-run"]


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (
            "process",
            "--output --format --batch-size --limit --start-from --resume --no-resume --cache-only --dry-run "
            "--base-url --json --quiet --no-cache --rate --stage1-rate --stage2-rate --tokens-rate "
            "--concurrency --timeout --connect-timeout --max-attempts --cache-dir --database-url --log-level",
        ),
        ("serve", "--vocabulary --rate --faults --port"),
        ("doctor", "--json"),
    ],
)
def test_the_help_shows_every_flag_in_its_panel(command, flags):
    shown = flashcards(command, "--help", env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).stdout
    assert [flag for flag in flags.split() if flag not in shown] == []


def test_the_help_of_process_is_in_panels():
    shown = flashcards("process", "--help").stdout
    for panel in ("Words", "Display", "API", "Cache", "Database", "Telemetry", "Features"):
        assert f"─ {panel} ─" in shown


@pytest.mark.parametrize(
    ("group", "commands"),
    [
        ("cache", ["stats", "clear", "export", "warm"]),
        ("db", ["stats", "migrate"]),
        ("export", ["tsv", "jsonl", "apkg"]),
        ("quarantine", ["list", "retry"]),
        ("config", ["show"]),
    ],
)
def test_every_group_has_its_commands(group, commands):
    shown = flashcards(group, "--help").stdout
    assert [command for command in commands if command not in shown] == []
