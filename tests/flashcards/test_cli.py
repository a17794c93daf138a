"""The `flashcards` command: exit codes, one line for what goes wrong, and nothing half-written."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sluicegate.flashcards import commands
from sluicegate.flashcards.cli import app

WORDS = "position,term,type\n1,내가,pronoun\n2,그,n\n3,안,adv\n"


@pytest.fixture
def vocabulary():
    return WORDS


def flashcards(*arguments, **options):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], **options)


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_help_loads_nothing_of_what_does_the_work():
    heavy = {"asyncio", "genanki", "httpx2", "json", "sluicegate._native", "sqlalchemy", "ssl", "uvicorn"}
    heavy |= {f"sluicegate.flashcards.commands._{name}" for name in ("process", "cache", "flags")}
    script = f"""
import sys
before = set(sys.modules)
from sluicegate.flashcards.cli import app
app(["--help"], standalone_mode=False)
print(*sorted({heavy} & (set(sys.modules) - before)), file=sys.stderr)
"""
    shown = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "Usage: " in shown.stdout
    assert shown.stderr.split() == []


def test_the_help_tells_of_every_command_what_the_command_tells_of_itself():
    group = typer.main.get_command(app)
    modules = {path.stem[1:] for path in Path(commands.__file__).parent.glob("_[a-eg-z]*.py")}
    assert set(group.commands) == modules - {"_init__"}
    for name, command in group.commands.items():
        built = command.make_context(name, [], resilient_parsing=True).command
        assert built.help.partition("\n\n")[0].replace("\n", " ") == command.help


def test_a_command_that_is_not_there_is_usage():
    result = flashcards("proces")
    assert result.exit_code == 2
    assert "Did you mean 'process'?" in result.stderr


def test_a_missing_file_is_usage(tmp_path):
    result = flashcards("process", tmp_path / "words.csv")
    assert result.exit_code == 2
    assert result.stderr == (
        f"flashcards: cannot read {tmp_path / 'words.csv'}: no such file or directory; "
        "give a .csv file, or - for the standard input\n"
    )


def test_a_directory_is_usage(tmp_path):
    (tmp_path / "words.csv").mkdir()
    result = flashcards("process", tmp_path / "words.csv")
    assert result.exit_code == 2
    assert "is a directory; give a .csv file" in result.stderr


def test_a_file_that_does_not_end_in_csv_is_usage(words):
    path = words.rename(words.with_suffix(".txt"))
    result = flashcards("process", path)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"flashcards: {path} does not end in .csv; give a .csv file, or -")


@pytest.mark.parametrize(
    "content", [b"", b"term,type\nx,n\n", WORDS.encode("euc-kr"), WORDS.encode("utf-16"), b"\x00\xff" * 99]
)
def test_a_file_that_is_no_vocabulary_is_usage_and_writes_nothing(words, content):
    words.write_bytes(content)
    result = flashcards("process", words)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"flashcards: {words}: ")
    assert result.stderr.count("\n") == 1
    assert files(words.parent) == ["words.csv"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--batch-size", "0"),
        ("--batch-size", "101"),
        ("-b", "0"),
        ("--limit", "0"),
        ("--start-from", "0"),
        ("--concurrency", "0"),
        ("--rate", "fast"),
        ("--stage1-rate", ""),
        ("--timeout", "0"),
        ("--max-attempts", "0"),
        ("--format", "pdf"),
        ("--nonsense",),
    ],
)
def test_a_value_out_of_range_is_usage(words, arguments):
    result = flashcards("process", words, *arguments)
    assert result.exit_code == 2
    assert files(words.parent) == ["words.csv"]


def test_cards_that_would_go_over_the_vocabulary_are_usage(words):
    result = flashcards("process", words, "--output", words)
    assert result.exit_code == 2
    assert words.read_text() == WORDS


def test_json_and_cards_cannot_both_have_the_standard_output():
    result = flashcards("process", "-", "--json", input=WORDS)
    assert result.exit_code == 2


@pytest.mark.parametrize("name", ["rate", "base_url", "concurrency"])
def test_a_setting_that_makes_no_sense_is_configuration(words, monkeypatch, name):
    monkeypatch.setenv(f"FLASHCARDS_{name.upper()}", "!")
    result = flashcards("process", words)
    assert result.exit_code == 3
    assert result.stderr.startswith(f"flashcards: FLASHCARDS_{name.upper()}: ")
    assert result.stderr.count("\n") == 1


def test_settings_are_read_from_the_users_own_folder_and_never_from_the_working_one(words, monkeypatch, home):
    monkeypatch.chdir(words.parent)
    (words.parent / "flashcards.toml").write_text('rate = "!"')
    (home / "config" / "flashcards").mkdir(parents=True)
    (home / "config" / "flashcards" / "config.toml").write_text('concurrency = "!"')
    result = flashcards("process", words)
    assert result.exit_code == 3
    assert "concurrency in " in result.stderr


def test_an_output_that_cannot_be_written_is_storage(words):
    result = flashcards("process", words, "--output", words.parent / "missing" / "cards.tsv")
    assert result.exit_code == 5
    assert result.stderr.startswith("flashcards: cannot write ")
    assert result.stderr.count("\n") == 1


def test_a_port_in_use_is_configuration():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = flashcards("serve", "--port", taken.getsockname()[1])
    assert result.exit_code == 3
    assert result.stderr.startswith("flashcards: cannot listen on 127.0.0.1:")
    assert result.stderr.count("\n") == 1


def test_help_and_version_import_nothing_that_works():
    script = (
        "import sys, sluicegate.flashcards.cli as cli\n"
        "heavy = {'httpx2', 'uvicorn', 'asyncio', 'json', 'sluicegate.flashcards._process'}\n"
        "print(sorted(heavy & set(sys.modules) - set(before)))"
    )
    code = f"import sluicegate, typer, sys; before = list(sys.modules)\n{script}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("arguments", ["--help", "process --help", "serve --help", "--version"])
def test_help_and_version_come_with_success(arguments):
    assert flashcards(*arguments.split()).exit_code == 0


def test_shows_no_locals_in_tracebacks():
    assert app.pretty_exceptions_show_locals is False
