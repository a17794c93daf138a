//! Takeovers that their thread never completed: what was left is taken up by whoever comes.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::cell::RefCell;

use super::standing::Ask;
use super::word::LAST;
use super::*;
use crate::rate::Rate;

const NOW: Nanos = Nanos::from_secs(10);

/// A permit a second, three at once, for as many keys as there are slots; all used and paid off but one.
fn limiter(bandwidths: usize) -> KeyedRateLimiter {
    let quota = Quota::new(Rate::per(1, Nanos::from_secs(1)).unwrap(), 3).unwrap();
    let quotas = vec![quota; bandwidths];
    let limiter = KeyedRateLimiter::new(&quotas, 1, Seed::new([1, 2])).unwrap();
    for number in 0..limiter.slots() {
        assert!(limiter.try_acquire(&Nanos::ZERO, limiter.seed().bytes(&number.to_le_bytes()), 1));
    }
    limiter
}

fn seat(limiter: &KeyedRateLimiter, key: Fingerprint) -> Seat {
    limiter.table.find(limiter.table.reach(key), key).unwrap()
}

fn draws(limiter: &KeyedRateLimiter, key: Fingerprint) -> usize {
    (0..9).filter(|_| limiter.try_acquire(&NOW, key, 1)).count()
}

#[test]
fn an_owner_goes_on_with_a_claim_on_its_slot() {
    for bandwidths in 1..3 {
        let limiter = limiter(bandwidths);
        let owner = limiter.seed().bytes(&0_usize.to_le_bytes());
        let seat = seat(&limiter, owner);
        assert!(limiter.table.claim(seat, 0, u64::MAX).is_some());
        assert!(limiter.peek(NOW, owner, 3).allowed);
        assert_eq!(draws(&limiter, owner), 3);
    }
}

#[test]
fn another_key_goes_on_with_a_claim_that_was_left() {
    for bandwidths in 1..3 {
        let limiter = limiter(bandwidths);
        for number in 0..limiter.slots() {
            let owner = limiter.seed().bytes(&number.to_le_bytes());
            assert!(limiter.table.claim(seat(&limiter, owner), 0, u64::MAX).is_some());
        }
        let late = limiter.seed().bytes(b"late");
        assert_eq!(draws(&limiter, late), 3);
        assert_eq!(limiter.overflowed(), 0);
    }
}

#[test]
fn a_slot_that_was_taken_and_never_charged_is_its_new_owners() {
    let limiter = limiter(2);
    let (taker, presents) = (limiter.seed().bytes(b"taker"), limiter.presents(NOW));
    let reach = limiter.table.reach(taker);
    let vacancy = limiter.table.vacancy(reach, &presents[..2]).unwrap();
    limiter.table.occupy(vacancy, taker, &presents[..2]).unwrap();
    assert!(limiter.peek(NOW, taker, 3).allowed);
    assert_eq!(draws(&limiter, taker), 3);
}

#[test]
fn a_claim_keeps_what_its_owner_owes() {
    let limiter = limiter(1);
    let owner = limiter.seed().bytes(&0_usize.to_le_bytes());
    assert_eq!(draws(&limiter, owner), 3);
    assert!(limiter.table.claim(seat(&limiter, owner), 0, u64::MAX).is_some());
    assert_eq!(draws(&limiter, owner), 0);
    assert_eq!(limiter.slots_in_use(NOW), 1);
}

#[test]
fn a_takeover_that_slept_through_another_fails() {
    let limiter = limiter(1);
    let [owner, taker, sleeper] =
        [&0_usize.to_le_bytes()[..], b"taker", b"sleeper"].map(|key| limiter.seed().bytes(key));
    let (slept, presents) = (seat(&limiter, owner), limiter.presents(NOW));
    // The slot passes to another, and back to its first owner, who draws.
    let passed = limiter.table.occupy(slept, taker, &presents[..1]).unwrap();
    limiter.table.occupy(passed, owner, &presents[..1]).unwrap();
    assert_eq!(draws(&limiter, owner), 3);
    assert_eq!(limiter.table.occupy(slept, sleeper, &presents[..1]), None);
    assert_eq!(draws(&limiter, owner), 0);
}

