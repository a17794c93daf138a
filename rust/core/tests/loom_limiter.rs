//! The limiter's atomics under every interleaving, and every order of memory that is allowed.
#![cfg(loom)]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

#[allow(dead_code, reason = "a model asks for a verdict on the whole, never for the next use")]
mod oracle;

use loom::sync::Arc;
use loom::thread;
use oracle::window::{Promise, Use};
use sluicegate_core::{Clock as _, Grant, ManualClock, Nanos, Quota, Rate, RateLimiter};

/// A permit every 8 ns, two at once.
const PROMISE: Promise = Promise { permits: 1, period: 8, burst: 2 };
const LONG: Nanos = Nanos::from_secs(1);

fn quota(promise: Promise) -> Quota {
    let rate = Rate::per(promise.permits, Nanos::new(promise.period)).unwrap();
    Quota::new(rate, promise.burst).unwrap()
}

/// A limiter and the clock it is asked by, for threads to share.
#[derive(Clone)]
struct Shared {
    limiter: Arc<RateLimiter>,
    clock: Arc<ManualClock>,
}

impl Shared {
    fn new(promises: &[Promise]) -> Self {
        let quotas: Vec<Quota> = promises.iter().copied().map(quota).collect();
        let limiter = Arc::new(RateLimiter::new(&quotas).unwrap());
        Self { limiter, clock: Arc::new(ManualClock::new(Nanos::new(100))) }
    }

    fn spawn<T: 'static>(&self, body: impl FnOnce(Self) -> T + 'static) -> thread::JoinHandle<T> {
        let shared = self.clone();
        thread::spawn(move || body(shared))
    }

    /// Draws at the present: the use, if there was a permit.
    fn draw(&self, count: u64) -> Option<Use> {
        let at = self.clock.now();
        self.limiter.try_acquire(&at, count).then_some(Use { at: at.get(), count })
    }

    fn reserve(&self, count: u64) -> Grant {
        self.limiter.reserve(&*self.clock, count, LONG).unwrap().0
    }

    fn remaining(&self) -> u64 {
        self.limiter.peek(self.clock.now(), 0).remaining
    }
}

fn used(grant: &Grant, count: u64) -> Use {
    Use { at: grant.execute_at().get(), count }
}

#[test]
fn loom_three_threads_draw_the_burst_and_no_more() {
    loom::model(|| {
        let shared = Shared::new(&[PROMISE]);
        let others = [1, 2].map(|_| shared.spawn(|shared| shared.draw(1)));
        let mine = shared.draw(1);
        let drawn = others.map(|other| other.join().unwrap());
        assert_eq!(drawn.iter().chain([&mine]).flatten().count(), 2);
        assert_eq!(shared.remaining(), 0);
    });
}

#[test]
fn loom_a_refused_draw_names_the_instant_of_its_grant() {
    loom::model(|| {
        let shared = Shared::new(&[PROMISE]);
        let other = shared.spawn(|shared| shared.draw(2));
        let mine = shared.limiter.attempt(&*shared.clock, 1);
        let other = other.join().unwrap();
        assert!(mine.allowed != other.is_some(), "one of the two fits");
        if !mine.allowed {
            let opens = shared.clock.now() + mine.retry_after;
            assert!(!shared.limiter.peek(opens - Nanos::new(1), 1).allowed);
            assert!(shared.limiter.peek(opens, 1).allowed);
        }
    });
}

#[test]
fn loom_a_draw_at_a_stale_instant_keeps_the_promise() {
    loom::model(|| {
        let shared = Shared::new(&[PROMISE]);
        let mover = shared.spawn(|shared| {
            shared.clock.advance(Nanos::new(8));
            [shared.draw(1), shared.draw(1)]
        });
        let mine = [shared.draw(1), shared.draw(1)];
        let uses: Vec<Use> = mover.join().unwrap().into_iter().chain(mine).flatten().collect();
        assert!(PROMISE.is_kept_by(&uses), "{uses:?}");
        assert!(uses.len() >= 2, "the burst at least");
    });
}

#[test]
fn loom_a_cancellation_beside_a_draw_and_a_moved_clock_keeps_the_promise() {
    loom::model(|| {
        let shared = Shared::new(&[PROMISE]);
        let mut uses = vec![shared.draw(2).unwrap()];
        let first = shared.reserve(1);
        let canceller = shared.spawn(move |shared| {
            let due = shared.clock.now() >= first.execute_at();
            shared.limiter.cancel(&first, &*shared.clock);
            // Once due it may have been used.
            due.then(|| used(&first, 1))
        });
        let waiter = shared.spawn(|shared| used(&shared.reserve(1), 1));
        shared.clock.advance(Nanos::new(12));
        uses.extend(shared.draw(1));
        uses.extend(canceller.join().unwrap());
        uses.push(waiter.join().unwrap());
        uses.extend(shared.draw(1));
        assert!(PROMISE.is_kept_by(&uses), "{uses:?}");
    });
}

