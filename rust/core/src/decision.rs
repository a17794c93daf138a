//! What a limiter says of a request.

use crate::gcra;
use crate::nanos::Nanos;
use crate::quota::Terms;

/// The answer to a request for permits, with what the asker may want to tell others.
///
/// Of several bandwidths `limit` and `remaining` are those of the one with the least remaining,
/// and the times are the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// Whether the permits were granted.
    pub allowed: bool,
    /// The burst.
    pub limit: u64,
    /// Whole permits left, 0 in debt.
    pub remaining: u64,
    /// How long until the same request is granted, if nobody else comes: zero where it was,
    /// [`Nanos::MAX`] where it never can be.
    pub retry_after: Nanos,
    /// How long until nothing is owed any more, [`Nanos::MAX`] for never.
    pub reset_after: Nanos,
}

impl Decision {
    /// Never, whatever is asked.
    pub(crate) const REFUSED: Self = Self {
        allowed: false,
        limit: 0,
        remaining: 0,
        retry_after: Nanos::MAX,
        reset_after: Nanos::MAX,
    };

    /// What is said of permits granted at `now` by the word after the grant.
    #[inline]
    pub(crate) fn granted(terms: &Terms, now: Nanos, word: u64) -> Self {
        let owed = word.saturating_sub(terms.units(now));
        Self {
            allowed: true,
            limit: terms.burst,
            remaining: terms.permits(terms.capacity.saturating_sub(owed)),
            retry_after: Nanos::ZERO,
            reset_after: if owed == 0 { Nanos::ZERO } else { terms.until(word, now) },
        }
    }

    /// What is said of `count` permits at `now` by a word that refused them, and that never passes
    /// `last`.
    pub(crate) fn refused(terms: &Terms, now: Nanos, word: u64, count: u64, last: u64) -> Self {
        let opening = terms
            .cost(count)
            .and_then(|cost| gcra::opening(word, terms.units(now), cost, terms.capacity, last));
        let retry_after = opening.map_or(Nanos::MAX, |units| terms.until(units, now));
        Self { allowed: false, retry_after, ..Self::granted(terms, now, word) }
    }

    /// What will be said of `count` permits at `now` by a word as it stands before them, and that
    /// never passes `last`.
    pub(crate) fn foresee(terms: &Terms, now: Nanos, word: u64, count: u64, last: u64) -> Self {
        let next = terms
            .cost(count)
            .and_then(|cost| gcra::step(word, terms.units(now), cost, terms.capacity));
        match next {
            Some(_) if count == 0 => Self::granted(terms, now, word),
            Some(next) if next <= last => Self::granted(terms, now, next),
            _ => Self::refused(terms, now, word, count, last),
        }
    }

    /// The same request where the first start that all grant is past the range of a word.
    pub(crate) fn never(self) -> Self {
        Self { allowed: false, retry_after: Nanos::MAX, ..self }
    }

    /// Joins what two bandwidths say of one request.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let decides = if other.remaining < self.remaining { other } else { self };
        Self {
            allowed: self.allowed && other.allowed,
            limit: decides.limit,
            remaining: decides.remaining,
            retry_after: self.retry_after.max(other.retry_after),
            reset_after: self.reset_after.max(other.reset_after),
        }
    }
}
