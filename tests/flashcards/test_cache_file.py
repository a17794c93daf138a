"""Answers carried from one cache to another: what is written is read, and what is not ours is refused."""

import io
import json
import sqlite3
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sluicegate.flashcards import _cache_file
from sluicegate.flashcards._cache_file import BadAnswer, CacheFileError, read_answers, write_answers
from sluicegate.flashcards.cache import CompressedCache
from sluicegate.flashcards.cli import app

HEADER = b'{"flashcards_answers":1}\n'
KEY = "ab" * 32


def read(content):
    return list(read_answers(io.BytesIO(content)))


def line(**told):
    return json.dumps({"key": KEY, "answer": "water"} | told).encode() + b"\n"


def test_what_is_written_is_read():
    answers = [(bytes([n]) * 32, f"물{n}\n\t") for n in range(5)]
    stream = io.BytesIO()
    assert write_answers(stream, answers) == 5
    assert read(stream.getvalue()) == answers


@given(st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.text(min_size=1).filter(str.strip))))
def test_any_answer_survives_the_journey(answers):
    answers = [(key, text.encode("utf-8", "ignore").decode() or "x") for key, text in answers]
    answers = [(key, text) for key, text in answers if text.strip()]
    stream = io.BytesIO()
    write_answers(stream, answers)
    assert read(stream.getvalue()) == answers


@given(st.lists(st.one_of(st.binary(max_size=80), st.just(line()), st.just(HEADER), st.just(b"\n"))))
def test_whatever_follows_the_header_is_an_answer_or_a_bad_line(lines):
    for found in read(HEADER + b"".join(lines)):
        if isinstance(found, BadAnswer):
            assert found.line >= 2
            assert found.reason
        else:
            key, answer = found
            assert len(key) == 32
            assert answer.encode().strip()


@given(st.binary(max_size=200))
def test_whatever_is_no_file_of_ours_is_refused_in_one_line(content):
    with pytest.raises(CacheFileError) as caught:
        read(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"{", "no JSON object"),
        (b"[1]", "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (b"\xff\xfe", "no JSON object"),
        (line(key=None), "64 hexadecimal digits"),
        (line(key="AB" * 32), "64 hexadecimal digits"),
        (line(key=KEY + "a"), "64 hexadecimal digits"),
        (line(answer=7), "no text"),
        (line(answer=" \n"), "no text"),
        (line(answer="\ud800"), "no text"),
        (line(answer="x" * (_cache_file.MAX_ANSWER + 1)), "longer than 4,194,304 characters"),
    ],
)
def test_a_bad_line_is_told_by_its_number_and_the_rest_is_read(bad, reason):
    first, second, third = read(HEADER + line() + bad.rstrip() + b"\n" + line())
    assert first == third == (bytes.fromhex(KEY), "water")
    assert second.line == 3
    assert reason in second.reason


def test_a_line_too_long_is_left_out_without_being_held(monkeypatch):
    monkeypatch.setattr(_cache_file, "MAX_LINE", 200)
    found = read(HEADER + b"x" * 1000 + b"\n" + line())
    assert [type(answer) for answer in found] == [BadAnswer, tuple]


def test_a_line_that_was_cut_off_at_the_end_is_bad():
    (bad,) = read(HEADER + line()[:-5])
    assert (bad.line, bad.reason) == (2, "it is no JSON object")


@pytest.mark.parametrize("version", [2, "1", None, True])
def test_a_version_not_known_is_refused(version):
    with pytest.raises(CacheFileError, match="version"):
        read(json.dumps({"flashcards_answers": version}).encode())


def cache_command(*arguments, **options):
    return CliRunner().invoke(app, ["cache", *map(str, arguments)], **options)


@pytest.fixture
def vocabulary():
    return "position,term,type\n" + "".join(f"{n},물{n},noun\n" for n in range(1, 11))


def test_a_cache_that_was_carried_elsewhere_saves_every_request(words, tmp_path, server):
    here, there, file = tmp_path / "here", tmp_path / "there", tmp_path / "answers.jsonl"
    command = ["process", str(words), "--base-url", server.base_url, "--rate", "inf", "--quiet"]
    assert CliRunner().invoke(app, [*command, "--cache-dir", str(here)]).exit_code == 0
    cards = words.with_suffix(".tsv").read_bytes()
    exported = cache_command("export", file, "--cache-dir", here)
    assert (exported.exit_code, exported.stdout) == (0, "")
    assert exported.stderr == f"20 answers of {here / 'answers.db'} written to {file}\n"
    warmed = cache_command("warm", file, "--cache-dir", there)
    assert warmed.exit_code == 0
    assert warmed.stdout == f"20 answers of {file} kept in {there / 'answers.db'}, 0 were there already\n"
    before = server.stats.requests
    assert CliRunner().invoke(app, [*command, "--cache-dir", str(there)]).exit_code == 0
    assert server.stats.requests == before
    assert words.with_suffix(".tsv").read_bytes() == cards


