"""The revisions of the database: from nothing, from each older one, and what is not ours."""

import sqlite3
from contextlib import closing

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.flashcards.store import Database, Store, StoreError, _schema
from sluicegate.flashcards.store._tables import METADATA

FIRST = "0001"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "runs.db"


@pytest.fixture
def settings(path):
    return Settings(database_url=f"sqlite:///{path}", pool_timeout=0.2)


def scripts():
    config = Config()
    config.set_main_option("script_location", str(_schema._MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def upgrade_to(database, revision):
    config = scripts()
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def tables(path):
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {name for (name,) in rows}


def test_the_newest_revision_is_the_one_that_is_named():
    assert ScriptDirectory.from_config(scripts()).get_heads() == [_schema.HEAD]


def test_an_empty_database_gets_all_tables_and_a_second_opening_changes_nothing(settings, path):
    with Store(settings, {}) as store:
        assert store.migrated == (None, _schema.HEAD)
    assert tables(path) == {*METADATA.tables, _schema.VERSION_TABLE}
    with Store(settings, {}) as store:
        assert store.migrated == (_schema.HEAD, _schema.HEAD)


def test_the_first_revision_is_brought_to_the_newest_and_keeps_its_runs(settings, path):
    with Database(settings, {}) as database:
        upgrade_to(database, FIRST)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO runs VALUES (7, 'x', 'words.csv', 'api', 'completed', 'me', 1.0, 1.0, 2.0, 0)"
        )
    with Store(settings, {}) as store:
        assert store.migrated == (FIRST, _schema.HEAD)
        assert store.kept_run().run == 7
        assert store.quarantined() == []
        run = store.begin("words.csv", "api", "1", [VocabularyItem(1, "물", "noun")])
        assert run.run_id == 8
        run.close()


def test_the_revisions_make_the_tables_that_the_code_knows(settings):
    with Store(settings, {}) as store, store.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": _schema.VERSION_TABLE})
        assert compare_metadata(context, METADATA) == []


def test_every_revision_can_be_gone_back_from(settings, path):
    with Database(settings, {}) as database:
        upgrade_to(database, "head")
        config = scripts()
        with database.writing() as connection:
            config.attributes["connection"] = connection
            command.downgrade(config, "base")
    assert tables(path) == {_schema.VERSION_TABLE}


@pytest.mark.parametrize("before", [None, FIRST])
def test_a_migration_that_fails_leaves_what_was_there(settings, path, before):
    with Database(settings, {}) as database:
        if before is not None:
            upgrade_to(database, before)
        with database.writing() as connection:
            connection.exec_driver_sql("CREATE VIEW quarantine AS SELECT 1")
        kept = tables(path)
        with pytest.raises(StoreError):
            database.migrate()
        assert tables(path) == kept
        with database.reading() as connection:
            assert _schema.revision_of(connection) == before


def test_the_tables_of_a_later_version_are_refused_and_left(settings, path):
    Store(settings, {}).database.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE {_schema.VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(StoreError, match=r"later version \(9999\)"):
        Store(settings, {})


def test_tables_of_others_under_our_names_are_refused_and_left(settings, path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE runs (distance REAL)")
    with pytest.raises(StoreError, match="another application"):
        Store(settings, {})
    assert tables(path) == {"runs"}


def test_tables_without_a_word_of_their_revision_are_refused_and_left(settings, path):
    with Store(settings, {}):
        pass
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DELETE FROM {_schema.VERSION_TABLE}")
    before = tables(path)
    with pytest.raises(StoreError, match="another application"), Store(settings, {}):
        pytest.fail("opened")
    assert tables(path) == before


def test_tables_of_others_under_other_names_do_no_harm(settings, path):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    with Store(settings, {}) as store:
        assert store.stats()["quarantine"] == 0


def test_the_tables_can_be_made_by_postgresql():
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateTable

    dialect = postgresql.dialect()
    made = {table.name: str(CreateTable(table).compile(dialect=dialect)) for table in METADATA.sorted_tables}
    assert "id SERIAL NOT NULL" in made["runs"]
    assert "cards BYTEA" in made["words"]
