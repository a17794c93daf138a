from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluicegate import ConfigurationError
from sluicegate.flashcards import _faults
from sluicegate.flashcards._faults import DEFAULT_FAULTS, Fault, FaultDice, FaultPlan

CALLS = [str(number).encode() for number in range(2_000)]


def test_the_same_seed_and_calls_meet_the_same_faults_in_whatever_order():
    plan = FaultPlan(error=0.2, cut=0.1)
    forward, backward = FaultDice(plan, seed=7), FaultDice(plan, seed=7)
    there = {call: [forward.roll(call) for _ in range(3)] for call in CALLS}
    back = {call: [] for call in CALLS}
    for _ in range(3):
        for call in reversed(CALLS):
            back[call].append(backward.roll(call))
    assert there == back


def test_another_seed_meets_others():
    plan = FaultPlan(error=0.5)
    one, two = FaultDice(plan, seed=1), FaultDice(plan, seed=2)
    assert [one.roll(call) for call in CALLS] != [two.roll(call) for call in CALLS]


def test_faults_strike_as_often_as_planned():
    dice = FaultDice(FaultPlan(error=0.3, slow=0.1))
    for call in CALLS:
        dice.roll(call)
    assert dice.counts["error"] == pytest.approx(600, abs=80)
    assert dice.counts["slow"] == pytest.approx(200, abs=60)
    assert sum(dice.counts.values()) == dice.counts["error"] + dice.counts["slow"]


def test_by_default_no_call_is_struck_twice_in_a_row():
    dice = FaultDice(FaultPlan.parse("1"))
    for call in CALLS[:50]:
        struck = [dice.roll(call) is not None for _ in range(6)]
        assert struck == [True, False] * 3


def test_a_share_of_one_strikes_every_time():
    dice = FaultDice(FaultPlan(hang=1.0))
    assert {dice.roll(b"call") for _ in range(20)} == {Fault.HANG}


def test_no_plan_strikes_nobody_and_remembers_nothing():
    dice = FaultDice(FaultPlan())
    assert all(dice.roll(call) is None for call in CALLS)
    assert not dice._calls


def test_remembers_a_bounded_number_of_calls(monkeypatch):
    monkeypatch.setattr(_faults, "MAX_REMEMBERED_CALLS", 10)
    dice = FaultDice(DEFAULT_FAULTS)
    for call in CALLS[:100]:
        dice.roll(call)
    assert len(dice._calls) == 10


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("none", FaultPlan()),
        ("0", FaultPlan()),
        ("error=0.2,cut=0.1", FaultPlan(error=0.2, cut=0.1)),
        (" slow = 1 , slow_seconds = 0.25 ", FaultPlan(slow=1.0, slow_seconds=0.25)),
    ],
)
def test_reads_a_plan(text, plan):
    assert FaultPlan.parse(text) == plan


def test_a_row_of_faults_is_at_least_one():
    with pytest.raises(ConfigurationError, match="in_a_row must be at least 1") as caught:
        FaultPlan(error=0.1, in_a_row=0)
    assert caught.value.field == "in_a_row"


def test_one_number_is_the_share_of_all_faults_together():
    assert FaultPlan.parse("0.2").total == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("explode=1", "faults"),
        ("in_a_row=2", "faults"),
        ("error", "faults"),
        ("error=", "error"),
        ("error=-1", "error"),
        ("error=1.5", "error"),
        ("error=nan", "error"),
        ("error=0.6,cut=0.6", "faults"),
        ("slow=1,slow_seconds=-1", "slow_seconds"),
        ("slow=1,slow_seconds=inf", "slow_seconds"),
        ("2", "faults"),
        ("nan", "faults"),
    ],
)
def test_a_plan_that_makes_no_sense_names_what_is_wrong(text, field):
    with pytest.raises(ConfigurationError) as caught:
        FaultPlan.parse(text)
    assert caught.value.field == field


@given(st.text(max_size=40))
def test_any_other_text_is_a_configuration_error(text):
    with contextlib.suppress(ConfigurationError):
        FaultPlan.parse(text)
