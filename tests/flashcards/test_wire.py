"""Bodies out, answers in."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate import APIError, AuthenticationError, InvalidRequestError, RateLimitError, ServerError
from sluicegate.flashcards import _stage1, _stage2
from sluicegate.flashcards._one_line import MAX_SHOWN
from sluicegate.flashcards._secrets import ApiKey
from sluicegate.flashcards._stage1 import read_nuance
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.flashcards._wire import (
    Answer,
    ReplyError,
    Usage,
    is_outage,
    read_answer,
    request_body,
)

USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}


def envelope(content="hello", **changes) -> bytes:
    choice = {"message": {"content": content}, "finish_reason": "stop"}
    return json.dumps({"id": "x", "choices": [choice], "usage": USAGE} | changes).encode()


def failure(code, message="no", **fields) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, **fields}}).encode()


def test_a_stage_1_body_names_the_preset_and_holds_one_message_with_raw_hangul():
    body = request_body(_stage1.MODEL, _stage1.message(VocabularyItem(1, "내가", "pronoun")))
    assert "내가".encode() in body
    assert json.loads(body) == {
        "model": "@preset/nuance-creator",
        "messages": [{"role": "user", "content": '{"position":1,"term":"내가","type":"pronoun"}'}],
    }


def test_a_stage_2_body_tells_the_result_of_stage_1_under_the_rows_number():
    item = VocabularyItem(900, "내가", "pronoun")
    nuance = read_nuance('{"term_number": 1, "term": "내가", "pos": "pronoun", "primary_meaning": "I"}')
    body = json.loads(request_body(_stage2.MODEL, _stage2.message(item, nuance)))
    assert body["model"] == "@preset/nuance-flashcard-generator"
    (message,) = body["messages"]
    content = json.loads(message["content"])
    assert (content["position"], content["term"]) == (900, "내가")
    assert content["stage1_result"]["term_number"] == 900
    assert content["stage1_result"]["pos"] == "pronoun"


def test_reads_the_content_and_what_it_cost():
    assert read_answer(200, {}, envelope()) == Answer("hello", Usage(10, 20, 30))


@pytest.mark.parametrize("usage", [None, [], {"prompt_tokens": "10"}, {"total_tokens": -1}, {}])
def test_a_usage_that_makes_no_sense_is_nothing(usage):
    assert read_answer(200, {}, envelope(usage=usage)).usage == Usage()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[1]",
        b"\xff",
        b"[" * 100_000,
        envelope(choices=[]),
        envelope(choices=None),
        envelope(choices=["x"]),
        envelope(choices=[{"finish_reason": "stop"}]),
        envelope(content=""),
        envelope(content=" \n"),
        envelope(content=None),
        envelope(content="\ud800"),
        envelope(choices=[{"message": {"content": '{"term"'}, "finish_reason": "length"}]),
    ],
)
def test_an_answer_without_usable_content_is_a_broken_reply(body):
    with pytest.raises(ReplyError):
        read_answer(200, {}, body)


def test_a_broken_reply_knows_what_it_cost():
    with pytest.raises(ReplyError) as caught:
        read_answer(200, {}, envelope(content=""))
    assert caught.value.usage.total_tokens == 30


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (402, APIError),
        (403, AuthenticationError),
        (404, InvalidRequestError),
        (408, APIError),
        (429, RateLimitError),
        (500, ServerError),
        (503, ServerError),
    ],
)
@pytest.mark.parametrize("under_200", [False, True])
@pytest.mark.parametrize("as_text", [False, True])
def test_an_error_is_told_by_its_code_also_under_http_200(status, kind, under_200, as_text):
    body = failure(str(status) if as_text else status, "credit is low")
    with pytest.raises(APIError) as caught:
        read_answer(200 if under_200 else status, {}, body)
    assert type(caught.value) is kind
    assert caught.value.status_code == status
    assert str(caught.value) == f"{status}: credit is low"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"<html>bad gateway", 502, 502),
        (b'{"error": "overloaded"}', 503, 503),
        (b'{"error": "overloaded"}', 200, 500),
        (failure("server_error"), 200, 500),
        (failure(7), 200, 500),
        (failure(None), 429, 429),
        (envelope(choices=[{"error": {"code": 502, "message": "gone"}}]), 200, 502),
        (b"", 302, 302),
    ],
)
def test_an_error_without_a_code_of_its_own_has_the_status(body, status, code):
    with pytest.raises(APIError) as caught:
        read_answer(status, {}, body)
    assert caught.value.status_code == code


def test_the_wait_an_error_asks_for_is_read_from_the_headers_or_from_its_metadata():
    with pytest.raises(RateLimitError) as caught:
        read_answer(429, {"retry-after": "7"}, failure(429))
    assert caught.value.retry_after == 7.0
    with pytest.raises(RateLimitError) as caught:
        read_answer(200, {}, failure(429, metadata={"headers": {"Retry-After": "8"}}))
    assert caught.value.retry_after == 8.0


def test_the_reset_of_a_limit_of_which_nothing_is_left_is_a_wait_too():
    spent = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9s"}
    with pytest.raises(RateLimitError) as caught:
        read_answer(200, {}, failure(429, metadata={"headers": spent}))
    assert caught.value.retry_after == 9.0


def test_a_message_of_the_far_side_is_shown_without_key_controls_or_end():
    key = ApiKey("sk-or-v1-secret")
    echo = "x" * (MAX_SHOWN - 5) + "sk-or-v1-secret\x1b[2J\r\n"
    with pytest.raises(APIError) as caught:
        read_answer(401, {}, failure(401, echo), key)
    text = str(caught.value)
    assert "sk-" not in text
    assert text.isprintable()
    assert len(text) <= MAX_SHOWN + len("401: ")


def test_what_a_breaker_counts():
    codes = (400, 401, 402, 403, 404, 408, 429, 500, 502, 529)
    errors = {code: APIError(code, "") for code in codes}
    assert {code for code in codes if is_outage(errors[code])} == {408, 500, 502, 529}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.integers(200, 599),
    st.binary(max_size=60)
    | st.fixed_dictionaries(
        {}, optional={"error": JSON, "usage": JSON, "choices": st.lists(JSON, max_size=2)}
    ).map(lambda value: json.dumps(value).encode()),
)
def test_whatever_arrives_is_an_answer_or_one_of_our_errors(status, body):
    with contextlib.suppress(APIError, ReplyError):
        assert read_answer(status, {}, body).content
