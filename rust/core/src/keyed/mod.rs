//! The keyed limiter: millions of keys in one table of fixed size, each with a limit of its own.
//!
//! A key's word lives in a slot of 16 bytes with one bandwidth, and 8 more for each further one. A
//! slot that owes nothing cannot be told from a key never seen, so a new key may take it; nothing
//! is swept, grown or allocated. Where every slot in reach is in debt, new keys share the overflow,
//! one more bucket, so that they are denied more and never less; and a slot begins with what the
//! overflow owes, since its key may have been there.
//!
//! A tag and a word are two atomics. A takeover claims the word, then moves the tag, and the first
//! charge settles the claim: whoever finds one of these steps done goes on with the next, so that
//! nobody waits for a thread that was stopped, and a killed one costs nothing. A charge looks at
//! the tag once more after the word: where the slot has changed hands it counts for nothing.

mod charge;
mod standing;
mod table;
#[cfg(all(test, not(loom)))]
mod tests;
mod word;

use crate::bandwidth::{self, Bandwidth};
use crate::clock::Clock;
use crate::decision::Decision;
use crate::error::ConfigError;
use crate::fingerprint::{Fingerprint, Seed};
pub use crate::ledger::Ledger;
use crate::limiter::{MAX_BANDWIDTHS, check_bandwidths};
use crate::memory::{Heap, Memory};
use crate::nanos::Nanos;
use crate::quota::Quota;
use crate::reservation::{Charges, Grant};
use crate::sync::{AtomicU64, Mutex, Ordering};

use standing::Standing;
pub use table::Line;
use table::{Seat, Table};
use word::{CLAIMED, LAST};

/// The most keys of one limiter: 6 GB of slots.
const MAX_KEYS: usize = 1 << 28;

/// The fewest ledgers of a table that has as many slots, and the slots that share one in a larger.
const LEDGERS: usize = 1_024;
const SLOTS_PER_LEDGER: usize = 64;

/// Where a key was charged.
#[derive(Clone, Copy, Debug)]
enum Place {
    Slot(Seat),
    Overflow,
}

/// Permits charged to a key, to be used from [`KeyedGrant::grant`]'s start on.
#[derive(Clone, Copy, Debug)]
pub struct KeyedGrant {
    grant: Grant,
    key: Fingerprint,
    place: Place,
}

impl KeyedGrant {
    /// What was granted, and when.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Whose permits they are.
    #[must_use]
    pub fn key(&self) -> Fingerprint {
        self.key
    }
}

/// How many words of each kind the limiter of so many keys takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dimensions {
    /// Quotas, and words of a slot.
    pub bandwidths: usize,
    /// Lines of slots.
    pub lines: usize,
    /// Ledgers of all bandwidths.
    pub ledgers: usize,
    groups: usize,
}

impl Dimensions {
    /// Makes room for `max_keys` under so many quotas.
    ///
    /// # Errors
    /// [`ConfigError`] where there is no quota or more than [`MAX_BANDWIDTHS`], and where
    /// `max_keys` is 0 or above 2^28.
    pub fn new(max_keys: usize, bandwidths: usize) -> Result<Self, ConfigError> {
        check_bandwidths(bandwidths)?;
        if !(1..=MAX_KEYS).contains(&max_keys) {
            let reason = format!("must be from 1 to {MAX_KEYS}, not {max_keys}");
            return Err(ConfigError::new("max_keys", reason));
        }
        let (groups, lines) = table::dimensions(max_keys, bandwidths);
        let slots = groups * table::GROUP;
        let ledgers = slots.min((slots / SLOTS_PER_LEDGER).max(LEDGERS)) * bandwidths;
        Ok(Self { bandwidths, lines, ledgers, groups })
    }
}

/// All words of a keyed limiter, wherever they live. Lines, ledgers and the count begin as zeros.
#[derive(Debug)]
pub struct Words<M: Memory> {
    /// The terms in force, and the words of the overflow.
    pub bandwidths: M::Of<Bandwidth>,
    /// The slots.
    pub lines: M::Of<Line>,
    /// What refunds must know of each other.
    pub ledgers: M::Of<Ledger>,
    /// The decisions of the overflow: one count.
    pub overflowed: M::Of<AtomicU64>,
}

impl Words<Heap> {
    /// Makes them on the heap.
    ///
    /// # Errors
    /// [`ConfigError`] on `max_keys` where the memory does not suffice.
    pub fn new(dimensions: Dimensions, quotas: &[Quota]) -> Result<Self, ConfigError> {
        let Some(lines) = table::lines(dimensions.lines) else {
            let reason = "must leave memory for so many keys, and there is none";
            return Err(ConfigError::new("max_keys", reason));
        };
        Ok(Self {
            bandwidths: quotas.iter().map(Bandwidth::new).collect(),
            lines,
            ledgers: (0..dimensions.ledgers).map(|_| Ledger::new()).collect(),
            overflowed: Box::new([AtomicU64::new(0)]),
        })
    }
}

