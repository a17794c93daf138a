"""`flashcards process --dry-run`: what the job would take, by what is kept, the estimates and the limits.

No request is made, and nothing is written. Retries are not foreseen.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

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
from ._stage1 import WordNuance
from ._summary import say, say_list
from ._tokens import FIRST_ESTIMATE, asked
from ._vocabulary import BadRow, VocabularyItem
from ._wire import ReplyError, Usage, request_body
from .cache import CompressedCache


@dataclass(slots=True)
class Need:
    """What a stage would take.

    Attributes:
        calls: requests, none of them made twice.
        prompt_tokens: of their questions, as they are reserved.
        completion_tokens: of their answers, as they are reserved.
    """

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def add(self, body: bytes, more: int = 0) -> None:
        """Count a call, with `more` tokens in its question that are not known yet."""
        self.calls += 1
        self.prompt_tokens += asked(body) + more
        self.completion_tokens += FIRST_ESTIMATE


@dataclass(slots=True)
class Forecast:
    """What a job would take.

    Attributes:
        words: in the input.
        kept: words whose cards come from the cache whole.
        stages: what each stage would take, by its name.
    """

    words: int = 0
    kept: int = 0
    stages: dict[str, Need] = field(default_factory=lambda: {"stage1": Need(), "stage2": Need()})

    @property
    def calls(self) -> int:
        """Requests of both stages."""
        return sum(need.calls for need in self.stages.values())

    @property
    def usage(self) -> Usage:
        """Tokens of both stages."""
        prompt = sum(need.prompt_tokens for need in self.stages.values())
        completion = sum(need.completion_tokens for need in self.stages.values())
        return Usage(prompt, completion, prompt + completion)


def foresee(items: Iterable[VocabularyItem], settings: Settings, cache: CompressedCache | None) -> Forecast:
    """Return what the words would take; one that comes twice is asked once where answers are kept."""
    found = Forecast()
    keeps = settings.cache and not settings.embedded
    begun: set[tuple[str, str]] = set()
    for item in items:
        found.words += 1
        if keeps and (item.term, item.type) in begun:
            found.kept += 1
            continue
        begun.add((item.term, item.type))
        nuance = None if cache is None else _kept_nuance(cache, nuance_key(settings, item))
        if nuance is None:
            found.stages["stage1"].add(request_body(_stage1.MODEL, _stage1.message(item)))
            # Its question holds the answer of stage 1, of which only the estimate is known.
            empty = {"position": item.position, "term": item.term, "stage1_result": {}}
            found.stages["stage2"].add(request_body(_stage2.MODEL, empty), more=FIRST_ESTIMATE)
        elif cache is None or not _has_cards(cache, cards_key(settings, item, nuance)):
            found.stages["stage2"].add(request_body(_stage2.MODEL, _stage2.message(item, nuance)))
        else:
            found.kept += 1
    return found


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
        found = foresee(vocabulary.items, settings, cache)
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
    table = Table.grid(padding=(0, 2))
    for name, text in (
        ("words", f"{found.words:,}, {found.kept:,} of them from the cache"),
        ("calls", f"{found.calls:,} to {where}: {calls}"),
        ("tokens", tokens),
        ("cost", price),
        ("time", duration),
    ):
        table.add_row(name, text)
    return table


def _kept_nuance(cache: CompressedCache, key: bytes) -> WordNuance | None:
    kept = cache.get(key)
    with contextlib.suppress(ReplyError):
        return None if kept is None else _stage1.read_nuance(kept)
    return None


def _has_cards(cache: CompressedCache, key: bytes) -> bool:
    kept = cache.get(key)
    with contextlib.suppress(ReplyError):
        return kept is not None and bool(_stage2.read_cards(kept).cards)
    return False
