"""Where sleepers live, as far as no test with a manual clock gets there."""

from sluicegate._homes import HASTE, Loop


class ForeignLoop:
    """An event loop that does not say whether anything is left to run."""

    def __init__(self):
        self.soon, self.later = [], []

    def call_soon(self, function, *args):
        self.soon.append((function, args))

    def call_later(self, delay, function, *args):
        self.later.append((delay, function, args))


class Clock:
    """What a watch sees of a manual clock."""

    changes = 7

    def __init__(self):
        self.jumps = 0

    def is_awaited(self, home):
        return True

    def jump(self):
        self.jumps += 1
        return True


def test_a_loop_that_cannot_be_asked_is_given_a_moment_of_real_time_before_a_jump():
    loop, clock = ForeignLoop(), Clock()
    Loop(loop).watch(clock, 0.0)
    [(look, args)] = loop.soon
    look(*args)
    assert clock.jumps == 0
    [(delay, look, args)] = loop.later
    assert delay == HASTE
    look(*args)
    assert clock.jumps == 1