/// A rate limiter for each of many keys, all under the same quotas.
///
/// Decisions are lock-free and never allocate; see [`crate::RateLimiter`] for the meaning of each.
/// A decision on a known key costs a cache miss above one on a single limiter. A key takes 23.4
/// bytes of a full table with one bandwidth, the ledgers of reservations included.
#[derive(Debug)]
pub struct KeyedRateLimiter<M: Memory = Heap> {
    /// The terms in force, and the words of the overflow.
    bandwidths: M::Of<Bandwidth>,
    table: Table<M>,
    /// What refunds must know of each other. Slots that share a ledger bound each other's refunds:
    /// less may go back than could, never more.
    ledgers: M::Of<Ledger>,
    /// How many decisions the overflow made: one count.
    overflowed: M::Of<AtomicU64>,
    /// Keeps changes of the quotas apart; no decision takes it.
    changes: Mutex<()>,
}

impl KeyedRateLimiter {
    /// Builds a limiter with room for `max_keys` that owe something at once.
    ///
    /// # Errors
    /// [`ConfigError`] where there is no quota or more than [`MAX_BANDWIDTHS`], and where
    /// `max_keys` is 0, above 2^28 or beyond the memory.
    pub fn new(quotas: &[Quota], max_keys: usize, seed: Seed) -> Result<Self, ConfigError> {
        let dimensions = Dimensions::new(max_keys, quotas.len())?;
        Ok(Self::over(dimensions, Words::new(dimensions, quotas)?, seed))
    }
}

impl<M: Memory> KeyedRateLimiter<M> {
    /// Takes words that others may use at the same time, in this process and elsewhere, each with a
    /// limiter of its own and the same seed; their owner keeps changes of their quotas apart.
    ///
    /// # Panics
    /// Where the words are not as many as `dimensions` says.
    pub fn over(dimensions: Dimensions, words: Words<M>, seed: Seed) -> Self {
        let Words { bandwidths, lines, ledgers, overflowed } = words;
        let sizes = [bandwidths.len(), lines.len(), ledgers.len(), overflowed.len()];
        let Dimensions { bandwidths: number, .. } = dimensions;
        assert_eq!(sizes, [number, dimensions.lines, dimensions.ledgers, 1]);
        let table = Table::over(lines, dimensions.groups, number, seed);
        Self { bandwidths, table, ledgers, overflowed, changes: Mutex::new(()) }
    }

    /// What makes the fingerprints of this limiter's keys.
    #[inline]
    #[must_use]
    pub fn seed(&self) -> &Seed {
        self.table.seed()
    }

    /// Draws `count` permits of `key`, or says no. The hot path.
    #[inline]
    pub fn try_acquire(&self, clock: &impl Clock, key: Fingerprint, count: u64) -> bool {
        // To read the clock takes a fifth of the time in which a line comes from memory.
        let home = self.table.fetch_home(key);
        let now = clock.now();
        match self.draw(now, (key, home), count, |_, drawn| drawn.is_ok()) {
            Some(allowed) => allowed,
            None => self.take_all(clock, now, key, count).allowed,
        }
    }

    /// Draws `count` permits of `key`, and says how things stand.
    pub fn attempt(&self, clock: &impl Clock, key: Fingerprint, count: u64) -> Decision {
        // As in `try_acquire`.
        let home = self.table.fetch_home(key);
        let now = clock.now();
        let drawn = self.draw(now, (key, home), count, |terms, drawn| match drawn {
            Ok(word) => Decision::granted(terms, now, word),
            Err(word) => Decision::refused(terms, now, word, count, LAST),
        });
        drawn.unwrap_or_else(|| self.take_all(clock, now, key, count))
    }

    /// Says what [`Self::attempt`] would say at `now`, and draws nothing.
    #[must_use]
    pub fn peek(&self, now: Nanos, key: Fingerprint, count: u64) -> Decision {
        let standing = match self.table.find(self.table.reach(key), key) {
            Some(seat) => Standing::<MAX_BANDWIDTHS>::glance(self, seat),
            None => Standing::without_slot(self),
        };
        standing.decide(now, count)
    }

    /// Charges `count` permits of `key` at once for the first start that every quota allows, if
    /// that is no later than `max_wait` from now; otherwise charges nothing.
    ///
    /// # Errors
    /// The refusing [`Decision`]; its `retry_after` is the wait that was too long.
    pub fn reserve(
        &self,
        clock: &impl Clock,
        key: Fingerprint,
        count: u64,
        max_wait: Nanos,
    ) -> Result<(KeyedGrant, Decision), Decision> {
        self.charge(clock, clock.now(), key, count, Some(max_wait))
    }

