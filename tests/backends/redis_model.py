"""The script of a limit on a server whose time a test moves, and what it must answer, in exact fractions."""

import copy
import hashlib
import math
from fractions import Fraction
from importlib.resources import files

from hypothesis import Phase

from sluicegate.backends._redis_units import LARGEST

PREFIX = """
local server, redis, pack, cmsgpack = redis, {}, cmsgpack.pack, {unpack = cmsgpack.unpack}
local time = server.call('HMGET', '{test}now', 's', 'us')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
function redis.call(verb, key, value, px, life)
  if verb == 'TIME' then return time end
  local ends = server.call('HGET', '{test}ends', key)
  if ends and ends + 0 <= ms then server.call('DEL', key) ends = false end
  if verb == 'PTTL' then return ends and ends - ms or -2 end
  if verb == 'GET' then return server.call('GET', key) end
  assert(verb == 'SET' and px == 'PX' and life + 0 > 0 and life % 1 == 0, verb)
  server.call('HSET', '{test}ends', key, string.format('%.0f', ms + life))
  return server.call('SET', key, value)
end
local function check(value)
  if type(value) == 'table' then
    for _, part in ipairs(value) do check(part) end
  elseif type(value) == 'number' then
    assert(value % 1 == 0 and math.abs(value) < 9007199254740992, value)
  end
end
function cmsgpack.pack(...) check({...}) return pack(...) end
"""
"""Time comes from a key and keys expire by it; what is written must be integers below 2^53."""


EPOCH = 1_764_000_000_000_000
"""The server's time when a test begins, in microseconds."""

PHASES = (Phase.reuse, Phase.generate)
"""Each step asks a server: to look for a shorter trace takes minutes, and these are short."""

TEN_YEARS_MS = 315_360_000_000


