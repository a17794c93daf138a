//! Keys of any length in 64 bits, by a hash that nobody outside can foresee.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use siphasher::sip::SipHasher13;

/// A key as a limiter knows it: 64 bits of a seeded hash.
///
/// Two keys of a million share one with a chance of 10^-8; they would share their permits then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Its bits.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Makes fingerprints: `SipHash`-1-3 under a secret.
///
/// Keys come from outside, and whoever could choose colliding ones could crowd others out of their
/// slots. `SipHash` is a pseudorandom function made against that; Python and Rust guard their own
/// tables with it. It is also specified once and for all, as a table in a file needs it, which the
/// faster hashes are not. It costs 10 ns more than those for a dozen bytes.
#[derive(Clone, Debug)]
pub struct Seed {
    bytes: SipHasher13,
    integers: [u64; 2],
    sequences: SipHasher13,
}

impl Seed {
    /// Takes 128 secret bits: the same ones give the same fingerprints, on every machine.
    #[must_use]
    pub fn new(secret: [u64; 2]) -> Self {
        let root = SipHasher13::new_with_keys(secret[0], secret[1]);
        // Each kind of key has a function of its own, so that 5 and "\x05" are strangers.
        let keys = |kind: u8| [root.hash(&[kind, 0]), root.hash(&[kind, 1])];
        let hasher = |[first, second]: [u64; 2]| SipHasher13::new_with_keys(first, second);
        Self { bytes: hasher(keys(0)), integers: keys(1), sequences: hasher(keys(2)) }
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
        // Begun anew, so that the compiler knows that nothing was written yet: eight bytes then take
        // no loop, no branch and no call.
        let mut hasher = SipHasher13::new_with_keys(self.integers[0], self.integers[1]);
        match <[u8; 8]>::try_from(key) {
            Ok(eight) => hasher.write_u64(u64::from_ne_bytes(eight)),
            Err(_) => hasher.write(key),
        }
        Fingerprint(hasher.finish())
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
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_same_secret_gives_the_same_fingerprints() {
        let [one, other] = [(); 2].map(|()| Seed::new([1, 2]));
        assert_eq!(one.bytes(b"alice"), other.bytes(b"alice"));
        assert_eq!(one.bytes(b"alice").get(), 5_657_208_740_429_094_238);
    }

    #[test]
    fn an_integer_is_hashed_as_its_bytes_are() {
        let seed = Seed::new([1, 2]);
        let whole = SipHasher13::new_with_keys(seed.integers[0], seed.integers[1]);
        for length in 0..20 {
            let key =
                &[0xa5, 1, 2, 3, 0xff, 5, 6, 7, 8, 9, 10, 0xc3, 12, 13, 14, 15, 16, 17, 18, 19]
                    [..length];
            assert_eq!(seed.integer(key).get(), whole.hash(key));
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
