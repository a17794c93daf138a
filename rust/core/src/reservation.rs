//! What a reservation keeps: when to act, and the receipts by which it settles.

use crate::ledger::Receipt;
use crate::limiter::MAX_BANDWIDTHS;
use crate::nanos::Nanos;

/// One bandwidth's part of a grant: its receipt, and the epoch of the unit it is written in; where
/// it stands in line with a ticket, not 0, also the start it waits for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Charge {
    pub(crate) receipt: Receipt,
    pub(crate) epoch: u64,
    pub(crate) start: Nanos,
    pub(crate) ticket: u64,
}

impl Charge {
    /// A charge that stands in no line.
    pub(crate) fn new(receipt: Receipt, epoch: u64) -> Self {
        Self { receipt, epoch, ..Self::default() }
    }
}

/// The charges of one grant, a bandwidth each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Charges {
    charges: [Charge; MAX_BANDWIDTHS],
    len: usize,
}

impl Charges {
    pub(crate) fn push(&mut self, charge: Charge) {
        self.charges[self.len] = charge;
        self.len += 1;
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Charge> {
        self.charges[..self.len].iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Charge> {
        self.charges[..self.len].iter_mut()
    }
}

/// Permits charged at `reserved_at`, to be used from `execute_at` on.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    count: u64,
    reserved_at: Nanos,
    granted_at: Nanos,
    execute_at: Nanos,
    charges: Charges,
}

impl Grant {
    pub(crate) fn new(
        count: u64,
        reserved_at: Nanos,
        granted_at: Nanos,
        charges: &Charges,
    ) -> Self {
        Self { count, reserved_at, granted_at, execute_at: granted_at, charges: *charges }
    }

    /// The permits charged.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The instant of the charge.
    #[must_use]
    pub fn reserved_at(&self) -> Nanos {
        self.reserved_at
    }

    /// The first instant at which the permits may be used: the one granted, unless deferred.
    #[must_use]
    pub fn execute_at(&self) -> Nanos {
        self.execute_at
    }

    pub(crate) fn defer(&mut self, start: Nanos) {
        self.execute_at = start.max(self.granted_at);
    }

    pub(crate) fn charges(&self) -> &Charges {
        &self.charges
    }

    pub(crate) fn charges_mut(&mut self) -> &mut Charges {
        &mut self.charges
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_changed_of_a_grants_charges_stays_changed() {
        let mut charges = Charges::default();
        for ticket in [3, 7] {
            charges.push(Charge { ticket, ..Charge::default() });
        }
        let mut grant = Grant::new(2, Nanos::ZERO, Nanos::ZERO, &charges);
        for charge in grant.charges_mut().iter_mut() {
            charge.start = Nanos::new(charge.ticket);
        }
        let seen: Vec<_> = grant.charges().iter().map(|it| (it.ticket, it.start.get())).collect();
        assert_eq!(seen, [(3, 3), (7, 7)]);
    }
}
