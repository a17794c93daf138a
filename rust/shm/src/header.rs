//! The header of a segment: whose it is, of which layout, for what, and since which boot.
//!
//! | bytes | |
//! | --- | --- |
//! | 0–7 | magic |
//! | 8–11, 12–15 | layout version, kind |
//! | 16–23 | length of the file |
//! | 24–31 | checksum over the rest of the header: `SipHash`-1-3 |
//! | 32–47 | boot of the machine |
//! | 48–63 | secret of the fingerprints |
//! | 64–67, 68– | length of the configuration, and its text |
//!
//! Numbers are little-endian; what is left of the page is zero.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::error::SegmentError;

/// The length of a header: a page, so that the words begin on one.
pub(crate) const LENGTH: usize = 4_096;

/// The layout of header and words, and the hash that tells where a key lies; whoever changes one of
/// them counts it up.
pub(crate) const VERSION: u32 = 4;

const MAGIC: [u8; 8] = *b"sluicegt";
const CHECKSUM: usize = 24;
const CONFIG: usize = 68;

/// The longest configuration, in bytes.
pub(crate) const LONGEST_CONFIG: usize = LENGTH - CONFIG;

/// What lives in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A rate limiter.
    Limiter = 1,
    /// A keyed rate limiter.
    Keyed = 2,
    /// A circuit breaker.
    Breaker = 3,
    /// A registry of circuit breakers.
    Registry = 4,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Limiter, Self::Keyed, Self::Breaker, Self::Registry];

    /// What users call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Limiter => "limiter",
            Self::Keyed => "keyed limiter",
            Self::Breaker => "breaker",
            Self::Registry => "breaker registry",
        }
    }
}

/// What a segment says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What lives in it.
    pub kind: Kind,
    /// The length of the file.
    pub length: u64,
    /// The boot of the machine in which it was made.
    pub boot: [u8; 16],
    /// What makes the fingerprints of keys.
    pub secret: [u64; 2],
    /// The configuration, as its maker wrote it.
    pub config: Vec<u8>,
}

impl Header {
    /// Gives the header's page.
    ///
    /// # Errors
    /// [`SegmentError::Damaged`] where the configuration is too long for it.
    pub fn encode(&self) -> Result<Vec<u8>, SegmentError> {
        let Some(length) =
            u32::try_from(self.config.len()).ok().filter(|_| self.config.len() <= LONGEST_CONFIG)
        else {
            let message = format!("a configuration takes at most {LONGEST_CONFIG} bytes");
            return Err(SegmentError::Damaged(message));
        };
        let mut page = Vec::with_capacity(LENGTH);
        page.extend(MAGIC);
        page.extend(VERSION.to_le_bytes());
        page.extend((self.kind as u32).to_le_bytes());
        page.extend(self.length.to_le_bytes());
        page.extend([0; 8]);
        page.extend(self.boot);
        page.extend(self.secret.iter().flat_map(|half| half.to_le_bytes()));
        page.extend(length.to_le_bytes());
        page.extend(&self.config);
        page.resize(LENGTH, 0);
        let checksum = checksum(&page);
        page[CHECKSUM..CHECKSUM + 8].copy_from_slice(&checksum.to_le_bytes());
        Ok(page)
    }

    /// Reads a header's page.
    ///
    /// # Errors
    /// [`SegmentError::Damaged`] says what is wrong with it.
    pub fn parse(page: &[u8]) -> Result<Self, SegmentError> {
        let damaged = |what: String| Err(SegmentError::Damaged(what));
        if !page.starts_with(&MAGIC) {
            return damaged("it is no segment of sluicegate's".to_owned());
        }
        if page.len() < LENGTH {
            return damaged("it has been cut off within its header".to_owned());
        }
        let page = &page[..LENGTH];
        let version = u32_at(page, 8);
        if version != VERSION {
            return damaged(format!(
                "it is of layout {version}, and this release reads layout {VERSION}"
            ));
        }
        let kind = Kind::ALL.into_iter().find(|kind| *kind as u32 == u32_at(page, 12));
        let config = page[CONFIG..].get(..u32_at(page, 64) as usize);
        let (Some(kind), Some(config), true) =
            (kind, config, checksum(page) == u64_at(page, CHECKSUM))
        else {
            return damaged("its header is damaged: the checksum is another".to_owned());
        };
        let mut boot = [0; 16];
        boot.copy_from_slice(&page[32..48]);
        let secret = [u64_at(page, 48), u64_at(page, 56)];
        Ok(Self { kind, length: u64_at(page, 16), boot, secret, config: config.to_vec() })
    }
}

fn u32_at(page: &[u8], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&page[at..at + 4]);
    u32::from_le_bytes(bytes)
}

fn u64_at(page: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&page[at..at + 8]);
    u64::from_le_bytes(bytes)
}

fn checksum(page: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(&page[..CHECKSUM]);
    hasher.write(&page[CHECKSUM + 8..]);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Header {
        let config = b"100 per second".to_vec();
        Header { kind: Kind::Keyed, length: 8_192, boot: [7; 16], secret: [1, 2], config }
    }

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        let page = header().encode().unwrap();
        assert_eq!(page.len(), LENGTH);
        assert_eq!(Header::parse(&page).unwrap(), header());
    }

    #[test]
    fn a_configuration_fills_the_page_at_most() {
        let with = |length| Header { config: vec![b'x'; length], ..header() };
        let longest = with(LONGEST_CONFIG);
        assert_eq!(Header::parse(&longest.encode().unwrap()).unwrap(), longest);
        assert!(with(LONGEST_CONFIG + 1).encode().is_err());
    }

    #[test]
    fn another_layout_is_told_from_damage() {
        let mut page = header().encode().unwrap();
        page[8] = 9;
        assert!(Header::parse(&page).unwrap_err().to_string().contains("layout 9"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_taken_for_a_header_and_none_make_it_fail(bytes: Vec<u8>, magic: bool) {
            let mut page = if magic { MAGIC.to_vec() } else { Vec::new() };
            page.extend(bytes);
            page.resize(LENGTH, 0);
            prop_assert!(Header::parse(&page).is_err());
        }

        #[test]
        fn every_damaged_bit_is_noticed(bit in 0..LENGTH * 8) {
            let mut page = header().encode().unwrap();
            page[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Header::parse(&page).is_err());
        }

        #[test]
        fn a_header_that_is_cut_off_is_none(length in 0..LENGTH) {
            prop_assert!(Header::parse(&header().encode().unwrap()[..length]).is_err());
        }
    }
}
