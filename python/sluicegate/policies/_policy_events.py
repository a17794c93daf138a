"""What a policy tells those who listen: one kind of value for all policies."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from sluicegate.policies._policy import Policy

_log = logging.getLogger("sluicegate")

PolicyEventKind: TypeAlias = Literal[
    "retrying", "failed", "timed_out", "rejected", "fell_back", "hedged", "completed"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyEvent:
    """Something that a policy did; made only where somebody listens.

    Attributes:
        kind: What it was.

            "retrying": a `Retry` is about to wait for another attempt.
            "failed": a `Retry` ended a call with an exception.
            "timed_out": a `Timeout` cut a call short.
            "rejected": a `Bulkhead` or an `AdaptiveConcurrency` refused a call.
            "fell_back": a `Fallback` answered in the place of a call.
            "hedged": a `Hedge` began another attempt beside those under way.
            "completed": a call through a `Pipeline` ended, however it did; one event a call.
        policy: The policy it happened in; its `name` is what telemetry should call it by.
        at: When, in seconds on the scale of the policy's clock.
        attempt: The attempt it is about, from 0: the one that failed, or the one that a hedge begins. None
            where there is none.
        attempts: How many attempts the call took in all: of "failed" and "completed". None elsewhere.
        delay: Seconds to wait before the next attempt: of "retrying". None elsewhere.
        duration: Seconds the call took, waits included: of "completed". None elsewhere.
        error: What the attempt or the call raised, a cancellation too; None where it did not.
    """

    kind: PolicyEventKind
    policy: "Policy"
    at: float
    attempt: int | None = None
    attempts: int | None = None
    delay: float | None = None
    duration: float | None = None
    error: BaseException | None = None


class PolicyEventFields(TypedDict, total=False):
    """The fields that an event of some kinds has, as keywords, for type checkers."""

    attempt: int
    attempts: int
    delay: float
    duration: float
    error: BaseException | None


PolicyListener: TypeAlias = Callable[[PolicyEvent], object]


def tell(listeners: tuple[PolicyListener, ...], event: PolicyEvent) -> None:
    """Call every listener, and log what one raises: a listener's trouble is not the call's."""
    for listener in listeners:
        try:
            listener(event)
        except Exception:
            _log.exception("a listener of %r failed at %r", event.policy, event.kind)
