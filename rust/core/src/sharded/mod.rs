//! One limit over many threads: a root word, and a stash of drawn permits for each shard.
//!
//! The root is the word of one bucket with the whole burst. Permits drawn from it ahead lie in the
//! stashes; what is owed in truth is the root's word less what is *out*, in stashes or in the hands
//! of a call. So every decision is the one bucket's, whichever words it takes to make it:
//!
//! - *Fast path:* one compare-and-swap on the stash of a key, while the root is neither full nor in
//!   debt.
//! - *Refill:* a draw from the root that takes along what fills the stash.
//! - *Seal:* a full bucket earns nothing more, so a draw from the root first lifts its word to the
//!   present and what is out.
//! - *Gather:* where the root has too little, stashes return to it what they hold.
//!
//! The promise rests on the order of the reads, told in `docs/explanation/sharding.md` and checked
//! in `tests/loom_sharded.rs`. Two choices a key after Mitzenmacher, "The Power of Two Choices in
//! Randomized Load Balancing" (2001).

mod draw;
mod reserve;
mod stash;

use crate::bandwidth::{Bandwidth, InForce};
use crate::clock::Clock;
use crate::decision::Decision;
use crate::error::ConfigError;
use crate::fingerprint::Fingerprint;
use crate::gcra::SEALED;
use crate::limiter::RateLimiter;
use crate::nanos::Nanos;
use crate::quota::{Quota, Terms};
use crate::reservation::Grant;
use crate::sync::{AtomicU64, Ordering};

use stash::{MOST, Stash};

/// How many times as much as the stashes a burst holds at least; else there are none. A model has
/// few permits.
const SPREAD: u64 = if cfg!(loom) { 4 } else { 64 };

/// The most shards of one limiter.
pub const MAX_SHARDS: usize = 1 << 16;

/// A rate limiter whose one limit holds over all keys, for many threads at once.
///
/// In any window it admits no more than burst + rate × window. One call after another, it decides
/// as [`RateLimiter`] does; beside others, a call may be refused while they have the missing
/// permits in their hands, and one suspended in a refill for as long as the bucket takes to fill up
/// costs that fill the room it claimed. Draws neither lock nor allocate, and their loops are
/// bounded. A shard takes 128 bytes, and pays where each thread draws under a key of its own.
#[derive(Debug)]
pub struct ShardedRateLimiter {
    /// The root: one bucket with the whole burst.
    whole: RateLimiter,
    stashes: Box<[Stash]>,
    /// The most permits of a stash; none where the burst is too small to spread.
    share: u64,
    /// No stash is filled before these units, of even and of odd epochs: a reservation may still
    /// give permits back.
    shut: [AtomicU64; 2],
}

/// What is out, as it was seen.
#[derive(Clone, Copy, Debug, Default)]
struct Out {
    /// In the stashes, for anyone to draw.
    tokens: u64,
    /// In the hands of calls under way, or about to be.
    claimed: u64,
}

/// The root as it was seen, in this order.
struct Sight<'a> {
    in_force: InForce<'a>,
    /// The turn to lower the word.
    turn: Option<u64>,
    /// The refunds by then.
    returned: u64,
    word: u64,
}

impl ShardedRateLimiter {
    /// Builds a limiter with nothing owed.
    ///
    /// # Errors
    /// [`ConfigError`] on `shards` unless there are 1 to [`MAX_SHARDS`].
    pub fn new(quota: &Quota, shards: usize) -> Result<Self, ConfigError> {
        if shards == 0 || shards > MAX_SHARDS {
            let reason = format!("must be 1 to {MAX_SHARDS}");
            return Err(ConfigError::new("shards", reason));
        }
        // Alone a stash only adds to the work, and without a limit there is nothing to draw.
        let spread = if shards > 1 && quota.terms(Nanos::ZERO, 0).unit > 0 { SPREAD } else { 0 };
        let share = quota.burst().checked_div(spread * shards as u64).unwrap_or(0).min(MOST);
        Ok(Self {
            whole: RateLimiter::new(&[*quota])?,
            stashes: (0..shards).map(|_| Stash::new()).collect(),
            share,
            shut: [0; 2].map(AtomicU64::new),
        })
    }

    /// Draws `count` permits for `key`, or says no. The hot path.
    ///
    /// Equal keys meet in the same two shards; which key it is makes no other difference.
    #[inline]
    pub fn try_acquire(&self, clock: &impl Clock, key: Fingerprint, count: u64) -> bool {
        if self.share == 0 {
            return self.whole.try_acquire(clock, count);
        }
        self.draw(clock, key, count).refused.is_none()
    }

    /// Draws `count` permits for `key`, and says how things stand.
    pub fn attempt(&self, clock: &impl Clock, key: Fingerprint, count: u64) -> Decision {
        if self.share == 0 {
            return self.whole.attempt(clock, count);
        }
        let drawn = self.draw(clock, key, count);
        if let Some(word) = drawn.refused {
            return Decision::refused(&drawn.terms, drawn.now, word, count, SEALED);
        }
        let (terms, owed) = self.owed();
        Decision::granted(&terms, drawn.now, owed)
    }

    /// Says what [`Self::attempt`] would say at `now`, and draws nothing.
    #[must_use]
    pub fn peek(&self, now: Nanos, count: u64) -> Decision {
        let (terms, owed) = self.owed();
        Decision::foresee(&terms, now, owed, count, SEALED)
    }

