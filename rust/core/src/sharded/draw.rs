//! Drawing permits now: from a stash, from the root, or from the root and all stashes.

use crate::bandwidth::{Cell, InForce};
use crate::clock::Clock;
use crate::decision::Decision;
use crate::fingerprint::Fingerprint;
use crate::gcra::{self, SEALED};
use crate::nanos::Nanos;
use crate::quota::Terms;
use crate::sync::{self, Ordering};

use super::{Out, ShardedRateLimiter, Sight, credit};

/// How often a call starts over because others came between; then it is refused.
pub(super) const ATTEMPTS: u32 = if cfg!(loom) { 4 } else { 128 };

/// How often a call waits for claims to end before it counts them as drawn.
pub(super) const PATIENCE: u32 = ATTEMPTS / 2;

/// What came of a draw.
pub(super) struct Drawn {
    /// The terms it was decided by.
    pub(super) terms: Terms,
    /// The present it was decided at.
    pub(super) now: Nanos,
    /// What was owed, where it was refused.
    pub(super) refused: Option<u64>,
}

impl ShardedRateLimiter {
    /// Draws `count` permits, or says what is owed instead.
    #[inline]
    pub(super) fn draw(&self, clock: &impl Clock, key: Fingerprint, count: u64) -> Drawn {
        let candidates = self.candidates(key);
        if (1..=self.share).contains(&count)
            && let Some(drawn) = self.draw_from_stash(clock, candidates, count)
        {
            return drawn;
        }
        self.draw_from_root(clock, candidates, count)
    }

    /// Draws from the first candidate that has enough; after a lost race from the other.
    ///
    /// The root is read **after** the stash, which must not change from then to the swap: so there
    /// is an instant at which both are as seen, and the draw is made then. The bucket is not full
    /// then, so that nothing has overflowed that a later seal would no longer know of; nor is it in
    /// debt. The clock is read between the two, and so never before what it judges was earned.
    #[inline]
    fn draw_from_stash(
        &self,
        clock: &impl Clock,
        candidates: [usize; 2],
        count: u64,
    ) -> Option<Drawn> {
        for index in candidates {
            let stash = &self.stashes[index];
            let holding = stash.holding();
            if holding.tokens() < count {
                continue;
            }
            let InForce { terms, cell: root, .. } = self.root().in_force();
            let now = clock.now();
            // Acquire: a refund or a gathering that is seen here is seen in the stashes as well.
            let word = root.word.load(Ordering::Acquire);
            let present = terms.units(now);
            let full = present.saturating_add(self.room(&terms));
            if word < full || word > present.saturating_add(terms.capacity) {
                return None;
            }
            if stash.draw(holding, count) {
                return Some(Drawn { terms, now, refused: None });
            }
        }
        None
    }

