"""The API called as a limited service should be: over a transport made up here, on a manual clock."""

import asyncio
import json
import random

import httpcore2
import httpx2
import pytest

from sluicegate import APIError, CircuitOpenError, RateLimitError, ServerError
from sluicegate.flashcards._api import Api, InterruptedCallError
from sluicegate.flashcards._hold import pause
from sluicegate.flashcards._outage import BREAK_DURATION, LOOK_AGAIN, OutageError
from sluicegate.flashcards._settings import Settings
from sluicegate.flashcards._stage1 import read_nuance
from sluicegate.flashcards._tally import Tally
from sluicegate.flashcards._tokens import BudgetError
from sluicegate.flashcards._vocabulary import VocabularyItem
from sluicegate.flashcards._wire import ReplyError, UnansweredError
from sluicegate.testing import ManualClock

ITEM = VocabularyItem(1, "물", "noun")
NUANCE = read_nuance('{"term": "물", "pos": "noun", "primary_meaning": "water"}')
USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}


def stage1(content=None, **choice):
    content = (
        json.dumps({"term": "물", "pos": "noun", "primary_meaning": "water"}) if content is None else content
    )
    choices = [{"message": {"content": content}, "finish_reason": "stop"} | choice]
    return httpx2.Response(200, json={"choices": choices, "usage": USAGE})


def failure(code, *, status=None, headers=None, message="no"):
    return httpx2.Response(
        code if status is None else status,
        json={"error": {"code": code, "message": message}},
        headers=headers,
    )


class FarSide:
    """Answers each request with the next of its replies, the last of them over and over."""

    def __init__(self, clock, *replies):
        self.clock = clock
        self.replies = list(replies) or [stage1()]
        self.requests = []
        self.times = []
        self.arrive = None

    async def handle_async_request(self, request):
        url = httpx2.URL(
            scheme=request.url.scheme.decode(), host=request.url.host.decode(), raw_path=request.url.target
        )
        body = b"".join([part async for part in request.stream])
        request = httpx2.Request(request.method.decode(), url, headers=request.headers, content=body)
        self.requests.append(request)
        self.times.append(self.clock.now())
        if self.arrive is not None:
            await self.arrive.wait()
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if callable(reply):
            reply = reply(request)
        if isinstance(reply, Exception):
            raise reply
        return httpcore2.Response(reply.status_code, headers=reply.headers.raw, content=reply.content)

    async def aclose(self):
        pass


@pytest.fixture
def clock():
    return ManualClock(autojump=True)


async def until(condition):
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


def api_of(clock, far_side, **settings):
    settings = {"base_url": "http://far.side/v1", "rate": "inf/s"} | settings
    return Api(Settings(**settings), clock=clock, line=lambda: far_side, rng=random.Random(1))


