//! The direct limiter: one or several bandwidths, all or nothing.

use crate::bandwidth::{Bandwidth, InForce};
use crate::bucket;
use crate::clock::Clock;
use crate::decision::Decision;
use crate::error::ConfigError;
use crate::gcra;
use crate::nanos::Nanos;
use crate::quota::Quota;
use crate::reservation::{Charge, Charges, Grant};
use crate::sync::{Mutex, Ordering};

/// What becomes of a caller who would wait.
#[expect(clippy::large_enum_variant, reason = "lives on the stack of one call")]
#[derive(Clone, Copy, Debug)]
pub enum Admission {
    /// The permits are drawn.
    Now(Decision),
    /// The permits are charged, to be used later.
    Later(Grant),
    /// The wait would be too long, or endless; nothing is charged.
    Refused(Decision),
}

/// The most bandwidths of one limiter.
pub const MAX_BANDWIDTHS: usize = 8;

/// How often a joint charge starts over because others came between.
const ATTEMPTS: u32 = 128;

/// A rate limiter: grants while every one of its quotas does.
///
/// Decisions are lock-free and never allocate. Each reads the clock it is handed once, or takes an
/// instant in its place; only what gives permits back reads it again, after the word. Sequentially
/// decisions are exact; with several bandwidths a request may also be refused while another's
/// charge is in flight.
#[derive(Debug)]
pub struct RateLimiter {
    bandwidths: Box<[Bandwidth]>,
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
            let reason = format!("1 to {MAX_BANDWIDTHS} are possible, not {}", quotas.len());
            return Err(ConfigError::new("configs", reason));
        }
        let bandwidths = quotas.iter().map(Bandwidth::new).collect();
        Ok(Self { bandwidths, changes: Mutex::new(()) })
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

    /// Draws `count` permits if they are there; otherwise reserves them, as [`Self::reserve`] does.
    ///
    /// The same grants as reserving at once, without a receipt where nobody has to wait.
    pub fn admit(&self, clock: &impl Clock, count: u64, max_wait: Nanos) -> Admission {
        let now = clock.now();
        if let [only] = &*self.bandwidths
            && let Some(decision) = only.take(now, count, |terms, taken| {
                taken.ok().map(|word| Decision::read(terms, now, word, None))
            })
        {
            return Admission::Now(decision);
        }
        match self.reserve(clock, count, max_wait) {
            Ok((grant, decision)) if grant.execute_at() <= grant.reserved_at() => {
                Admission::Now(decision)
            }
            Ok((grant, _)) => Admission::Later(grant),
            Err(decision) => Admission::Refused(decision),
        }
    }

    /// Says what [`Self::attempt`] would say at `now`, and draws nothing.
    #[must_use]
    pub fn peek(&self, now: Nanos, count: u64) -> Decision {
        Snapshot::take(&self.bandwidths).decide(now, count)
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
        let now = clock.now();
        let mut refusal = None;
        for _ in 0..ATTEMPTS {
            let snapshot = Snapshot::take(&self.bandwidths);
            let decision = snapshot.decide(now, count);
            if decision.retry_after > max_wait || decision.retry_after == Nanos::MAX {
                return Err(decision);
            }
            let start = now + decision.retry_after;
            let (charges, whole) = snapshot.charge(now, start, count);
            if whole {
                return Ok((Grant::new(count, now, start, &charges), decision));
            }
            self.refund_all(&charges, clock, count);
            refusal = Some(Decision { allowed: false, ..decision });
        }
        // Others came between every time; nothing is charged.
        Err(refusal.unwrap_or_else(|| self.peek(now, count)))
    }

    /// Gives back what cannot break the limit of a grant that will not be used: whole permits,
    /// rounded down, and none from its start on.
    pub fn cancel(&self, grant: &Grant, clock: &impl Clock) -> u64 {
        if clock.now() >= grant.execute_at() {
            return 0;
        }
        // Read again after the words, as a refund must; a start passed meanwhile is in the present.
        self.refund_all(grant.charges(), clock, grant.count())
    }

    /// Settles a grant at what was used: permits given back, or minus those charged as debt.
    pub fn commit(&self, grant: &Grant, clock: &impl Clock, actual: u64) -> i64 {
        let signed = |permits: u64| i64::try_from(permits).unwrap_or(i64::MAX);
        let Some(unused) = grant.count().checked_sub(actual) else {
            let extra = actual - grant.count();
            for bandwidth in &self.bandwidths {
                let InForce { terms, cell, .. } = bandwidth.in_force();
                bucket::charge(&cell.word, &terms, clock.now(), terms.debt(extra));
            }
            return -signed(extra);
        };
        signed(self.refund_all(grant.charges(), clock, unused))
    }

    /// Moves the start of a grant to `start`, never before the one granted; later refunds of
    /// others leave room for it then.
    ///
    /// The promise of the limit holds for granted starts: whoever moves them may bunch calls.
    pub fn defer(&self, grant: &mut Grant, start: Nanos) {
        grant.defer(start);
        let start = grant.execute_at();
        for (bandwidth, charge) in self.bandwidths.iter().zip(grant.charges().iter()) {
            let InForce { terms, cell, epoch } = bandwidth.in_force();
            if charge.epoch == epoch {
                cell.ledger.defer_to(terms.units(start));
            }
        }
    }

    /// Puts other quotas in force from `now` on; what is owed stays owed, granted times stand.
    ///
    /// # Errors
    /// [`ConfigError`] where their number is another; then nothing changes.
    pub fn update(&self, now: Nanos, quotas: &[Quota]) -> Result<(), ConfigError> {
        if quotas.len() != self.bandwidths.len() {
            let (had, got) = (self.bandwidths.len(), quotas.len());
            let reason = format!("a limiter built with {had} keeps that number, not {got}");
            return Err(ConfigError::new("configs", reason));
        }
        // A change that panicked is a change not made: the lock guards no data.
        let _changing = self.changes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (bandwidth, quota) in self.bandwidths.iter().zip(quotas) {
            bandwidth.publish(quota, now);
        }
        Ok(())
    }

    /// Draws from every bandwidth or from none.
    #[inline(never)]
    fn take_all(&self, clock: &impl Clock, count: u64) -> Decision {
        match self.reserve(clock, count, Nanos::ZERO) {
            Ok((_, decision)) | Err(decision) => decision,
        }
    }

    /// Gives back `unused` permits of each charge as far as that is sound: the least of them.
    fn refund_all(&self, charges: &Charges, clock: &impl Clock, unused: u64) -> u64 {
        let mut least = unused;
        for (bandwidth, charge) in self.bandwidths.iter().zip(charges.iter()) {
            let InForce { terms, cell, epoch } = bandwidth.in_force();
            if charge.epoch != epoch {
                // Charged in another unit: what is owed of it stays owed.
                least = 0;
                continue;
            }
            let cost = terms.debt(unused);
            let units = cell.ledger.refund(&cell.word, &terms, clock, &charge.receipt, cost);
            least = least.min(terms.permits(units));
        }
        least
    }
}

