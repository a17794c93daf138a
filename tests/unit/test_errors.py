"""The exception tree: its shape, its fields, its journeys."""

import copy
import pickle
import threading

import pytest

import sluicegate
from sluicegate import (
    APIError,
    AttemptTimeoutError,
    AuthenticationError,
    BackendError,
    BulkheadFullError,
    CircuitIsolatedError,
    CircuitOpenError,
    ConfigurationError,
    InvalidRequestError,
    LimitExceededError,
    RateLimitError,
    RejectedError,
    ServerError,
    SluicegateError,
    StructuredError,
)

EVERY_ERROR = [
    SluicegateError("root"),
    ConfigurationError("no", field="rate", value=-1),
    RejectedError("no", policy="p", retry_after=1.5),
    LimitExceededError("no", policy="p", retry_after=0.5, limit=10, remaining=3),
    CircuitOpenError("no", policy="p", retry_after=0.5, state="open", last_failure=None),
    CircuitIsolatedError("no", policy="p", retry_after=None, state="isolated", reason="by hand"),
    BulkheadFullError("no", policy="p", retry_after=None),
    AttemptTimeoutError("slow", timeout=2.0),
    BackendError("gone", backend="redis"),
    APIError(418, "teapot", {"body": 1}, retry_after=3.0),
    RateLimitError(7.0, message="slow down", response=[1]),
    AuthenticationError(401, "who?"),
    InvalidRequestError(422, "what?"),
    ServerError(503, "later", retry_after=1),
    StructuredError("rate_limit", "rate_limited", "slow down", {"word": "물"}, retry_after=2.0),
]


class FussyError(Exception):
    """An exception that is pickled without complaint and cannot be read back."""

    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")


class ScoldingError(APIError):
    """An error of a user's own, with a constructor of its own."""

    def __init__(self, *, tone):
        super().__init__(400, f"in a {tone} tone")
        self.tone = tone


def same(one, other):
    return type(one) is type(other) and one.args == other.args and vars(one) == vars(other)


def test_the_list_of_examples_is_complete():
    exported = {value for value in vars(sluicegate).values() if isinstance(value, type)}
    assert {type(error) for error in EVERY_ERROR} == {
        kind for kind in exported if issubclass(kind, SluicegateError)
    }


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
class TestEveryError:
    def test_is_caught_at_the_root(self, error):
        assert isinstance(error, SluicegateError)

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_is_pickled_with_all_its_fields(self, error, protocol):
        assert same(pickle.loads(pickle.dumps(error, protocol)), error)

    def test_is_copied_with_all_its_fields(self, error):
        assert same(copy.copy(error), error)
        assert same(copy.deepcopy(error), error)

    def test_says_its_message(self, error):
        assert str(error) == error.args[0]
        assert str(error) != ""

    def test_is_documented(self, error):
        assert type(error).__doc__


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        (ConfigurationError, ValueError),
        (AttemptTimeoutError, TimeoutError),
        (LimitExceededError, RejectedError),
        (CircuitOpenError, RejectedError),
        (CircuitIsolatedError, CircuitOpenError),
        (BulkheadFullError, RejectedError),
        (RateLimitError, APIError),
        (AuthenticationError, APIError),
        (InvalidRequestError, APIError),
        (ServerError, APIError),
    ],
)
def test_the_tree_is_as_drawn(kind, parent):
    assert issubclass(kind, parent)


def test_our_refusal_and_the_far_sides_are_not_confused():
    assert not issubclass(RateLimitError, RejectedError)
    assert not issubclass(LimitExceededError, APIError)


def test_a_rate_limit_error_is_a_429_unless_told_otherwise():
    assert RateLimitError().status_code == 429
    assert RateLimitError(status_code=503).status_code == 503
    assert RateLimitError().retry_after is None


def test_an_api_error_knows_no_retry_after_unless_told():
    assert APIError(500, "broken").retry_after is None


def test_a_last_failure_travels_as_it_is():
    error = CircuitOpenError("open", last_failure=ValueError("bad"))
    arrived = pickle.loads(pickle.dumps(error))
    assert isinstance(arrived.last_failure, ValueError)
    assert arrived.last_failure.args == ("bad",)


@pytest.mark.parametrize(
    "failure", [FussyError(1, "x"), ValueError(threading.Lock())], ids=["on arrival", "at start"]
)
def test_a_last_failure_that_cannot_be_pickled_travels_as_its_repr(failure):
    error = CircuitOpenError("open", policy="p", last_failure=failure)
    arrived = pickle.loads(pickle.dumps(error))
    assert arrived.last_failure == repr(failure)
    assert arrived.policy == "p"


def test_the_fields_of_a_copy_are_its_own():
    error = LimitExceededError("refused", policy="search", retry_after=1.0)
    copied = copy.copy(error)
    copied.policy = "other"
    copied.add_note("seen")
    assert (error.policy, getattr(error, "__notes__", [])) == ("search", [])


def test_a_shallow_copy_keeps_even_what_cannot_be_pickled():
    failure = FussyError(1, "x")
    assert copy.copy(CircuitOpenError("open", last_failure=failure)).last_failure is failure


def test_a_subclass_with_its_own_constructor_makes_the_journey():
    error = ScoldingError(tone="sharp")
    arrived = pickle.loads(pickle.dumps(error))
    assert same(arrived, error)
    assert arrived.tone == "sharp"


def test_notes_are_carried_along():
    error = BackendError("gone", backend="redis")
    error.add_note("seen from worker 3")
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["seen from worker 3"]


def test_a_field_may_be_left_out_and_a_message_named():
    error = LimitExceededError(message="spent")
    assert (str(error), error.policy, error.retry_after) == ("spent", "", None)