async def test_a_call_posts_its_body_with_the_key_and_reads_the_answer(clock):
    far_side = FarSide(clock)
    loaded = Settings.load({"base_url": "http://far.side/v1"}, {"FLASHCARDS_API_KEY": "sk-secret"})
    async with Api(loaded, clock=clock, line=lambda: far_side) as api:
        assert await api.nuance(ITEM) == NUANCE
    (request,) = far_side.requests
    assert (request.method, str(request.url)) == ("POST", "http://far.side/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-secret"
    assert json.loads(request.content)["model"] == "@preset/nuance-creator"


async def test_without_a_key_no_authorization_is_sent(clock):
    far_side = FarSide(clock)
    async with api_of(clock, far_side) as api:
        await api.nuance(ITEM)
    assert "authorization" not in far_side.requests[0].headers


@pytest.mark.parametrize("under_200", [False, True])
@pytest.mark.parametrize("code", [400, 401, 402, 403, 404])
async def test_a_final_refusal_is_asked_once(clock, code, under_200):
    far_side = FarSide(clock, failure(code, status=200 if under_200 else None))
    async with api_of(clock, far_side) as api:
        with pytest.raises(APIError) as caught:
            await api.nuance(ITEM)
    assert caught.value.status_code == code
    assert len(far_side.requests) == 1


@pytest.mark.parametrize(
    "reply",
    [
        failure(408),
        failure(429),
        failure(500),
        failure(503),
        failure(502, status=200),
        httpcore2.ReadTimeout("late"),
        httpcore2.ConnectError("refused"),
        httpcore2.RemoteProtocolError("cut"),
    ],
    ids=["408", "429", "500", "503", "502 under 200", "timeout", "refused", "cut"],
)
async def test_what_may_pass_is_sent_up_to_the_limit(clock, reply):
    far_side = FarSide(clock, reply)
    async with api_of(clock, far_side, max_attempts=4) as api:
        with pytest.raises((APIError, UnansweredError)):
            await api.nuance(ITEM)
    assert len(far_side.requests) == 4
    assert api.tally.requests == 4
    assert api.tally.retries == 3


async def test_an_answer_after_a_fault_is_as_good_as_any(clock):
    far_side = FarSide(clock, failure(503), httpcore2.ReadError("cut"), stage1())
    async with api_of(clock, far_side) as api:
        assert await api.nuance(ITEM) == NUANCE
    assert (api.tally.retries, api.tally.server_errors, api.tally.connection_errors) == (2, 1, 1)


async def test_an_attempt_that_takes_too_long_is_cut_short_and_retried(clock):
    class Silent(FarSide):
        async def handle_async_request(self, request):
            if not self.requests:
                self.requests.append(request)
                await asyncio.Event().wait()
            return await super().handle_async_request(request)

    far_side = Silent(clock)
    async with api_of(clock, far_side, timeout=30.0) as api:
        assert await api.nuance(ITEM) == NUANCE
    assert api.tally.connection_errors == 1
    assert clock.now() >= 30.0


@pytest.mark.parametrize("header", ["7", "0.5"])
async def test_retry_after_is_waited_in_full(clock, header):
    far_side = FarSide(clock, failure(429, headers={"retry-after": header}), stage1())
    async with api_of(clock, far_side) as api:
        await api.nuance(ITEM)
        assert api.tally.refusals == 1
    assert far_side.times[0] == 0.0
    assert far_side.times[1] >= float(header)


async def test_two_refusals_in_a_row_hold_every_call(clock):
    far_side = FarSide(clock, *[failure(429, headers={"retry-after": "7"})] * 2, stage1())
    async with api_of(clock, far_side) as api:
        refused = [asyncio.create_task(api.nuance(VocabularyItem(1, term, "noun"))) for term in "가나"]
        await until(lambda: api.tally.refusals == 2)
        await api.nuance(ITEM)
        await asyncio.gather(*refused)
    assert far_side.times[:2] == [0.0, 0.0]
    assert min(far_side.times[2:]) >= 7.0


async def test_one_refusal_among_answers_makes_its_own_call_wait_alone(clock):
    far_side = FarSide(clock, failure(429, headers={"retry-after": "7"}), stage1())
    async with api_of(clock, far_side) as api:
        refused = asyncio.create_task(api.nuance(VocabularyItem(1, "가", "noun")))
        await until(lambda: api.tally.refusals == 1)
        await api.nuance(ITEM)
        await refused
    assert far_side.times[1] == 0.0
    assert far_side.times[2] >= 7.0


async def test_refusals_with_an_answer_in_between_are_not_in_a_row(clock):
    refusal = failure(429, headers={"retry-after": "7"})
    far_side = FarSide(clock, refusal, stage1(), refusal, stage1())
    async with api_of(clock, far_side) as api:
        refused = [asyncio.create_task(api.nuance(VocabularyItem(1, "가", "noun")))]
        await until(lambda: api.tally.refusals == 1)
        await api.nuance(ITEM)
        refused.append(asyncio.create_task(api.nuance(VocabularyItem(1, "나", "noun"))))
        await until(lambda: api.tally.refusals == 2)
        await api.nuance(ITEM)
        await asyncio.gather(*refused)
    assert far_side.times[:4] == [0.0] * 4
    assert min(far_side.times[4:]) >= 7.0


async def test_a_wait_inside_the_body_of_an_error_counts_too(clock):
    error = {"code": 429, "message": "no", "metadata": {"headers": {"Retry-After": "9"}}}
    far_side = FarSide(clock, httpx2.Response(200, json={"error": error}), stage1())
    async with api_of(clock, far_side) as api:
        await api.nuance(ITEM)
    assert far_side.times[1] - far_side.times[0] >= 9.0


async def test_remaining_0_sends_nothing_until_the_reset(clock):
    spent = stage1()
    spent.headers.update({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "12s"})
    far_side = FarSide(clock, spent, stage1())
    async with api_of(clock, far_side) as api:
        await api.nuance(ITEM)
        await api.nuance(ITEM)
    assert far_side.times == [0.0, 12.0]


@pytest.mark.parametrize(
    ("announced", "second"),
    [("6;w=60", 10.0), ("600;w=60", 1.0), ("6", 1.0)],
    ids=["smaller", "larger", "of unknown period"],
)
async def test_a_smaller_limit_is_adopted_where_its_period_is_known_and_a_larger_never(
    clock, announced, second
):
    reply = stage1()
    reply.headers["x-ratelimit-limit"] = announced
    far_side = FarSide(clock, reply)
    async with api_of(clock, far_side, rate="60/minute;burst=1") as api:
        await api.nuance(ITEM)
        await api.nuance(ITEM)
    assert far_side.times == [0.0, second]


async def test_every_attempt_takes_a_permit(clock):
    far_side = FarSide(clock, failure(500), failure(500), failure(500), stage1())
    async with api_of(clock, far_side, rate="1/minute;burst=1") as api:
        await api.nuance(ITEM)
    assert far_side.times == [0.0, 60.0, 120.0, 180.0]


async def test_a_stage_may_have_a_limit_of_its_own(clock):
    far_side = FarSide(clock)
    async with api_of(clock, far_side, stage1_rate="1/s") as api:
        for _ in range(3):
            await api.nuance(ITEM)
    assert far_side.times == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    "broken",
    [stage1(""), stage1("{"), stage1(finish_reason="length"), httpx2.Response(200, content=b"<html>")],
    ids=["empty", "broken JSON", "length", "no envelope"],
)
async def test_a_broken_reply_is_asked_once_more_and_not_held_against_the_far_side(clock, broken):
    far_side = FarSide(clock, broken, stage1())
    async with api_of(clock, far_side) as api:
        assert await api.nuance(ITEM) == NUANCE
        far_side.replies = [broken]
        with pytest.raises(ReplyError):
            await api.nuance(ITEM)
    assert len(far_side.requests) == 4
    assert api.breaker.snapshot().total_failures == 0
    assert api.tally.broken_replies == 3


