"""Telemetry: a span a word with its stages and attempts, the named instruments, and nothing when off."""

import json
import subprocess
import sys

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from typer.testing import CliRunner

from sluicegate.flashcards import _telemetry
from sluicegate.flashcards._api import Api
from sluicegate.flashcards._cache_keys import nuance_key
from sluicegate.flashcards._output import TsvOutput
from sluicegate.flashcards._run import Run
from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards._stored import observe_pool
from sluicegate.flashcards._tally import Tally
from sluicegate.flashcards._telemetry import SILENT, OpenTelemetry, exporting_providers, start
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.flashcards._wire import Usage
from sluicegate.flashcards.cache import CompressedCache
from sluicegate.flashcards.cli import app
from sluicegate.flashcards.server import EmbeddedServer
from sluicegate.flashcards.store import Database

ITEMS = [VocabularyItem(1, "물", "noun"), VocabularyItem(2, "불", "noun")]


@pytest.fixture
def spans():
    return InMemorySpanExporter()


@pytest.fixture
def reader():
    return InMemoryMetricReader()


@pytest.fixture
def telemetry(spans, reader):
    traces = TracerProvider()
    traces.add_span_processor(SimpleSpanProcessor(spans))
    telemetry = OpenTelemetry(traces, MeterProvider([reader]))
    yield telemetry
    telemetry.close()


async def run(telemetry, path, cache=None):
    with EmbeddedServer(ITEMS, rate="inf/s", faults="none") as server:
        settings = Settings(base_url=server.base_url, rate="inf/s", prompt_price=1.0, completion_price=2.0)
        tally = Tally()
        with TsvOutput(path) as output:
            async with Api(settings, tally=tally, cache=cache, telemetry=telemetry) as api:
                words = Run(ITEMS, api, output, tally, concurrency=2, window=4, telemetry=telemetry)
                await words.execute()
    return tally


def numbers(reader):
    found = {}
    for resource in reader.get_metrics_data().resource_metrics:
        for scope in resource.scope_metrics:
            assert scope.scope.name == "flashcard_pipeline"
            for metric in scope.metrics:
                found[metric.name] = (metric.unit, list(metric.data.data_points))
    return found


async def test_a_word_is_a_span_with_its_stages_and_their_attempts_below(telemetry, spans, tmp_path):
    await run(telemetry, tmp_path / "cards.tsv")
    found = {span.context.span_id: span for span in spans.get_finished_spans()}
    paths = []
    for leaf in found.values():
        assert leaf.instrumentation_scope.name == "flashcard_pipeline"
        span, path = leaf, [leaf.name]
        while span.parent is not None:
            span = found[span.parent.span_id]
            path.insert(0, span.name)
        paths.append("/".join(path))
    once = ["word", "word/stage1", "word/stage1/attempt", "word/stage2", "word/stage2/attempt"]
    assert sorted(paths) == sorted(once * 2)


async def test_the_instruments_count_cards_tokens_and_cost(telemetry, reader, tmp_path):
    tally = await run(telemetry, tmp_path / "cards.tsv")
    found = numbers(reader)
    unit, (created,) = found["flashcards.created"]
    assert (unit, created.value) == ("1", tally.rows)
    unit, (duration,) = found["flashcard.processing.duration"]
    assert (unit, duration.count) == ("ms", 2)
    tokens = {point.attributes["kind"]: point.value for point in found["flashcards.tokens"][1]}
    assert tokens == {"prompt": tally.prompt_tokens, "completion": tally.completion_tokens}
    (cost,) = found["flashcards.cost"][1]
    assert cost.value == pytest.approx((tally.prompt_tokens + 2 * tally.completion_tokens) / 1e6)
    (allowed,) = found["sluicegate.limiter.allowed"][1]
    assert allowed.value == tally.requests
    (trips,) = found["sluicegate.breaker.trips"][1]
    assert trips.value == 0


async def test_the_instruments_of_the_cache_count_hits_misses_and_bytes(telemetry, reader, tmp_path):
    with CompressedCache(tmp_path / "answers.db") as cache:
        for item in ITEMS:
            await cache.keep(nuance_key(Settings(), item), "of another API")
        await run(telemetry, tmp_path / "cards.tsv", cache)
        found = numbers(reader)
        assert {name: points[0].value for name, (_, points) in found.items() if ".cache." in name} == {
            "flashcards.cache.hits": 0,
            "flashcards.cache.misses": 4,
            "flashcards.cache.size": cache.stats().bytes,
        }
        for item in ITEMS:
            cache.get(nuance_key(Settings(), item))
        assert numbers(reader)["flashcards.cache.hits"][1][0].value == 2