class TimedScript:
    """`limit.lua`, unchanged, behind a prefix that hands it the time of the test."""

    def __init__(self, client):
        self.client = client
        body = files("sluicegate.backends").joinpath("lua", "limit.lua").read_text("ascii")
        self.text = PREFIX + body
        self.sha = hashlib.sha1(self.text.encode()).hexdigest()
        client.flushall()
        client.script_load(self.text)

    def set_time(self, now_us):
        self.client.hset("{test}now", mapping={"s": now_us // 10**6, "us": now_us % 10**6})

    def ask(self, now_us, *words, keys=("{test}key",)):
        self.set_time(now_us)
        return self.client.evalsha(self.sha, len(keys), *keys, *words)

    def put_under(self, limiter):
        """Make a limiter ask this script instead of its own."""
        limiter._logic.server._text = self.text
        limiter._logic.server._sha = self.sha


class Debt:
    """What is owed under one quota, in permits."""

    def __init__(self, cost, at):
        self.cost, self.permits, self.at, self.refunds, self.hold = cost, Fraction(0), at, Fraction(0), 0


class State:
    """What the key holds, as fractions of permits."""

    def __init__(self):
        self.debts, self.leases, self.epoch = [], [], 0


class Model:
    """The same limit without units or rounding: what the script must answer.

    What has expired must owe nothing; but where processes apply different quotas, a key lives by those of
    whoever wrote it last.
    """

    def __init__(self, mixed=False):
        self.mixed = mixed
        self.is_capped = False
        self.state, self.ends = State(), math.inf
        self.records = {}
        self.epochs = 0

    def save(self, state, quotas, now):
        """Keep a state; returns when it ends, in milliseconds."""
        longest = clear(state, quotas, out(state))
        last = max((expiry - now for _, expiry, _ in state.leases), default=0)
        holds = [debt.hold - now for debt in state.debts[: len(quotas)]]
        life = math.ceil(max(longest + last, *holds) / 1000) + 1000
        ends = now // 1000 + (TEN_YEARS_MS if longest < 0 else min(life, TEN_YEARS_MS))
        self.is_capped = life > TEN_YEARS_MS
        if len(state.debts) > len(quotas):
            ends = max(ends, 0 if self.ends == math.inf else self.ends)
        self.state, self.ends = state, ends
        return ends

    def view(self, quotas, now, old=None, unspent=0):
        """Bring a copy of the state to `now` under `quotas`; returns it and whether a lease has ended."""
        if self.ends <= now // 1000:
            if not self.mixed and not self.is_capped:  # what takes longer than ten years is forgotten then
                self.check_that_nothing_is_owed(quotas, self.ends * 1000)
            self.state, self.ends = State(), math.inf
            self.renew(self.state)
        state = copy.deepcopy(self.state)
        for number, quota in enumerate(quotas):
            if number == len(state.debts):
                state.debts.append(Debt(quota.cost, now))
            debt = state.debts[number]
            if debt.cost != quota.cost:
                debt.permits = Fraction(math.ceil(debt.permits * quota.cost), quota.cost)
                debt.cost, debt.refunds = quota.cost, Fraction(0)
                self.renew(state)
            if debt.at - now > 10**6:
                debt.at, debt.hold = now, 0
                self.renew(state)
            if now > debt.at:
                earned = (now - debt.at) * Fraction(quota.earn, quota.cost)
                debt.permits, debt.at = max(Fraction(0), debt.permits - earned), now
        changed = False
        for lease in list(state.leases):
            ident, expiry, permits = lease
            if old == ident or expiry <= now:
                state.leases.remove(lease)
                spent = permits - min(permits, unspent) if old == ident else permits
                for debt in state.debts[: len(quotas)]:
                    debt.permits += spent
                changed = True
        return state, changed

    def check_that_nothing_is_owed(self, quotas, now):
        """Whatever was lost with a lease was owed from its end on."""
        for quota, debt in zip(quotas, self.state.debts, strict=True):
            rate, owed, at = Fraction(quota.earn, quota.cost), debt.permits, debt.at
            for _, expiry, permits in sorted(self.state.leases, key=lambda lease: lease[1]):
                owed = max(Fraction(0), owed - max(0, expiry - at) * rate) + permits
                at = max(at, expiry)
            assert owed <= (now - at) * rate, (quota, owed)

    def renew(self, state):
        """Begin an epoch: reservations of the one before refund nothing."""
        self.epochs += 1
        state.epoch = self.epochs

    def standing(self, state, quotas, granted, wait, leased):
        """Say what the script answers with."""
        rooms = [
            max(0, math.floor(quota.burst - out(state) - debt.permits))
            for quota, debt in zip(quotas, state.debts, strict=False)
        ]
        least = min(rooms)
        return [granted, wait, rooms.index(least) + 1, least, clear(state, quotas), leased]

    def wait(self, state, quotas, count, now):
        """Microseconds until `count` permits fit, -1 for never; and whether a lease has to end for that."""
        longest, blocked = 0, False
        for quota, debt in zip(quotas, state.debts, strict=False):
            short = debt.permits + count - (quota.burst - out(state))
            if short <= 0:
                continue
            if short > debt.permits:
                blocked = True
                first = min(expiry for _, expiry, _ in state.leases)
                longest = max(longest, first - now, 1)
            if quota.earn:
                longest = max(longest, math.ceil(min(short, debt.permits) * quota.cost / quota.earn))
            elif short <= debt.permits:
                return -1, blocked
        return longest, blocked

    def peek(self, now, quotas, count):
        """Answer without a trace."""
        state, _ = self.view(quotas, now)
        wait, _ = self.wait(state, quotas, count, now)
        return self.standing(state, quotas, int(wait == 0), wait, 0)

    def take(self, now, quotas, count, want, term, old, unspent, fresh):
        """Draw permits, and some ahead."""
        state, changed = self.view(quotas, now, old, unspent)
        wait, _ = self.wait(state, quotas, count, now)
        if wait:
            if changed and wait > 0:
                self.save(state, quotas, now)
            return self.standing(state, quotas, 0, wait, 0)
        for debt in state.debts[: len(quotas)]:
            debt.permits += count
        spare = self.standing(state, quotas, 1, 0, 0)[3]
        leased = min(want, spare // 2)
        if leased:
            state.leases.append((fresh, now + term, leased))
        self.save(state, quotas, now)
        return self.standing(state, quotas, 1, 0, leased)

    def reserve(self, now, quotas, count, longest, ident):
        """Charge with a time to wait for."""
        state, _ = self.view(quotas, now)
        wait, blocked = self.wait(state, quotas, count, now)
        if blocked:
            return None
        due = [
            max(debt.permits * quota.cost, wait * quota.earn) + count * quota.cost
            for quota, debt in zip(quotas, state.debts, strict=False)
        ]
        if wait < 0 or 0 <= longest < wait or max(due) > LARGEST:
            return self.standing(state, quotas, 0, wait, 0)
        made = []
        for quota, debt in zip(quotas, state.debts, strict=False):
            debt.permits = max(debt.permits, wait * Fraction(quota.earn, quota.cost)) + count
            made.append((debt.permits, debt.refunds, debt.cost))
            if len(quotas) > 1 and wait:
                debt.hold = max(debt.hold, now + wait)
        self.records[ident] = (state.epoch, now + wait, now, made, self.save(state, quotas, now))
        return self.standing(state, quotas, 1, wait, 0)

    def settle(self, now, quotas, used, reserved, cancels, ident):
        """Give back what cannot break the limit, or charge what is missing."""
        state, _ = self.view(quotas, now)
        epoch, execute, at, made, ends = self.records.pop(ident)
        given = reserved - used
        if given < 0:
            for debt in state.debts[: len(quotas)]:
                debt.permits -= given
        elif ends <= now // 1000 or epoch != state.epoch or (cancels and now >= execute):
            given = 0
        elif given:
            unused = given
            for number, (quota, debt) in enumerate(zip(quotas, state.debts, strict=False)):
                ahead = Fraction(0)
                if number < len(made) and made[number][2] == debt.cost:
                    owed, refunds, _ = made[number]
                    begun = max(now, debt.hold) - at
                    left = owed - (debt.refunds - refunds)
                    if left > 0:
                        ahead = left - begun * Fraction(quota.earn, quota.cost)
                refund = max(Fraction(0), min(Fraction(unused), ahead, debt.permits))
                debt.permits -= refund
                debt.refunds += refund
                given = min(given, math.floor(refund))
        self.save(state, quotas, now)
        return given


def out(state):
    """Permits in leases."""
    return sum(permits for _, _, permits in state.leases)


def clear(state, quotas, more=0):
    """Microseconds until nothing is owed, were `more` permits owed too; -1 for never."""
    longest = 0
    for quota, debt in zip(quotas, state.debts, strict=False):
        owed = debt.permits + more
        if owed and not quota.earn:
            return -1
        if owed:
            longest = max(longest, math.ceil(owed * quota.cost / quota.earn))
    return longest