async def test_tokens_are_counted_also_of_replies_of_no_use(clock):
    far_side = FarSide(clock, stage1(""), stage1())
    async with api_of(clock, far_side) as api:
        await api.nuance(ITEM)
    assert (api.tally.prompt_tokens, api.tally.completion_tokens, api.tally.total_tokens) == (20, 40, 60)


async def test_a_reply_without_end_is_cut_off(clock, monkeypatch):
    monkeypatch.setattr("sluicegate.flashcards._connection.MAX_REPLY_BYTES", 100)
    async with api_of(clock, FarSide(clock, stage1("x" * 200))) as api:
        with pytest.raises(ReplyError, match="longer than"):
            await api.nuance(ITEM)


@pytest.mark.parametrize(
    ("reply", "counted"),
    [
        (failure(500), True),
        (failure(408), True),
        (failure(502, status=200), True),
        (httpcore2.ReadTimeout("late"), True),
        (httpcore2.ConnectError("refused"), True),
        (failure(429), False),
        (failure(400), False),
    ],
    ids=["500", "408", "502 under 200", "timeout", "refused", "429", "400"],
)
async def test_the_breaker_counts_outages_alone(clock, reply, counted):
    async with api_of(clock, FarSide(clock, reply), max_attempts=1) as api:
        with pytest.raises((APIError, UnansweredError)):
            await api.nuance(ITEM)
    snapshot = api.breaker.snapshot()
    assert snapshot.total_failures == counted
    assert snapshot.total_successes == 0