/// A bandwidth as it was seen: what is in force, and its word.
struct Seen<'a> {
    in_force: InForce<'a>,
    word: u64,
}

impl Seen<'_> {
    fn decide(&self, now: Nanos, count: u64) -> Decision {
        let terms = &self.in_force.terms;
        let next = terms
            .cost(count)
            .and_then(|cost| gcra::step(self.word, terms.units(now), cost, terms.capacity));
        match next {
            Some(next) if count > 0 => Decision::read(terms, now, next, None),
            Some(_) => Decision::read(terms, now, self.word, None),
            None => Decision::read(terms, now, self.word, Some(count)),
        }
    }

    /// Charges for `start`, as long as that is still granted; `None` where it no longer is.
    fn charge(&self, now: Nanos, start: Nanos, count: u64) -> Option<Charge> {
        let InForce { terms, cell, epoch } = &self.in_force;
        let (present, opens) = (terms.units(now), terms.units(start));
        let (cost, capacity) = (terms.cost(count)?, terms.capacity);
        let receipt = cell.ledger.charge(&cell.word, present, opens, cost, capacity)?;
        Some(Charge { receipt, epoch: *epoch })
    }
}

/// All bandwidths as they were seen, on the stack.
struct Snapshot<'a>([Option<Seen<'a>>; MAX_BANDWIDTHS]);

impl<'a> Snapshot<'a> {
    fn take(bandwidths: &'a [Bandwidth]) -> Self {
        let mut seen = [const { None }; MAX_BANDWIDTHS];
        for (place, bandwidth) in seen.iter_mut().zip(bandwidths) {
            let in_force = bandwidth.in_force();
            // Relaxed: only to judge by; a charge reads it again.
            let word = in_force.cell.word.load(Ordering::Relaxed);
            *place = Some(Seen { in_force, word });
        }
        Self(seen)
    }

    fn iter(&self) -> impl Iterator<Item = &Seen<'a>> {
        self.0.iter().flatten()
    }

    fn decide(&self, now: Nanos, count: u64) -> Decision {
        self.iter()
            .map(|seen| seen.decide(now, count))
            .reduce(Decision::and)
            .unwrap_or(Decision::REFUSED)
    }

    /// Charges every bandwidth for `start`, up to the first that refuses, and says whether none
    /// did.
    fn charge(&self, now: Nanos, start: Nanos, count: u64) -> (Charges, bool) {
        let mut charges = Charges::default();
        for seen in self.iter() {
            let Some(charge) = seen.charge(now, start, count) else { return (charges, false) };
            charges.push(charge);
        }
        (charges, true)
    }
}
