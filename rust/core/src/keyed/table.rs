//! Open addressing over slots of a tag and a word for each bandwidth, without an allocation after
//! the first.

use crate::fingerprint::{Fingerprint, Seed};
use crate::memory::Memory;
use crate::sync::{AtomicU64, Ordering};

use super::word::{self, Tag};

/// Slots searched together: four cache lines of one-bandwidth slots.
pub(super) const GROUP: usize = if cfg!(loom) { 2 } else { 16 };

/// From so many live slots on, the emptier of a key's two groups takes it.
///
/// Balanced in this way two million slots hold 1.4 million live keys without one left over, and
/// 95 % of them in the first group; filling the first group to the brim would leave a thousand.
const CROWDED: usize = GROUP * 13 / 16;

/// The words of a cache line.
const LINE: usize = if cfg!(loom) { 4 } else { 8 };

/// The cache lines of a group of one-bandwidth slots, a power of two.
const LINES: usize = GROUP * 2 / LINE;

/// A cache line of slots; all zero it holds no key.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Line([AtomicU64; LINE]);

/// A one-bandwidth slot: its tag and its word.
pub(super) type Slot = [AtomicU64; 2];

impl Line {
    /// The one-bandwidth slot that has a key's tag, and the tag.
    ///
    /// All are compared before any is chosen: to stop at the right one would be a branch that no
    /// processor foresees.
    #[inline]
    fn find(&self, key: Fingerprint) -> Option<(&Slot, Tag)> {
        let slots = self.0.as_chunks().0;
        let mut hits = 0_u32;
        for (place, [tag, _]) in slots.iter().enumerate() {
            // Relaxed: only to choose by.
            hits |= u32::from(Tag::new(tag.load(Ordering::Relaxed)).holds(key)) << place;
        }
        let slot: &Slot = slots.get(hits.trailing_zeros() as usize)?;
        // Acquire: what the word says is read after it.
        let tag = Tag::new(slot[0].load(Ordering::Acquire));
        tag.holds(key).then_some((slot, tag))
    }
}

/// A slot, and the tag it had when it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) slot: usize,
    pub(super) tag: Tag,
}

/// The slots in which a key may be, in the order of search: two groups, each from the key's own
/// cache line on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    groups: [usize; 2],
    len: usize,
    home: usize,
}

impl Reach {
    #[inline]
    pub(super) fn slots(self) -> impl Iterator<Item = usize> {
        (0..self.len).flat_map(move |place| self.group(place))
    }

    #[inline]
    fn group(self, place: usize) -> impl Iterator<Item = usize> {
        let first = self.groups[place] * GROUP;
        (0..GROUP).map(move |step| first + (self.home + step) % GROUP)
    }
}

/// Fixed slots for any number of keys: a slot that owes nothing is as good as free.
#[derive(Debug)]
pub(super) struct Table<M: Memory> {
    lines: M::Of<Line>,
    groups: usize,
    /// Words of a slot: its tag, and one for each bandwidth.
    stride: usize,
    seed: Seed,
}

/// How many groups, and how many lines for them, `max_keys` take at a load of 70 %.
pub(super) fn dimensions(max_keys: usize, bandwidths: usize) -> (usize, usize) {
    // max_keys is validated to be below 2^32.
    let groups = (max_keys * 10).div_ceil(7).div_ceil(GROUP);
    (groups, (groups * GROUP * (bandwidths + 1)).div_ceil(LINE))
}

/// Makes so many lines on the heap, if there is memory for them.
pub(super) fn lines(count: usize) -> Option<Box<[Line]>> {
    let mut lines = Vec::new();
    lines.try_reserve_exact(count).ok()?;
    lines.resize_with(count, || Line([0; LINE].map(AtomicU64::new)));
    Some(lines.into())
}

/// The line of its group at which the search for a key begins.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "only the lowest bits count")]
fn home_line(key: Fingerprint) -> usize {
    key.get() as usize % LINES
}

