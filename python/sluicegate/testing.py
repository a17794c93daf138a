"""What tests of code that limits, breaks and retries need."""

from sluicegate._manual_clock import ManualClock
from sluicegate.policies._chaos import Chaos, ChaosStats
from sluicegate.policies._instant import instant_retries

__all__ = ["Chaos", "ChaosStats", "ManualClock", "instant_retries"]
