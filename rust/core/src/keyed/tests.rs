//! Takeovers that their thread never completed: what was left is taken up by whoever comes.

#![allow(clippy::unwrap_used, reason = "a test")]

use super::standing::Ask;
use super::*;
use crate::rate::Rate;

const NOW: Nanos = Nanos::from_secs(10);

/// A permit a second, three at once, for the keys of sixteen slots; all used and paid off but one.
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
fn a_charge_that_finds_its_slot_in_other_hands_counts_for_nothing() {
    let limiter = limiter(1);
    let owner = limiter.seed().bytes(&0_usize.to_le_bytes());
    let (seat, presents) = (seat(&limiter, owner), limiter.presents(NOW));
    let standing = Standing::settle(&limiter, owner, seat, false).unwrap();
    let taker = limiter.seed().bytes(b"taker");
    limiter.table.occupy(seat, taker, &presents[..1]).unwrap();
    let ask = Ask { now: NOW, start: NOW, count: 1, as_debt: false };
    assert!(!standing.charge(&limiter, ask).1);
    assert_eq!(draws(&limiter, taker), 3);
}

#[test]
fn the_end_of_the_range_refuses() {
    let limiter = limiter(1);
    let key = limiter.seed().bytes(b"late");
    assert!(!limiter.try_acquire(&Nanos::MAX, key, 1));
}
