//! What a slot's two kinds of atomics say: whose it is, and how much is owed.

use crate::fingerprint::Fingerprint;

/// Words from here on are claims; arrivals stay below. The range of a word is then 70 years.
pub(super) const CLAIMED: u64 = 1 << 63;

/// The last arrival a word can hold.
pub(super) const LAST: u64 = CLAIMED - 1;

const GENERATION: u64 = 0xff;

/// A claim on a slot that changes hands: what its word was worth, rounded up to 256 units, and the
/// generation that it ends.
///
/// A claim's worth is owed as any other, but nothing is charged to it, so that whoever dies while
/// a slot changes hands takes nothing along, and anybody may go on where another stopped.
pub(super) const fn claim(worth: u64, generation: u64) -> u64 {
    let worth = worth.saturating_add(GENERATION);
    CLAIMED | if worth > LAST { LAST } else { worth } & !GENERATION | generation
}

/// The arrival that a word stands for, claimed or not.
pub(super) const fn worth(word: u64) -> u64 {
    if word < CLAIMED { word } else { word & LAST & !GENERATION }
}

/// Whose a slot is: 56 bits of a fingerprint, and the generation, which every change of hands moves
/// on. The other 8 bits of the fingerprint tell, in a table of 256 groups and more, the first of those
/// in which the key may be.
///
/// So a thread that slept in the middle of a takeover cannot complete it on a slot that has had
/// other owners meanwhile, the same one again included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(u64);

impl Tag {
    pub(super) const fn new(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) const fn get(self) -> u64 {
        self.0
    }

    #[inline]
    pub(super) const fn holds(self, key: Fingerprint) -> bool {
        (self.0 ^ key.get() << 8) <= GENERATION
    }

    pub(super) const fn generation(self) -> u64 {
        self.0 & GENERATION
    }

    /// The tag once `key` has taken the slot.
    pub(super) const fn passed_to(self, key: Fingerprint) -> Self {
        Self(key.get() << 8 | self.0.wrapping_add(1) & GENERATION)
    }

    /// Whether `word` is the claim by which the slot came to this tag: it is the owner's to charge.
    pub(super) const fn owns(self, word: u64) -> bool {
        word >= CLAIMED && word.wrapping_add(1) & GENERATION == self.generation()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::fingerprint::Seed;

    #[test]
    fn a_claim_is_worth_its_word_rounded_up() {
        assert_eq!(worth(claim(1, 7)), 256);
        assert_eq!(worth(claim(512, 7)), 512);
        assert_eq!(worth(claim(0, 255)), 0);
        assert_eq!((claim(0, 0), worth(claim(0, 0))), (CLAIMED, 0));
        assert_eq!(worth(claim(LAST, 1)), LAST - 255);
        assert_eq!(worth(700), 700);
    }

    #[test]
    fn a_claim_belongs_to_the_tag_that_follows_it() {
        let seed = Seed::new([1, 2]);
        let (alice, bob) = (seed.bytes(b"alice"), seed.bytes(b"bob"));
        let mut tag = Tag::new(0);
        for _ in 0..600 {
            let claim = claim(1_000, tag.generation());
            assert!(!tag.owns(claim));
            tag = tag.passed_to(alice);
            assert!(tag.owns(claim));
            assert!(tag.holds(alice));
            assert!(!tag.holds(bob));
        }
    }
}