impl<M: Memory> Table<M> {
    /// Takes lines that are as many as [`dimensions`] says.
    pub(super) fn over(lines: M::Of<Line>, groups: usize, bandwidths: usize, seed: Seed) -> Self {
        Self { lines, groups, stride: bandwidths + 1, seed }
    }

    #[inline]
    pub(super) fn seed(&self) -> &Seed {
        &self.seed
    }

    pub(super) fn slots(&self) -> usize {
        self.groups * GROUP
    }

    pub(super) fn size(&self) -> usize {
        size_of_val(&*self.lines)
    }

    #[inline]
    fn cell(&self, index: usize) -> &AtomicU64 {
        &self.lines[index / LINE].0[index % LINE]
    }

    #[inline]
    fn tag(&self, slot: usize) -> &AtomicU64 {
        self.cell(slot * self.stride)
    }

    /// The word of a slot for one bandwidth.
    #[inline]
    pub(super) fn word(&self, slot: usize, bandwidth: usize) -> &AtomicU64 {
        self.cell(slot * self.stride + 1 + bandwidth)
    }

    fn bandwidths(&self) -> usize {
        self.stride - 1
    }

    #[inline]
    fn first_group(&self, key: Fingerprint) -> usize {
        // The upper half of a fingerprint scaled to the groups; its top 8 bits count for most, and a
        // tag has the others. Below 2^32 groups, so no product leaves 64 bits.
        (((key.get() >> 32) * self.groups as u64) >> 32) as usize
    }

    /// Any but the first, by another hash; itself where it is the only one.
    fn other_group(&self, key: Fingerprint, first: usize) -> usize {
        // Scaled as above.
        let beyond = ((self.seed.again(key) >> 32) * (self.groups as u64 - 1)) >> 32;
        let other = first + 1 + beyond as usize;
        if other < self.groups { other } else { other - self.groups }
    }

    pub(super) fn reach(&self, key: Fingerprint) -> Reach {
        let first = self.first_group(key);
        let groups = [first, self.other_group(key, first)];
        Reach { groups, len: self.groups.min(2), home: home_line(key) * (GROUP / LINES) }
    }

    /// The line on which the search for a key begins, and most likely ends. It is fetched while the
    /// caller has something else to do.
    #[inline]
    pub(super) fn fetch_home(&self, key: Fingerprint) -> usize {
        let line = self.first_group(key) * LINES + home_line(key);
        // By a branch, so that nothing waits for the product where there is one bandwidth.
        let home = if self.stride == 2 { line } else { line * self.stride / 2 };
        if let Some(line) = self.lines.get(home) {
            M::fetch(line);
        }
        home
    }

    /// Where a key is: the first slot in the order of search that has its tag.
    pub(super) fn find(&self, reach: Reach, key: Fingerprint) -> Option<Seat> {
        reach.slots().map(|slot| self.seat(slot)).find(|seat| seat.tag.holds(key))
    }

    /// Looks for a key among one-bandwidth slots, whose groups are whole cache lines: on its own
    /// line first, where most are.
    #[inline]
    pub(super) fn find_in_lines(&self, key: Fingerprint, home: usize) -> Option<(&Slot, Tag)> {
        self.lines.get(home)?.find(key).or_else(|| self.find_off_home(key))
    }

    #[inline(never)]
    fn find_off_home(&self, key: Fingerprint) -> Option<(&Slot, Tag)> {
        let first = self.first_group(key);
        self.find_in_group(first, key, 1)
            .or_else(|| self.find_in_group(self.other_group(key, first), key, 0))
    }

    #[inline]
    fn find_in_group(&self, group: usize, key: Fingerprint, from: usize) -> Option<(&Slot, Tag)> {
        let lines = &self.lines[group * LINES..][..LINES];
        (from..LINES).find_map(|step| lines[(home_line(key) + step) % LINES].find(key))
    }

    #[inline]
    pub(super) fn seat(&self, slot: usize) -> Seat {
        // Acquire: what a word says is read after it.
        Seat { slot, tag: Tag::new(self.tag(slot).load(Ordering::Acquire)) }
    }

    /// Whether the slot still has the tag that it had: then a word charged meanwhile was its own.
    #[inline]
    pub(super) fn is_held(&self, seat: Seat) -> bool {
        self.seat(seat.slot) == seat
    }