async def test_an_open_breaker_makes_words_wait_one_break_and_one_of_them_probe(clock):
    far_side = FarSide(clock, *[failure(500)] * 10, stage1())
    items = [VocabularyItem(position, f"물{position}", "noun") for position in range(20)]
    async with api_of(clock, far_side, max_attempts=2) as api:
        ends = await asyncio.gather(*map(api.nuance, items), return_exceptions=True)
        assert api.breaker.snapshot().trips == 1
    assert not [end for end in ends if isinstance(end, OutageError)]
    tripped = far_side.times[9]
    after = [time for time in far_side.times if time > tripped]
    assert after
    assert min(after) >= tripped + BREAK_DURATION


async def test_what_holds_every_request_up_is_told(clock):
    async with api_of(clock, FarSide(clock), rate="1/s;burst=1") as api:
        assert api.waiting_for == ("", 0.0)
        api.breaker.isolate()
        api.breaker.reset()
        for _ in range(10):
            api.breaker.try_enter().failure()
        what, seconds = api.waiting_for
    assert (what, seconds) == ("waiting out a break", BREAK_DURATION)


async def test_a_far_side_still_out_of_order_after_three_breaks_ends_it(clock):
    far_side = FarSide(clock, failure(503))
    items = [VocabularyItem(position, f"물{position}", "noun") for position in range(30)]
    async with api_of(clock, far_side, max_attempts=50) as api:
        ends = await asyncio.gather(*map(api.nuance, items), return_exceptions=True)
        assert api.breaker.snapshot().trips == 4
    assert {type(end) for end in ends} == {OutageError}
    assert 3 * BREAK_DURATION <= clock.now() < 5 * BREAK_DURATION


async def test_a_word_refused_for_the_probe_of_another_looks_again_and_blocks_nobody(clock):
    far_side = FarSide(clock, failure(500))
    items = [VocabularyItem(position, f"물{position}", "noun") for position in range(10)]
    async with api_of(clock, far_side, max_attempts=1) as api:
        await asyncio.gather(*map(api.nuance, items), return_exceptions=True)
        clock.advance(BREAK_DURATION)
        probe = api.breaker.try_enter()
        far_side.replies = [stage1()]
        waiting = asyncio.create_task(api.nuance(ITEM))
        await pause(3 * LOOK_AGAIN, clock)
        assert not waiting.done()
        probe.success()
        assert await waiting == NUANCE


async def test_identical_calls_in_flight_are_made_once(clock):
    far_side = FarSide(clock)
    far_side.arrive = asyncio.Event()
    same = [VocabularyItem(position, "물", "noun") for position in (5, 5, 900)]
    async with api_of(clock, far_side) as api:
        calls = [asyncio.create_task(api.nuance(item)) for item in [*same, VocabularyItem(1, "불", "noun")]]
        await until(lambda: len(far_side.requests) == 2)
        far_side.arrive.set()
        await asyncio.gather(*calls)
        assert len(far_side.requests) == 2
        assert api.flights.shared == 2
        await api.nuance(ITEM)
    assert len(far_side.requests) == 3


async def test_whoever_made_the_shared_call_may_be_cancelled_without_loss_to_the_others(clock):
    far_side = FarSide(clock)
    far_side.arrive = asyncio.Event()
    async with api_of(clock, far_side) as api:
        first, second, third = (asyncio.create_task(api.nuance(ITEM)) for _ in range(3))
        await until(lambda: far_side.requests)
        second.cancel()
        first.cancel()
        far_side.arrive.set()
        assert await third == NUANCE
        assert first.cancelled() or (await asyncio.wait([first]) and first.cancelled())
        assert second.cancelled()


async def test_a_shared_call_that_fails_fails_for_all_who_share_it(clock):
    far_side = FarSide(clock, failure(400))
    far_side.arrive = asyncio.Event()
    async with api_of(clock, far_side) as api:
        calls = [asyncio.create_task(api.nuance(ITEM)) for _ in range(3)]
        await until(lambda: far_side.requests)
        far_side.arrive.set()
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(end).__name__ for end in ends} == {"InvalidRequestError"}
    assert len(far_side.requests) == 1


