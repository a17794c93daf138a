"""What every test may ask for."""

import pytest
from hypothesis import settings

from sluicegate.testing import ManualClock

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def clock() -> ManualClock:
    """A clock at zero that only the test moves."""
    return ManualClock()


@pytest.fixture
def jumping() -> ManualClock:
    """A clock at zero that jumps to the next deadline whenever everyone is asleep."""
    return ManualClock(autojump=True)
