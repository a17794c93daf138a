//! The sharded limiter in every interleaving of a few calls, with a burst of eight and a stash of
//! one permit for each of two shards.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --release -p sluicegate-core --test loom_sharded`:
//! two preemptions take seconds, three (`LOOM_MAX_PREEMPTIONS=3`) minutes.
#![cfg(loom)]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, reason = "no test asks everything of it")]
mod oracle;

use std::cell::Cell;

use loom::sync::Arc;
use loom::thread;
use oracle::window::{Promise, Use};
use sluicegate_core::{
    Clock, Fingerprint, Grant, ManualClock, Nanos, Quota, Rate, Seed, ShardedRateLimiter,
};

const BURST: u64 = 8;

/// A permit a nanosecond.
const PROMISE: Promise = Promise { permits: 1, period: 1, burst: BURST };

/// A clock that remembers what it said last.
struct Watched<'a>(&'a ManualClock, Cell<u64>);

impl Clock for Watched<'_> {
    fn now(&self) -> Nanos {
        let now = self.0.now();
        self.1.set(now.get());
        now
    }
}

fn key(number: u64) -> Fingerprint {
    Seed::new([1, 2]).integer(&number.to_le_bytes())
}

struct Model {
    limiter: ShardedRateLimiter,
    clock: ManualClock,
}

impl Model {
    /// A limiter that `spent` permits were drawn from at the start, in one call.
    fn new(spent: u64) -> Arc<Self> {
        let model = Self::of(BURST);
        assert!(spent == 0 || model.limiter.try_acquire(&model.clock, key(0), spent));
        Arc::new(model)
    }

    fn of(burst: u64) -> Self {
        let quota = Quota::new(Rate::per(1, Nanos::new(1)).unwrap(), burst).unwrap();
        let limiter = ShardedRateLimiter::new(&quota, 2).unwrap();
        Self { limiter, clock: ManualClock::new(Nanos::ZERO) }
    }

    fn draw(&self, key: u64, count: u64) -> Use {
        let clock = Watched(&self.clock, Cell::new(0));
        let granted = self.limiter.try_acquire(&clock, self::key(key), count);
        Use { at: clock.1.get(), count: if granted { count } else { 0 } }
    }

    fn advance(&self, span: u64) {
        self.clock.advance(Nanos::new(span));
    }

    /// Draws what is left, so that any permit too many shows.
    fn drain(&self) -> Vec<Use> {
        (0..).map(|key| self.draw(key, 1)).take_while(|each| each.count > 0).collect()
    }
}

/// Checks `threads` on `spent` permits drawn at the start in all interleavings.
fn check<const N: usize>(
    spent: u64,
    threads: [fn(&Model) -> Vec<Use>; N],
    holds: impl Fn(&[Use]) + Send + Sync + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(move || {
        let model = Model::new(spent);
        let running = threads.map(|run| {
            let model = Arc::clone(&model);
            thread::spawn(move || run(&model))
        });
        let mut uses = vec![Use { at: 0, count: spent }];
        uses.extend(running.into_iter().flat_map(|thread| thread.join().unwrap()));
        uses.extend(model.drain());
        holds(&uses);
    });
}

fn promise_is_kept(uses: &[Use]) {
    assert!(PROMISE.is_kept_by(uses), "{uses:?}");
}

fn burst_is_drawn_to_the_permit(uses: &[Use]) {
    let total: u64 = uses.iter().map(|each| each.count).sum();
    assert_eq!(total, BURST, "{uses:?}");
}

#[test]
fn loom_a_stash_filled_later_never_serves_an_earlier_instant() {
    check(
        BURST,
        [
            |model| vec![model.draw(1, 1)],
            |model| {
                model.advance(5);
                vec![model.draw(1, 1)]
            },
        ],
        promise_is_kept,
    );
}

#[test]
fn loom_a_stash_is_drawn_while_the_bucket_fills_up() {
    check(
        4,
        [
            // Fills the stash, and draws from it when it may be full.
            |model| vec![model.draw(1, 1), model.draw(1, 1)],
            |model| {
                model.advance(10);
                vec![model.draw(2, 4)]
            },
        ],
        promise_is_kept,
    );
}

