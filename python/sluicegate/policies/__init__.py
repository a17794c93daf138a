"""What wraps a call: retries, timeouts and their kin, alone or in a pipeline with limiters and breakers."""

from sluicegate.policies._adaptive import AdaptiveConcurrency
from sluicegate.policies._budget import RetryBudget
from sluicegate.policies._bulkhead import Bulkhead
from sluicegate.policies._fallback import Fallback
from sluicegate.policies._hedge import Hedge
from sluicegate.policies._policy import Policy
from sluicegate.policies._policy_events import PolicyEvent
from sluicegate.policies._retry import Retry, retry_async
from sluicegate.policies._retry_block import Attempt
from sluicegate.policies._retry_config import RetryConfig
from sluicegate.policies._retry_plan import RetryStats
from sluicegate.policies._timeout import Timeout

__all__ = [
    "AdaptiveConcurrency",
    "Attempt",
    "Bulkhead",
    "Fallback",
    "Hedge",
    "Policy",
    "PolicyEvent",
    "Retry",
    "RetryBudget",
    "RetryConfig",
    "RetryStats",
    "Timeout",
    "retry_async",
]