#[test]
fn a_second_slot_of_a_key_is_closed_with_what_it_owes() {
    let limiter = limiter(1);
    let (key, presents) = (limiter.seed().bytes(b"twice"), limiter.presents(NOW));
    let mut slots = limiter.table.reach(key).slots().map(|slot| limiter.table.seat(slot));
    let (first, second) = (slots.next().unwrap(), slots.next().unwrap());
    limiter.table.occupy(second, key, &presents[..1]).unwrap();
    assert!(limiter.try_acquire(&NOW, key, 2));
    limiter.table.occupy(first, key, &presents[..1]).unwrap();
    assert_eq!(draws(&limiter, key), 1);
}

#[test]
fn a_slot_is_not_charged_where_another_of_its_key_comes_first() {
    let limiter = limiter(1);
    let (key, presents) = (limiter.seed().bytes(b"twice"), limiter.presents(NOW));
    let reach = limiter.table.reach(key);
    let mut slots = reach.slots().map(|slot| limiter.table.seat(slot));
    let [first, second] = [slots.next(), slots.next()]
        .map(|slot| limiter.table.occupy(slot.unwrap(), key, &presents[..1]).unwrap());
    let settles = |seat| Standing::<1>::settle(&limiter, (reach, key), seat, false).is_some();
    assert!(!settles(second));
    assert!(settles(first));
}

#[test]
fn a_slot_that_one_bandwidth_is_paid_off_in_and_the_other_is_not_is_never_taken() {
    let quota = |seconds| Quota::new(Rate::per(1, Nanos::from_secs(seconds)).unwrap(), 3).unwrap();
    let limiter = KeyedRateLimiter::new(&[quota(1), quota(3_600)], 1, Seed::new([1, 2])).unwrap();
    for number in 1..limiter.slots() {
        assert!(limiter.try_acquire(&Nanos::ZERO, limiter.seed().bytes(&number.to_le_bytes()), 1));
    }
    assert_eq!(limiter.slots_in_use(NOW), 31);
    let late = limiter.seed().bytes(b"late");
    assert_eq!(draws(&limiter, late), 3);
    assert_eq!((limiter.slots_in_use(NOW), limiter.overflowed()), (32, 0));
}

#[test]
fn a_charge_that_finds_its_slot_in_other_hands_counts_for_nothing() {
    let limiter = limiter(1);
    let owner = limiter.seed().bytes(&0_usize.to_le_bytes());
    let (seat, presents) = (seat(&limiter, owner), limiter.presents(NOW));
    let standing =
        Standing::<1>::settle(&limiter, (limiter.table.reach(owner), owner), seat, false).unwrap();
    let taker = limiter.seed().bytes(b"taker");
    limiter.table.occupy(seat, taker, &presents[..1]).unwrap();
    let ask = Ask { now: NOW, start: NOW, count: 1, as_debt: false };
    assert!(!standing.charge(&limiter, ask).1);
    assert_eq!(draws(&limiter, taker), 3);
}

/// A thread that stalls after its first look at the clock, while others do something.
struct Stalled<F>(Nanos, Nanos, RefCell<Option<F>>);

impl<F: FnOnce()> Clock for Stalled<F> {
    fn now(&self) -> Nanos {
        let Self(read, wakes, meanwhile) = self;
        meanwhile.borrow_mut().take().map_or(*wakes, |meanwhile| {
            meanwhile();
            *read
        })
    }
}

