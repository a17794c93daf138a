//! The one compare-and-swap loop over one word.

use crate::gcra::{self, SEALED};
use crate::nanos::Nanos;
use crate::quota::Terms;
use crate::sync::{AtomicU64, Ordering};

/// Draws `cost` from a word at `present`: the word after the grant, or the one that refuses.
///
/// A refusal writes nothing, and a stale present only refuses more. Lock-free.
pub(crate) fn take(word: &AtomicU64, present: u64, cost: u64, capacity: u64) -> Result<u64, u64> {
    loop {
        // Relaxed: the word is all there is to see; nothing else is published by it.
        let seen = word.load(Ordering::Relaxed);
        let next = gcra::step(seen, present, cost, capacity).ok_or(seen)?;
        // A word that is not moved (a peek, or no limit at all) need not be written.
        if cost == 0 || replace(word, seen, next) {
            return Ok(next);
        }
    }
}

/// Writes the word after a grant, unless another came first: some 4 ns.
#[inline]
pub(crate) fn replace(word: &AtomicU64, seen: u64, next: u64) -> bool {
    // Release: a refund that reads the grant then reads a clock no earlier than its present.
    word.compare_exchange(seen, next, Ordering::Release, Ordering::Relaxed).is_ok()
}

/// Charges `cost` at `now` whatever is owed already, past the capacity too; a sealed word declines.
pub(crate) fn charge(word: &AtomicU64, terms: &Terms, now: Nanos, cost: u64) -> bool {
    let present = terms.units(now);
    let owe = |seen| (seen != SEALED).then(|| gcra::charged(seen, present, cost));
    // Release and Relaxed as in `take`.
    word.fetch_update(Ordering::Release, Ordering::Relaxed, owe).is_ok()
}
