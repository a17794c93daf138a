//! Reserving ahead of a word, and the sound return of what was not used.

use crate::clock::Clock;
use crate::gcra::{self, SEALED};
use crate::quota::Terms;
use crate::sync::{self, AtomicU64, Ordering};

/// How often a refund looks again while another is under way before it gives nothing back.
const PATIENCE: u32 = 64;

/// What a reservation keeps of the word it charged, to give back soundly later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// The word before the charge.
    pub(crate) before: u64,
    /// The word after the charge.
    pub(crate) arrival: u64,
    /// The units charged.
    pub(crate) cost: u64,
    /// The refunds by then.
    pub(crate) returned: u64,
}

impl Receipt {
    /// The same, with `grains` of the refunds since then not counted against it.
    pub(crate) fn credited(self, grains: u64) -> Self {
        Self { returned: self.returned.wrapping_add(grains), ..self }
    }
}

/// What was given back, and what of it counts as a refund to those charged before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refund {
    /// The units given back.
    pub(crate) units: u64,
    /// The grains counted; none where the word was left as if never charged.
    pub(crate) grains: u64,
}

/// What the refunds of one word must know of each other and of those who wait behind it.
#[repr(C)]
#[derive(Debug)]
pub struct Ledger {
    /// The sum of all refunds but those that left the word as if never charged, in grains of 2^-10
    /// permits or a unit, so that it does not come round while a reservation is open.
    returned: AtomicU64,
    /// Odd while a refund is under way: they take turns.
    turn: AtomicU64,
    /// The latest start, in units, that was granted for later than its own present; only rises.
    hold: AtomicU64,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        let [returned, turn, hold] = [0; 3].map(AtomicU64::new);
        Self { returned, turn, hold }
    }

    /// Forgets the holds of an earlier unit; receipts of that unit are the caller's to refuse.
    pub(crate) fn restart(&self) {
        // Relaxed: the caller publishes it.
        self.hold.store(0, Ordering::Relaxed);
    }

    /// Says that somebody was granted a start at `units`, later than the present.
    pub(crate) fn defer_to(&self, units: u64) {
        // Release: whoever reads the word charged after this also reads the hold.
        self.hold.fetch_max(units, Ordering::Release);
    }

    /// Says that nobody any more was granted a start later than `units`.
    ///
    /// For whoever knows all that were, and lets none be granted meanwhile.
    pub(crate) fn lower_to(&self, units: u64) {
        // Release: whoever leaves less room reads a clock no earlier than those whose starts passed.
        self.hold.store(units, Ordering::Release);
    }

    /// The refunds so far; read before the word that a receipt is written for.
    pub(crate) fn returned(&self) -> u64 {
        // Acquire, before the word: a refund counts itself after it has moved the word, so that one
        // not counted here may be in the word, never the other way round.
        self.returned.load(Ordering::Acquire)
    }

    /// The turn that is next, or `None` while one is taken: the word only falls in a turn.
    pub(crate) fn turn(&self) -> Option<u64> {
        // Acquire: what the last turn wrote is seen after this.
        Some(self.turn.load(Ordering::Acquire)).filter(|turn| turn.is_multiple_of(2))
    }

    /// Charges `cost` for a start at `start`, as long as the capacity allows it then.
    ///
    /// The word becomes max(word, start) + cost: charged at the joint start of all bandwidths, not
    /// at its own, or the limit would be broken once the start has come.
    pub(crate) fn charge(
        &self,
        word: &AtomicU64,
        present: u64,
        start: u64,
        cost: u64,
        capacity: u64,
    ) -> Option<Receipt> {
        let step = |before| Some((before, gcra::step(before, start, cost, capacity)?));
        self.charge_as(word, present, start, cost, step, |before| {
            if before <= present {
                self.heal();
            }
        })
    }

    /// Charges by a `step` that says what a word is worth as it is found, and what it becomes;
    /// `None` where the step declines. `prepare` is told the worth before the word is moved.
    pub(crate) fn charge_as(
        &self,
        word: &AtomicU64,
        present: u64,
        start: u64,
        cost: u64,
        step: impl Fn(u64) -> Option<(u64, u64)>,
        prepare: impl Fn(u64),
    ) -> Option<Receipt> {
        if start > present {
            self.defer_to(start);
        }
        loop {
            let returned = self.returned();
            // Acquire: pairs with the release of the charge or refund that is read.
            let seen = word.load(Ordering::Acquire);
            let (before, arrival) = step(seen)?;
            if cost == 0 {
                return Some(Receipt::default());
            }
            prepare(before);
            // Release: publishes the hold. Acquire: what was written before the word as it is
            // found is seen by whoever looks again. Relaxed on failure: it is read again.
            let swap = word.compare_exchange(seen, arrival, Ordering::AcqRel, Ordering::Relaxed);
            if swap.is_ok() {
                return Some(Receipt { before, arrival, cost, returned });
            }
        }
    }

    /// Gives back as much of `unused` as cannot break the limit, and says how much that is.
    ///
    /// At most arrival − (refunds since the charge) − max(present, hold) goes back: the permits of
    /// those who started or will start behind the reservation stay paid for, and granted times
    /// never move. The last in line that gives all back leaves the word as it found it. Under
    /// contention, or once the word is paid off, less goes back, never more.
    pub(crate) fn refund(
        &self,
        word: &AtomicU64,
        terms: &Terms,
        clock: &impl Clock,
        receipt: &Receipt,
        unused: u64,
    ) -> Refund {
        self.refund_below(SEALED, word, terms, clock, receipt, unused)
    }

    /// Gives back as [`Self::refund`] does, and nothing to a word at `ceiling` or above: what stands
    /// there is no arrival.
    pub(crate) fn refund_below(
        &self,
        ceiling: u64,
        word: &AtomicU64,
        terms: &Terms,
        clock: &impl Clock,
        receipt: &Receipt,
        unused: u64,
    ) -> Refund {
        let Some(turn) = self.begin_turn() else { return Refund::default() };
        let grain = (terms.unit >> 10).max(1);
        let mut refunded = Refund::default();
        for _ in 0..PATIENCE {
            // Relaxed: only the holder of the turn raises it, and the turn was acquired.
            let returned = self.returned.load(Ordering::Relaxed);
            // Acquire: pairs with the release of the charge or refund that is read.
            let seen = word.load(Ordering::Acquire);
            if seen >= ceiling {
                break;
            }
            // Acquire, after the word: the holds of all who are charged in it.
            let hold = self.hold.load(Ordering::Acquire);
            // The clock after the word: no charge in it is newer than the present it is judged by.
            let floor = terms.units(clock.now()).max(hold);
            let since = returned.wrapping_sub(receipt.returned);
            let last = since == 0 && seen == receipt.arrival && unused == receipt.cost;
            let amount = if last {
                seen - receipt.before
            } else {
                let sound = receipt.arrival.saturating_sub(since.saturating_mul(grain));
                unused.min(sound.saturating_sub(floor)).min(seen)
            };
            if amount == 0 {
                break;
            }
            // Only from the value seen, so that nobody was charged since. AcqRel: the reads above
            // belong to it, and whoever reads the moved word reads what led to it.
            let moved =
                word.compare_exchange(seen, seen - amount, Ordering::AcqRel, Ordering::Relaxed);
            if moved.is_ok() {
                let grains = if last { 0 } else { amount.div_ceil(grain) };
                // Release, after the word: see `charge`.
                self.returned.fetch_add(grains, Ordering::Release);
                refunded = Refund { units: amount, grains };
                break;
            }
        }
        self.end_turn(turn);
        refunded
    }

    /// Leaves the word as the charge found it, if nobody else was charged or refunded since.
    pub(crate) fn unwind(&self, word: &AtomicU64, receipt: &Receipt) -> bool {
        let Some(turn) = self.begin_turn() else { return false };
        // Orderings as in `refund`.
        let unwound = self.returned.load(Ordering::Relaxed) == receipt.returned
            && word
                .compare_exchange(
                    receipt.arrival,
                    receipt.before,
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                )
                .is_ok();
        self.end_turn(turn);
        unwound
    }

    /// Takes the turn to lower the word; `None` where others keep it for long.
    pub(crate) fn begin_turn(&self) -> Option<u64> {
        for _ in 0..PATIENCE {
            let turn = self.turn.load(Ordering::Relaxed);
            // Acquire: what the turn before wrote is seen in this one.
            let free = turn.is_multiple_of(2);
            let begin = |turn: u64| {
                let mine = turn.wrapping_add(1);
                self.turn.compare_exchange(turn, mine, Ordering::Acquire, Ordering::Relaxed)
            };
            if free && begin(turn).is_ok() {
                return Some(turn.wrapping_add(1));
            }
            sync::hint();
        }
        None
    }

    /// Ends the turn that [`Self::begin_turn`] took.
    pub(crate) fn end_turn(&self, turn: u64) {
        // Release: pairs with the acquire of the next. Where `heal` was first, it has ended.
        let next = turn.wrapping_add(1);
        let _ = self.turn.compare_exchange(turn, next, Ordering::Release, Ordering::Relaxed);
    }

    /// Ends the turn of a refund that died, now that the word owes nothing.
    ///
    /// Every receipt written by then is worth nothing any more, so that one that lives after all
    /// gives nothing back; and what it read of the word is gone once the caller's charge is in: below
    /// the present that was paid off the word never falls again.
    pub(crate) fn heal(&self) {
        let turn = self.turn.load(Ordering::Relaxed);
        if !turn.is_multiple_of(2) {
            self.end_turn(turn);
        }
    }
}
