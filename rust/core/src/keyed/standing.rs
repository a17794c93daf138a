//! How a key stands with every bandwidth, and the joint charge of its words wherever they live.

use crate::bandwidth::Bandwidth;
use crate::decision::Decision;
use crate::fingerprint::Fingerprint;
use crate::gcra;
use crate::ledger::Ledger;
use crate::memory::Memory;
use crate::nanos::Nanos;
use crate::quota::Terms;
use crate::reservation::{Charge, Charges};
use crate::sync::{AtomicU64, Ordering, fence};

use super::table::{Reach, Seat};
use super::word::{self, CLAIMED, LAST};
use super::{KeyedRateLimiter, Place};

/// What is asked for: `count` permits from `start` on, as debt where the limit is not to be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) now: Nanos,
    pub(super) start: Nanos,
    pub(super) count: u64,
    pub(super) as_debt: bool,
}

/// One bandwidth's terms and word, as they were seen.
pub(super) struct Part<'a> {
    terms: Terms,
    word: &'a AtomicU64,
    ledger: &'a Ledger,
    seen: u64,
    /// The arrival that the word seen stands for.
    worth: u64,
}

impl Part<'_> {
    /// Whether it was not charged since the slot changed hands; without a limit it never is.
    fn is_claimed(&self) -> bool {
        self.seen >= CLAIMED && self.terms.unit > 0
    }

    fn charge(&self, ask: Ask) -> Option<Charge> {
        let terms = &self.terms;
        let [present, start] = [ask.now, ask.start].map(|instant| terms.units(instant).min(LAST));
        let room = LAST - start;
        let (cost, capacity) = if ask.as_debt {
            let owed = self.worth.max(start);
            (terms.debt(ask.count).min(LAST.saturating_sub(owed)), room)
        } else {
            (terms.cost(ask.count)?, terms.capacity.min(room))
        };
        let step = |seen| {
            // A claim is charged only as it was seen, when it was the key's own.
            let worth = match seen {
                // A refund leaves the word no earlier than this: what was before it is forgotten.
                CLAIMED.. if seen == self.seen => self.worth.max(present),
                _ if seen == self.seen => self.worth,
                CLAIMED.. => return None,
                arrival => arrival,
            };
            Some((worth, gcra::step(worth, start, cost, capacity)?))
        };
        // A ledger may serve several keys, so that one of them owing nothing ends nobody's turn.
        let receipt = self.ledger.charge_as(self.word, present, start, cost, step, |_| ())?;
        Some(Charge::new(receipt, 0))
    }
}

/// All bandwidths of a key, up to `N`, on the stack.
pub(super) struct Standing<'a, const N: usize> {
    parts: [Option<Part<'a>>; N],
    pub(super) place: Place,
}

impl<'a, const N: usize> Standing<'a, N> {
    /// How whoever has no slot stands: with the overflow.
    pub(super) fn without_slot<M: Memory>(limiter: &'a KeyedRateLimiter<M>) -> Self {
        let parts = parts(&limiter.bandwidths, |_, bandwidth| {
            let in_force = bandwidth.in_force();
            let (word, ledger) = (&in_force.cell.word, &in_force.cell.ledger);
            // Acquire: after whatever led the caller here.
            let seen = word.load(Ordering::Acquire);
            Part { terms: in_force.terms, word, ledger, seen, worth: seen }
        });
        Self { parts, place: Place::Overflow }
    }

    /// How a key with a slot stands, as far as can be said without a look elsewhere.
    pub(super) fn glance<M: Memory>(limiter: &'a KeyedRateLimiter<M>, seat: Seat) -> Self {
        let parts = parts(&limiter.bandwidths, |place, bandwidth| {
            let in_force = bandwidth.in_force();
            let word = limiter.table.word(seat.slot, place);
            // Acquire: the tag is looked at again after a charge.
            let seen = word.load(Ordering::Acquire);
            let worth = if seen < CLAIMED {
                seen
            } else {
                word::worth(seen).max(in_force.cell.word.load(Ordering::Acquire))
            };
            Part { terms: in_force.terms, word, ledger: limiter.ledger(seat, place), seen, worth }
        });
        Self { parts, place: Place::Slot(seat) }
    }

