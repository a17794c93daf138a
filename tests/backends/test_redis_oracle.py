"""The script of a limit against exact fractions, and what a fleet is granted against the promise itself."""

import itertools

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis_model import EPOCH, PHASES, Model, TimedScript

from sluicegate import RateLimiterConfig
from sluicegate.backends._redis_units import LARGEST, decoded, units

KEY, RECORD = "{test}key", "{test}key:r:"

rates = st.builds(
    RateLimiterConfig, st.integers(0, 12), st.sampled_from([1, 7, 0.5, 0.003]), burst=st.integers(1, 12)
)


@st.composite
def extreme(draw):
    """Quotas whose bursts are as large as 53 bits hold."""
    rate, period = draw(st.integers(1, 2**20)), draw(st.sampled_from([1, 60, 3600, 86400 * 365]))
    cost = units(RateLimiterConfig(rate, period, burst=1)).cost
    return RateLimiterConfig(
        rate, period, burst=draw(st.integers(max(1, LARGEST // cost - 3), LARGEST // cost))
    )


class Scripts(RuleBasedStateMachine):
    """Whatever happens to one key, each answer of the script is the model's."""

    server = None
    mixed = False
    configs = st.lists(rates, min_size=1, max_size=2)

    @initialize(one=st.data())
    def begin(self, one):
        self.script = TimedScript(self.server.client)
        self.model = Model(self.mixed)
        self.now = EPOCH
        quotas = [units(config) for config in one.draw(self.configs)]
        others = [units(config) for config in one.draw(self.configs)] if self.mixed else quotas
        self.fleet = [quotas, others]
        self.idents = (f"id{number}" for number in itertools.count())
        self.leases, self.reserved = {}, {}

    def some(self, data, quotas, least=1):
        """A count that the quotas could grant."""
        return data.draw(st.integers(least, min(quota.burst for quota in quotas)))

    def words(self, verb, count, amount, quotas, term=0, old="-", unspent=0, fresh="-"):
        written = " ".join(f"{quota.cost},{quota.earn},{quota.burst}" for quota in quotas)
        return f"{verb} {count} {amount} {term} {old} {unspent} {fresh} {written}"

    @rule(data=st.data())
    def advance(self, data):
        self.now += data.draw(st.sampled_from([1, 2, 999, 1_000, 10**6]) | st.integers(0, 4 * 10**6))

    @rule(data=st.data(), quotas=st.sampled_from([0, 1]))
    def wait_until_a_permit_is_free(self, data, quotas):
        quotas = self.fleet[quotas]
        wait = self.model.peek(self.now, quotas, self.some(data, quotas))[1]
        self.now += max(0, wait - data.draw(st.integers(0, 1)))

    @rule(micros=st.integers(1, 3 * 10**6))
    def set_the_clock_back(self, micros):
        self.now -= micros

    @rule(data=st.data(), which=st.sampled_from([0, 1]))
    def peek(self, data, which):
        quotas = self.fleet[which]
        count = self.some(data, quotas)
        answer = self.script.ask(self.now, self.words("peek", count, 0, quotas))
        assert decoded(None, count, answer) == self.model.peek(self.now, quotas, count)

    @rule(data=st.data(), which=st.sampled_from([0, 1]))
    def take(self, data, which):
        quotas = self.fleet[which]
        count = self.some(data, quotas)
        words, alone = [self.words("take", count, 0, quotas)], None
        if len(quotas) == 1 and quotas[0].earn:
            (alone,) = quotas
            words += [alone.cost, alone.earn, alone.burst * alone.cost, count * alone.cost]
        answer = decoded(alone, count, self.script.ask(self.now, *words))
        assert answer == self.model.take(self.now, quotas, count, 0, 0, None, 0, None)

    @rule(
        data=st.data(), which=st.sampled_from([0, 1]), want=st.integers(0, 12), term=st.integers(1, 5 * 10**6)
    )
    def draw_ahead(self, data, which, want, term):
        quotas = self.fleet[which]
        count, fresh = self.some(data, quotas), next(self.idents)
        old = (
            data.draw(st.sampled_from(sorted(self.leases)))
            if self.leases and data.draw(st.booleans())
            else None
        )
        unspent = data.draw(st.integers(0, self.leases.pop(old))) if old else 0
        answer = self.script.ask(
            self.now, self.words("take", count, want, quotas, term, old or "-", unspent, fresh)
        )
        answer = decoded(None, count, answer)
        assert answer == self.model.take(self.now, quotas, count, want, term, old, unspent, fresh)
        if answer[5]:
            self.leases[fresh] = answer[5]

    @rule(data=st.data(), which=st.sampled_from([0, 1]), longest=st.integers(-1, 3 * 10**6))
    def reserve(self, data, which, longest):
        quotas = self.fleet[which]
        count, ident = self.some(data, quotas), next(self.idents)
        keys = (KEY, RECORD + ident)
        words = self.words("reserve", count, longest, quotas)
        answer = decoded(None, count, self.script.ask(self.now, words, keys=keys))
        expected = self.model.reserve(self.now, quotas, count, longest, ident)
        if expected is None:  # a lease is in the way: when it ends, not when the permits are free
            assert answer[0] == 0
            return
        assert answer == expected
        if answer[0]:
            self.reserved[ident] = (count, which)
            again = decoded(None, count, self.script.ask(self.now, words, keys=keys))
            assert again[:2] == answer[:2], "asked again after a lost answer, it charges nothing"

    @precondition(lambda self: self.reserved)
    @rule(data=st.data(), cancels=st.booleans())
    def settle(self, data, cancels):
        ident = data.draw(st.sampled_from(sorted(self.reserved)))
        count, which = self.reserved.pop(ident)
        quotas = self.fleet[which if data.draw(st.integers(0, 3)) else 1 - which]
        used = 0 if cancels else data.draw(st.integers(0, count + 3).filter(lambda used: used != count))
        words = self.words("settle", used, count, quotas, term=int(cancels))
        answer = self.script.ask(self.now, words, keys=(KEY, RECORD + ident))
        assert answer == self.model.settle(self.now, quotas, used, count, cancels, ident)
        assert answer == self.script.ask(self.now, words, keys=(KEY, RECORD + ident)), "settled once"


class ExtremeScripts(Scripts):
    """The same where a burst fills 53 bits; no sum or product may round."""

    configs = extreme().map(lambda config: [config])


class MixedScripts(Scripts):
    """The same where a change of the limit is rolled out: two processes apply quotas of their own."""

    mixed = True


def run(machine, server, examples):
    class Machine(machine):
        pass

    Machine.server = server
    run_state_machine_as_test(
        Machine,
        settings=settings(max_examples=examples, stateful_step_count=25, deadline=None, phases=PHASES),
    )


def test_every_answer_is_that_of_exact_fractions(server):
    run(Scripts, server, 40)


def test_every_answer_is_that_of_exact_fractions_where_quotas_differ(server):
    run(MixedScripts, server, 40)


def test_every_answer_is_exact_where_a_burst_fills_53_bits(server):
    run(ExtremeScripts, server, 25)


def test_what_would_owe_more_than_53_bits_is_told_when_to_ask_again(server):
    script, config = TimedScript(server.client), RateLimiterConfig(644_407, 31_536_000, burst=282)
    quota = units(config)

    def reserve(now, ident):
        words = f"reserve 100 -1 0 - 0 - {quota.cost},{quota.earn},{quota.burst}"
        return decoded(None, 100, script.ask(now, words, keys=(KEY, RECORD + ident)))

    assert 282 * quota.cost <= LARGEST < 382 * quota.cost
    script.ask(EPOCH, f"take 282 0 0 - 0 - {quota.cost},{quota.earn},{quota.burst}")
    wait = -(-100 * quota.cost // quota.earn)
    assert reserve(EPOCH, "a")[:4] == [0, wait, 1, 0]
    assert reserve(EPOCH + wait, "b")[:2] == [1, 0]