    /// Charges `count` permits at once for the first start that the quota allows, if that is no
    /// later than `max_wait` from now; otherwise charges nothing and says how things stand.
    ///
    /// The stashes return what they hold first, and stay empty until what is owed with this
    /// reservation is paid: meanwhile every call goes to the root.
    ///
    /// # Errors
    /// The refusing [`Decision`]; its `retry_after` is the wait that was too long.
    pub fn reserve(
        &self,
        clock: &impl Clock,
        count: u64,
        max_wait: Nanos,
    ) -> Result<(Grant, Decision), Decision> {
        if self.share == 0 {
            return self.whole.reserve(clock, count, max_wait);
        }
        self.charge(clock, count, max_wait)
    }

    /// Gives back what cannot break the limit of a grant that will not be used: whole permits,
    /// rounded down, and none from its start on.
    pub fn cancel(&self, grant: &Grant, clock: &impl Clock) -> u64 {
        self.whole.cancel(grant, clock)
    }

    /// Settles a grant at what was used: permits given back, or minus those charged as debt.
    pub fn commit(&self, grant: &Grant, clock: &impl Clock, actual: u64) -> i64 {
        match actual.checked_sub(grant.count()) {
            Some(extra) if extra > 0 && self.share > 0 => {
                self.owe(clock, extra);
                -i64::try_from(extra).unwrap_or(i64::MAX)
            }
            _ => self.whole.commit(grant, clock, actual),
        }
    }

    /// Moves the start of a grant to `start`, never before the one granted; later refunds of
    /// others leave room for it then.
    ///
    /// The promise of the limit holds for granted starts: whoever moves them may bunch calls.
    pub fn defer(&self, grant: &mut Grant, start: Nanos) {
        self.whole.defer(grant, start);
    }

    /// Puts another quota in force from `now` on; what is owed stays owed, granted times stand.
    ///
    /// The stashes return what they hold, and keep the size they were built with.
    pub fn update(&self, now: Nanos, quota: &Quota) {
        let Sight { in_force, .. } = self.look();
        self.gather(in_force.cell, 0, self.count().tokens, &in_force.terms);
        // Relaxed: the version that puts the epoch in force orders it.
        self.shut_of(in_force.epoch.wrapping_add(1)).store(0, Ordering::Relaxed);
        let updated = self.whole.update(now, &[*quota]);
        debug_assert!(updated.is_ok(), "one quota takes the place of one");
    }

    /// The number of shards.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.stashes.len()
    }

    /// The shard that draws for `key` come to first: the same in every process of one seed.
    #[inline]
    #[must_use]
    pub fn shard(&self, key: Fingerprint) -> usize {
        self.candidates(key)[0]
    }

    /// The two shards of a key; the first comes first.
    #[inline]
    fn candidates(&self, key: Fingerprint) -> [usize; 2] {
        let key = key.get();
        let scale = |half: u64, count: usize| {
            // Below count: half < 2^32.
            usize::try_from((half * count as u64) >> 32).unwrap_or(0)
        };
        let count = self.stashes.len();
        let first = scale(key >> 32, count);
        // Any other than the first; with one shard, itself.
        let step = if count > 1 { 1 + scale(key & 0xffff_ffff, count - 1) } else { 0 };
        [first, (first + step) % count]
    }

    #[inline]
    fn root(&self) -> &Bandwidth {
        self.whole.first()
    }

    /// Looks at the root.
    fn look(&self) -> Sight<'_> {
        loop {
            let in_force = self.root().in_force();
            let turn = in_force.cell.ledger.turn();
            let returned = in_force.cell.ledger.returned();
            // Acquire: the claims of all who are charged in it are seen in the stashes.
            let word = in_force.cell.word.load(Ordering::Acquire);
            // A word that was replaced is so once.
            if word != SEALED || !self.root().is_replaced(in_force.epoch) {
                return Sight { in_force, turn, returned, word };
            }
        }
    }

    /// What is owed in truth: the root's word less what is out.
    fn owed(&self) -> (Terms, u64) {
        let Sight { in_force, word, .. } = self.look();
        let out = credit(self.count().tokens, &in_force.terms);
        (in_force.terms, word.saturating_sub(out))
    }

    /// Adds up what is out.
    fn count(&self) -> Out {
        if self.share == 0 {
            return Out::default();
        }
        self.stashes.iter().map(Stash::holding).fold(Out::default(), |out, held| Out {
            // At most MAX_SHARDS times MOST.
            tokens: out.tokens + held.tokens(),
            claimed: out.claimed + held.claimed(),
        })
    }

    /// The units of all stashes when full.
    #[inline]
    fn room(&self, terms: &Terms) -> u64 {
        // No more permits than the burst it was built with; a finer unit may take them to the end
        // of the range, where the stashes are out of use.
        (self.share * self.stashes.len() as u64).saturating_mul(terms.unit)
    }

    fn shut_of(&self, epoch: u64) -> &AtomicU64 {
        &self.shut[usize::from(epoch & 1 == 1)]
    }
}

/// The units that `tokens` take off what is owed: none where an update has made them immense.
fn credit(tokens: u64, terms: &Terms) -> u64 {
    tokens.checked_mul(terms.unit).unwrap_or(0)
}

#[cfg(all(test, not(loom)))]
mod tests;
