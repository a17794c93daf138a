import gc
import inspect
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from sluicegate import CircuitBreaker, RateLimiter, Retry
from sluicegate._tailor import Wrapper

THROUGH = Wrapper("def called($parameters): return _s_func($arguments)")
PACKED = Wrapper("def called($parameters): return $packed")
POLICIES = [Retry(), CircuitBreaker(), RateLimiter("1000000/s").limit()]
DECORATORS = [THROUGH.fit, *POLICIES]


def no_parameters() -> Any:
    return ()


def every_kind(a: Any, b: Any = 2, /, c: Any = 3, *args: Any, d: Any, e: Any = 5, **kwargs: Any) -> Any:
    return a, b, c, args, d, e, kwargs


def only_by_name(*, type: Any, dict: Any = "d") -> Any:
    return type, dict


def any_arguments(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


def hiding(called: Any, make: Any, list: Any) -> Any:
    return called, make, list


def reserved(_s_func: Any, _s_count: Any = 2) -> Any:
    return _s_func, _s_count


CALLS: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = [
    (no_parameters, (), {}),
    (every_kind, (1,), {"d": 4}),
    (every_kind, (1, 20, 30, 31, 32), {"d": 40, "e": 50, "f": 60, "a": 70}),
    (every_kind, (1,), {"c": 30, "d": 40}),
    (only_by_name, (), {"type": 1}),
    (any_arguments, (1, 2), {"func": 3, "self": 4}),
    (hiding, (1, 2, 3), {}),
    (hiding, (), {"called": 1, "make": 2, "list": 3}),
    (reserved, (1,), {"_s_count": 3}),
    (lambda x, y=[]: (x, y), (1,), {}),
    (max, (1, 2), {"key": abs}),
]


@pytest.mark.parametrize("decorate", DECORATORS)
@pytest.mark.parametrize(("func", "args", "kwargs"), CALLS)
def test_hands_on_what_it_is_given(
    decorate: Callable[..., Any], func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    assert decorate(func)(*args, **kwargs) == func(*args, **kwargs)


@pytest.mark.parametrize(("func", "args", "kwargs"), CALLS)
def test_packs_what_it_is_given_so_that_it_can_be_handed_on_later(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    positional, by_name = PACKED.fit(func)(*args, **kwargs)
    assert func(*positional, **by_name) == func(*args, **kwargs)


@pytest.mark.parametrize("func", [no_parameters, every_kind, only_by_name, any_arguments, hiding])
def test_has_the_parameters_of_what_it_is_around_itself(func: Callable[..., Any]) -> None:
    parameters = inspect.signature(THROUGH.fit(func)).parameters
    expected = inspect.signature(func).parameters
    assert [(p.name, p.kind, p.default) for p in parameters.values()] == [
        (p.name, p.kind, p.default) for p in expected.values()
    ]


def test_keeps_the_very_objects_that_are_defaults() -> None:
    default: list[int] = []

    def collect(item: int, into: list[int] = default) -> list[int]:
        into.append(item)
        return into

    assert THROUGH.fit(collect)(7) is default


@pytest.mark.parametrize("decorate", POLICIES)
def test_names_the_function_where_arguments_are_missing(decorate: Callable[..., Any]) -> None:
    def fetch(url: str) -> str:
        return url

    with pytest.raises(TypeError, match=r"fetch\(\) missing 1 required positional argument: 'url'"):
        decorate(fetch)()


def test_arguments_that_do_not_fit_are_no_failure_of_the_far_side() -> None:
    breaker = CircuitBreaker(consecutive_failures=1)
    with pytest.raises(TypeError):
        breaker(no_parameters)("one too many")
    assert breaker.snapshot().throughput == 0


def test_arguments_that_do_not_fit_draw_no_permit() -> None:
    limiter = RateLimiter("1/h")
    with pytest.raises(TypeError):
        limiter.limit(timeout=0)(no_parameters)("one too many")
    assert limiter.try_acquire()


@pytest.mark.parametrize("decorate", DECORATORS)
def test_a_function_that_calls_itself_is_freed(decorate: Callable[..., Any]) -> None:
    def decorated() -> weakref.ref[Any]:
        @decorate
        def countdown(start: int) -> int:
            return start and countdown(start - 1)

        assert countdown(2) == 0
        return weakref.ref(countdown)

    found = decorated()
    gc.collect()
    assert found() is None


def test_two_functions_with_the_same_parameters_keep_their_own_defaults() -> None:
    first, second = (THROUGH.fit(func) for func in (lambda x=1: x, lambda x=2: x))
    assert (first(), second()) == (1, 2)
    assert first.__code__ == second.__code__


def test_a_method_is_bound() -> None:
    class Client:
        @Retry()
        def fetch(self, path: str, *, times: int = 1) -> str:
            return path * times

        @CircuitBreaker()
        async def fetch_later(self, path: str) -> str:
            return path

    assert Client().fetch("a", times=2) == "aa"
    with pytest.raises(StopIteration, match="b"):
        Client().fetch_later("b").send(None)  # type: ignore[attr-defined]
