//! Several limiters in one draw, each with a count of its own, all or nothing.

use crate::clock::Clock;
use crate::decision::Decision;
use crate::joint;
use crate::limiter::RateLimiter;
use crate::memory::{Heap, Memory};
use crate::nanos::Nanos;
use crate::reservation::{Charges, Grant};

/// The most limiters in one draw.
pub const MAX_SHARES: usize = 8;

/// One limiter's share of a draw.
#[derive(Debug)]
pub struct Share<'a, M: Memory = Heap> {
    /// The limiter, which may serve others as well.
    pub limiter: &'a RateLimiter<M>,
    /// The permits that are asked of it.
    pub count: u64,
}

impl<M: Memory> Clone for Share<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Memory> Copy for Share<'_, M> {}

/// The grants of one draw, in the order of its shares, all for the same start; each is settled at
/// its own limiter.
pub type Grants = [Option<Grant>; MAX_SHARES];

/// Says what a draw of all `shares` would be told at `now`, and draws nothing.
///
/// Of no shares at all nothing is granted, nor of more than [`MAX_SHARES`].
#[must_use]
pub fn peek<M: Memory>(shares: &[Share<'_, M>], now: Nanos) -> Decision {
    if shares.len() > MAX_SHARES {
        return Decision::REFUSED;
    }
    let decisions = shares.iter().map(|share| share.limiter.peek(now, share.count));
    decisions.reduce(Decision::and).unwrap_or(Decision::REFUSED)
}

/// Charges all `shares` for the first start that every limiter allows, if that is no later than
/// `max_wait` from now; otherwise charges none. With no wait allowed it is a plain draw.
///
/// # Errors
/// The refusing [`Decision`]; its `retry_after` is the wait that was too long.
pub fn reserve<M: Memory>(
    shares: &[Share<'_, M>],
    clock: &impl Clock,
    max_wait: Nanos,
) -> Result<(Grants, Decision), Decision> {
    let undo = |charges: &[Option<Charges>; MAX_SHARES]| {
        for (share, charges) in shares.iter().zip(charges.iter().flatten()) {
            share.limiter.refund(charges, clock, share.count);
        }
    };
    let judge = |now| peek(shares, now);
    let charge = |now, start| charge(shares, now, start);
    let joint::Draw { charges, now, start, decision } =
        joint::draw(clock, max_wait, judge, charge, undo)?;
    let mut grants = [None; MAX_SHARES];
    for ((grant, share), charges) in grants.iter_mut().zip(shares).zip(charges.iter().flatten()) {
        *grant = Some(Grant::new(share.count, now, start, charges));
    }
    Ok((grants, decision))
}

fn charge<M: Memory>(
    shares: &[Share<'_, M>],
    now: Nanos,
    start: Nanos,
) -> ([Option<Charges>; MAX_SHARES], bool) {
    let mut all = [None; MAX_SHARES];
    for (place, share) in all.iter_mut().zip(shares) {
        let (charges, whole) = share.limiter.charge(now, start, share.count);
        *place = Some(charges);
        if !whole {
            return (all, false);
        }
    }
    (all, true)
}
