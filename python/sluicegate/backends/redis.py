"""One limit and one breaker for a whole fleet, in Redis or Valkey, through the client that you have."""

from sluicegate.backends._redis_breaker import RedisBreakerPermit, RedisCircuitBreaker
from sluicegate.backends._redis_breaker_async import AsyncRedisBreakerPermit, AsyncRedisCircuitBreaker
from sluicegate.backends._redis_breaker_known import RedisCircuitBreakerStats
from sluicegate.backends._redis_limiter import AsyncRedisRateLimiter, RedisRateLimiter
from sluicegate.backends._redis_logic import RedisRateLimiterStats
from sluicegate.backends._redis_reservation import AsyncRedisReservation, RedisReservation

__all__ = [
    "AsyncRedisBreakerPermit",
    "AsyncRedisCircuitBreaker",
    "AsyncRedisRateLimiter",
    "AsyncRedisReservation",
    "RedisBreakerPermit",
    "RedisCircuitBreaker",
    "RedisCircuitBreakerStats",
    "RedisRateLimiter",
    "RedisRateLimiterStats",
    "RedisReservation",
]