async def test_once_closing_nothing_more_is_sent_and_nothing_more_is_waited_for(clock):
    far_side = FarSide(clock, failure(503, headers={"retry-after": "600"}))
    far_side.arrive = asyncio.Event()
    async with api_of(clock, far_side) as api:
        call = asyncio.create_task(api.nuance(ITEM))
        await until(lambda: far_side.requests)
        assert len(api.sending) == 1
        api.closing = True
        far_side.arrive.set()
        with pytest.raises(InterruptedCallError):
            await call
        with pytest.raises(InterruptedCallError):
            await api.nuance(ITEM)
    assert not api.sending
    assert len(far_side.requests) == 1
    assert clock.now() == 0.0


async def test_no_error_shows_the_key_the_far_side_echoed(clock):
    far_side = FarSide(clock, failure(400, message="bad key sk-secret"), httpcore2.ConnectError("sk-secret"))
    loaded = Settings.load(
        {"base_url": "http://far.side", "max_attempts": 1}, {"FLASHCARDS_API_KEY": "sk-secret"}
    )
    async with Api(loaded, tally=Tally(), clock=clock, line=lambda: far_side) as api:
        for kind in (APIError, UnansweredError):
            with pytest.raises(kind) as caught:
                await api.nuance(ITEM)
            assert "sk-secret" not in f"{caught.value!r}{caught.value}"


async def test_the_last_error_is_the_far_sides_own(clock):
    far_side = FarSide(clock, failure(500), failure(429, headers={"retry-after": "2"}))
    async with api_of(clock, far_side, max_attempts=2) as api:
        with pytest.raises(RateLimitError):
            await api.nuance(ITEM)
        far_side.replies = [failure(503)]
        with pytest.raises(ServerError):
            await api.nuance(ITEM)


async def test_answers_settle_the_tokens_that_were_held_for_them(clock):
    async with api_of(clock, FarSide(clock, stage1()), token_budget=5_000) as api:
        await api.nuance(ITEM)
        assert (api.tokens.spent, api.tokens.reserved) == (30, 0)


async def test_a_failed_request_costs_no_tokens(clock):
    async with api_of(clock, FarSide(clock, failure(400)), token_budget=5_000) as api:
        with pytest.raises(APIError):
            await api.nuance(ITEM)
        assert (api.tokens.spent, api.tokens.reserved) == (0, 0)


async def test_an_answer_of_no_use_costs_what_it_says(clock):
    async with api_of(clock, FarSide(clock, stage1("")), token_budget=5_000) as api:
        with pytest.raises(ReplyError):
            await api.nuance(ITEM)
        assert (api.tokens.spent, api.tokens.reserved) == (60, 0)


async def test_nothing_is_sent_that_might_pass_the_budget(clock):
    far_side = FarSide(clock)
    async with api_of(clock, far_side, token_budget=100) as api:
        with pytest.raises(BudgetError, match="budget of 100 tokens"):
            await api.nuance(ITEM)
    assert far_side.requests == []


async def test_latencies_are_taken_by_stage(clock):
    async with api_of(clock, FarSide(clock, failure(500), stage1())) as api:
        await api.nuance(ITEM)
        assert api.latencies["stage1"].percentiles()["count"] == 2
        assert api.latencies["stage2"].percentiles() == {
            "count": 0,
            "p50_ms": None,
            "p95_ms": None,
            "p99_ms": None,
        }


@pytest.mark.parametrize(("share_calls", "requests"), [(True, 1), (False, 2)])
async def test_identical_calls_are_made_once_unless_told_otherwise(clock, share_calls, requests):
    far_side = FarSide(clock)
    far_side.arrive = asyncio.Event()
    async with api_of(clock, far_side, share_calls=share_calls) as api:
        both = asyncio.gather(api.nuance(ITEM), api.nuance(ITEM))
        await until(lambda: len(far_side.requests) == requests)
        far_side.arrive.set()
        await both
    assert len(far_side.requests) == requests


async def test_an_open_breaker_fails_a_word_at_once_where_it_is_not_waited_for(clock):
    far_side = FarSide(clock)
    async with api_of(clock, far_side, wait_for_breaker=False) as api:
        api.breaker.isolate()
        with pytest.raises(CircuitOpenError):
            await api.nuance(ITEM)
    assert far_side.requests == []
    assert clock.now() == 0.0
