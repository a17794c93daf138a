//! Decisions: the short way for a word that is there, and the long one that may take a slot.

use crate::clock::Clock;
use crate::decision::Decision;
use crate::fingerprint::Fingerprint;
use crate::gcra;
use crate::limiter::MAX_BANDWIDTHS;
use crate::memory::Memory;
use crate::nanos::Nanos;
use crate::quota::Terms;
use crate::reservation::Grant;
use crate::sync::{Ordering, fence};

use super::standing::{Ask, Standing};
use super::word::{CLAIMED, LAST};
use super::{KeyedGrant, KeyedRateLimiter};

/// How often a draw that does not wait starts over because others came between.
const ATTEMPTS: u32 = 128;

/// How often one that waits, or a debt, starts over: as good as for ever, but bounded.
const PERSEVERANCE: u32 = 1 << 24;

impl<M: Memory> KeyedRateLimiter<M> {
    /// Draws by the one bandwidth there is from a word that is the key's already; `None` where the
    /// long way must be taken.
    #[inline]
    pub(super) fn draw<R>(
        &self,
        now: Nanos,
        (key, home): (Fingerprint, usize),
        count: u64,
        answer: impl FnOnce(&Terms, Result<u64, u64>) -> R,
    ) -> Option<R> {
        let [only] = &*self.bandwidths else { return None };
        let ([held, word], tag) = self.table.find_in_lines(key, home)?;
        only.apply(now, |terms, present| {
            let (present, cost) = (present.min(LAST), terms.cost(count)?);
            let capacity = terms.capacity.min(LAST - present);
            // Acquire: the tag is looked at again after it.
            let mut seen = word.load(Ordering::Acquire);
            let drawn = loop {
                if seen >= CLAIMED {
                    return None;
                }
                let Some(next) = gcra::step(seen, present, cost, capacity) else {
                    break Err(seen);
                };
                if cost == 0 {
                    break Ok(next);
                }
                // Release: a refund that reads the grant then reads a clock no earlier than its
                // `now`. Acquire: whoever wrote the word before wrote the tag before it.
                match word.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => break Ok(next),
                    Err(other) => seen = other,
                }
            };
            // Acquire: as when it was found.
            let is_held = held.load(Ordering::Acquire) == tag.get();
            is_held.then(|| answer(terms, drawn))
        })
    }

    /// Draws from every bandwidth or from none.
    #[cold]
    pub(super) fn take_all(
        &self,
        clock: &impl Clock,
        now: Nanos,
        key: Fingerprint,
        count: u64,
    ) -> Decision {
        match self.charge(clock, now, key, count, Some(Nanos::ZERO)) {
            Ok((_, decision)) | Err(decision) => decision,
        }
    }

    /// Charges a key where its words are, or gives it a place first; without a `max_wait` as debt,
    /// whatever the limit says.
    ///
    /// Others may come between every time: then a draw is refused, with nothing charged. Whoever
    /// would wait, or owes a debt, starts over until none did, each of the others being done by then.
    pub(super) fn charge(
        &self,
        clock: &impl Clock,
        now: Nanos,
        key: Fingerprint,
        count: u64,
        max_wait: Option<Nanos>,
    ) -> Result<(KeyedGrant, Decision), Decision> {
        // One bandwidth is the rule, and to carry eight about takes longer than all the rest.
        match *self.bandwidths {
            [_] => self.charge_up_to::<1>(clock, now, key, count, max_wait),
            _ => self.charge_up_to::<MAX_BANDWIDTHS>(clock, now, key, count, max_wait),
        }
    }

    /// As [`Self::charge`], where there are up to `N` bandwidths.
    fn charge_up_to<const N: usize>(
        &self,
        clock: &impl Clock,
        now: Nanos,
        key: Fingerprint,
        count: u64,
        max_wait: Option<Nanos>,
    ) -> Result<(KeyedGrant, Decision), Decision> {
        let reach = self.table.reach(key);
        let (mut now, mut refusal, mut taken) = (now, None, None);
        let attempts = if max_wait == Some(Nanos::ZERO) { ATTEMPTS } else { PERSEVERANCE };
        for _ in 0..attempts {
            let seat = self.table.find(reach, key);
            let standing = match seat {
                Some(seat) => Standing::<N>::settle(self, (reach, key), seat, taken == Some(seat)),
                None => Some(Standing::without_slot(self)),
            };
            let Some(standing) = standing else { continue };
            if standing.has_claims() {
                // What the key owed may have been paid off and forgotten since `now` was read, and no
                // word of its own says when.
                now = now.max(clock.now());
            }
            let decision = standing.decide(now, count);
            let wait = max_wait.map_or(Nanos::ZERO, |_| decision.retry_after);
            if wait == Nanos::MAX || max_wait.is_some_and(|longest| wait > longest) {
                if !self.holds(standing.place) {
                    continue;
                }
                let by_overflow = seat.is_none() && wait < Nanos::MAX;
                self.overflowed[0].fetch_add(u64::from(by_overflow), Ordering::Relaxed);
                return Err(decision);
            }
            let mut start = now + wait;
            let homeless = seat.is_none() && count > 0 && standing.is_limited();
            if homeless {
                let presents = self.presents(now);
                let presents = &presents[..self.bandwidths.len()];
                if let Some(vacancy) = self.table.vacancy(reach, presents) {
                    let seat = self.table.occupy(vacancy, key, presents);
                    // What the claims are worth was paid off, unless it was the key's own.
                    taken = seat.filter(|_| !vacancy.tag.holds(key));
                    continue;
                }
                // As above: a slot that the key had may have been forgotten.
                now = now.max(clock.now());
                start = start.max(now);
            }
            let as_debt = max_wait.is_none();
            let (charges, whole) = standing.charge(self, Ask { now, start, count, as_debt });
            if whole && (!homeless || self.is_overflown(key)) {
                let grant = Grant::new(count, now, start, &charges);
                return Ok((KeyedGrant { grant, key, place: standing.place }, decision));
            }
            self.refund_all(&charges, standing.place, clock, count);
            // Each bandwidth opens within its range, but one is at its end before all are open.
            if !as_debt && standing.decide(start, count).retry_after == Nanos::MAX {
                return Err(decision.never());
            }
            refusal = Some(Decision { allowed: false, ..decision });
        }
        // Others came between every time; nothing is charged.
        Err(refusal.unwrap_or_else(|| self.peek(now, key, count)))
    }

    /// Whether a key that was charged to the overflow has still no slot.
    fn is_overflown(&self, key: Fingerprint) -> bool {
        // SeqCst fence: see `Standing::settle`. Whoever takes a slot for the key from here on sees
        // the charge; a slot taken before is seen here.
        fence(Ordering::SeqCst);
        let without = self.table.find(self.table.reach(key), key).is_none();
        self.overflowed[0].fetch_add(u64::from(without), Ordering::Relaxed);
        without
    }
}
