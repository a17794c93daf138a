//! Who waits for a word in this process, so that what they give up is given back in the end.
//!
//! A refund leaves room for whoever was granted a later start behind it. As long as nobody knows
//! which of those will still come, that room stays taken until the time has passed, and of a
//! queue that gives up from its front nothing comes back. The line knows: once the last in it
//! gives up, those before it are given back as well. Only who waits, or gives up, ever locks it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::PoisonError;

use crate::bandwidth::Bandwidth;
use crate::clock::Clock;
use crate::ledger::Refund;
use crate::nanos::Nanos;
use crate::quota::Terms;
use crate::reservation::Charge;
use crate::sync::{Mutex, MutexGuard};

/// The most credits kept, since a refund sums them up; without one less is given back, never more.
const MAX_CREDITS: usize = 1_024;

/// The mark of a ticket whose charge was made out of line: nobody knows behind whom.
const UNPLACED: u64 = 1 << 63;

/// The charges of one word that are for later.
#[derive(Debug)]
pub(crate) struct Line(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// The starts that will be used for all that is known, each with its ticket.
    open: BTreeSet<(Nanos, u64)>,
    /// The charges given up that are not all given back, by the word after them and their ticket.
    unpaid: BTreeMap<(u64, u64), Unpaid>,
    /// The grains refunded to each ticket. They came out of its own charge, on top of those charged
    /// before it, and so do not lower what is due to them.
    credits: BTreeMap<u64, u64>,
    tickets: u64,
    /// The epoch of the units that the unpaid and the credits are counted in.
    epoch: u64,
}

#[derive(Debug)]
struct Unpaid {
    charge: Charge,
    units: u64,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Waiting::default()))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // A line left half way knows of too many that wait, never of too few.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `charge` draw what it does at `now` for `start`, later than that, with a place in line.
    pub(crate) fn charge(
        &self,
        bandwidth: &Bandwidth,
        now: Nanos,
        start: Nanos,
        charge: impl FnOnce() -> Option<Charge>,
    ) -> Option<Charge> {
        let mut waiting = self.lock();
        let ticket = waiting.ticket();
        // Before the charge, so that nobody ever sees it without its hold.
        waiting.open.insert((start, ticket));
        let charge = charge();
        if charge.is_none() {
            waiting.open.remove(&(start, ticket));
            waiting.hold(bandwidth, now);
        }
        charge.map(|charge| Charge { start, ticket, ..charge })
    }

    /// Gives back `unused` permits of a charge as far as that is sound: how many whole ones.
    ///
    /// The rest follows, uncounted, should those who wait behind give up as well.
    pub(crate) fn refund(
        &self,
        bandwidth: &Bandwidth,
        charge: &Charge,
        clock: &impl Clock,
        unused: u64,
    ) -> u64 {
        let (terms, epoch) = bandwidth.terms();
        let units = terms.debt(unused);
        let mut waiting = self.lock();
        waiting.forget_other_units(epoch);
        let last = waiting.open.last().copied();
        if units == charge.receipt.cost {
            waiting.open.remove(&(charge.start, charge.ticket));
        }
        waiting.hold(bandwidth, clock.now());
        let refunded = waiting.give(bandwidth, charge, clock, units);
        if refunded < units && charge.epoch == epoch {
            let left = Unpaid { charge: *charge, units: units - refunded };
            waiting.unpaid.insert((charge.receipt.arrival, charge.ticket), left);
        }
        if waiting.open.last().copied() != last {
            waiting.repay(bandwidth, clock, &terms);
        }
        terms.permits(refunded).min(unused)
    }

    /// Moves the start of a charge that is still to be used.
    pub(crate) fn defer(&self, bandwidth: &Bandwidth, charge: &mut Charge, start: Nanos) {
        let mut waiting = self.lock();
        if charge.ticket == 0 {
            charge.ticket = waiting.ticket() | UNPLACED;
        } else {
            waiting.open.remove(&(charge.start, charge.ticket));
        }
        charge.start = start;
        waiting.open.insert((start, charge.ticket));
        bandwidth.hold(waiting.open.last().map(|&(start, _)| start));
    }
}

impl Waiting {
    fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// Drops what was charged in another unit: what is owed of it stays owed.
    fn forget_other_units(&mut self, epoch: u64) {
        if self.epoch != epoch {
            self.unpaid.clear();
            self.credits.clear();
            self.epoch = epoch;
        }
    }

    /// Has refunds leave room for the last who will still come.
    fn hold(&mut self, bandwidth: &Bandwidth, now: Nanos) {
        while self.open.first().is_some_and(|&(start, _)| start <= now) {
            self.open.pop_first();
        }
        bandwidth.hold(self.open.last().map(|&(start, _)| start));
    }

    /// Gives back as much of `units` as is sound, and credits it to those charged before.
    fn give(
        &mut self,
        bandwidth: &Bandwidth,
        charge: &Charge,
        clock: &impl Clock,
        units: u64,
    ) -> u64 {
        let Refund { units, grains } = bandwidth.refund_units(&self.credited(charge), clock, units);
        if charge.ticket >= UNPLACED {
            return units;
        }
        if grains > 0 {
            *self.credits.entry(charge.ticket).or_default() += grains;
            if self.credits.len() > MAX_CREDITS {
                self.credits.pop_first();
            }
        } else if units > 0 {
            self.merge_credits_from(charge.ticket);
        }
        units
    }

    fn credited(&self, charge: &Charge) -> Charge {
        if charge.ticket >= UNPLACED {
            return *charge;
        }
        let behind = (Bound::Excluded(charge.ticket), Bound::Unbounded);
        let grains = self.credits.range(behind).map(|(_, grains)| grains).sum();
        Charge { receipt: charge.receipt.credited(grains), ..*charge }
    }

    /// Sums the credits of a ticket and of all behind it, now that none of them is left.
    fn merge_credits_from(&mut self, ticket: u64) {
        let grains: u64 = self.credits.split_off(&ticket).into_values().sum();
        if grains > 0 {
            self.credits.insert(ticket, grains);
        }
    }

    /// Gives back what those who waited behind kept from being given back.
    fn repay(&mut self, bandwidth: &Bandwidth, clock: &impl Clock, terms: &Terms) {
        // From the end, as long as the word can be left as if nobody had been charged at all.
        while let Some((&key, unpaid)) = self.unpaid.last_key_value() {
            let charge = self.credited(&unpaid.charge);
            if !bandwidth.unwind(&charge, unpaid.units) {
                break;
            }
            self.merge_credits_from(charge.ticket);
            self.unpaid.remove(&key);
        }
        // What the present has passed is worth nothing any more.
        let present = terms.units(clock.now());
        while self.unpaid.first_key_value().is_some_and(|(&(arrival, _), _)| arrival <= present) {
            self.unpaid.pop_first();
        }
        // Then from the front, since a refund lowers what is due to those charged after it, and
        // beginning above the hold: a charge below it is due nothing.
        let hold = self.open.last().map_or(0, |&(start, _)| terms.units(start));
        let due: Vec<_> = self.unpaid.range((hold, u64::MAX)..).map(|(&key, _)| key).collect();
        for key in due {
            if let Some(mut unpaid) = self.unpaid.remove(&key) {
                unpaid.units = unpaid.units.saturating_sub(self.give(
                    bandwidth,
                    &unpaid.charge,
                    clock,
                    unpaid.units,
                ));
                if unpaid.units > 0 {
                    self.unpaid.insert(key, unpaid);
                }
            }
        }
    }
}