#[test]
fn loom_a_refund_sees_the_time_of_every_draw_before_it() {
    loom::model(|| {
        let shared = Shared::new(&[PROMISE]);
        let mut uses = vec![shared.draw(2).unwrap()];
        let first = shared.reserve(1);
        let canceller = shared.spawn(move |shared| {
            let due = shared.clock.now() >= first.execute_at();
            shared.limiter.cancel(&first, &*shared.clock);
            due.then(|| used(&first, 1))
        });
        shared.clock.advance(Nanos::new(24));
        uses.extend(shared.draw(1));
        uses.extend(canceller.join().unwrap());
        uses.extend(shared.draw(1));
        uses.extend(shared.draw(1));
        assert!(PROMISE.is_kept_by(&uses), "{uses:?}");
    });
}

#[test]
fn loom_refunds_of_the_same_height_take_turns() {
    loom::model(|| {
        let promise = Promise { burst: 4, ..PROMISE };
        let shared = Shared::new(&[promise]);
        let [lowest, first] = [shared.reserve(2), shared.reserve(2)];
        assert_eq!(shared.limiter.commit(&lowest, &*shared.clock, 0), 2);
        // Charged in the room of the refund, so that both receipts claim the same units.
        let second = shared.reserve(2);
        let live = shared.reserve(1);
        let other = shared.spawn(move |shared| shared.limiter.commit(&first, &*shared.clock, 0));
        shared.limiter.commit(&second, &*shared.clock, 0);
        other.join().unwrap();
        shared.clock.advance(Nanos::new(8));
        let mut uses = vec![used(&live, 1)];
        while let Some(more) = shared.draw(1) {
            uses.push(more);
        }
        assert!(promise.is_kept_by(&uses), "{uses:?}");
    });
}

#[test]
fn loom_two_refunds_beside_a_draw_keep_the_promise() {
    loom::model(|| {
        let shared = Shared::new(&[PROMISE]);
        let mut uses = vec![shared.draw(1).unwrap()];
        let [first, second] = [shared.reserve(2), shared.reserve(2)];
        let canceller = shared.spawn(move |shared| {
            shared.limiter.cancel(&second, &*shared.clock);
        });
        let settler = shared.spawn(move |shared| {
            shared.limiter.commit(&first, &*shared.clock, 1);
            used(&first, 1)
        });
        uses.extend(shared.draw(1));
        canceller.join().unwrap();
        uses.push(settler.join().unwrap());
        let late = shared.reserve(1);
        uses.push(used(&late, 1));
        assert!(PROMISE.is_kept_by(&uses), "{uses:?}");
    });
}

#[test]
fn loom_a_refund_never_keeps_the_next_one_out() {
    loom::model(|| {
        let shared = Shared::new(&[PROMISE]);
        shared.draw(2).unwrap();
        let [first, second] = [shared.reserve(1), shared.reserve(1)];
        let other = shared.spawn(move |shared| shared.limiter.cancel(&second, &*shared.clock));
        shared.limiter.cancel(&first, &*shared.clock);
        other.join().unwrap();
        let before = shared.limiter.peek(shared.clock.now(), 0);
        let last = shared.reserve(1);
        assert_eq!(shared.limiter.cancel(&last, &*shared.clock), 1);
        assert_eq!(shared.limiter.peek(shared.clock.now(), 0), before);
    });
}

#[test]
fn loom_a_queue_that_two_threads_give_up_is_given_back_whole() {
    loom::model(|| {
        let shared = Shared::new(&[PROMISE]);
        shared.draw(2).unwrap();
        let before = shared.limiter.peek(shared.clock.now(), 0);
        let [first, second, third] = [1, 2, 3].map(|_| shared.reserve(1));
        let other = shared.spawn(move |shared| {
            shared.limiter.cancel(&first, &*shared.clock);
        });
        shared.limiter.cancel(&third, &*shared.clock);
        shared.limiter.cancel(&second, &*shared.clock);
        other.join().unwrap();
        assert_eq!(shared.limiter.peek(shared.clock.now(), 0), before);
    });
}

