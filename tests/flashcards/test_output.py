"""The TSV file: its format, and that nothing half-written is ever seen."""

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate.flashcards._aside import OutputError
from sluicegate.flashcards._format import Format
from sluicegate.flashcards._formats import open_output
from sluicegate.flashcards._output import COLUMNS, TsvOutput, escape, unescape
from sluicegate.flashcards._stage2 import Card
from sluicegate.flashcards._vocabulary import VocabularyItem

ITEM = VocabularyItem(7, "물", "noun")
CARD = Card("Scene", "primer", "front", "back\twith\nall\r\\n", "tag", "해체")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_one_header_and_a_line_a_card_ended_by_lf(tmp_path):
    path = tmp_path / "cards.tsv"
    with TsvOutput(path) as output:
        output.write(ITEM, [CARD, CARD])
        output.complete()
    header, *rows, end = path.read_bytes().decode().split("\n")
    assert header == "position\tterm\tterm_number\ttab_name\tprimer\tfront\tback\ttags\thonorific_level"
    assert rows == [r"7	물	7	Scene	primer	front	back\twith\nall\r\\n	tag	해체"] * 2
    assert end == ""


@given(st.text())
def test_tab_newline_carriage_return_and_backslash_round_trip(cell):
    assert unescape(escape(cell)) == cell
    assert not set(escape(cell)) & set("\t\n\r")


def test_a_written_row_reads_back_as_it_was(tmp_path):
    path = tmp_path / "cards.tsv"
    with TsvOutput(path) as output:
        output.write(ITEM, [CARD])
        output.complete()
    row = path.read_bytes().decode().removesuffix("\n").split("\n")[1]
    cells = dict(zip(COLUMNS, map(unescape, row.split("\t")), strict=True))
    assert cells["back"] == CARD.back


def test_leaves_nothing_behind_unless_completed(tmp_path):
    path = tmp_path / "cards.tsv"
    path.write_text("old")
    with TsvOutput(path) as output:
        output.write(ITEM, [CARD])
        assert path.read_text() == "old"
    assert names(tmp_path) == ["cards.tsv"]
    assert path.read_text() == "old"


def test_keeps_the_mode_of_a_file_it_replaces_and_follows_links(tmp_path):
    path, link = tmp_path / "cards.tsv", tmp_path / "link.tsv"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    with TsvOutput(link) as output:
        output.complete()
    assert link.is_symlink()
    assert path.read_text().startswith("position")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("where", ["missing/cards.tsv", "", "file/cards.tsv"])
def test_an_output_that_cannot_be_written_is_told_in_one_line_before_any_work(tmp_path, where):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError) as caught, TsvOutput(tmp_path / where):
        pass
    assert str(caught.value).startswith(f"cannot write {tmp_path / where}: ")
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["file"]


def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "cards.tsv"
    path.write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="no space left"), TsvOutput(path) as output:
        output.complete()
    assert names(tmp_path) == ["cards.tsv"]
    assert path.read_text() == "old"


def test_a_device_gets_the_rows_and_stays_a_device():
    device = Path(os.devnull)
    with TsvOutput(device) as output:
        output.write(ITEM, [CARD])
        output.complete()
    assert device.is_char_device()


def test_the_standard_output_gets_the_rows_of_a_completed_run_only(capfdbinary):
    with TsvOutput(None) as output:
        output.write(ITEM, [CARD])
    assert capfdbinary.readouterr().out == b""
    with TsvOutput(None) as output:
        output.complete()
    assert capfdbinary.readouterr().out == ("\t".join(COLUMNS) + "\n").encode()


def test_json_lines_hold_an_object_a_card_under_the_names_of_the_header(tmp_path):
    path = tmp_path / "cards.jsonl"
    with open_output(Format.JSONL, path) as output:
        output.write(ITEM, [CARD, CARD])
        output.complete()
    lines = path.read_bytes().split(b"\n")
    assert lines[2:] == [b""]
    assert "물".encode() in lines[0]
    cells = json.loads(lines[1])
    assert tuple(cells) == COLUMNS
    assert (cells["position"], cells["term_number"], cells["back"]) == (7, 7, CARD.back)


@pytest.mark.parametrize("form", Format)
def test_every_form_leaves_nothing_behind_unless_completed(tmp_path, form):
    with open_output(form, tmp_path / f"cards.{form}") as output:
        output.write(ITEM, [CARD])
    assert names(tmp_path) == []


def test_what_is_not_open_takes_no_rows(tmp_path):
    with pytest.raises(ValueError, match="the output is not open"):
        TsvOutput(tmp_path / "cards.tsv").stream.write(b"row")
