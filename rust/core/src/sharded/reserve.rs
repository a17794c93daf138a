//! Reserving ahead of the root, and settling.
//!
//! A reservation charges the root while nothing is out, and shuts the stashes until all that is
//! owed with it is paid. So while it may give anything back, the root is the one bucket's word and
//! the ledger's rule holds as it stands.

use crate::clock::Clock;
use crate::decision::Decision;
use crate::gcra::{self, SEALED};
use crate::ledger::Receipt;
use crate::nanos::Nanos;
use crate::reservation::{Charge, Charges, Grant};
use crate::sync::{self, Ordering};

use super::draw::{ATTEMPTS, PATIENCE, seal, swap};
use super::{Out, ShardedRateLimiter, Sight};

impl ShardedRateLimiter {
    /// Charges `count` permits for the first start within `max_wait`.
    pub(super) fn charge(
        &self,
        clock: &impl Clock,
        count: u64,
        max_wait: Nanos,
    ) -> Result<(Grant, Decision), Decision> {
        for attempt in 0..ATTEMPTS {
            let Sight { in_force, turn, returned, word } = self.look();
            let (terms, root) = (in_force.terms, in_force.cell);
            let now = clock.now();
            let out = self.count();
            if turn.is_none() || root.ledger.turn() != turn {
                sync::hint();
                continue;
            }
            if out.tokens > 0 {
                self.gather(root, 0, out.tokens, &terms);
                continue;
            }
            if out.claimed > 0 && attempt < PATIENCE {
                sync::hint();
                continue;
            }

            let present = terms.units(now);
            let owed = if out.claimed > 0 { seal(word, present, out, &terms) } else { word };
            let decision = Decision::foresee(&terms, now, owed, count, SEALED);
            if decision.retry_after > max_wait || decision.retry_after == Nanos::MAX {
                return Err(decision);
            }
            let start = now + decision.retry_after;
            let charge = || {
                let none = Charge::new(Receipt::default(), in_force.epoch);
                let opens = terms.units(start);
                if opens > present {
                    root.ledger.defer_to(opens);
                }
                let Some(cost) = terms.cost(count).filter(|&cost| cost > 0) else {
                    return Some(none);
                };
                let arrival = gcra::charged(owed, opens, cost);
                // Release: seen by whoever reads the word charged after this.
                self.shut_of(in_force.epoch).fetch_max(arrival, Ordering::Release);
                if !swap(root, word, arrival) {
                    return None;
                }
                // Beside claims that may yet end as tokens, nothing is known to be free.
                let receipt = Receipt { before: word, arrival, cost, returned };
                Some(if out.claimed > 0 { none } else { Charge { receipt, ..none } })
            };
            let Some(charge) = self.whole.charge_only(now, start, charge) else { continue };
            let mut charges = Charges::default();
            charges.push(charge);
            return Ok((Grant::new(count, now, start, &charges), decision));
        }
        // Others came between every time; nothing is charged.
        let refusal = self.peek(clock.now(), count);
        Err(Decision { allowed: false, ..refusal })
    }

    /// Charges `count` permits whatever is owed already.
    ///
    /// A debt cannot be refused: after the last attempt all that may be out counts as such, and
    /// only a lost race, another's success, starts it over.
    pub(super) fn owe(&self, clock: &impl Clock, count: u64) {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Sight { in_force, turn, word, .. } = self.look();
            let (terms, root) = (in_force.terms, in_force.cell);
            let present = terms.units(clock.now());
            let mut out = self.count();
            if attempt > ATTEMPTS {
                out = Out { tokens: self.share * self.stashes.len() as u64, claimed: 0 };
            } else if turn.is_none() || root.ledger.turn() != turn || out.claimed > 0 {
                sync::hint();
                continue;
            }
            let owed = seal(word, present, out, &terms);
            if swap(root, word, gcra::charged(owed, present, terms.debt(count))) {
                return;
            }
        }
    }
}
