//! The direct limiter: one or several bandwidths, all or nothing.

use crate::bandwidth::Bandwidth;
use crate::clock::Clock;
use crate::decision::Decision;
use crate::error::ConfigError;
use crate::joint;
use crate::line::Line;
use crate::nanos::Nanos;
use crate::quota::Quota;
use crate::reservation::{Charge, Charges, Grant};
use crate::sync::Mutex;

/// The most bandwidths of one limiter.
pub const MAX_BANDWIDTHS: usize = 8;

/// A rate limiter: grants while every one of its quotas does.
///
/// Decisions are lock-free and never allocate; only who waits, or gives that up, stands in line.
/// Each reads the clock it is handed once, or takes an instant in its place; only what gives permits
/// back reads it again, after the word. Sequentially decisions are exact; with several bandwidths a
/// request may also be refused while another's charge is in flight.
#[derive(Debug)]
pub struct RateLimiter {
    bandwidths: Box<[Bandwidth]>,
    /// Who waits for each of them; nobody else locks a line.
    lines: Box<[Line]>,
    /// Keeps changes of the quotas apart; no decision takes it.
    changes: Mutex<()>,
}

impl RateLimiter {
    /// Builds a limiter with nothing owed.
    ///
    /// # Errors
    /// [`ConfigError`] where there is no quota, or more than [`MAX_BANDWIDTHS`].
    pub fn new(quotas: &[Quota]) -> Result<Self, ConfigError> {
        if quotas.is_empty() || quotas.len() > MAX_BANDWIDTHS {
            let reason = format!("must be 1 to {MAX_BANDWIDTHS}, not {}", quotas.len());
            return Err(ConfigError::new("configs", reason));
        }
        let bandwidths = quotas.iter().map(Bandwidth::new).collect();
        let lines = quotas.iter().map(|_| Line::new()).collect();
        Ok(Self { bandwidths, lines, changes: Mutex::new(()) })
    }

    /// Draws `count` permits, or says no. The hot path.
    #[inline]
    pub fn try_acquire(&self, clock: &impl Clock, count: u64) -> bool {
        match &*self.bandwidths {
            [only] => only.take(clock.now(), count, |_, taken| taken.is_ok()),
            _ => self.take_all(clock, count).allowed,
        }
    }

    /// Draws `count` permits, and says how things stand.
    pub fn attempt(&self, clock: &impl Clock, count: u64) -> Decision {
        match &*self.bandwidths {
            [only] => {
                let now = clock.now();
                only.take(now, count, |terms, taken| match taken {
                    Ok(word) => Decision::read(terms, now, word, None),
                    Err(word) => Decision::read(terms, now, word, Some(count)),
                })
            }
            _ => self.take_all(clock, count),
        }
    }

    /// Says what [`Self::attempt`] would say at `now`, and draws nothing.
    #[must_use]
    pub fn peek(&self, now: Nanos, count: u64) -> Decision {
        let decisions = self.bandwidths.iter().map(|bandwidth| bandwidth.judge(now, count));
        decisions.reduce(Decision::and).unwrap_or(Decision::REFUSED)
    }

    /// Charges `count` permits at once for the first start that every quota allows, if that is no
    /// later than `max_wait` from now; otherwise charges nothing and says how things stand.
    ///
    /// # Errors
    /// The refusing [`Decision`]; its `retry_after` is the wait that was too long.
    pub fn reserve(
        &self,
        clock: &impl Clock,
        count: u64,
        max_wait: Nanos,
    ) -> Result<(Grant, Decision), Decision> {
        let judge = |now| self.peek(now, count);
        let charge = |now, start| self.charge(now, start, count);
        let undo = |charges: &Charges| {
            self.refund(charges, clock, count);
        };
        let joint::Draw { charges, now, start, decision } =
            joint::draw(clock, max_wait, judge, charge, undo)?;
        Ok((Grant::new(count, now, start, &charges), decision))
    }

    /// Gives back what cannot break the limit of a grant that will not be used: whole permits,
    /// rounded down, and none from its start on.
    pub fn cancel(&self, grant: &Grant, clock: &impl Clock) -> u64 {
        if clock.now() >= grant.execute_at() {
            return 0;
        }
        // Read again after the words, as a refund must; a start passed meanwhile is in the present.
        self.refund(grant.charges(), clock, grant.count())
    }