def test_a_span_names_the_kind_of_an_error_and_not_its_text(telemetry, spans):
    with pytest.raises(ValueError), telemetry.span("attempt"):
        raise ValueError("sk-secret")
    (span,) = spans.get_finished_spans()
    assert span.attributes["error.type"] == "ValueError"
    assert "sk-secret" not in span.to_json()


def test_off_is_silent_and_imports_nothing():
    assert start(False, pytest.fail) is SILENT
    code = (
        "import sys; from sluicegate.flashcards import _process, _telemetry\n"
        "telemetry = _telemetry.start(False, print)\n"
        "with telemetry.word(None), telemetry.span('x'): telemetry.created(1)\n"
        "import json; print(json.dumps([name for name in sys.modules if name.startswith('opentelemetry')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("missing", ["opentelemetry.trace", "opentelemetry.exporter.otlp.proto.http"])
def test_a_library_that_is_missing_is_told_and_the_run_goes_on_without(monkeypatch, missing):
    told = []
    installed = _telemetry._installed
    monkeypatch.setattr(_telemetry, "_installed", lambda name: name != missing and installed(name))
    assert start(True, told.append) is SILENT
    (line,) = told
    assert 'pip install "sluicegate[opentelemetry]"' in line


@pytest.mark.parametrize(("degrade", "code"), [("--degrade", 0), ("--no-degrade", 3)])
def test_a_run_without_the_telemetry_it_was_told_to_make_says_so_or_ends(
    monkeypatch, tmp_path, degrade, code
):
    monkeypatch.setattr(_telemetry, "_installed", lambda name: False)
    words = tmp_path / "words.csv"
    words.write_text("position,term,type\n1,물,noun\n")
    with EmbeddedServer(ITEMS, rate="inf/s", faults="none") as server:
        command = ["process", str(words), "--base-url", server.base_url, "--no-cache", "--telemetry"]
        result = CliRunner().invoke(app, [*command, "--json", "--quiet", degrade])
    assert result.exit_code == code
    assert "OpenTelemetry is not installed" in result.stderr
    if degrade == "--degrade":
        (part,) = json.loads(result.stdout)["degraded"]
        assert (part["part"], part["effect"]) == ("telemetry", "nothing is measured")


def test_a_process_that_has_set_telemetry_up_keeps_its_own(monkeypatch, spans):
    traces = TracerProvider()
    traces.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: traces)
    monkeypatch.setattr(_telemetry, "exporting_providers", lambda: pytest.fail("made others"))
    told = []
    telemetry = start(True, told.append)
    assert isinstance(telemetry, OpenTelemetry)
    assert told == []


def test_a_process_without_any_exports_its_own(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    made = []

    def providers():
        made.append((TracerProvider(), MeterProvider([])))
        return made[0]

    monkeypatch.setattr(_telemetry, "exporting_providers", providers)
    start(True, pytest.fail).close()
    assert len(made) == 1


def test_a_cost_that_is_not_known_is_not_counted(telemetry, reader):
    telemetry.spent(Usage(3, 4), None)
    found = numbers(reader)
    assert [point.value for point in found["flashcards.tokens"][1]] == [3, 4]
    assert "flashcards.cost" not in found


def test_a_module_of_a_package_that_is_missing_is_missing():
    assert not _telemetry._installed("no_such_package.module")


def test_the_resource_is_the_pipelines(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    traces, metrics = exporting_providers()
    try:
        assert traces.resource.attributes["service.name"] == "flashcard-pipeline"
    finally:
        traces.shutdown()
        metrics.shutdown()


def test_the_pool_of_the_database_is_told_by_counters_and_gauges(telemetry, reader, tmp_path):
    with Database(Settings(database_url=f"sqlite:///{tmp_path}/runs.db"), {}) as database:
        observe_pool(telemetry, database.pool)
        with database.reading():
            found = {name: points[0].value for name, (_, points) in numbers(reader).items()}
    counted = {
        name.removeprefix("flashcards.pool."): value for name, value in found.items() if "pool" in name
    }
    assert counted.pop("age") > 0
    assert counted == {"checkouts": 1, "waits": 0, "waited": 0.0, "recycled": 0, "open": 1, "checked_out": 1}