#[test]
fn loom_a_change_of_the_rate_loses_no_draw() {
    loom::model(|| {
        let shared = Shared::new(&[PROMISE]);
        let updater = shared.spawn(|shared| {
            // A quota near the first keeps its unit.
            let quota = quota(Promise { period: 5, ..PROMISE });
            shared.limiter.update(shared.clock.now(), &[quota]).unwrap();
        });
        let other = shared.spawn(|shared| shared.draw(1));
        let mine = [shared.draw(1), shared.draw(1)];
        let other = other.join().unwrap();
        updater.join().unwrap();
        assert_eq!(mine.iter().chain([&other]).flatten().count(), 2);
        assert_eq!(shared.remaining(), 0);
    });
}

#[test]
fn loom_a_change_of_the_unit_loses_no_draw() {
    loom::model(|| {
        let shared = Shared::new(&[PROMISE]);
        let updater = shared.spawn(|shared| {
            // A permit is worth eight units before, and 1,024 after.
            let quota = quota(Promise { period: 1_000, ..PROMISE });
            shared.limiter.update(shared.clock.now(), &[quota]).unwrap();
        });
        let other = shared.spawn(|shared| shared.draw(1));
        let mine = [shared.draw(1), shared.draw(1)];
        let other = other.join().unwrap();
        updater.join().unwrap();
        assert_eq!(mine.iter().chain([&other]).flatten().count(), 2);
        assert_eq!(shared.remaining(), 0);
    });
}

#[test]
fn loom_a_draw_beside_a_change_of_the_unit_is_granted_what_there_is() {
    loom::model(|| {
        let shared = Shared::new(&[PROMISE]);
        let drawer = shared.spawn(|shared| {
            assert!(shared.draw(1).is_some());
            assert!(shared.limiter.attempt(&*shared.clock, 1).allowed);
        });
        let quota = quota(Promise { period: 1_000, ..PROMISE });
        shared.limiter.update(shared.clock.now(), &[quota]).unwrap();
        drawer.join().unwrap();
        assert_eq!(shared.remaining(), 0);
    });
}

#[test]
fn loom_a_change_of_the_unit_loses_no_debt_and_no_refund_revives_the_old_word() {
    loom::model(|| {
        let shared = Shared::new(&[PROMISE]);
        let settled = shared.reserve(1);
        let cancelled = shared.reserve(2);
        let settler = shared.spawn(move |shared| {
            shared.limiter.cancel(&cancelled, &*shared.clock);
            shared.limiter.commit(&settled, &*shared.clock, 5);
        });
        let slow = quota(Promise { period: 1_000, ..PROMISE });
        shared.limiter.update(shared.clock.now(), &[slow]).unwrap();
        settler.join().unwrap();
        // Five permits are owed, and the two that were cancelled if the change came before that.
        let owed = shared.limiter.peek(shared.clock.now(), 0).reset_after.get() / 1_000;
        assert!([5, 7].contains(&owed), "{owed}");
    });
}

#[test]
fn loom_two_bandwidths_are_drawn_from_together_or_not_at_all() {
    loom::model(|| {
        let narrow = Promise { burst: 1, ..PROMISE };
        let shared = Shared::new(&[PROMISE, narrow]);
        let other = shared.spawn(|shared| shared.draw(1));
        let mine = shared.draw(1);
        let other = other.join().unwrap();
        let drawn = [mine, other].iter().flatten().count();
        assert_eq!(drawn, 1, "the narrow one has a single permit");
        // What the refused one drew of the wide one was given back in full.
        let wide = quota(Promise { burst: 3, ..PROMISE });
        shared.limiter.update(shared.clock.now(), &[quota(PROMISE), wide]).unwrap();
        assert_eq!(shared.remaining(), 1);
    });
}

#[test]
fn loom_joint_reservations_beside_a_cancellation_keep_both_promises() {
    loom::model(|| {
        let promises = [PROMISE, Promise { permits: 1, period: 12, burst: 1 }];
        let shared = Shared::new(&promises);
        let mut uses = vec![shared.draw(1).unwrap()];
        let first = shared.reserve(1);
        let other = shared.spawn(|shared| used(&shared.reserve(1), 1));
        shared.limiter.cancel(&first, &*shared.clock);
        uses.extend(shared.draw(1));
        uses.push(other.join().unwrap());
        uses.push(used(&shared.reserve(1), 1));
        for promise in promises {
            assert!(promise.is_kept_by(&uses), "{promise:?} {uses:?}");
        }
    });
}
