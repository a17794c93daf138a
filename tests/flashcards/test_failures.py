"""What follows from an error by its category: waiting, trying again, giving the word up, stopping the run."""

import pytest

from sluicegate import (
    APIError,
    AttemptTimeoutError,
    AuthenticationError,
    CircuitOpenError,
    ErrorCategory,
    InvalidRequestError,
    RateLimitError,
    RecoveryAction,
    ServerError,
)
from sluicegate.flashcards._failures import FailedWord, is_misaddressed, recovery, structured
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.flashcards._wire import ReplyError, UnansweredError
from sluicegate.testing import ManualClock

ITEM = VocabularyItem(1, "물", "noun")


@pytest.mark.parametrize(
    ("error", "category", "code"),
    [
        (InvalidRequestError(400, "400: no"), "validation", "invalid_request"),
        (InvalidRequestError(404, "404: no"), "validation", "not_found"),
        (AuthenticationError(401, "401: who?"), "authentication", "unauthenticated"),
        (APIError(402, "402: pay"), "authentication", "payment_required"),
        (AuthenticationError(403, "403: no"), "authentication", "forbidden"),
        (APIError(408, "408: late"), "external_service", "timeout"),
        (RateLimitError(7.0), "rate_limit", "rate_limited"),
        (ServerError(503, "503: busy"), "external_service", "service_failed"),
        (AttemptTimeoutError("late", timeout=1.0), "external_service", "timeout"),
        (CircuitOpenError("open"), "external_service", "circuit_open"),
        (UnansweredError("refused"), "external_service", "no_answer"),
        (ReplyError("empty"), "external_service", "unusable_reply"),
        (RuntimeError("bug"), "internal", "internal_error"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_error_of_a_call_has_a_category(error, category, code):
    found = structured(error)
    assert (found.category.value, found.code) == (category, code)
    assert found.__cause__ is error


async def test_a_rate_limit_is_waited_out_for_as_long_as_was_told():
    clock = ManualClock(autojump=True)
    action = await recovery(5, clock).recover(structured(RateLimitError(7.0)))
    assert (action, clock.now()) == (RecoveryAction.RETRY, 7.0)


@pytest.mark.parametrize("error", [RateLimitError(7.0), ServerError(503, "503"), UnansweredError("cut")])
async def test_what_may_pass_is_tried_again_and_given_up_after_the_last_attempt(error):
    strategy = recovery(3, ManualClock(autojump=True))
    actions = [await strategy.recover(structured(error), attempt) for attempt in range(3)]
    assert actions == [RecoveryAction.RETRY, RecoveryAction.RETRY, RecoveryAction.FAIL]


@pytest.mark.parametrize(
    "error", [AuthenticationError(401, "401"), InvalidRequestError(400, "400"), KeyError()]
)
async def test_what_no_wait_helps_is_given_up_at_once(error):
    clock = ManualClock(autojump=True)
    assert await recovery(3, clock).recover(structured(error)) is RecoveryAction.FAIL
    assert clock.now() == 0.0


@pytest.mark.parametrize(
    ("error", "invalid"),
    [
        (InvalidRequestError(400, "400"), True),
        (InvalidRequestError(422, "422"), True),
        (APIError(413, "413"), True),
        (InvalidRequestError(404, "404"), False),
        (RateLimitError(7.0), False),
        (ServerError(500, "500"), False),
        (ReplyError("empty"), False),
    ],
)
def test_a_word_is_invalid_where_the_far_side_makes_no_sense_of_what_was_asked(error, invalid):
    word = FailedWord.of(ITEM, str(error), structured(error))
    assert word.is_invalid is invalid


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (400, "@preset/nuance-creator is not a valid model ID", True),
        (400, "The model `x` does not exist or you do not have access to it.", True),
        (400, "no such model; there are a and b", True),
        (400, "Preset nuance-creator not found", True),
        (400, "Unknown model: x", True),
        (400, "Invalid value: this model takes at most 8,192 tokens", False),
        (400, "term must be a text of 1 to 200 characters", False),
        (404, "", True),
        (405, "", True),
        (422, "no such model", False),
        (500, "no such model", False),
    ],
)
def test_an_error_that_speaks_of_the_model_or_the_address_speaks_of_every_word(status, message, expected):
    assert is_misaddressed(APIError(status, f"{status}: {message}")) is expected


def test_a_word_that_is_only_missing_from_the_cache_has_no_category():
    word = FailedWord(ITEM, "stage1 is not in the cache", by_api=False)
    assert (word.category, word.is_invalid) == (None, False)


def test_the_category_is_one_of_the_librarys():
    word = FailedWord.of(ITEM, "429", structured(RateLimitError(1.0)))
    assert word.category is ErrorCategory.RATE_LIMIT
    assert word.by_api
