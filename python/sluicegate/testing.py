"""What tests of code that limits, breaks and retries need."""

from sluicegate._manual_clock import ManualClock
from sluicegate.policies._instant import instant_retries

__all__ = ["ManualClock", "instant_retries"]
