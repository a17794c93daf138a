//! Where permits lie between the root and the stashes, call by call.

#![allow(clippy::unwrap_used, reason = "a test")]

use super::*;
use crate::fingerprint::Seed;
use crate::rate::Rate;

const SECOND: Nanos = Nanos::from_secs(1);

/// A permit a second; four shards of which each stash holds up to 78 permits, 312 in all.
fn limiter() -> ShardedRateLimiter {
    let quota = Quota::new(Rate::per(1, SECOND).unwrap(), 20_000).unwrap();
    let limiter = ShardedRateLimiter::new(&quota, 4).unwrap();
    assert_eq!(limiter.share, 78);
    limiter
}

fn key(number: u64) -> Fingerprint {
    Seed::new([1, 2]).integer(&number.to_le_bytes())
}

/// What the root owes, in permits, and the tokens of every stash.
fn lies(limiter: &ShardedRateLimiter, now: Nanos) -> (u64, Vec<u64>) {
    let Sight { in_force, word, .. } = limiter.look();
    let owed = word.saturating_sub(in_force.terms.units(now)) / in_force.terms.unit;
    (owed, limiter.stashes.iter().map(|stash| stash.holding().tokens()).collect())
}

/// A limiter of which 400 permits are drawn and the stash of the key's first shard is full.
fn filled(key: Fingerprint, now: Nanos) -> ShardedRateLimiter {
    let limiter = limiter();
    assert!(limiter.try_acquire(&now, key, 400));
    assert_eq!(lies(&limiter, now), (400, vec![0; 4]));
    assert!(limiter.try_acquire(&now, key, 1));
    let (owed, tokens) = lies(&limiter, now);
    assert_eq!((owed, tokens[limiter.shard(key)]), (479, 78));
    assert_eq!(tokens.iter().sum::<u64>(), 78);
    limiter
}

#[test]
fn a_key_has_two_shards_and_all_shards_have_as_many_keys() {
    for shards in [1, 2, 3, 7, 64] {
        let quota = Quota::new(Rate::per(1, SECOND).unwrap(), 1).unwrap();
        let limiter = ShardedRateLimiter::new(&quota, shards).unwrap();
        assert_eq!(limiter.shards(), shards);
        let each = 2_000;
        let mut seen = vec![[0_usize; 2]; shards];
        for number in 0..each * shards as u64 {
            let [first, second] = limiter.candidates(key(number));
            assert_eq!(first == second, shards == 1);
            assert_eq!(limiter.shard(key(number)), first);
            seen[first][0] += 1;
            seen[second][1] += 1;
        }
        // 2,000 keys a shard, first and second: 6 standard deviations are 270.
        assert!(seen.iter().flatten().all(|count| (1_730..2_271).contains(count)), "{seen:?}");
    }
}

#[test]
fn a_draw_takes_from_the_stash_of_its_key_to_the_last_permit_and_leaves_the_root_alone() {
    let (key, now) = (key(1), SECOND);
    let limiter = filled(key, now);
    assert!(limiter.try_acquire(&now, key, 8));
    assert_eq!((lies(&limiter, now).0, lies(&limiter, now).1.iter().sum::<u64>()), (479, 70));
    assert!(limiter.try_acquire(&now, key, 70));
    assert_eq!(lies(&limiter, now), (479, vec![0; 4]));
    assert_eq!(limiter.peek(now, 0).remaining, 20_000 - 479);
}

#[test]
fn a_draw_looks_into_the_second_stash_of_its_key_before_the_root() {
    let now = SECOND;
    let of = |limiter: &ShardedRateLimiter, number| limiter.candidates(key(number));
    let limiter = filled(key(1), now);
    let full = limiter.shard(key(1));
    let other = (2..100).find(|&number| of(&limiter, number)[1] == full).unwrap();
    assert!(limiter.try_acquire(&now, key(other), 5));
    assert_eq!((lies(&limiter, now).0, lies(&limiter, now).1[full]), (479, 73));
}

#[test]
fn a_stash_is_filled_only_while_there_is_plenty_for_all() {
    let (key, now) = (key(1), SECOND);
    // Of 20,000 permits the draw itself, the stash of 78 and room for all 312 must be there.
    for (drawn, is_filled) in [(20_000 - 1 - 78 - 312, true), (20_000 - 78 - 312, false)] {
        let limiter = limiter();
        assert!(limiter.try_acquire(&now, key, drawn));
        assert!(limiter.try_acquire(&now, key, 1));
        let tokens = if is_filled { 78 } else { 0 };
        let (owed, held) = lies(&limiter, now);
        assert_eq!((owed, held.iter().sum::<u64>()), (drawn + 1 + tokens, tokens));
    }
}

#[test]
fn a_draw_larger_than_a_stash_fills_none() {
    let (key, now) = (key(1), SECOND);
    for (count, tokens) in [(78, 78), (79, 0)] {
        let limiter = limiter();
        assert!(limiter.try_acquire(&now, key, 400));
        assert!(limiter.try_acquire(&now, key, count));
        assert_eq!(lies(&limiter, now).1.iter().sum::<u64>(), tokens);
    }
}

