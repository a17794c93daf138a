//! The pure step: the generic cell rate algorithm on integers.
//!
//! A word holds the theoretical arrival time in units: the present plus what is owed. A request is
//! granted where what is owed after it is within the capacity. The algorithm is that of ITU-T
//! I.371, as a virtual scheduling algorithm; a step is a handful of integer operations.

/// A word that is no more: another has taken its place. No debt brings a word there, and a draw only
/// with the last unit of the range.
pub(crate) const SEALED: u64 = u64::MAX;

/// The word after a grant of `cost` at `present`, or `None` for a refusal.
#[inline]
pub(crate) fn step(word: u64, present: u64, cost: u64, capacity: u64) -> Option<u64> {
    // At the end of the range nothing is granted any more.
    let next = word.max(present).checked_add(cost)?;
    // It is no less than the present.
    (next.wrapping_sub(present) <= capacity).then_some(next)
}

/// The word after a charge of `cost` at `present`, granted or not; debt may pass the capacity.
#[inline]
pub(crate) fn charged(word: u64, present: u64, cost: u64) -> u64 {
    word.max(present).saturating_add(cost).min(SEALED - 1)
}

/// The units at which a request for `cost` is granted: the present where it is now, `None` where the
/// word would pass `last` then.
pub(crate) fn opening(word: u64, present: u64, cost: u64, capacity: u64, last: u64) -> Option<u64> {
    let arrival = word.max(present).checked_add(cost).filter(|arrival| *arrival <= last)?;
    Some(arrival.saturating_sub(capacity).max(present))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_up_to_the_capacity_and_no_more() {
        assert_eq!(step(0, 10, 5, 5), Some(15));
        assert_eq!(step(15, 10, 1, 5), None);
        assert_eq!(step(15, 11, 1, 5), Some(16));
    }

    #[test]
    fn a_word_in_the_past_is_a_full_bucket() {
        assert_eq!(step(3, 10, 5, 5), step(10, 10, 5, 5));
    }

    #[test]
    fn the_end_of_the_range_refuses() {
        assert_eq!(step(u64::MAX, 10, 1, 5), None);
        assert_eq!(step(0, u64::MAX, 1, 5), None);
        assert_eq!(step(0, u64::MAX - 3, 4, 5), None);
        assert_eq!(charged(u64::MAX - 2, 10, 7), SEALED - 1);
    }

    #[test]
    fn a_request_opens_once_its_cost_fits_the_capacity() {
        assert_eq!(opening(0, 10, 5, 5, u64::MAX), Some(10));
        assert_eq!(opening(15, 10, 3, 5, u64::MAX), Some(13));
        assert_eq!([17, 18].map(|last| opening(15, 10, 3, 5, last)), [None, Some(13)]);
        assert_eq!(opening(u64::MAX - 2, 10, 3, 5, u64::MAX), None);
    }

    #[test]
    fn a_sealed_word_refuses_even_a_peek() {
        assert_eq!(step(SEALED, 10, 0, 5), None);
    }
}
