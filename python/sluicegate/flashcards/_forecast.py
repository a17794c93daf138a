"""`flashcards process --dry-run`: what the job would take, by what is kept, the estimates and the limits.

No request is made, and nothing is written. Retries are not foreseen.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.table import Table

from sluicegate import RateLimiterConfig

from . import _stage1, _stage2
from ._cache_keys import cache_path, cards_key, nuance_key
from ._degraded import Degradations
from ._hold import Admission, per_second
from ._job import Exit, Job, UsageError, opened_cache, settings_of, told, vocabulary_of
from ._progress import span
from ._settings import Settings
from ._stored import looked_into
from ._summary import say, say_list
from ._tokens import FIRST_ESTIMATE, asked
from ._vocabulary import BadRow, VocabularyItem
from ._wire import ReplyError, Usage, request_body
from .cache import CompressedCache

if TYPE_CHECKING:
    from .store import KeptParts


OFFLINE_ESTIMATE = 120
"""Tokens an answer of the server that a job brings along is taken to have."""

ENOUGH_ANSWERS = 10
"""How many kept answers of a stage it takes to judge the others by them."""

T = TypeVar("T")


@dataclass(slots=True)
class Need:
    """What a stage would take.

    Attributes:
        first_estimate: tokens of an answer, where too few are kept to judge by.
        calls: requests, none of them made twice.
        asked_tokens: of their questions, as far as these are known.
    """

    first_estimate: int = FIRST_ESTIMATE
    calls: int = 0
    asked_tokens: int = 0
    _kept: int = 0
    _kept_tokens: int = 0

    def add(self, body: bytes) -> None:
        """Count a call."""
        self.calls += 1
        self.asked_tokens += asked(body)

    def learn(self, answer: str) -> None:
        """Take a kept answer into account."""
        self._kept += 1
        self._kept_tokens += asked(answer.encode())

    @property
    def answer_tokens(self) -> int:
        """Tokens of an answer: the mean of those that are kept, where there are enough of them."""
        return self._kept_tokens // self._kept if self._kept >= ENOUGH_ANSWERS else self.first_estimate


@dataclass(slots=True)
class Forecast:
    """What a job would take.

    Attributes:
        words: in the input.
        kept: words whose cards come from the cache whole.
        stored: words that the run to be gone on with has the cards of.
        skipped: words in quarantine.
        run: the number of that run; None for a new one.
        stages: what each stage would take, by its name.
    """

    words: int = 0
    kept: int = 0
    stored: int = 0
    skipped: int = 0
    run: int | None = None
    stages: dict[str, Need] = field(default_factory=lambda: {"stage1": Need(), "stage2": Need()})

    @property
    def calls(self) -> int:
        """Requests of both stages."""
        return sum(need.calls for need in self.stages.values())

    @property
    def usage(self) -> Usage:
        """Tokens of both stages; each call of stage 1 has its answer in the question of a call of stage 2."""
        first, second = self.stages["stage1"], self.stages["stage2"]
        passed_on = first.calls * first.answer_tokens
        prompt = first.asked_tokens + second.asked_tokens + passed_on
        completion = passed_on + second.calls * second.answer_tokens
        return Usage(prompt, completion, prompt + completion)


def foresee(
    items: Iterable[VocabularyItem],
    settings: Settings,
    cache: CompressedCache | None,
    parts: KeptParts | None = None,
) -> Forecast:
    """Return what the words would take; one that comes twice is asked once where answers are kept.

    Args:
        items: the words.
        settings: who is asked, and whether answers are kept.
        cache: where answers are looked for; None for nowhere.
        parts: what the database has of them; None for nothing.
    """
    found = Forecast(run=None if parts is None else parts.run)
    if settings.embedded:
        for need in found.stages.values():
            need.first_estimate = OFFLINE_ESTIMATE
    keeps = settings.cache and not settings.embedded
    begun: set[tuple[str, str]] = set()

    def look(key: bytes) -> str | None:
        text = None if cache is None else cache.get(key)
        return text if text is not None or parts is None else parts.get(key)

    for number, item in enumerate(items):
        found.words += 1
        word = (item.term, item.type)
        if parts is not None and number in parts.done:
            found.stored += 1
        elif parts is not None and word in parts.skipped:
            found.skipped += 1
        elif (keeps and word in begun) or not _foresee(found.stages, item, settings, look):
            found.kept += 1
        else:
            begun.add(word)
    return found


def _foresee(
    stages: Mapping[str, Need], item: VocabularyItem, settings: Settings, look: Callable[[bytes], str | None]
) -> bool:
    """Add what a word would take, and return whether that is anything."""
    first, second = stages["stage1"], stages["stage2"]
    nuance = _kept(look(nuance_key(settings, item)), _stage1.read_nuance, first)
    if nuance is None:
        first.add(request_body(_stage1.MODEL, _stage1.message(item)))
        empty = {"position": item.position, "term": item.term, "stage1_result": {}}
        second.add(request_body(_stage2.MODEL, empty))
        return True
    if _kept(look(cards_key(settings, item, nuance)), _stage2.read_cards, second) is not None:
        return False
    second.add(request_body(_stage2.MODEL, _stage2.message(item, nuance)))
    return True


def _kept(text: str | None, read: Callable[[str], T], need: Need) -> T | None:
    """Read an answer that is kept, and let the estimates learn of it; None where it is none."""
    if text is None:
        return None
    with contextlib.suppress(ReplyError):
        found = read(text)
        need.learn(text)
        return found
    return None


def seconds_of(forecast: Forecast, settings: Settings) -> float:
    """Return the least seconds that the limits let the calls take; how long answers take is not known."""
    admission = Admission(RateLimiterConfig.parse(settings.effective_rate))
    least = _least_seconds(admission.rate, admission.burst, forecast.calls)
    for rate, count in (
        (settings.stage1_rate, forecast.stages["stage1"].calls),
        (settings.stage2_rate, forecast.stages["stage2"].calls),
        (settings.tokens_rate, forecast.usage.tokens),
    ):
        if rate is not None:
            config = RateLimiterConfig.parse(rate)
            least = max(least, _least_seconds(float(per_second(config)), config.burst, count))
    return least


def _least_seconds(rate: float, burst: int, count: int) -> float:
    beyond = max(0, count - burst)
    if beyond == 0:
        return 0.0
    return beyond / rate if rate else math.inf


def forecast(job: Job) -> int:
    """Tell what the job would take, and return the exit code: 1 where rows are bad."""
    console = Console(stderr=True)
    return told(console, lambda: _tell(job, console))


def _tell(job: Job, console: Console) -> int:
    if job.cache_only:
        raise UsageError("--dry-run asks nothing as it is; leave --cache-only out")
    settings = settings_of(job)
    vocabulary = vocabulary_of(job)
    degradations = Degradations(lambda text: say(console, f"flashcards: {text}"), allowed=settings.degrade)
    with _looked_into(job, settings, degradations) as cache:
        parts = looked_into(settings, vocabulary, os.environ, degradations, resume=job.resume)
        found = foresee(vocabulary.items, settings, cache, parts)
    facts = _facts(found, settings, vocabulary.bad_rows)
    facts["degraded"] = [part.part for part in degradations.told]
    if job.as_json:
        print(json.dumps(facts))
    if not job.quiet:
        console.print(_table(found, settings, facts))
    say_list(console, "bad rows", [f"line {row.line}: {row.reason}" for row in vocabulary.bad_rows])
    return Exit.INCOMPLETE if vocabulary.bad_rows else Exit.OK


@contextlib.contextmanager
def _looked_into(
    job: Job, settings: Settings, degradations: Degradations
) -> Iterator[CompressedCache | None]:
    """Open the cache where there is one: none is made only to be found empty."""
    if not cache_path(settings, os.environ).exists():
        yield None
        return
    with opened_cache(job, settings, degradations) as cache:
        yield cache


def _facts(found: Forecast, settings: Settings, bad_rows: Iterable[BadRow]) -> dict[str, Any]:
    usage = found.usage
    seconds = seconds_of(found, settings)
    return {
        "dry_run": True,
        "words": found.words,
        "from_cache": found.kept,
        "from_run": found.stored,
        "skipped": found.skipped,
        "run": found.run,
        "bad_rows": [{"line": row.line, "reason": row.reason} for row in bad_rows],
        "calls": {stage: need.calls for stage, need in found.stages.items()} | {"total": found.calls},
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.tokens,
        "cost": settings.price(usage),
        "rate": settings.effective_rate,
        "seconds": None if math.isinf(seconds) else round(seconds, 3),
        "token_budget": settings.token_budget,
        "within_budget": settings.token_budget is None or usage.tokens <= settings.token_budget,
    }


def _table(found: Forecast, settings: Settings, facts: dict[str, Any]) -> Table:
    usage, cost, seconds = found.usage, facts["cost"], facts["seconds"]
    where = "a server on this machine" if settings.embedded else "the API"
    price = "unknown; set prompt_price and completion_price" if cost is None else f"about {cost:,.4f}"
    if settings.embedded:
        price = "nothing"
    calls = ", ".join(f"{need.calls:,} of {stage}" for stage, need in found.stages.items())
    tokens = f"about {usage.prompt_tokens:,} + {usage.completion_tokens:,} = {usage.tokens:,}"
    if not facts["within_budget"]:
        tokens += f", more than the budget of {settings.token_budget:,}: the run would end early"
    duration = f"at least {span(seconds or 0)} at {settings.effective_rate}, without retries"
    if seconds is None:
        duration = "no end: a limit with rate 0 lets only its burst pass"
    words = f"{found.words:,}, {found.kept:,} of them from the cache"
    if found.run is not None:
        words += f", {found.stored:,} from run {found.run}"
    if found.skipped:
        words += f", {found.skipped:,} skipped in quarantine"
    table = Table.grid(padding=(0, 2))
    for name, text in (
        ("words", words),
        ("calls", f"{found.calls:,} to {where}: {calls}"),
        ("tokens", tokens),
        ("cost", price),
        ("time", duration),
    ):
        table.add_row(name, text)
    return table
