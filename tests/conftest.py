"""What every test may ask for."""

import pytest

from sluicegate.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    """A clock at zero that only the test moves."""
    return ManualClock()