#[test]
fn whoever_stalls_while_its_key_is_paid_off_and_forgotten_draws_no_permits_of_the_past() {
    let late = NOW + Nanos::from_secs(5);
    for bandwidths in 1..3 {
        for others in [32, 16, 0] {
            let limiter = limiter(bandwidths);
            let key = limiter.seed().bytes(b"key");
            let forget = || {
                assert_eq!(draws(&limiter, key), 3);
                let presents = limiter.presents(late);
                for slot in 0..limiter.slots() {
                    let seat = limiter.table.seat(slot);
                    let other = limiter.seed().bytes(&slot.to_be_bytes());
                    if slot < others || seat.tag.holds(key) {
                        limiter.table.occupy(seat, other, &presents[..bandwidths]).unwrap();
                        assert!(limiter.try_acquire(&late, other, 1));
                    }
                }
            };
            assert!(limiter.try_acquire(&Stalled(NOW, late, Some(forget).into()), key, 3));
            assert!(!limiter.try_acquire(&late, key, 1), "{bandwidths} {others}");
        }
    }
}

#[test]
fn a_refund_of_a_first_charge_leaves_no_permits_of_the_past() {
    let late = NOW + Nanos::from_secs(5);
    for bandwidths in 1..3 {
        let limiter = limiter(bandwidths);
        let key = limiter.seed().bytes(b"key");
        let give_back = || {
            let (grant, _) = limiter.reserve(&late, key, 3, Nanos::ZERO).unwrap();
            assert_eq!(limiter.commit(&grant, &late, 0), 3);
        };
        assert!(!limiter.try_acquire(&Stalled(NOW, late, Some(give_back).into()), key, 1));
        assert!(limiter.try_acquire(&late, key, 3));
    }
}

#[test]
fn whoever_stalls_while_another_takes_a_slot_for_its_key_draws_no_permits_of_the_past() {
    let late = NOW + Nanos::from_secs(5);
    for bandwidths in 1..3 {
        let limiter = limiter(bandwidths);
        let key = limiter.seed().bytes(b"key");
        let take = || {
            let (reach, presents) = (limiter.table.reach(key), limiter.presents(late));
            let vacancy = limiter.table.vacancy(reach, &presents[..bandwidths]).unwrap();
            limiter.table.occupy(vacancy, key, &presents[..bandwidths]).unwrap();
        };
        assert!(limiter.try_acquire(&Stalled(NOW, late, Some(take).into()), key, 3));
        assert!(!limiter.try_acquire(&late, key, 1));
    }
}

#[test]
fn at_the_end_of_the_range_the_answer_is_never() {
    let now = Nanos::new(LAST) - Nanos::from_secs(2);
    for bandwidths in 1..3 {
        for name in [&0_usize.to_le_bytes()[..], b"new"] {
            for now in [now, Nanos::MAX] {
                let limiter = limiter(bandwidths);
                let key = limiter.seed().bytes(name);
                let never = limiter.peek(now, key, 3);
                assert_eq!((never.allowed, never.retry_after), (false, Nanos::MAX));
                assert_eq!((never.remaining, never.reset_after), (3, Nanos::ZERO));
                assert!(!limiter.try_acquire(&now, key, 3));
                assert_eq!(limiter.attempt(&now, key, 3), never);
                assert_eq!(limiter.reserve(&now, key, 3, Nanos::MAX).unwrap_err(), never);
                assert!(limiter.peek(now, key, 0).allowed);
                assert!(limiter.attempt(&now, key, 0).allowed);
            }
            let limiter = limiter(bandwidths);
            let key = limiter.seed().bytes(name);
            assert!(limiter.peek(now, key, 2).allowed);
            assert!(limiter.attempt(&now, key, 2).allowed, "to the very end");
            assert_eq!(limiter.peek(now, key, 1).retry_after, Nanos::MAX);
        }
    }
}