    /// How a key with a slot stands, ready to be charged; `None` where its words are others' or
    /// another slot of the key comes first, so that the caller must look again.
    ///
    /// A word that was never charged since the key took the slot owes what its claim says, unless
    /// that is only what a paid-off owner left (`fresh`); what was charged to the overflow, where
    /// the key may have been; and what the key owes in a slot that a race gave it besides this
    /// one, which is closed here.
    pub(super) fn settle<M: Memory>(
        limiter: &'a KeyedRateLimiter<M>,
        (reach, key): (Reach, Fingerprint),
        seat: Seat,
        fresh: bool,
    ) -> Option<Self> {
        let mut standing = Self::glance(limiter, seat);
        if !standing.has_claims() {
            return Some(standing);
        }
        if standing.iter().any(|part| part.is_claimed() && !seat.tag.owns(part.seen)) {
            limiter.table.regain(seat, key);
            return None;
        }
        // SeqCst fence, after the key's tag was written or read: whoever charges the overflow for
        // the key, or takes another slot for it, passes a fence between that and its own look for
        // the key's slots. Of two who pass, the later sees what the earlier wrote.
        fence(Ordering::SeqCst);
        let mut carried = [0; N];
        for (owed, bandwidth) in carried.iter_mut().zip(limiter.bandwidths.iter()) {
            *owed = bandwidth.in_force().cell.word.load(Ordering::Acquire);
        }
        let mut after = false;
        for other in limiter.table.seats(reach, key) {
            if other.slot == seat.slot {
                after = true;
                continue;
            }
            if !after {
                return None;
            }
            for (place, owed) in carried.iter_mut().take(limiter.bandwidths.len()).enumerate() {
                *owed = limiter.table.claim(other, place, u64::MAX)?.max(*owed);
            }
        }
        for (part, owed) in standing.parts.iter_mut().flatten().zip(carried) {
            if part.is_claimed() {
                let claimed = if fresh { 0 } else { word::worth(part.seen) };
                part.worth = claimed.max(owed);
            }
        }
        Some(standing)
    }

    fn iter(&self) -> impl Iterator<Item = &Part<'a>> {
        self.parts.iter().flatten()
    }

    /// Whether any word was not charged since the slot changed hands.
    pub(super) fn has_claims(&self) -> bool {
        self.iter().any(Part::is_claimed)
    }

    /// Whether a charge would move any word.
    pub(super) fn is_limited(&self) -> bool {
        self.iter().any(|part| part.terms.unit > 0)
    }

    /// What will be said of `count` permits at `now`.
    pub(super) fn decide(&self, now: Nanos, count: u64) -> Decision {
        let decisions =
            self.iter().map(|part| Decision::foresee(&part.terms, now, part.worth, count, LAST));
        decisions.reduce(Decision::and).unwrap_or(Decision::REFUSED)
    }

    /// Charges every word, up to the first that refuses, and says whether none did.
    pub(super) fn charge<M: Memory>(
        &self,
        limiter: &KeyedRateLimiter<M>,
        ask: Ask,
    ) -> (Charges, bool) {
        let mut charges = Charges::default();
        for part in self.iter() {
            let Some(charge) = part.charge(ask) else { return (charges, false) };
            charges.push(charge);
            if !limiter.holds(self.place) {
                return (charges, false);
            }
        }
        (charges, true)
    }
}

fn parts<'a, const N: usize>(
    bandwidths: &'a [Bandwidth],
    part: impl Fn(usize, &'a Bandwidth) -> Part<'a>,
) -> [Option<Part<'a>>; N] {
    let mut parts = [const { None }; N];
    for (place, (empty, bandwidth)) in parts.iter_mut().zip(bandwidths).enumerate() {
        *empty = Some(part(place, bandwidth));
    }
    parts
}