def test_warming_twice_changes_nothing_and_an_answer_that_is_kept_stays(tmp_path):
    file, folder = tmp_path / "answers.jsonl", tmp_path / "kept"
    with CompressedCache(folder / "answers.db") as cache:
        cache.warm([(bytes.fromhex(KEY), "kept")])
    file.write_bytes(HEADER + line() + line(key="cd" * 32))
    assert "1 answers" in cache_command("warm", file, "--cache-dir", folder).stdout
    assert "0 answers" in cache_command("warm", file, "--cache-dir", folder).stdout
    with CompressedCache(folder / "answers.db") as cache:
        assert dict(cache.answers()) == {bytes.fromhex(KEY): "kept", bytes.fromhex("cd" * 32): "water"}


def test_bad_lines_are_listed_and_the_rest_kept(tmp_path):
    file, folder = tmp_path / "answers.jsonl", tmp_path / "kept"
    file.write_bytes(HEADER + b"nonsense\n" + line())
    result = cache_command("warm", file, "--cache-dir", folder)
    assert result.exit_code == 1
    assert result.stderr == "bad lines (1):\n  line 2: it is no JSON object\n"
    assert "1 answers" in result.stdout


@pytest.mark.parametrize("content", [b"", b"position\tterm\n", b'{"position": 1}\n'])
def test_a_file_of_another_kind_is_usage_and_says_which_file_is_wanted(tmp_path, content):
    file = tmp_path / "cards.jsonl"
    file.write_bytes(content)
    result = cache_command("warm", file, "--cache-dir", tmp_path / "kept")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"flashcards: {file}: it holds no answers; give a file that")


def test_a_file_that_is_not_there_is_usage(tmp_path):
    result = cache_command("warm", tmp_path / "none.jsonl", "--cache-dir", tmp_path)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "no such file or directory" in result.stderr


def test_a_cache_that_takes_no_answers_is_storage(tmp_path, monkeypatch):
    def full(self, values):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(CompressedCache, "_commit", full)
    file = tmp_path / "answers.jsonl"
    file.write_bytes(HEADER + line())
    result = cache_command("warm", file, "--cache-dir", tmp_path / "kept")
    assert (result.exit_code, result.stdout) == (5, "")
    assert "cannot write the cache" in result.stderr
    assert "disk is full" in result.stderr


def test_an_export_that_cannot_be_written_is_storage_and_leaves_nothing(tmp_path):
    result = cache_command("export", tmp_path / "none" / "x.jsonl", "--cache-dir", tmp_path / "kept")
    assert (result.exit_code, result.stderr.count("\n")) == (5, 1)
    assert "cannot write" in result.stderr


def test_answers_flow_through_pipes(tmp_path):
    with CompressedCache(tmp_path / "here" / "answers.db") as cache:
        cache.warm([(bytes.fromhex(KEY), "water")])
    exported = cache_command("export", "-", "--cache-dir", tmp_path / "here")
    assert exported.stdout_bytes == HEADER + line().replace(b'": ', b'":').replace(b', "', b',"')
    command = [sys.executable, "-m", "sluicegate.flashcards", "cache", "warm", "-"]
    command += ["--cache-dir", str(tmp_path / "there")]
    done = subprocess.run(command, input=exported.stdout_bytes, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    with CompressedCache(tmp_path / "there" / "answers.db") as cache:
        assert cache.get(bytes.fromhex(KEY)) == "water"


def test_what_is_damaged_or_too_old_is_not_carried(tmp_path):
    now = 1000.0
    with CompressedCache(tmp_path / "answers.db", ttl=10, jitter=0, clock=lambda: now) as cache:
        cache.warm([(bytes(32), "old")])
    now = 1009.0
    with CompressedCache(tmp_path / "answers.db", ttl=10, jitter=0, clock=lambda: now) as cache:
        cache.warm([(bytes.fromhex(KEY), "water")])
    with CompressedCache(tmp_path / "answers.db", clock=lambda: now) as cache:
        assert len(list(cache.answers())) == 2
        now = 1010.0
        assert list(cache.answers()) == [(bytes.fromhex(KEY), "water")]
        with cache._reader:
            cache._reader.execute("UPDATE answers SET value = x'00'")
        assert list(cache.answers()) == []


def test_warming_holds_no_more_than_two_batches(tmp_path, monkeypatch):
    most = 0
    with CompressedCache(tmp_path / "answers.db") as cache:

        def many():
            nonlocal most
            for number in range(3000):
                most = max(most, cache._queue.qsize())
                yield b"%d" % number, "water"

        assert cache.warm(many()) == 3000
    assert most <= 2 * 256
