//! The direct limiter: one or several bandwidths, all or nothing.

use crate::bandwidth::{self, Bandwidth};
use crate::clock::Clock;
use crate::decision::Decision;
use crate::error::ConfigError;
use crate::gcra::SEALED;
use crate::joint;
use crate::line::Line;
use crate::memory::{Heap, Memory};
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
pub struct RateLimiter<M: Memory = Heap> {
    bandwidths: M::Of<Bandwidth>,
    /// Who waits for each of them; nobody else locks a line. Without lines, where others use the
    /// words as well, whose waiters nobody here knows.
    lines: Option<Box<[Line]>>,
    /// Keeps changes of the quotas apart; no decision takes it.
    changes: Mutex<()>,
}

impl RateLimiter {
    /// Builds a limiter with nothing owed.
    ///
    /// # Errors
    /// [`ConfigError`] where there is no quota, or more than [`MAX_BANDWIDTHS`].
    pub fn new(quotas: &[Quota]) -> Result<Self, ConfigError> {
        check_bandwidths(quotas.len())?;
        let bandwidths = quotas.iter().map(Bandwidth::new).collect();
        let lines = Some(quotas.iter().map(|_| Line::new()).collect());
        Ok(Self { bandwidths, lines, changes: Mutex::new(()) })
    }
}

impl<M: Memory> RateLimiter<M> {
    /// Takes words that others may use at the same time, in this process and elsewhere, each with a
    /// limiter of its own; what those promise they promise together.
    ///
    /// Of a queue that gives up less comes back than where one limiter knows all who wait, and the
    /// owner of the words keeps changes of their quotas apart.
    ///
    /// # Errors
    /// [`ConfigError`] where there is no word, or more than [`MAX_BANDWIDTHS`].
    pub fn over(bandwidths: M::Of<Bandwidth>) -> Result<Self, ConfigError> {
        check_bandwidths(bandwidths.len())?;
        Ok(Self { bandwidths, lines: None, changes: Mutex::new(()) })
    }

    /// Takes words that nobody else uses; as [`RateLimiter::new`].
    ///
    /// # Errors
    /// [`ConfigError`] where there is no word, or more than [`MAX_BANDWIDTHS`].
    pub fn alone(bandwidths: M::Of<Bandwidth>) -> Result<Self, ConfigError> {
        let limiter = Self::over(bandwidths)?;
        let lines = limiter.bandwidths.iter().map(|_| Line::new()).collect();
        Ok(Self { lines: Some(lines), ..limiter })
    }

    /// Draws `count` permits, or says no. The hot path.
    #[inline]
    pub fn try_acquire(&self, clock: &impl Clock, count: u64) -> bool {
        match &*self.bandwidths {
            [only] => only.take(clock.now(), count, |_, taken| taken.is_ok()),
            _ => self.try_take_all(clock, count),
        }
    }

    #[cold]
    fn try_take_all(&self, clock: &impl Clock, count: u64) -> bool {
        self.take_all(clock, count).allowed
    }