    /// Gives back what cannot break the limit of a grant that will not be used: whole permits,
    /// rounded down, and none from its start on.
    pub fn cancel(&self, grant: &KeyedGrant, clock: &impl Clock) -> u64 {
        if clock.now() >= grant.grant.execute_at() {
            return 0;
        }
        let charges = grant.grant.charges();
        self.refund_all(charges, grant.place, clock, grant.grant.count())
    }

    /// Settles a grant at what was used: permits given back, or minus those charged as debt.
    pub fn commit(&self, grant: &KeyedGrant, clock: &impl Clock, actual: u64) -> i64 {
        let signed = |permits: u64| i64::try_from(permits).unwrap_or(i64::MAX);
        let count = grant.grant.count();
        if let Some(unused) = count.checked_sub(actual) {
            return signed(self.refund_all(grant.grant.charges(), grant.place, clock, unused));
        }
        let extra = actual - count;
        let _ = self.charge(clock, clock.now(), grant.key, extra, None);
        -signed(extra)
    }

    /// Moves the start of a grant to `start`, never before the one granted; later refunds of
    /// others leave room for it then. See [`crate::RateLimiter::defer`].
    pub fn defer(&self, grant: &mut KeyedGrant, start: Nanos) {
        grant.grant.defer(start);
        if self.holds(grant.place) {
            for (place, bandwidth) in self.bandwidths.iter().enumerate() {
                let in_force = bandwidth.in_force();
                let ledger = match grant.place {
                    Place::Slot(seat) => self.ledger(seat, place),
                    Place::Overflow => &in_force.cell.ledger,
                };
                ledger.defer_to(in_force.terms.units(grant.grant.execute_at()));
            }
        }
    }

    /// Puts other quotas in force for every key from `now` on; what is owed stays owed, granted
    /// times stand.
    ///
    /// # Errors
    /// [`ConfigError`] where their number is another, or where the unit of the words cannot serve
    /// one: a rate may fall to a thousandth and rise at least fourfold. Then nothing changes.
    pub fn update(&self, now: Nanos, quotas: &[Quota]) -> Result<(), ConfigError> {
        bandwidth::check_number(&self.bandwidths, quotas)?;
        // A change that panicked is a change not made: the lock guards no data.
        let _changing = self.changes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        bandwidth::publish_all(&self.bandwidths, quotas, now)
    }

    /// How many decisions were made by the overflow, because every slot in reach was in debt.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed[0].load(Ordering::Relaxed)
    }

    /// How many keys fit at a load of 100 %, a little above `max_keys` / 0.7.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.table.slots()
    }

    /// How many slots owe something at `now`: a walk over the whole table, some 2 ns a slot.
    #[must_use]
    pub fn slots_in_use(&self, now: Nanos) -> usize {
        let presents = self.presents(now);
        let presents = &presents[..self.bandwidths.len()];
        (0..self.table.slots()).filter(|slot| self.table.is_in_debt(*slot, presents)).count()
    }

    /// The memory it takes, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + self.table.size()
            + size_of_val(&*self.bandwidths)
            + size_of_val(&*self.ledgers)
    }

    fn presents(&self, now: Nanos) -> [u64; MAX_BANDWIDTHS] {
        let mut presents = [0; MAX_BANDWIDTHS];
        for (present, bandwidth) in presents.iter_mut().zip(self.bandwidths.iter()) {
            *present = bandwidth.apply(now, |_, present| present);
        }
        presents
    }

    /// The ledger of a slot's word: its own, or one that it shares.
    fn ledger(&self, seat: Seat, bandwidth: usize) -> &Ledger {
        let shared = self.ledgers.len() / self.bandwidths.len();
        &self.ledgers[seat.slot % shared * self.bandwidths.len() + bandwidth]
    }

    fn holds(&self, place: Place) -> bool {
        match place {
            Place::Slot(seat) => self.table.is_held(seat),
            Place::Overflow => true,
        }
    }

    /// Gives back `unused` permits of each charge as far as that is sound: the least of them.
    fn refund_all(&self, charges: &Charges, place: Place, clock: &impl Clock, unused: u64) -> u64 {
        if !self.holds(place) {
            // The slot has changed hands: what was owed is paid off.
            return 0;
        }
        let mut least = unused;
        for ((index, bandwidth), charge) in self.bandwidths.iter().enumerate().zip(charges.iter()) {
            let in_force = bandwidth.in_force();
            let (word, ledger) = match place {
                Place::Slot(seat) => (self.table.word(seat.slot, index), self.ledger(seat, index)),
                Place::Overflow => (&in_force.cell.word, &in_force.cell.ledger),
            };
            let (terms, cost) = (&in_force.terms, in_force.terms.debt(unused));
            let refund = ledger.refund_below(CLAIMED, word, terms, clock, &charge.receipt, cost);
            least = least.min(terms.permits(refund.units));
        }
        least
    }
}
