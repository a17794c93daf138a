"""What tests of code that limits, breaks and retries need."""

from sluicegate._manual_clock import ManualClock

__all__ = ["ManualClock"]
