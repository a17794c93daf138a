//! The direct limiter's exact answers, and its counts under many threads.
#![cfg(not(loom))]
#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::thread;

use sluicegate_core::composite::{self, Share};
use sluicegate_core::{Clock as _, Decision, ManualClock, Nanos, Quota, Rate, RateLimiter};

const SECOND: u64 = 1_000_000_000;

fn per_second(permits: u64, burst: u64) -> Quota {
    Quota::new(Rate::per(permits, Nanos::new(SECOND)).unwrap(), burst).unwrap()
}

#[test]
fn settling_at_more_is_a_debt_that_time_pays() {
    let limiter = RateLimiter::new(&[per_second(10, 10)]).unwrap();
    let now = Nanos::ZERO;
    let (grant, _) = limiter.reserve(&now, 10, Nanos::ZERO).unwrap();
    assert_eq!(limiter.commit(&grant, &now, 15), -5);
    let state = limiter.peek(now, 1);
    assert_eq!((state.allowed, state.remaining), (false, 0));
    assert_eq!(state.retry_after, Nanos::new(SECOND * 6 / 10));
    assert_eq!(state.reset_after, Nanos::new(SECOND * 15 / 10));
}

#[test]
fn of_several_quotas_the_one_with_the_least_remaining_is_told() {
    let quotas = [per_second(10, 8), per_second(1, 5), per_second(3, 5)];
    let limiter = RateLimiter::new(&quotas).unwrap();
    let told = limiter.attempt(&Nanos::ZERO, 3);
    assert_eq!((told.limit, told.remaining), (5, 2));
    assert_eq!(told.reset_after, Nanos::new(3 * SECOND), "the longest, of the slowest");
    let mut turned = quotas;
    turned.reverse();
    let limiter = RateLimiter::new(&turned).unwrap();
    assert_eq!(limiter.attempt(&Nanos::ZERO, 3), told);
}

#[test]
fn a_peek_of_none_tells_how_things_stand() {
    let limiter = RateLimiter::new(&[per_second(10, 10)]).unwrap();
    let idle = limiter.peek(Nanos::new(SECOND), 0);
    assert_eq!((idle.remaining, idle.reset_after), (10, Nanos::ZERO));
    limiter.try_acquire(&Nanos::new(SECOND), 4);
    let state = limiter.peek(Nanos::new(SECOND), 0);
    assert_eq!((state.allowed, state.remaining), (true, 6));
    assert_eq!(limiter.attempt(&Nanos::new(SECOND), 0), state);
}

#[test]
fn a_reservation_says_when_and_gives_nothing_back_from_then_on() {
    let limiter = RateLimiter::new(&[per_second(10, 2)]).unwrap();
    let clock = ManualClock::new(Nanos::ZERO);
    let starts = [2, 2, 1].map(|count| limiter.reserve(&clock, count, Nanos::MAX).unwrap().0);
    assert_eq!(starts.map(|grant| grant.execute_at().get()), [0, SECOND / 5, SECOND * 3 / 10]);
    assert!(limiter.reserve(&clock, 1, Nanos::new(SECOND / 10)).is_err());
    clock.set(starts[1].execute_at());
    assert_eq!(limiter.cancel(&starts[1], &clock), 0);
    assert_eq!(limiter.cancel(&starts[2], &clock), 1);
}

#[test]
fn a_queue_under_two_quotas_that_gives_up_from_its_front_leaves_no_trace() {
    // The fast one is charged at the slow one's start, which leaves a gap in its word.
    let limiter = RateLimiter::new(&[per_second(1_000, 10), per_second(1, 1)]).unwrap();
    let now = Nanos::new(SECOND);
    assert!(limiter.try_acquire(&now, 1));
    let before = limiter.peek(now, 0);
    let queue = [1, 2, 3].map(|_| limiter.reserve(&now, 1, Nanos::MAX).unwrap().0);
    for grant in &queue {
        limiter.cancel(grant, &now);
    }
    assert_eq!(limiter.peek(now, 0), before);
    let opened = RateLimiter::new(&[per_second(1_000, 10)]).unwrap();
    opened.try_acquire(&now, 1);
    let eased = [per_second(1_000, 10), per_second(1, 10)];
    limiter.update(now, &eased).unwrap();
    assert_eq!(limiter.peek(now, 0).remaining, opened.peek(now, 0).remaining);
}