    /// Settles a grant at what was used: permits given back, or minus those charged as debt.
    pub fn commit(&self, grant: &Grant, clock: &impl Clock, actual: u64) -> i64 {
        let signed = |permits: u64| i64::try_from(permits).unwrap_or(i64::MAX);
        let Some(unused) = grant.count().checked_sub(actual) else {
            let extra = actual - grant.count();
            for bandwidth in &self.bandwidths {
                bandwidth.charge_debt(clock.now(), extra);
            }
            return -signed(extra);
        };
        signed(self.refund(grant.charges(), clock, unused))
    }

    /// Moves the start of a grant to `start`, never before the one granted; later refunds of
    /// others leave room for it then.
    ///
    /// The promise of the limit holds for granted starts: whoever moves them may bunch calls.
    pub fn defer(&self, grant: &mut Grant, start: Nanos) {
        grant.defer(start);
        let start = grant.execute_at();
        let words = self.bandwidths.iter().zip(&self.lines);
        for ((bandwidth, line), charge) in words.zip(grant.charges_mut().iter_mut()) {
            line.defer(bandwidth, charge, start);
        }
    }

    /// Puts other quotas in force from `now` on; what is owed stays owed, granted times stand.
    ///
    /// # Errors
    /// [`ConfigError`] where their number is another; then nothing changes.
    pub fn update(&self, now: Nanos, quotas: &[Quota]) -> Result<(), ConfigError> {
        if quotas.len() != self.bandwidths.len() {
            let (had, got) = (self.bandwidths.len(), quotas.len());
            let reason = format!("must be as many as the limiter was built with, {had}, not {got}");
            return Err(ConfigError::new("configs", reason));
        }
        // A change that panicked is a change not made: the lock guards no data.
        let _changing = self.changes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (bandwidth, quota) in self.bandwidths.iter().zip(quotas) {
            bandwidth.publish(quota, now);
        }
        Ok(())
    }

    /// The first of the bandwidths; there is one.
    pub(crate) fn first(&self) -> &Bandwidth {
        &self.bandwidths[0]
    }

    /// Draws from every bandwidth or from none.
    #[inline(never)]
    fn take_all(&self, clock: &impl Clock, count: u64) -> Decision {
        match self.reserve(clock, count, Nanos::ZERO) {
            Ok((_, decision)) | Err(decision) => decision,
        }
    }

    /// Charges every bandwidth for `start`, up to the first that no longer grants it, and says
    /// whether none did.
    pub(crate) fn charge(&self, now: Nanos, start: Nanos, count: u64) -> (Charges, bool) {
        let mut charges = Charges::default();
        for (bandwidth, line) in self.bandwidths.iter().zip(&self.lines) {
            let charge = || bandwidth.charge(now, start, count);
            let charge =
                if start > now { line.charge(bandwidth, now, start, charge) } else { charge() };
            let Some(charge) = charge else { return (charges, false) };
            charges.push(charge);
        }
        (charges, true)
    }

    /// Has `charge` draw from the only bandwidth at `now` for `start`, in line where that is later.
    pub(crate) fn charge_only(
        &self,
        now: Nanos,
        start: Nanos,
        charge: impl FnOnce() -> Option<Charge>,
    ) -> Option<Charge> {
        match (&*self.bandwidths, &*self.lines) {
            ([only], [line]) if start > now => line.charge(only, now, start, charge),
            _ => charge(),
        }
    }

    /// Gives back `unused` permits of each charge as far as that is sound: the least of them.
    pub(crate) fn refund(&self, charges: &Charges, clock: &impl Clock, unused: u64) -> u64 {
        let words = self.bandwidths.iter().zip(&self.lines);
        let refunds = words.zip(charges.iter()).map(|((bandwidth, line), charge)| {
            if charge.ticket == 0 {
                bandwidth.refund(charge, clock, unused)
            } else {
                line.refund(bandwidth, charge, clock, unused)
            }
        });
        refunds.min().unwrap_or(0)
    }
}
