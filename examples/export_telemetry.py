"""Export what a limiter, a retry and a breaker do, with the OpenTelemetry SDK.

A reader in memory stands in for the exporter of a service. Everything runs on a manual clock that jumps to
the next deadline, so that the waits take no time.
"""

from collections.abc import Iterator

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader

from sluicegate import CircuitBreaker, Pipeline, RateLimiter, Retry
from sluicegate.integrations.opentelemetry import instrument
from sluicegate.testing import ManualClock

clock = ManualClock(autojump=True)
answers: Iterator[OSError | str] = iter(
    [OSError("reset"), "paid", OSError("reset"), OSError("reset"), "paid"]
)
payments = Pipeline(
    Retry(name="payments", jitter=False, clock=clock),
    RateLimiter("10/s", name="payments", clock=clock),
    CircuitBreaker(name="payments", clock=clock),
    name="payments",
    clock=clock,
)


def charge() -> str:
    """Stand in for the provider's API."""
    answer = next(answers)
    if isinstance(answer, OSError):
        raise answer
    return answer


def main() -> None:
    """Charge twice, and print what an exporter would send."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    instrument(payments, meter_provider=provider)
    print(payments.call(charge), payments.call(charge))
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    kind = str((point.attributes or {}).get("sluicegate.kind", ""))
                    value = point.sum if isinstance(point, HistogramDataPoint) else getattr(point, "value", 0)
                    print(f"{metric.name:30} {kind:10} {value}")
    provider.shutdown()


if __name__ == "__main__":
    main()