/// All orders of `0..count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![vec![]];
    }
    let shorter = orders(count - 1);
    let places = |order: Vec<usize>| {
        (0..count).map(move |place| [&order[..place], &[count - 1], &order[place..]].concat())
    };
    shorter.into_iter().flat_map(places).collect()
}

#[test]
fn a_queue_under_two_quotas_that_gives_up_in_any_order_leaves_no_trace() {
    let now = Nanos::new(SECOND);
    let fast = per_second(1_000, 10);
    for order in orders(5) {
        let limiter = RateLimiter::new(&[fast, per_second(1, 1)]).unwrap();
        assert!(limiter.try_acquire(&now, 1));
        let before = limiter.peek(now, 0);
        let queue = [1; 5].map(|count| limiter.reserve(&now, count, Nanos::MAX).unwrap().0);
        for place in &order {
            limiter.cancel(&queue[*place], &now);
        }
        assert_eq!(limiter.peek(now, 0), before, "{order:?}");
        limiter.update(now, &[fast, per_second(1, 10)]).unwrap();
        assert_eq!(limiter.peek(now, 0).remaining, 9, "{order:?}");
    }
}

#[test]
fn who_gives_up_first_gets_all_back_however_much_others_behind_got_before() {
    for from_the_front in [false, true] {
        let limiter = RateLimiter::new(&[per_second(1, 3)]).unwrap();
        let now = Nanos::new(SECOND);
        assert!(limiter.try_acquire(&now, 3));
        let before = limiter.peek(now, 0);
        let reserve = || limiter.reserve(&now, 1, Nanos::MAX).unwrap().0;
        let first = reserve();
        let mut others = Vec::new();
        for _ in 0..10 {
            let given_up = reserve();
            others.push(reserve());
            assert_eq!(limiter.cancel(&given_up, &now), 1);
        }
        assert_eq!(limiter.cancel(&first, &now), 0);
        if from_the_front {
            others.reverse();
        }
        while let Some(other) = others.pop() {
            limiter.cancel(&other, &now);
        }
        assert_eq!(limiter.peek(now, 0), before);
    }
}

#[test]
fn eight_threads_draw_the_burst_to_the_last_permit_and_no_more() {
    let limiter = RateLimiter::new(&[per_second(1, 100_000)]).unwrap();
    let draw = || (0..50_000).filter(|_| limiter.try_acquire(&Nanos::ZERO, 1)).count();
    let drawn: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(draw)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(drawn, 100_000);
}

#[test]
fn threads_that_reserve_are_all_granted_each_at_its_own_time() {
    let limiter = RateLimiter::new(&[per_second(1_000, 1)]).unwrap();
    let reserve = || -> Vec<Nanos> {
        let grant = |_| limiter.reserve(&Nanos::ZERO, 1, Nanos::MAX).unwrap().0.execute_at();
        (0..5_000).map(grant).collect()
    };
    let mut starts: Vec<Nanos> = thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(reserve)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    starts.sort();
    let expected: Vec<Nanos> = (0..40_000).map(|nth| Nanos::new(nth * SECOND / 1_000)).collect();
    assert_eq!(starts, expected);
}

#[test]
fn threads_that_draw_while_the_quota_changes_draw_no_more_than_the_burst() {
    // A unit each, so that every change makes another word.
    let quotas = [per_second(1, 20_000), per_second(1_000_000_000, 20_000)];
    let limiter = RateLimiter::new(&quotas[..1]).unwrap();
    let now = ManualClock::new(Nanos::new(SECOND)).now();
    let draw = || (0..10_000).filter(|_| limiter.try_acquire(&now, 1)).count();
    let drawn: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
        for round in 0..200 {
            limiter.update(now, &quotas[round % 2..=round % 2]).unwrap();
        }
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(drawn, 20_000);
}