#[test]
fn while_a_reservation_is_not_paid_off_no_stash_is_filled() {
    let (key, now) = (key(1), SECOND);
    let limiter = filled(key, now);
    let (grant, _) = limiter.reserve(&now, 100, Nanos::ZERO).unwrap();
    // 401 were drawn, 100 are reserved; the stash gave back what it held.
    assert_eq!(lies(&limiter, now), (501, vec![0; 4]));
    assert!(limiter.try_acquire(&now, key, 1));
    assert_eq!(lies(&limiter, now), (502, vec![0; 4]));
    assert_eq!(limiter.commit(&grant, &now, 40), 60);
    let later = now + Nanos::from_secs(501);
    assert!(limiter.try_acquire(&later, key, 400));
    assert!(limiter.try_acquire(&later, key, 1));
    assert_eq!(lies(&limiter, later).1.iter().sum::<u64>(), 78);
}

#[test]
fn a_debt_counts_what_lies_in_the_stashes_as_there() {
    let (key, now) = (key(1), SECOND);
    let limiter = limiter();
    let (grant, _) = limiter.reserve(&now, 1, Nanos::ZERO).unwrap();
    let later = now + Nanos::from_secs(1);
    assert!(limiter.try_acquire(&later, key, 400));
    assert!(limiter.try_acquire(&later, key, 1));
    // Full again but for what lies in the stash: it must not be given twice.
    let full = later + Nanos::from_secs(479);
    assert_eq!(lies(&limiter, full), (0, lies(&limiter, later).1));
    assert_eq!(limiter.peek(full, 0).remaining, 20_000);
    assert_eq!(limiter.commit(&grant, &full, 11), -10);
    assert_eq!(limiter.peek(full, 0).remaining, 19_990);
    assert_eq!(lies(&limiter, full).0, 88, "what is out, and the debt");
    let all: u64 =
        [1, 77, 19_912].into_iter().filter(|&n| limiter.try_acquire(&full, key, n)).sum();
    assert_eq!(all, 19_990);
    assert!(!limiter.try_acquire(&full, key, 1));
}

#[test]
fn whoever_is_in_debt_draws_from_no_stash() {
    let (key, now) = (key(1), SECOND);
    let limiter = limiter();
    let (grant, _) = limiter.reserve(&now, 1, Nanos::ZERO).unwrap();
    let later = now + Nanos::from_secs(1);
    assert!(limiter.try_acquire(&later, key, 400));
    assert!(limiter.try_acquire(&later, key, 1));
    assert_eq!(limiter.commit(&grant, &later, 30_001), -30_000);
    assert_eq!(lies(&limiter, later).1.iter().sum::<u64>(), 78);
    let refused = limiter.attempt(&later, key, 1);
    assert_eq!((refused.allowed, refused.remaining), (false, 0));
    assert_eq!(refused.retry_after, Nanos::from_secs(401 + 30_000 + 1 - 20_000));
}

/// A full limiter of which some call has claimed ten permits of the first stash's room, for ever.
fn claimed() -> ShardedRateLimiter {
    let limiter = limiter();
    assert_eq!(limiter.stashes[0].claim_room(10), 10);
    limiter
}

/// A full limiter in which some call gives permits back, for ever.
fn taken_turn() -> ShardedRateLimiter {
    let limiter = limiter();
    assert!(limiter.root().in_force().cell.ledger.begin_turn().is_some());
    limiter
}

#[test]
fn a_debt_beside_what_never_ends_counts_all_that_the_stashes_hold_as_drawn() {
    for limiter in [claimed(), taken_turn()] {
        limiter.owe(&SECOND, 10);
        assert_eq!(lies(&limiter, SECOND).0, 4 * 78 + 10);
    }
}

#[test]
fn a_reservation_beside_claims_that_never_end_counts_them_as_drawn_and_gives_nothing_back() {
    let (limiter, now) = (claimed(), SECOND);
    let (grant, told) = limiter.reserve(&now, 100, Nanos::ZERO).unwrap();
    assert_eq!((told.remaining, lies(&limiter, now).0), (20_000 - 110, 110));
    assert_eq!(limiter.commit(&grant, &now, 40), 0);
    let alone = self::limiter();
    let (grant, _) = alone.reserve(&now, 100, Nanos::ZERO).unwrap();
    assert_eq!(alone.commit(&grant, &now, 40), 60);
}

#[test]
fn whoever_would_draw_while_permits_go_back_for_ever_is_refused_and_charged_nothing() {
    let (limiter, now) = (taken_turn(), SECOND);
    let refused = limiter.reserve(&now, 100, Nanos::MAX).unwrap_err();
    assert!(!refused.allowed);
    assert!(!limiter.attempt(&now, key(1), 1).allowed);
    assert_eq!(lies(&limiter, now), (0, vec![0; 4]));
}

#[test]
fn a_draw_from_a_full_bucket_beside_claims_that_never_end_counts_them_as_drawn() {
    let (limiter, now) = (claimed(), SECOND);
    assert!(limiter.try_acquire(&now, key(1), 100));
    assert_eq!(lies(&limiter, now).0, 110);
}

#[test]
fn whoever_needs_what_others_have_claimed_for_ever_is_refused() {
    let (key, now) = (key(1), SECOND);
    let limiter = filled(key, now);
    assert_eq!(limiter.stashes[limiter.shard(key)].claim_tokens(), 78);
    let refused = limiter.attempt(&now, key, 20_000 - 401);
    assert_eq!((refused.allowed, refused.remaining), (false, 20_000 - 479));
    assert!(limiter.try_acquire(&now, key, 20_000 - 479));
}

#[test]
fn reserving_nothing_writes_nothing() {
    let limiter = limiter();
    assert!(limiter.reserve(&Nanos::from_secs(9), 0, Nanos::ZERO).is_ok());
    assert_eq!(limiter.look().word, 0);
    assert!(limiter.try_acquire(&SECOND, key(1), 20_000));
}
