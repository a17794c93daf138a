//! One stash's stash: a few permits drawn ahead from the root, in one word.

use crate::sync::{AtomicU64, Ordering};

/// The bits of a field; a word holds tokens, claims and a version.
const FIELD: u32 = 10;

/// The most permits a stash may hold.
pub(super) const MOST: u64 = (1 << FIELD) - 1;

/// One change of the version; 44 bits come round after two days of nothing but changes.
const VERSION: u64 = 1 << (2 * FIELD);

/// A stash as it was seen: permits to draw, and permits that some call has in its hands.
///
/// Tokens and claims together never exceed the stash's share, so no field runs into the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holding(u64);

impl Holding {
    pub(super) fn tokens(self) -> u64 {
        self.0 & MOST
    }

    pub(super) fn claimed(self) -> u64 {
        (self.0 >> FIELD) & MOST
    }

    /// Tokens, `count` fewer.
    fn drawn(self, count: u64) -> u64 {
        self.0.wrapping_add(VERSION) - count
    }

    /// Claims, `count` more.
    fn claiming(self, count: u64) -> u64 {
        self.0.wrapping_add(VERSION) + (count << FIELD)
    }
}

/// The word of a stash, on cache lines of its own.
#[repr(C, align(128))]
#[derive(Debug)]
pub(super) struct Stash(AtomicU64);

impl Stash {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Reads what it holds.
    #[inline]
    pub(super) fn holding(&self) -> Holding {
        // Acquire: whoever sees a change sees what its maker had read of root and clock, and a
        // clock or a root read after this is no older.
        Holding(self.0.load(Ordering::Acquire))
    }

    /// Draws `count` tokens, if nothing has changed since `seen`.
    #[inline]
    pub(super) fn draw(&self, seen: Holding, count: u64) -> bool {
        self.swap(seen, seen.drawn(count))
    }

    /// Claims the room left of `share` for tokens that the root is yet to give: how much that is.
    pub(super) fn claim_room(&self, share: u64) -> u64 {
        let seen = self.holding();
        let room = share - seen.tokens() - seen.claimed();
        if room > 0 && self.swap(seen, seen.claiming(room)) { room } else { 0 }
    }

    /// Claims all tokens, so that nobody draws them: how many they are.
    pub(super) fn claim_tokens(&self) -> u64 {
        let seen = self.holding();
        let tokens = seen.tokens();
        let claimed = Holding(seen.drawn(tokens)).claiming(tokens);
        if tokens > 0 && self.swap(seen, claimed) { tokens } else { 0 }
    }

    /// Ends a claim of `claimed`, of which `tokens` may be drawn from now on.
    pub(super) fn release(&self, claimed: u64, tokens: u64) {
        if claimed > 0 {
            // The fields hold what was claimed, and no more tokens are released than that: neither
            // runs into the next. Release: whoever draws them reads a clock and a root no older.
            let change = VERSION.wrapping_add(tokens).wrapping_sub(claimed << FIELD);
            self.0.fetch_add(change, Ordering::AcqRel);
        }
    }

    fn swap(&self, seen: Holding, next: u64) -> bool {
        // AcqRel: the reads that led to it come before it, and what follows a claim after it.
        self.0.compare_exchange(seen.0, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn holding(tokens: u64) -> Stash {
        let stash = Stash::new();
        assert_eq!(stash.claim_room(tokens), tokens);
        stash.release(tokens, tokens);
        stash
    }

    #[test]
    fn a_claim_becomes_tokens_or_nothing() {
        let stash = Stash::new();
        assert_eq!(stash.claim_room(MOST), MOST);
        assert_eq!((stash.holding().tokens(), stash.holding().claimed()), (0, MOST));
        stash.release(MOST, MOST - 1);
        assert_eq!((stash.holding().tokens(), stash.holding().claimed()), (MOST - 1, 0));
        assert_eq!(stash.claim_room(MOST), 1);
        stash.release(1, 0);
        assert_eq!((stash.holding().tokens(), stash.holding().claimed()), (MOST - 1, 0));
    }

    #[test]
    fn room_that_is_claimed_already_is_claimed_by_nobody_else() {
        let stash = Stash::new();
        assert_eq!((stash.claim_room(5), stash.claim_room(5)), (5, 0));
        assert_eq!(stash.claim_room(8), 3);
        assert_eq!((stash.holding().tokens(), stash.holding().claimed()), (0, 8));
    }

    #[test]
    fn claimed_tokens_are_nobodys_to_draw() {
        let stash = holding(5);
        assert_eq!(stash.claim_tokens(), 5);
        assert_eq!((stash.holding().tokens(), stash.holding().claimed()), (0, 5));
        assert_eq!(stash.claim_tokens(), 0);
    }

    #[test]
    fn a_draw_from_a_stash_that_changed_and_changed_back_fails() {
        let stash = holding(5);
        let seen = stash.holding();
        assert!(stash.draw(seen, 1));
        assert_eq!(stash.claim_room(5), 1);
        stash.release(1, 1);
        assert_eq!(stash.holding().tokens(), seen.tokens());
        assert!(!stash.draw(seen, 1));
    }

    #[test]
    fn a_version_that_comes_round_leaves_the_fields_alone() {
        let stash = holding(3);
        stash.0.store(stash.0.load(Ordering::Relaxed) | !(VERSION - 1), Ordering::Relaxed);
        assert!(stash.draw(stash.holding(), 1));
        assert_eq!((stash.holding().tokens(), stash.holding().claimed()), (2, 0));
    }
}