#[test]
fn a_joint_start_past_the_range_of_one_of_them_is_never() {
    // The fast one counts three units a nanosecond, and is at its end before the slow one opens.
    let [fast, slow] = [(3_000_000_000, 10), (1, 1)].map(|(permits, burst)| {
        Quota::new(Rate::per(permits, Nanos::from_secs(1)).unwrap(), burst).unwrap()
    });
    let limiter = KeyedRateLimiter::new(&[fast, slow], 1, Seed::new([1, 2])).unwrap();
    let (key, now) = (limiter.seed().bytes(b"late"), Nanos::new(LAST / 3 - 500_000_000));
    assert!(limiter.try_acquire(&now, key, 1));
    let foreseen = limiter.peek(now, key, 1);
    assert_eq!(foreseen.retry_after, Nanos::from_secs(1));
    let never = limiter.reserve(&now, key, 1, Nanos::MAX).unwrap_err();
    assert_eq!(never, Decision { retry_after: Nanos::MAX, ..foreseen });
    assert_eq!(limiter.peek(now, key, 1), foreseen, "nothing is charged");
}

#[test]
fn a_debt_at_the_end_of_the_range_stays_within_it() {
    for crowded in [false, true] {
        let limiter = limiter(1);
        let now = Nanos::new(LAST) - Nanos::from_secs(2);
        if crowded {
            for number in 0..limiter.slots() {
                let key = limiter.seed().bytes(&number.to_le_bytes());
                assert!(limiter.try_acquire(&now, key, 1));
            }
        }
        let key = limiter.seed().bytes(b"late");
        let (grant, _) = limiter.reserve(&now, key, 1, Nanos::ZERO).unwrap();
        assert_eq!(matches!(grant.place, Place::Overflow), crowded);
        assert_eq!(limiter.commit(&grant, &now, 9), -8);
        assert_eq!(limiter.peek(now, key, 0).reset_after, Nanos::from_secs(2));
        assert_eq!(limiter.commit(&grant, &Nanos::MAX, 9), -8);
        assert_eq!(limiter.peek(now, key, 0).reset_after, Nanos::from_secs(2));
    }
}

#[test]
fn whoever_asks_for_nothing_or_has_no_limit_takes_no_slot() {
    let limited = limiter(2);
    let unlimited = KeyedRateLimiter::new(&[Quota::unlimited(); 2], 1, Seed::new([1, 2])).unwrap();
    for (limiter, count) in [(limited, 0), (unlimited, 5)] {
        let key = limiter.seed().bytes(b"nobody");
        assert!(limiter.attempt(&NOW, key, count).allowed);
        assert!(limiter.reserve(&NOW, key, count, Nanos::ZERO).is_ok());
        assert_eq!(limiter.table.find(limiter.table.reach(key), key), None);
    }
}

#[test]
fn a_slot_taken_in_the_very_instant_in_which_it_is_paid_off_owes_nothing() {
    // Arrivals that are no multiple of what a claim rounds up to.
    let quota = Quota::new(Rate::per(1, Nanos::from_secs(1)).unwrap(), 3).unwrap();
    for bandwidths in 1..3 {
        let quotas = vec![quota; bandwidths];
        let limiter = KeyedRateLimiter::new(&quotas, 1, Seed::new([1, 2])).unwrap();
        let (then, now) = (Nanos::new(7), Nanos::from_secs(1) + Nanos::new(7));
        for number in 0..limiter.slots() {
            let key = limiter.seed().bytes(&number.to_le_bytes());
            assert!(limiter.try_acquire(&then, key, 1));
        }
        assert_eq!(limiter.slots_in_use(now), 0);
        let late = limiter.seed().bytes(b"late");
        assert!(limiter.try_acquire(&now, late, 3));
        assert_eq!((limiter.slots_in_use(now), limiter.overflowed()), (1, 0));
    }
}

#[test]
fn a_slot_never_used_before_is_as_good_as_one_that_was() {
    let quota = Quota::new(Rate::per(1, Nanos::from_secs(1)).unwrap(), 3).unwrap();
    let limiter = KeyedRateLimiter::new(&[quota], 1, Seed::new([1, 2])).unwrap();
    let (key, presents) = (limiter.seed().bytes(b"twice"), limiter.presents(NOW));
    let mut slots = limiter.table.reach(key).slots().map(|slot| limiter.table.seat(slot));
    let (first, second) = (slots.next().unwrap(), slots.next().unwrap());
    limiter.table.occupy(second, key, &presents[..1]).unwrap();
    assert!(limiter.peek(NOW, key, 3).allowed);
    assert!(limiter.try_acquire(&NOW, key, 2));
    limiter.table.occupy(first, key, &presents[..1]).unwrap();
    assert_eq!(draws(&limiter, key), 1);
}

