"""One limit for a whole fleet, in Redis or Valkey, through the client that you already have."""

from sluicegate.backends._redis_limiter import AsyncRedisRateLimiter, RedisRateLimiter
from sluicegate.backends._redis_logic import RedisRateLimiterStats
from sluicegate.backends._redis_reservation import AsyncRedisReservation, RedisReservation

__all__ = [
    "AsyncRedisRateLimiter",
    "AsyncRedisReservation",
    "RedisRateLimiter",
    "RedisRateLimiterStats",
    "RedisReservation",
]