#[test]
fn a_grant_remembers_when_it_was_made_and_may_be_deferred_but_not_advanced() {
    let limiter = RateLimiter::new(&[per_second(10, 2)]).unwrap();
    let now = Nanos::new(5 * SECOND);
    let [first, mut second] =
        [2, 2].map(|count| limiter.reserve(&now, count, Nanos::MAX).unwrap().0);
    assert_eq!((first.reserved_at(), first.count()), (now, 2));
    assert_eq!((second.reserved_at(), second.execute_at()), (now, now + Nanos::new(SECOND / 5)));
    limiter.defer(&mut second, Nanos::new(9 * SECOND));
    assert_eq!(second.execute_at(), Nanos::new(9 * SECOND));
    limiter.defer(&mut second, now);
    assert_eq!(second.execute_at(), now + Nanos::new(SECOND / 5));
}

#[test]
fn eight_limiters_are_drawn_from_at_once_and_nine_or_none_never() {
    let limiters: Vec<_> = (0..9).map(|_| RateLimiter::new(&[per_second(1, 1)]).unwrap()).collect();
    let shares: Vec<_> = limiters.iter().map(|limiter| Share { limiter, count: 1 }).collect();
    for (number, allowed) in [(0, false), (1, true), (8, true), (9, false)] {
        assert_eq!(composite::peek(&shares[..number], Nanos::ZERO).allowed, allowed);
    }
    assert!(composite::reserve(&shares, &Nanos::ZERO, Nanos::ZERO).is_err());
    assert!(limiters.iter().all(|limiter| limiter.peek(Nanos::ZERO, 1).allowed));
    let (grants, _) = composite::reserve(&shares[..8], &Nanos::ZERO, Nanos::ZERO).unwrap();
    assert_eq!(grants.iter().flatten().count(), 8);
    assert!(!limiters[7].peek(Nanos::ZERO, 1).allowed);
    assert!(limiters[8].peek(Nanos::ZERO, 1).allowed);
}

#[test]
fn a_grant_that_is_deferred_holds_its_room_against_the_refunds_of_others() {
    for quotas in [vec![per_second(1, 4)], vec![per_second(1, 4), per_second(2, 9)]] {
        let limiter = RateLimiter::new(&quotas).unwrap();
        let now = Nanos::ZERO;
        let reserve = |count| limiter.reserve(&now, count, Nanos::MAX).unwrap().0;
        reserve(4);
        let (first, mut second) = (reserve(2), reserve(2));
        limiter.defer(&mut second, Nanos::new(8 * SECOND));
        assert_eq!(limiter.cancel(&first, &now), 0);
    }
}

#[test]
fn a_rate_of_nothing_is_the_only_one_that_grants_nothing() {
    assert!(Rate::per(0, Nanos::new(SECOND)).unwrap().is_zero());
    assert!(!Rate::per(1, Nanos::new(SECOND)).unwrap().is_zero());
}

#[test]
fn at_the_end_of_the_range_the_answer_is_never() {
    let limiter = RateLimiter::new(&[per_second(1, 3)]).unwrap();
    let now = Nanos::MAX - Nanos::new(2 * SECOND);
    assert!(limiter.try_acquire(&now, 1));
    assert!(!limiter.try_acquire(&now, 2));
    let never = limiter.attempt(&now, 2);
    assert_eq!((never.allowed, never.remaining, never.retry_after), (false, 2, Nanos::MAX));
    assert_eq!(limiter.peek(now, 2), never);
    assert_eq!(limiter.reserve(&now, 2, Nanos::MAX).unwrap_err(), never);
    assert!(limiter.peek(Nanos::MAX, 0).allowed, "of nothing there is always enough");
}