#[test]
fn what_the_overflow_owes_is_no_debt_of_those_who_have_slots() {
    for bandwidths in 1..3 {
        let limiter = limiter(bandwidths);
        let keys: Vec<_> = (0..limiter.slots())
            .map(|number| limiter.seed().bytes(&number.to_le_bytes()))
            .collect();
        for key in &keys {
            assert!(limiter.try_acquire(&NOW, *key, 1));
        }
        assert_eq!(draws(&limiter, limiter.seed().bytes(b"late")), 3);
        assert!(limiter.overflowed() >= 3);
        for key in &keys {
            assert!(limiter.peek(NOW, *key, 2).allowed);
            assert_eq!(draws(&limiter, *key), 2);
        }
    }
}

#[test]
fn a_grant_that_is_deferred_holds_its_room_in_its_slot_and_in_the_overflow() {
    for crowded in [false, true] {
        let limiter = limiter(1);
        if crowded {
            for number in 0..limiter.slots() {
                let key = limiter.seed().bytes(&number.to_le_bytes());
                assert!(limiter.try_acquire(&NOW, key, 3));
            }
        }
        let key = limiter.seed().bytes(b"patient");
        let reserve = |count| limiter.reserve(&NOW, key, count, Nanos::MAX).unwrap().0;
        reserve(3);
        let (first, mut second) = (reserve(2), reserve(2));
        assert_eq!(matches!(first.place, Place::Overflow), crowded);
        limiter.defer(&mut second, NOW + Nanos::from_secs(8));
        assert_eq!(limiter.cancel(&first, &NOW), 0);
        let other = self::limiter(1);
        let first = other.reserve(&NOW, key, 3, Nanos::MAX).unwrap().0;
        assert_eq!(other.commit(&first, &NOW, 0), 3, "where nothing is deferred all goes back");
    }
}

#[test]
fn words_have_ledgers_of_their_own_in_a_small_table_and_share_them_in_a_large_one() {
    let quota = Quota::new(Rate::per(1, Nanos::from_secs(1)).unwrap(), 3).unwrap();
    for (max_keys, are_shared) in [(1, false), (200_000, true)] {
        for bandwidths in 1..4 {
            let quotas = vec![quota; bandwidths];
            let limiter = KeyedRateLimiter::new(&quotas, max_keys, Seed::new([1, 2])).unwrap();
            let mut used = vec![std::collections::HashSet::new(); bandwidths];
            for slot in 0..limiter.slots() {
                let seat = limiter.table.seat(slot);
                for (bandwidth, used) in used.iter_mut().enumerate() {
                    used.insert(std::ptr::from_ref(limiter.ledger(seat, bandwidth)));
                }
            }
            let each = limiter.ledgers.len() / bandwidths;
            assert_eq!(each < limiter.slots(), are_shared);
            assert!(used.iter().all(|ledgers| ledgers.len() == each));
            let all: std::collections::HashSet<_> = used.iter().flatten().collect();
            assert_eq!(all.len(), limiter.ledgers.len(), "two bandwidths never share one");
        }
    }
}

#[test]
fn its_size_is_that_of_all_its_parts() {
    for bandwidths in 1..3 {
        let limiter = limiter(bandwidths);
        let parts = size_of::<KeyedRateLimiter>() + bandwidths * size_of::<Bandwidth>();
        let slots = 32 * 8 * (bandwidths + 1);
        assert_eq!(limiter.size(), parts + slots + 32 * 24 * bandwidths);
    }
}
