//! One quota in force and the word it governs, replaceable while decisions are made.

use crate::bucket;
use crate::clock::Clock;
use crate::decision::Decision;
use crate::error::ConfigError;
use crate::gcra::{self, SEALED};
use crate::ledger::{Ledger, Refund};
use crate::nanos::Nanos;
use crate::posting::Posting;
use crate::quota::{Quota, Terms};
use crate::reservation::Charge;
use crate::sync::{AtomicU64, Ordering, fence};

/// A word and the ledger of its refunds.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) word: AtomicU64,
    pub(crate) ledger: Ledger,
}

impl Cell {
    fn new() -> Self {
        Self { word: AtomicU64::new(0), ledger: Ledger::new() }
    }

    fn take(&self, terms: &Terms, present: u64, count: u64) -> Result<u64, u64> {
        match terms.cost(count) {
            Some(cost) => bucket::take(&self.word, present, cost, terms.capacity),
            // Relaxed: only to say how things stand.
            None => Err(self.word.load(Ordering::Relaxed)),
        }
    }
}

/// A quota in force and its word, alone on their cache lines.
///
/// The terms it was built with are never written again, so that reading them takes no second look.
/// After that two postings take turns: a change is written to the idle one and comes into force
/// with the version, so that a reader is never kept waiting, not even by a writer that died. The
/// word stays where it is as long as the unit does. Where the unit must change, the word is sealed
/// and the other cell starts with what is owed: a decision in flight finds the seal and starts over.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Bandwidth {
    version: AtomicU64,
    first: Terms,
    postings: [Posting; 2],
    cells: [Cell; 2],
}

/// What a decision works on: the terms in force, their word, and the epoch of its unit.
pub(crate) struct InForce<'a> {
    pub(crate) terms: Terms,
    pub(crate) cell: &'a Cell,
    pub(crate) epoch: u64,
}

impl Bandwidth {
    /// Starts with nothing owed, on a line through the origin of the clock.
    #[must_use]
    pub fn new(quota: &Quota) -> Self {
        let terms = quota.terms(Nanos::ZERO, 0);
        Self {
            version: AtomicU64::new(0),
            first: terms,
            postings: [Posting::new(&terms), Posting::new(&terms)],
            cells: [Cell::new(), Cell::new()],
        }
    }

