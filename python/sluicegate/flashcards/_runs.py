"""What `flashcards db`, `quarantine` and `export` do: look at what is kept of runs, and hand it out again."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ._format import Format
from ._formats import open_output
from ._job import STDIN, Exit, StorageError, UsageError, told
from ._log import logged
from ._one_line import shown
from ._settings import Settings, users_config
from ._stats import counted, described
from ._summary import say

_DAY = 86_400.0

if TYPE_CHECKING:
    from .store import KeptRun, QuarantinedWord, Store


def tell_stats(flags: Mapping[str, object], config: Path | None, *, as_json: bool) -> int:
    """Print what the database holds on stdout, and return the exit code."""

    def tell() -> int:
        with _opened(flags, config) as store:
            stats = store.stats()
            last = store.kept_run()
            stats["last_run"] = None if last is None else dataclasses.asdict(last)
            stats["pool"] = dataclasses.asdict(store.database.pool.stats())
        if as_json:
            print(json.dumps(stats))
            return Exit.OK
        for name, text in described(stats):
            print(f"{name:11} {text}")
        return Exit.OK

    return _told(tell)


def migrate(flags: Mapping[str, object], config: Path | None, *, as_json: bool) -> int:
    """Bring the tables to the newest revision, say from where to where, and return the exit code."""

    def bring() -> int:
        with _opened(flags, config) as store:
            before, after = store.migrated
            where = store.database.shown_url
        if as_json:
            print(json.dumps({"database": where, "before": before, "after": after}))
        elif before == after:
            print(f"{where} is at revision {after}")
        else:
            print(f"{where} went from {before or 'nothing'} to revision {after}")
        return Exit.OK

    return _told(bring)


def prune(flags: Mapping[str, object], config: Path | None, days: float, *, as_json: bool) -> int:
    """Forget old runs that nothing needs any more, say how many, and return the exit code."""

    def forget() -> int:
        with _opened(flags, config) as store:
            pruned = store.prune(days * _DAY)
        if as_json:
            print(json.dumps(dataclasses.asdict(pruned)))
        else:
            gone = f"{counted(pruned.runs, 'run')} with {counted(pruned.words, 'word')} forgotten"
            print(f"{gone}, {counted(pruned.kept, 'run')} kept")
        return Exit.OK

    return _told(forget)


def list_quarantine(flags: Mapping[str, object], config: Path | None, *, as_json: bool) -> int:
    """Print the words that are skipped on stdout, and return the exit code."""

    def tell() -> int:
        with _opened(flags, config) as store:
            words = store.quarantined()
        if as_json:
            print(json.dumps([_as_json(word) for word in words], ensure_ascii=False))
            return Exit.OK
        for word in words:
            runs = counted(word.failures, "run")
            print(f"{word.position}\t{shown(word.term)}\t{word.type}\t{runs}\t{shown(word.reason)}")
        if not words:
            say(Console(stderr=True), "flashcards: no word is in quarantine")
        return Exit.OK

    return _told(tell)


def release_quarantine(
    flags: Mapping[str, object], config: Path | None, terms: Sequence[str], *, as_json: bool
) -> int:
    """Let words out of quarantine, some terms or all, and return the exit code: 1 where one is not in it."""

    def let_out() -> int:
        wanted = [unicodedata.normalize("NFC", term).strip() for term in terms]
        with _opened(flags, config) as store:
            unknown = sorted(set(wanted) - {word.term for word in store.quarantined()})
            count = store.release(wanted) if wanted or not terms else 0
        if as_json:
            print(json.dumps({"released": count, "unknown": unknown}, ensure_ascii=False))
        else:
            print(f"{counted(count, 'word')} let out; the next run asks for them")
        if unknown:
            names = ", ".join(map(shown, unknown))
            print(f"flashcards: not in quarantine: {names}; see flashcards quarantine list", file=sys.stderr)
        return Exit.INCOMPLETE if unknown else Exit.OK

    return _told(let_out)


def export(
    flags: Mapping[str, object],
    config: Path | None,
    form: Format,
    *,
    run: int | None,
    output: Path | None,
    as_json: bool,
) -> int:
    """Write the cards of a run, the last by default, and return the exit code: 1 where words have none."""
    path = None if output == STDIN else output

    def write() -> int:
        if path is None and as_json:
            raise UsageError(
                "--json needs the standard output for itself; say where the cards go with --output"
            )
        if path is None and form is Format.APKG and sys.stdout.isatty():
            raise UsageError("an Anki package is nothing for a terminal; say where it goes with --output")
        with _opened(flags, config) as store:
            kept = _run(store, run)
            written, rows = 0, 0
            with open_output(form, path) as target:
                for item, cards in store.cards(kept.run):
                    target.write(item, cards.cards)
                    written, rows = written + 1, rows + len(cards.cards)
                target.complete()
        words = sum(kept.words.values())
        if as_json:
            print(
                json.dumps({**dataclasses.asdict(kept), "output": str(path), "done": written, "rows": rows})
            )
        else:
            line = f"run {kept.run} of {kept.source} ({kept.state})"
            say(Console(stderr=True), f"flashcards: {line}: {written:,} of {words:,} words, {rows:,} rows")
        return Exit.OK if written == words else Exit.INCOMPLETE

    return _told(write)


def _run(store: Store, run: int | None) -> KeptRun:
    kept = store.kept_run(run)
    if kept is None:
        which = "no run yet" if run is None else f"no run {run}"
        raise UsageError(f"there is {which} in {store.database.shown_url}; see flashcards db stats")
    return kept


def _as_json(word: QuarantinedWord) -> dict[str, object]:
    since = datetime.fromtimestamp(word.quarantined_at, UTC).isoformat(timespec="seconds")
    return {**dataclasses.asdict(word), "quarantined_at": since}


@contextlib.contextmanager
def _opened(flags: Mapping[str, object], config: Path | None) -> Iterator[Store]:
    from .store import Store, StoreError  # noqa: PLC0415 - SQLAlchemy, which a wrong setting need not wait for

    settings = Settings.load(flags, os.environ, config or users_config(os.environ))
    try:
        with logged(settings), Store(settings, os.environ) as store:
            yield store
    except StoreError as error:
        raise StorageError(f"{error}; name another by --database-url") from error


def _told(command: Callable[[], int]) -> int:
    return told(Console(stderr=True), command)