#[test]
fn a_joint_start_past_the_range_of_one_of_them_is_never() {
    // The fast one counts three units a nanosecond, and is at its end before the slow one opens.
    let quotas = [per_second(3_000_000_000, 10), per_second(1, 1)];
    let now = Nanos::new(u64::MAX / 3) - Nanos::new(SECOND / 2);
    let limiter = RateLimiter::new(&quotas).unwrap();
    assert!(limiter.try_acquire(&now, 1));
    let foreseen = limiter.peek(now, 1);
    assert_eq!(foreseen.retry_after, Nanos::new(SECOND));
    let never = limiter.reserve(&now, 1, Nanos::MAX).unwrap_err();
    assert_eq!(never, Decision { retry_after: Nanos::MAX, ..foreseen });
    assert_eq!(limiter.peek(now, 1), foreseen, "nothing is charged");

    let limiters = quotas.map(|quota| RateLimiter::new(&[quota]).unwrap());
    let shares = limiters.each_ref().map(|limiter| Share { limiter, count: 1 });
    assert!(composite::reserve(&shares, &now, Nanos::ZERO).is_ok());
    let never = composite::reserve(&shares, &now, Nanos::MAX).unwrap_err();
    assert_eq!(never.retry_after, Nanos::MAX);
}

#[test]
fn a_count_whose_cost_leaves_64_bits_is_refused() {
    // Units of a nanosecond: 2^55 permits of 10^9 cost 0 modulo 2^64.
    for quotas in [vec![per_second(1, 3)], vec![per_second(1, 3); 2]] {
        let limiter = RateLimiter::new(&quotas).unwrap();
        for count in [4, 1 << 55, u64::MAX] {
            assert!(!limiter.try_acquire(&Nanos::ZERO, count));
            let refused = limiter.attempt(&Nanos::ZERO, count);
            assert_eq!((refused.allowed, refused.retry_after), (false, Nanos::MAX));
        }
        assert!(limiter.try_acquire(&Nanos::ZERO, 3));
    }
}

#[test]
fn asking_for_nothing_writes_nothing_and_so_costs_an_earlier_instant_nothing() {
    let limiter = RateLimiter::new(&[per_second(1, 3)]).unwrap();
    assert!(limiter.try_acquire(&Nanos::from_secs(9), 0));
    assert!(limiter.attempt(&Nanos::from_secs(9), 0).allowed);
    assert!(limiter.try_acquire(&Nanos::from_secs(5), 3));
}

#[test]
fn without_a_limit_no_instant_and_no_count_is_refused() {
    let limiter = RateLimiter::new(&[Quota::unlimited()]).unwrap();
    for now in [9, 5].map(Nanos::from_secs) {
        assert!(limiter.try_acquire(&now, 7));
        assert!(limiter.attempt(&now, u64::MAX).allowed);
        assert_eq!(limiter.reserve(&now, 7, Nanos::ZERO).unwrap().0.execute_at(), now);
    }
}

#[test]
fn who_settled_in_line_keeps_what_was_used_when_those_behind_give_up() {
    let limiter = RateLimiter::new(&[per_second(1, 3)]).unwrap();
    let now = Nanos::new(SECOND);
    let [_, first, second] =
        [3; 3].map(|count| limiter.reserve(&now, count, Nanos::MAX).unwrap().0);
    assert_eq!(limiter.commit(&first, &now, 1), 0, "the second leaves no room");
    assert_eq!(limiter.cancel(&second, &now), 3);
    let owed = limiter.peek(now, 0).reset_after;
    assert_eq!(owed, Nanos::new(4 * SECOND), "three at the start, and one of the first");
}

#[test]
fn another_number_of_quotas_changes_nothing() {
    let limiter = RateLimiter::new(&[per_second(10, 2)]).unwrap();
    for quotas in [vec![], vec![per_second(1, 1); 2]] {
        assert_eq!(limiter.update(Nanos::ZERO, &quotas).unwrap_err().field, "configs");
    }
    assert_eq!(limiter.peek(Nanos::ZERO, 0).limit, 2);
}
