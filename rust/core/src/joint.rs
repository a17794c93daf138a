//! All or nothing: one draw on several words.

use crate::clock::Clock;
use crate::decision::Decision;
use crate::nanos::Nanos;

/// How often a draw that does not wait starts over because others came between.
const ATTEMPTS: u32 = 128;

/// What was drawn: the charges, the instant of the draw and the start they are for.
pub(crate) struct Draw<C> {
    pub(crate) charges: C,
    pub(crate) now: Nanos,
    pub(crate) start: Nanos,
    pub(crate) decision: Decision,
}

/// Charges all words for the first start that all of them grant, no later than `max_wait` from
/// now; otherwise none, and says how things stand.
///
/// `judge` says what all would say at an instant; `charge` charges them one by one for a start, up
/// to the first that no longer grants it, and says whether none did; `undo` gives back what it
/// charged by then. Charging at the joint start, not at the own start of each word, is what keeps
/// the limits. Others may come between every time: then a draw is refused, with nothing charged,
/// and whoever would wait starts over until none did, each of the others having been granted.
pub(crate) fn draw<C>(
    clock: &impl Clock,
    max_wait: Nanos,
    judge: impl Fn(Nanos) -> Decision,
    charge: impl Fn(Nanos, Nanos) -> (C, bool),
    undo: impl Fn(&C),
) -> Result<Draw<C>, Decision> {
    let now = clock.now();
    let mut decision = judge(now);
    let attempts = if max_wait == Nanos::ZERO { ATTEMPTS } else { u32::MAX };
    for _ in 0..attempts {
        if decision.retry_after > max_wait || decision.retry_after == Nanos::MAX {
            return Err(decision);
        }
        let start = now + decision.retry_after;
        let (charges, whole) = charge(now, start);
        if whole {
            return Ok(Draw { charges, now, start, decision });
        }
        undo(&charges);
        // Each opens within its range, but one is at its end before all are open.
        if judge(start).retry_after == Nanos::MAX {
            return Err(decision.never());
        }
        decision = judge(now);
    }
    Err(Decision { allowed: false, ..decision })
}