    /// Reads what is in force: a dozen plain loads.
    #[inline]
    pub(crate) fn in_force(&self) -> InForce<'_> {
        // Relaxed: what was written when it was built is there for whoever has it.
        if self.version.load(Ordering::Relaxed) == 0 {
            return InForce { terms: self.first, cell: &self.cells[0], epoch: 0 };
        }
        self.latest()
    }

    #[cold]
    fn latest(&self) -> InForce<'_> {
        loop {
            // Acquire: the posting of this version is written before it.
            let version = self.version.load(Ordering::Acquire);
            let (terms, epoch) = self.postings[usize::from(version & 1 == 1)].read();
            // Acquire fence: pairs with the release fence in `publish`; a posting being
            // written again shows in the version.
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == version {
                return InForce { terms, cell: &self.cells[usize::from(epoch & 1 == 1)], epoch };
            }
        }
    }

    /// Draws `count` permits at `now`, and makes of the outcome what `answer` does: it is given the
    /// terms, and the word after the grant or the one that refuses.
    #[inline]
    pub(crate) fn take<R>(
        &self,
        now: Nanos,
        count: u64,
        answer: impl FnOnce(&Terms, Result<u64, u64>) -> R,
    ) -> R {
        // As in `in_force`, without a copy of the terms.
        let (terms, word) = (&self.first, &self.cells[0].word);
        let is_first = self.version.load(Ordering::Relaxed) == 0;
        if is_first && count <= terms.burst && count > 0 && terms.unit > 0 {
            // They begin with the clock: their units are those climbed since its origin.
            let present = terms.slope.climb(now.get());
            // Relaxed: as in `bucket::take`.
            let seen = word.load(Ordering::Relaxed);
            match gcra::step(seen, present, terms.units_of(count), terms.capacity) {
                Some(next) if bucket::replace(word, seen, next) => return answer(terms, Ok(next)),
                None if seen != SEALED => return answer(terms, Err(seen)),
                _ => {}
            }
        }
        self.take_anyhow(now, count, answer)
    }

    /// As [`Self::take`], where that was not the first try, or the terms are not the first.
    #[cold]
    #[inline(never)]
    fn take_anyhow<R>(
        &self,
        now: Nanos,
        count: u64,
        answer: impl FnOnce(&Terms, Result<u64, u64>) -> R,
    ) -> R {
        loop {
            let InForce { terms, cell, epoch } = self.in_force();
            let taken = cell.take(&terms, terms.units(now), count);
            if taken != Err(SEALED) || !self.is_replaced(epoch) {
                return answer(&terms, taken);
            }
        }
    }

    /// Says what [`Self::take`] would say of `count` permits at `now`, and draws nothing.
    pub(crate) fn judge(&self, now: Nanos, count: u64) -> Decision {
        let (terms, word) = loop {
            let InForce { terms, cell, epoch } = self.in_force();
            // Relaxed: only to judge by; a charge reads it again.
            let word = cell.word.load(Ordering::Relaxed);
            if word != SEALED || !self.is_replaced(epoch) {
                break (terms, word);
            }
        };
        Decision::foresee(&terms, now, word, count, SEALED)
    }

    /// Charges `count` permits at `now` for `start`, if they are granted then.
    pub(crate) fn charge(&self, now: Nanos, start: Nanos, count: u64) -> Option<Charge> {
        let InForce { terms, cell, epoch } = self.in_force();
        let (present, opens) = (terms.units(now), terms.units(start));
        let (cost, capacity) = (terms.cost(count)?, terms.capacity);
        let receipt = cell.ledger.charge(&cell.word, present, opens, cost, capacity)?;
        Some(Charge::new(receipt, epoch))
    }

    /// Charges `count` permits more whatever is owed.
    pub(crate) fn charge_debt(&self, now: Nanos, count: u64) {
        loop {
            let InForce { terms, cell, epoch } = self.in_force();
            let charged = bucket::charge(&cell.word, &terms, now, terms.debt(count));
            if charged || !self.is_replaced(epoch) {
                return;
            }
        }
    }

    /// Gives back `unused` permits of a charge as far as that is sound: how many whole ones.
    pub(crate) fn refund(&self, charge: &Charge, clock: &impl Clock, unused: u64) -> u64 {
        let (terms, _) = self.terms();
        terms.permits(self.refund_units(charge, clock, terms.debt(unused)).units).min(unused)
    }

    /// Gives back as much of `units` as is sound; none where it was charged in another unit.
    pub(crate) fn refund_units(&self, charge: &Charge, clock: &impl Clock, units: u64) -> Refund {
        let InForce { terms, cell, epoch } = self.in_force();
        if charge.epoch != epoch {
            return Refund::default();
        }
        cell.ledger.refund(&cell.word, &terms, clock, &charge.receipt, units)
    }

    /// Leaves the word as the charge of `units` found it, if it was all that happened since.
    pub(crate) fn unwind(&self, charge: &Charge, units: u64) -> bool {
        let InForce { cell, epoch, .. } = self.in_force();
        charge.epoch == epoch
            && charge.receipt.cost == units
            && cell.ledger.unwind(&cell.word, &charge.receipt)
    }

    /// Has refunds leave room for a start at `last`, the latest granted, and for none after it.
    pub(crate) fn hold(&self, last: Option<Nanos>) {
        let InForce { terms, cell, .. } = self.in_force();
        cell.ledger.lower_to(last.map_or(0, |start| terms.units(start)));
    }

    /// Has refunds leave room for a start at `start`; of others that are later it knows nothing.
    pub(crate) fn defer(&self, start: Nanos) {
        let InForce { terms, cell, .. } = self.in_force();
        cell.ledger.defer_to(terms.units(start));
    }

    /// Ends the turn of a refund whose process died, after a charge that found nothing owed: whoever
    /// draws before it waits would never find that by a reservation. See [`Ledger::heal`].
    pub(crate) fn end_dead_turn(&self) {
        self.in_force().cell.ledger.heal();
    }

    /// The terms in force, and the epoch of their unit.
    pub(crate) fn terms(&self) -> (Terms, u64) {
        let InForce { terms, epoch, .. } = self.in_force();
        (terms, epoch)
    }

    /// Works by the terms in force and their units at `now`, without a copy of the terms where they
    /// are those it was built with.
    #[inline]
    pub(crate) fn apply<R>(&self, now: Nanos, step: impl FnOnce(&Terms, u64) -> R) -> R {
        // Relaxed: as in `in_force`.
        if self.version.load(Ordering::Relaxed) == 0 {
            // As in `take`.
            return step(&self.first, self.first.slope.climb(now.get()));
        }
        self.apply_latest(now, step)
    }

    #[cold]
    #[inline(never)]
    fn apply_latest<R>(&self, now: Nanos, step: impl FnOnce(&Terms, u64) -> R) -> R {
        let terms = self.latest().terms;
        step(&terms, terms.units(now))
    }

    /// Puts another quota in force from `now` on; what is owed stays owed.
    ///
    /// The caller keeps changes apart. A decision in flight counts as made before the change, or is
    /// made again after it.
    pub(crate) fn publish(&self, quota: &Quota, now: Nanos) {
        let InForce { terms: before, cell, epoch } = self.in_force();
        let present = before.units(now);
        if let Some(quota) = quota.in_unit(before.unit) {
            return self.publish_fitted(&quota, now);
        }
        let terms = quota.terms(now, 0);
        let carry = |word: u64| {
            let owed = u128::from(word.saturating_sub(present)) * u128::from(terms.unit);
            // Rounded up; nothing is owed without a limit.
            let owed = if before.unit == 0 { 0 } else { owed.div_ceil(before.unit.into()) };
            u64::try_from(owed).unwrap_or(SEALED).min(SEALED - 1)
        };
        let next = &self.cells[usize::from(epoch & 1 == 0)];
        next.ledger.restart();
        let version = self.write(&terms, epoch.wrapping_add(1));
        let seal = |seen| {
            // Relaxed: the seal orders it.
            next.word.store(carry(seen), Ordering::Relaxed);
            Some(SEALED)
        };
        // Release: whoever finds the seal also finds the terms and the word that take over.
        let _ = cell.word.fetch_update(Ordering::Release, Ordering::Relaxed, seal);
        // Release: the posting is whole before it is in force; whoever found the seal may be first.
        self.version.store(version, Ordering::Release);
    }

    /// The quota in the unit in force, where that serves it: words that live elsewhere keep theirs.
    pub(crate) fn fit(&self, quota: &Quota) -> Option<Quota> {
        quota.near_unit(self.in_force().terms.unit)
    }

    /// Puts a quota in force that [`Self::fit`] gave; as [`Self::publish`].
    pub(crate) fn publish_fitted(&self, fitted: &Quota, now: Nanos) {
        let InForce { terms: before, epoch, .. } = self.in_force();
        let version = self.write(&fitted.terms(now, before.units(now)), epoch);
        // Release: the posting is whole before it is in force.
        self.version.store(version, Ordering::Release);
    }

    /// Writes the idle posting, and says which version puts it in force.
    fn write(&self, terms: &Terms, epoch: u64) -> u64 {
        // Relaxed: only one change at a time, so this is its own last version.
        let version = self.version.load(Ordering::Relaxed) + 1;
        // Release fence: whoever reads a field written below sees the present version or a later
        // one, and so throws away what it read under the one before.
        fence(Ordering::Release);
        self.postings[usize::from(version & 1 == 1)].write(terms, epoch);
        version
    }

    /// Tells whether the sealed cell of `epoch` has a successor, which is in force from then on: a
    /// decision never waits for the change, not even for one that died half way.
    #[cold]
    pub(crate) fn is_replaced(&self, epoch: u64) -> bool {
        // Acquire fence: pairs with the seal that the caller read.
        fence(Ordering::Acquire);
        // Acquire: the posting of this version is written before it.
        let version = self.version.load(Ordering::Acquire);
        let odd = usize::from(version & 1 == 1);
        // Relaxed: should the posting in force be written again, the version has moved on as well.
        let [current, idle] =
            [odd, 1 - odd].map(|index| self.postings[index].epoch.load(Ordering::Relaxed));
        if current == epoch && idle == epoch.wrapping_add(1) {
            // Release: as in `publish`. A lost race means that it is in force already.
            let next = version + 1;
            let _ =
                self.version.compare_exchange(version, next, Ordering::Release, Ordering::Relaxed);
            return true;
        }
        // At the end of its range a word may look sealed.
        current != epoch
    }
}

/// Puts other quotas in force on words that count on in their unit: all, or none where one of the
/// units cannot serve. The caller keeps changes apart.
pub(crate) fn publish_all(
    bandwidths: &[Bandwidth],
    quotas: &[Quota],
    now: Nanos,
) -> Result<(), ConfigError> {
    let pairs = || bandwidths.iter().zip(quotas);
    let fitted: Option<Vec<_>> = pairs().map(|(bandwidth, quota)| bandwidth.fit(quota)).collect();
    let Some(fitted) = fitted else {
        let reason = "is too far from the one that is counted by; build another limiter";
        return Err(ConfigError::new("rate", reason));
    };
    for (bandwidth, quota) in bandwidths.iter().zip(&fitted) {
        bandwidth.publish_fitted(quota, now);
    }
    Ok(())
}

/// Refuses a change to another number of quotas.
pub(crate) fn check_number(bandwidths: &[Bandwidth], quotas: &[Quota]) -> Result<(), ConfigError> {
    let (had, got) = (bandwidths.len(), quotas.len());
    if had == got {
        return Ok(());
    }
    let reason = format!("must be as many as the limiter was built with, {had}, not {got}");
    Err(ConfigError::new("configs", reason))
}