    /// Draws `count` permits, and says how things stand.
    pub fn attempt(&self, clock: &impl Clock, count: u64) -> Decision {
        match &*self.bandwidths {
            [only] => {
                let now = clock.now();
                let shared = self.lines.is_none();
                let mut paid_off = false;
                let decision = only.take(now, count, |terms, taken| match taken {
                    Ok(word) => {
                        let found = || word - terms.cost(count).unwrap_or(0) <= terms.units(now);
                        paid_off = shared && count > 0 && found();
                        Decision::granted(terms, now, word)
                    }
                    Err(word) => Decision::refused(terms, now, word, count, SEALED),
                });
                if paid_off {
                    only.end_dead_turn();
                }
                decision
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
            for bandwidth in self.bandwidths.iter() {
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
        let charges = grant.charges_mut().iter_mut().enumerate();
        for ((index, charge), bandwidth) in charges.zip(self.bandwidths.iter()) {
            match self.line(index) {
                Some(line) => line.defer(bandwidth, charge, start),
                None => bandwidth.defer(start),
            }
        }
    }

    /// Puts other quotas in force from `now` on; what is owed stays owed, granted times stand.
    ///
    /// # Errors
    /// [`ConfigError`] where their number is another, and where others use the words and the unit of
    /// one cannot serve: a rate may fall to a thousandth and rise at least fourfold. Then nothing
    /// changes.
    pub fn update(&self, now: Nanos, quotas: &[Quota]) -> Result<(), ConfigError> {
        bandwidth::check_number(&self.bandwidths, quotas)?;
        // A change that panicked is a change not made: the lock guards no data.
        let _changing = self.changes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if self.lines.is_none() {
            return bandwidth::publish_all(&self.bandwidths, quotas, now);
        }
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
        for (index, bandwidth) in self.bandwidths.iter().enumerate() {
            let charge = || bandwidth.charge(now, start, count);
            let charge = match self.line(index) {
                Some(line) if start > now => line.charge(bandwidth, now, start, charge),
                _ => charge(),
            };
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
        match (&*self.bandwidths, self.line(0)) {
            ([only], Some(line)) if start > now => line.charge(only, now, start, charge),
            _ => charge(),
        }
    }

    /// Gives back `unused` permits of each charge as far as that is sound: the least of them.
    pub(crate) fn refund(&self, charges: &Charges, clock: &impl Clock, unused: u64) -> u64 {
        let charges = charges.iter().enumerate();
        let refunds = charges.zip(self.bandwidths.iter()).map(|((index, charge), bandwidth)| {
            match self.line(index) {
                Some(line) if charge.ticket != 0 => line.refund(bandwidth, charge, clock, unused),
                _ => bandwidth.refund(charge, clock, unused),
            }
        });
        refunds.min().unwrap_or(0)
    }

    fn line(&self, index: usize) -> Option<&Line> {
        self.lines.as_ref().map(|lines| &lines[index])
    }
}

/// Says whether a limiter can have so many bandwidths.
///
/// # Errors
/// [`ConfigError`] where it cannot.
pub fn check_bandwidths(number: usize) -> Result<(), ConfigError> {
    if (1..=MAX_BANDWIDTHS).contains(&number) {
        return Ok(());
    }
    Err(ConfigError::new("configs", format!("must be 1 to {MAX_BANDWIDTHS}, not {number}")))
}

#[cfg(all(test, not(loom)))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;
    use crate::rate::Rate;

    /// A permit a second, two at once; somebody died while it gave permits back.
    fn abandoned() -> RateLimiter {
        let quota = Quota::new(Rate::per(1, Nanos::from_secs(1)).unwrap(), 2).unwrap();
        let limiter = RateLimiter::<Heap>::over(Box::new([Bandwidth::new(&quota)])).unwrap();
        assert!(limiter.try_acquire(&Nanos::ZERO, 2));
        assert!(limiter.bandwidths[0].in_force().cell.ledger.begin_turn().is_some());
        limiter
    }

    fn given_back(limiter: &RateLimiter, now: Nanos) -> u64 {
        let (grant, _) = limiter.reserve(&now, 1, Nanos::MAX).unwrap();
        limiter.cancel(&grant, &now)
    }

    #[test]
    fn a_dead_refund_keeps_others_from_giving_back_while_anything_is_owed() {
        assert_eq!(given_back(&abandoned(), Nanos::from_secs(1)), 0);
    }

    #[test]
    fn a_draw_that_finds_nothing_owed_ends_the_turn_of_a_dead_refund() {
        let limiter = abandoned();
        let now = Nanos::from_secs(2);
        assert!(limiter.attempt(&now, 2).allowed);
        assert_eq!(given_back(&limiter, now), 1);
    }

    #[test]
    fn who_draws_nothing_ends_no_turn() {
        let limiter = abandoned();
        assert!(limiter.attempt(&Nanos::from_secs(2), 0).allowed);
        assert_eq!(limiter.bandwidths[0].in_force().cell.ledger.turn(), None);
    }

    #[test]
    fn a_draw_that_finds_something_owed_ends_no_turn() {
        let limiter = abandoned();
        let now = Nanos::from_secs(1);
        assert!(limiter.attempt(&now, 1).allowed);
        assert_eq!(given_back(&limiter, now), 0);
    }
}