#[test]
fn loom_refills_beside_a_full_bucket_keep_the_promise() {
    check(
        4,
        [
            |model| vec![model.draw(1, 1)],
            |model| vec![model.draw(2, 1)],
            |model| {
                model.advance(4);
                vec![model.draw(3, 3)]
            },
        ],
        promise_is_kept,
    );
}

#[test]
fn loom_draws_refills_and_gatherings_lose_nothing() {
    check(
        2,
        [|model| vec![model.draw(1, 1), model.draw(1, 1)], |model| vec![model.draw(2, 4)]],
        burst_is_drawn_to_the_permit,
    );
}

#[test]
fn loom_two_who_gather_lose_nothing() {
    check(
        3,
        [|model| vec![model.draw(1, 1), model.draw(1, 3)], |model| vec![model.draw(2, 3)]],
        burst_is_drawn_to_the_permit,
    );
}

#[test]
fn loom_a_reservation_given_back_beside_draws_keeps_the_promise() {
    check(
        6,
        [
            |model| {
                let reserved = model.limiter.reserve(&model.clock, 3, Nanos::MAX);
                // A model has little patience: who is overtaken four times gives up.
                let Ok((grant, _)) = reserved else { return Vec::new() };
                let back = model.limiter.cancel(&grant, &model.clock);
                let used = if back > 0 { 0 } else { grant.count() };
                vec![Use { at: grant.execute_at().get(), count: used }]
            },
            |model| {
                model.advance(4);
                vec![model.draw(2, 1), model.draw(2, 1)]
            },
        ],
        promise_is_kept,
    );
}

/// A draw of one permit beside another's charge of one, made `span` later, and what is left then.
///
/// Of a burst of sixteen, with stashes of two, four permits are drawn before, a stash is filled by
/// one more draw if `filled` says so, and a debt is made.
fn check_beside_a_draw(filled: bool, debt: u64, span: u64, charge: Charge) {
    let mut builder = loom::model::Builder::new();
    // More exhaust the patience that a model has; then all that may be out counts as drawn.
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(2).min(3));
    builder.check(move || {
        let burst = 2 * BURST;
        let model = Arc::new(Model::of(burst));
        let (first, _) = model.limiter.reserve(&model.clock, 1, Nanos::ZERO).unwrap();
        model.advance(1);
        let mut owed = model.draw(0, 4).count;
        if filled {
            owed += model.draw(1, 1).count;
        }
        model.limiter.commit(&first, &model.clock, 1 + debt);
        owed += debt;

        let drawer = {
            let model = Arc::clone(&model);
            thread::spawn(move || model.draw(1, 1))
        };
        model.advance(span);
        let is_charged = charge(&model, &first);
        let drawn = drawer.join().unwrap();
        let before = if drawn.at == 1 { drawn.count } else { 0 };
        let since = drawn.count - before + u64::from(is_charged);
        let left = burst - (owed + before).saturating_sub(span) - since;
        let told = model.limiter.peek(model.clock.now(), 0).remaining;
        // A gathering returns both permits of a stash for the one that is missing. Where that falls
        // between another's look at the stashes and its swap, and the draw takes the root to the very
        // word it had, the other permit counts as drawn.
        let least = if filled { left - 1 } else { left };
        assert!((least..=left).contains(&told), "{told}, not {left}: {drawn:?} {is_charged}");
    });
}

/// Charges one permit, and says whether it was granted.
type Charge = fn(&Model, &Grant) -> bool;

fn as_debt(model: &Model, grant: &Grant) -> bool {
    model.limiter.commit(grant, &model.clock, grant.count() + 1) == -1
}

fn as_reservation(model: &Model, _: &Grant) -> bool {
    model.limiter.reserve(&model.clock, 1, Nanos::ZERO).is_ok()
}

#[test]
fn loom_a_debt_beside_a_gathering_forgets_nothing() {
    check_beside_a_draw(true, 10, 16, as_debt);
}

#[test]
fn loom_a_debt_beside_a_refill_counts_nothing_twice() {
    check_beside_a_draw(false, 0, 4, as_debt);
}

#[test]
fn loom_a_reservation_beside_a_gathering_forgets_nothing() {
    check_beside_a_draw(true, 10, 16, as_reservation);
}

#[test]
fn loom_a_reservation_beside_a_refill_counts_nothing_twice() {
    check_beside_a_draw(false, 0, 4, as_reservation);
}