    /// The slot that a new key takes: of those in reach that owe nothing the one that was paid off
    /// first, or was never used; `None` where all are in debt.
    pub(super) fn vacancy(&self, reach: Reach, presents: &[u64]) -> Option<Seat> {
        let mut best: Option<(u64, Seat)> = None;
        let mut fewest = GROUP;
        for place in 0..reach.len {
            let (oldest, live) = self.survey(reach.group(place), presents);
            let older = match (oldest, best) {
                (Some(this), Some(best)) => this.0 < best.0,
                (this, _) => this.is_some(),
            };
            let prefer = if fewest >= CROWDED && place > 0 { live < fewest } else { older };
            if prefer {
                best = oldest;
            }
            fewest = live;
        }
        best.map(|(_, seat)| seat)
    }

    /// The slot paid off first, with its word, and how many slots are in debt.
    fn survey(
        &self,
        slots: impl Iterator<Item = usize>,
        presents: &[u64],
    ) -> (Option<(u64, Seat)>, usize) {
        let (mut oldest, mut live): (Option<(u64, Seat)>, _) = (None, 0);
        for seat in slots.map(|slot| self.seat(slot)) {
            if self.is_in_debt(seat.slot, presents) {
                live += 1;
                continue;
            }
            // Relaxed: only to choose by.
            let paid_off = word::worth(self.word(seat.slot, 0).load(Ordering::Relaxed));
            if oldest.is_none_or(|(before, _)| paid_off < before) {
                oldest = Some((paid_off, seat));
            }
        }
        (oldest, live)
    }

    /// Whether anything is owed in a slot.
    pub(super) fn is_in_debt(&self, slot: usize, presents: &[u64]) -> bool {
        let mut presents = presents.iter().enumerate();
        // Relaxed: a claim looks again.
        presents.any(|(bandwidth, present)| {
            word::worth(self.word(slot, bandwidth).load(Ordering::Relaxed)) > *present
        })
    }

    /// Takes a slot for a key in two steps: its words first, so that nothing is charged to them any
    /// more, then its tag. `None` where something is owed after all, or another came first.
    pub(super) fn occupy(&self, seat: Seat, key: Fingerprint, presents: &[u64]) -> Option<Seat> {
        for (bandwidth, present) in presents.iter().enumerate() {
            self.claim(seat, bandwidth, *present)?;
        }
        self.pass(seat, key)
    }

    /// Goes on with a claim for the key that the slot had all along, so that it keeps what it owes.
    pub(super) fn regain(&self, seat: Seat, key: Fingerprint) -> Option<Seat> {
        for bandwidth in 0..self.bandwidths() {
            self.claim(seat, bandwidth, u64::MAX)?;
        }
        self.pass(seat, key)
    }

    /// Claims a word that is worth no more than `limit`, and says what it is worth.
    pub(super) fn claim(&self, seat: Seat, bandwidth: usize, limit: u64) -> Option<u64> {
        let word = self.word(seat.slot, bandwidth);
        // Acquire: the tag is looked at again after it, so that the word is of this generation.
        let mut seen = word.load(Ordering::Acquire);
        loop {
            let worth = word::worth(seen);
            let claim = word::claim(worth, seat.tag.generation());
            if worth > limit || !self.is_held(seat) {
                return None;
            }
            if seen == claim {
                return Some(worth);
            }
            // AcqRel: whoever sees the claim sees what was before it, and so does this thread.
            match word.compare_exchange(seen, claim, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(word::worth(claim)),
                Err(other) => seen = other,
            }
        }
    }

    fn pass(&self, seat: Seat, key: Fingerprint) -> Option<Seat> {
        let next = seat.tag.passed_to(key);
        // AcqRel: the claims are seen by whoever sees the tag that they led to.
        let (before, after) = (seat.tag.get(), next.get());
        let passed = self.tag(seat.slot).compare_exchange(
            before,
            after,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        passed.ok().map(|_| Seat { slot: seat.slot, tag: next })
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
