//! Where in a segment which words lie, and which types may lie there at all.

use std::marker::PhantomData;

use sluicegate_core::Bandwidth;
use std::sync::atomic::AtomicU64;

use sluicegate_core::Tally;
use sluicegate_core::breaker::LongBreakerState;
use sluicegate_core::keyed::{Ledger, Line};

use crate::header;

/// The alignment of every section: two cache lines, as hot words want it.
const ALIGNMENT: usize = 128;

/// Types that may lie in memory that other processes write.
///
/// # Safety
/// Any bytes are a value of it. It is laid out by `repr(C)`, has no pointer, nothing to drop and no
/// padding that is read, and asks for no more alignment than 128 bytes. Whatever is written after
/// it was made is an atomic.
pub unsafe trait Plain: Send + Sync {}

// SAFETY: `repr(C)` over 64-bit atomics and over terms of plain 64-bit integers that are never
// written once it was made.
unsafe impl Plain for Bandwidth {}
// SAFETY: `repr(C)` over 64-bit atomics and one plain 64-bit integer that is never written again.
unsafe impl Plain for Tally {}
// SAFETY: an atomic of 64 bits.
unsafe impl Plain for AtomicU64 {}
// SAFETY: `repr(C)` over 64-bit atomics.
unsafe impl Plain for Line {}
// SAFETY: `repr(C)` over 64-bit atomics.
unsafe impl Plain for Ledger {}
// SAFETY: `repr(C)` over structures of 64-bit atomics, each `repr(C)` as well.
unsafe impl Plain for LongBreakerState {}

/// So many words of one kind at an offset.
#[derive(Debug)]
pub struct Section<T> {
    pub(crate) offset: usize,
    pub(crate) count: usize,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for Section<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Section<T> {}

/// The sections of a segment in the order in which they were asked for: the same for all who ask
/// for the same.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    length: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { length: header::LENGTH }
    }
}

impl Plan {
    /// Makes room for `count` words.
    #[must_use]
    pub fn section<T: Plain>(&mut self, count: usize) -> Section<T> {
        const { assert!(align_of::<T>() <= ALIGNMENT) };
        let offset = self.length;
        // At the end of its range it asks for more than any machine has.
        let bytes = size_of::<T>().saturating_mul(count).min(isize::MAX as usize / 2);
        self.length = (offset + bytes).next_multiple_of(ALIGNMENT);
        Section { offset, count, kind: PhantomData }
    }

    /// The length of the file.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever has to change these numbers counts up the layout's version.
    #[test]
    fn the_layout_of_the_words_is_the_one_of_this_version() {
        assert_eq!(header::VERSION, 4);
        assert_eq!((size_of::<Bandwidth>(), align_of::<Bandwidth>()), (384, 128));
        assert_eq!((size_of::<Tally>(), align_of::<Tally>()), (128, 128));
        assert_eq!((size_of::<Line>(), align_of::<Line>()), (64, 64));
        assert_eq!((size_of::<Ledger>(), align_of::<Ledger>()), (24, 8));
        assert_eq!((size_of::<LongBreakerState>(), align_of::<LongBreakerState>()), (680, 8));
    }

    #[test]
    fn sections_follow_one_another_on_lines_of_their_own() {
        let mut plan = Plan::default();
        let (tally, bandwidths) = (plan.section::<Tally>(1), plan.section::<Bandwidth>(2));
        assert_eq!((tally.offset, bandwidths.offset), (4_096, 4_224));
        assert_eq!(plan.length(), 4_224 + 2 * 384);
    }
}