    /// Draws from the root, with what fills the first candidate's stash where there is plenty, and
    /// with what the stashes hold where there is too little.
    #[inline(never)]
    fn draw_from_root(&self, clock: &impl Clock, candidates: [usize; 2], count: u64) -> Drawn {
        let own = &self.stashes[candidates[0]];
        let mut claim = 0;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Sight { in_force, turn, word, .. } = self.look();
            let (terms, root, unit) = (in_force.terms, in_force.cell, in_force.terms.unit);
            // Acquire, after the word: the reservations charged in it have shut the stashes.
            let shut = self.shut_of(in_force.epoch).load(Ordering::Acquire);
            let now = clock.now();
            let (present, capacity) = (terms.units(now), terms.capacity);
            let drawn = |refused| Drawn { terms, now, refused };
            let cost = terms.cost(count).filter(|_| attempt <= ATTEMPTS && count > 0);
            let Some(cost) = cost else {
                own.release(claim, 0);
                let (terms, owed) = self.owed();
                let peeked = count == 0 && Decision::foresee(&terms, now, owed, 0, SEALED).allowed;
                return Drawn { terms, now, refused: (!peeked).then_some(owed) };
            };

            // Not full, whatever is out: the seal would change nothing.
            let idle = word >= present.saturating_add(self.room(&terms));
            if let Some(next) = gcra::step(word, present, cost, capacity).filter(|_| idle) {
                let most = next.saturating_add(self.share * unit).saturating_add(self.room(&terms));
                let plenty = most <= present.saturating_add(capacity) && shut <= present;
                if !plenty {
                    own.release(std::mem::take(&mut claim), 0);
                } else if claim == 0 && count <= self.share {
                    claim = own.claim_room(self.share);
                    if claim > 0 {
                        // The root is read again, so that whoever sees it charged sees the claim.
                        continue;
                    }
                }
                if swap(root, word, next + claim * unit) {
                    own.release(claim, claim);
                    return drawn(None);
                }
                continue;
            }

            own.release(std::mem::take(&mut claim), 0);
            let out = self.count();
            if turn.is_none() || root.ledger.turn() != turn {
                // Permits are on their way back to the root.
                sync::hint();
                continue;
            }
            let sealed = seal(word, present, out, &terms);
            if let Some(next) = gcra::step(sealed, present, cost, capacity) {
                if out.claimed > 0 && attempt < PATIENCE {
                    // Sealed now, room that was claimed in vain would count as drawn.
                    sync::hint();
                } else if swap(root, word, next) {
                    return drawn(None);
                }
                continue;
            }

            let suffices = |tokens: u64| {
                let owed = word.saturating_sub(credit(tokens, &terms));
                gcra::step(owed, present, cost, capacity).is_some()
            };
            if suffices(out.tokens) {
                // More than the root can give: the difference in whole permits, rounded up.
                let missing = sealed.saturating_add(cost) - present.saturating_add(capacity);
                let [first, second] = candidates.map(|index| self.stashes[index].holding());
                let fuller = candidates[usize::from(second.tokens() > first.tokens())];
                self.gather(root, fuller, missing.div_ceil(unit.max(1)), &terms);
            } else if suffices(out.tokens + out.claimed) {
                sync::hint();
            } else if root.word.load(Ordering::Acquire) == word {
                return drawn(Some(word.saturating_sub(credit(out.tokens, &terms))));
            }
        }
    }

    /// Returns `permits` or more to the root: from the stash of `start`, then from the others.
    ///
    /// What is owed in truth stays the same. One call at a time lowers the root, so that whoever
    /// finds the turn unchanged has seen it rise only.
    pub(super) fn gather(&self, root: &Cell, start: usize, permits: u64, terms: &Terms) {
        let Some(turn) = root.ledger.begin_turn() else { return };
        let (before, after) = self.stashes.split_at(start);
        let mut missing = permits;
        for stash in after.iter().chain(before) {
            let tokens = stash.claim_tokens();
            // A word that was replaced takes nothing back; one that took the place of a full
            // bucket's may owe less than what is out, and then is a full bucket's again.
            let credit = credit(tokens, terms);
            let lower = |word: u64| (word != SEALED).then(|| word.saturating_sub(credit));
            // AcqRel: the claim comes before it, and whoever sees the root lowered sees the turn.
            let lowered = root.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, lower);
            stash.release(tokens, if lowered.is_ok() { 0 } else { tokens });
            missing = missing.saturating_sub(tokens);
            if missing == 0 || lowered.is_err() {
                break;
            }
        }
        root.ledger.end_turn(turn);
    }
}

/// Lifts the root's word to the present and what is out: a full bucket earns nothing more.
pub(super) fn seal(word: u64, present: u64, out: Out, terms: &Terms) -> u64 {
    let out = (out.tokens + out.claimed).saturating_mul(terms.unit);
    word.max(present.saturating_add(out))
}

/// Moves the root's word, if it is still `seen`.
pub(super) fn swap(root: &Cell, seen: u64, next: u64) -> bool {
    // AcqRel: the claims before it are seen by whoever reads it, and what is read after is no older.
    root.word.compare_exchange(seen, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}
