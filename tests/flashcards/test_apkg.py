"""The Anki package, opened and read back: a note a card, and ids that stay."""

import sqlite3
import tempfile
import zipfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sluicegate.flashcards._apkg import DECK_ID, FIELDS, MODEL_ID, ApkgOutput
from sluicegate.flashcards._aside import OutputError
from sluicegate.flashcards._stage2 import Card
from sluicegate.flashcards._vocabulary import VocabularyItem

ITEM = VocabularyItem(7, "물", "noun")
SCENE = Card("Scene", "primer", "a < b & c", "one\r\ntwo\n<b>", "korean, topik::1", "해체")
HANJA = Card("Hanja", "", "front", "back", "", "")


def write(path, words):
    with ApkgOutput(path) as output:
        for item, cards in words:
            output.write(item, cards)
        output.complete()


def read(path, query):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["collection.anki2", "media"]
        database = Path(archive.extract("collection.anki2", path.with_suffix(".read")))
    with closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def test_holds_a_note_for_each_card_with_its_text_as_html(tmp_path):
    path = tmp_path / "cards.apkg"
    write(path, [(ITEM, [SCENE, HANJA])])
    notes = read(path, "select flds, tags, mid from notes order by id")
    assert dict(zip(FIELDS, notes[0][0].split("\x1f"), strict=True)) == {
        "Front": "a &lt; b &amp; c",
        "Back": "one<br>two<br>&lt;b&gt;",
        "Primer": "primer",
        "Term": "물",
        "Type": "noun",
        "Tab": "Scene",
        "Honorific": "해체",
    }
    assert notes[0][1].split() == ["korean", "topik::1"]
    assert [note[2] for note in notes] == [MODEL_ID, MODEL_ID]
    assert read(path, "select did, count(*) from cards group by did") == [(DECK_ID, 2)]


def test_a_note_keeps_its_id_when_its_text_changes_so_that_an_import_updates_it(tmp_path):
    before, after = tmp_path / "before.apkg", tmp_path / "after.apkg"
    write(before, [(ITEM, [SCENE, HANJA])])
    write(after, [(replace(ITEM, position=900), [replace(SCENE, back="changed"), HANJA])])
    query = "select guid from notes order by id"
    assert read(before, query) == read(after, query)
    (then,), (now,) = read(before, "select max(mod) from notes"), read(after, "select max(mod) from notes")
    assert now >= then


def test_cards_under_the_same_tab_and_words_of_another_type_have_ids_of_their_own(tmp_path):
    path = tmp_path / "cards.apkg"
    write(path, [(ITEM, [SCENE, SCENE]), (replace(ITEM, type="verb"), [SCENE])])
    assert read(path, "select count(distinct guid), count(*) from notes") == [(3, 3)]


def test_a_word_that_comes_twice_makes_its_notes_once(tmp_path):
    path = tmp_path / "cards.apkg"
    write(path, [(ITEM, [SCENE]), (replace(ITEM, position=8), [SCENE])])
    assert read(path, "select count(*) from notes") == [(1,)]


def test_leaves_nothing_behind_in_the_temporary_folder(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    write(tmp_path / "cards.apkg", [(ITEM, [SCENE])])
    assert list(scratch.iterdir()) == []


def test_a_full_disk_is_an_output_error_and_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "cards.apkg"
    path.write_bytes(b"old")

    def full(*_arguments):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("genanki.Package.write_to_db", full)
    with pytest.raises(OutputError, match="database or disk is full"):
        write(path, [(ITEM, [SCENE])])
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["cards.apkg"]
