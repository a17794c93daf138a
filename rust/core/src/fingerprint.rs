//! Keys of any length in 64 bits, by what nobody outside can foresee.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use siphasher::sip::SipHasher13;

/// A key as a limiter knows it: 64 bits, told by a secret.
///
/// Two keys of a million share one with a chance of 3 · 10^-8; they would share their permits then. Two
/// integers of 64 bits never share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Its bits.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Makes fingerprints: `SipHash`-1-3 under a secret, and of integers a permutation under it.
///
/// Keys come from outside, and whoever could choose colliding ones could crowd others out of their
/// slots. `SipHash` is a pseudorandom function made against that; Python and Rust guard their own
/// tables with it. It is also specified once and for all, as a table in a file needs it, which the
/// faster hashes are not. It costs 10 ns more than those for a dozen bytes.
///
/// An integer of 64 bits needs no such function to be told from others, only one that loses none of
/// it: a permutation, at a fifth of the cost. Whoever saw through that one could choose where a table
/// looks for a key first, but not where else, since [`Seed::again`] tells that; elsewhere the
/// fingerprint is all there is.
#[derive(Clone, Debug)]
pub struct Seed {
    bytes: SipHasher13,
    integers: Permutation,
    long_integers: SipHasher13,
    sequences: SipHasher13,
    again: [u64; 2],
}

/// A permutation of 64 bits under a secret: the finalizer of `MurmurHash3`, with secret factors in place
/// of its own.
#[derive(Clone, Copy, Debug)]
struct Permutation {
    mask: u64,
    /// Odd, so that no product loses a bit.
    factors: [u64; 2],
}

impl Permutation {
    #[inline]
    fn of(self, number: u64) -> u64 {
        let folded = |wide: u64| wide ^ wide >> 32;
        let [first, second] = self.factors;
        // Folded at first too: of numbers that differ in their upper bits alone a product would keep
        // all in its own.
        let number = folded(number) ^ self.mask;
        folded(folded(number.wrapping_mul(first)).wrapping_mul(second))
    }
}

impl Seed {
    /// Takes 128 secret bits: the same ones give the same fingerprints, on every machine.
    #[must_use]
    pub fn new(secret: [u64; 2]) -> Self {
        let root = SipHasher13::new_with_keys(secret[0], secret[1]);
        // Each kind of key has a function of its own, so that 5 and "\x05" are strangers.
        let keys = |kind: u8| [root.hash(&[kind, 0]), root.hash(&[kind, 1])];
        let hasher = |[first, second]: [u64; 2]| SipHasher13::new_with_keys(first, second);
        let [mask, first] = keys(3);
        let [second, _] = keys(4);
        Self {
            bytes: hasher(keys(0)),
            integers: Permutation { mask, factors: [first | 1, second | 1] },
            long_integers: hasher(keys(1)),
            sequences: hasher(keys(2)),
            again: keys(5),
        }
    }

    /// Draws the secret from the operating system's randomness.
    #[must_use]
    pub fn random() -> Self {
        let random = RandomState::new();
        Self::new([random.hash_one(0), random.hash_one(1)])
    }

    /// The fingerprint of bytes; a text is its UTF-8.
    #[inline]
    #[must_use]
    pub fn bytes(&self, key: &[u8]) -> Fingerprint {
        Fingerprint(self.bytes.hash(key))
    }

    /// The fingerprint of an integer: the little-endian two's complement of eight bytes, or the
    /// least number of bytes above that which holds it.
    #[inline]
    #[must_use]
    pub fn integer(&self, key: &[u8]) -> Fingerprint {
        match <[u8; 8]>::try_from(key) {
            Ok(eight) => Fingerprint(self.integers.of(u64::from_le_bytes(eight))),
            Err(_) => Fingerprint(self.long_integers.hash(key)),
        }
    }

    /// The fingerprint of keys in a row.
    #[must_use]
    pub fn sequence(&self, keys: impl IntoIterator<Item = Fingerprint>) -> Fingerprint {
        let mut hasher = self.sequences;
        for key in keys {
            hasher.write(&key.0.to_le_bytes());
        }
        Fingerprint(hasher.finish())
    }

    /// Other 64 bits of a key, which nobody foresees by its fingerprint either.
    #[inline]
    pub(crate) fn again(&self, key: Fingerprint) -> u64 {
        // Begun anew, so that the compiler knows that nothing was written yet: eight bytes then take
        // no loop, no branch and no call.
        let mut hasher = SipHasher13::new_with_keys(self.again[0], self.again[1]);
        hasher.write_u64(key.0.to_le());
        hasher.finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_secret_gives_the_same_fingerprints() {
        let [one, other] = [(); 2].map(|()| Seed::new([1, 2]));
        assert_eq!(one.bytes(b"alice"), other.bytes(b"alice"));
        let number = (-5_i64).to_le_bytes();
        assert_eq!(one.bytes(b"alice").get(), 5_657_208_740_429_094_238);
        assert_eq!(one.integer(&number), other.integer(&number));
        assert_eq!(one.integer(&number).get(), 13_940_395_903_828_969_931);
        assert_eq!(one.integer(&[5; 9]).get(), 8_257_134_197_107_600_081);
        assert_eq!(one.again(one.bytes(b"alice")), 9_606_897_307_442_208_796);
    }

    proptest! {
        #[test]
        fn an_integer_can_be_told_by_its_fingerprint(secret: [u64; 2], number: u64) {
            let Permutation { mask, factors: [first, second] } = Seed::new(secret).integers;
            // Newton's iteration: each step doubles the bits that are right.
            let inverse = |odd: u64| (0..6).fold(odd, |inverse, _| {
                inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)))
            });
            let unfolded = |wide: u64| wide ^ wide >> 32;
            let mixed = Seed::new(secret).integer(&number.to_le_bytes()).get();
            let half = unfolded(unfolded(mixed).wrapping_mul(inverse(second)));
            prop_assert_eq!(unfolded(half.wrapping_mul(inverse(first)) ^ mask), number);
        }
    }

    #[test]
    fn each_bit_of_an_integer_changes_each_of_its_fingerprint_half_the_time() {
        for bit in 0..64 {
            let mut changes = [0; 64];
            for sample in 0..1_000 {
                let seed = Seed::new([sample, bit]);
                let number = seed.again(Fingerprint(sample)).rotate_left(7);
                let of = |number: u64| seed.integer(&number.to_le_bytes()).get();
                let difference = of(number) ^ of(number ^ 1 << bit);
                for (place, count) in changes.iter_mut().enumerate() {
                    *count += difference >> place & 1;
                }
            }
            // 6 standard deviations are 95.
            assert!(changes.iter().all(|count| (405..595).contains(count)), "{bit}: {changes:?}");
        }
    }

    #[test]
    fn another_secret_gives_others() {
        assert_ne!(Seed::new([1, 2]).bytes(b"alice"), Seed::new([1, 3]).bytes(b"alice"));
        assert_ne!(Seed::random().bytes(b"alice"), Seed::random().bytes(b"alice"));
    }

    #[test]
    fn the_kinds_of_keys_are_strangers_to_each_other() {
        let seed = Seed::new([1, 2]);
        let number = 5_i64.to_le_bytes();
        let keys = [
            seed.bytes(&number),
            seed.integer(&number),
            seed.sequence([seed.integer(&number)]),
            seed.sequence([seed.sequence([seed.integer(&number)])]),
            seed.sequence([]),
        ];
        for (place, key) in keys.iter().enumerate() {
            assert!(!keys[..place].contains(key));
        }
    }
}
