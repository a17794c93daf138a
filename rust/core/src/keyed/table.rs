//! Open addressing over slots of a tag and a word for each bandwidth, without an allocation after
//! the first.

use crate::fingerprint::{Fingerprint, Seed};
use crate::memory::Memory;
use crate::sync::{AtomicU64, Ordering};

use super::word::{self, Tag};

/// Slots searched together: eight cache lines of one-bandwidth slots.
pub(super) const GROUP: usize = if cfg!(loom) { 2 } else { 32 };

/// From so many live slots on, the emptier of a key's two groups takes it.
///
/// Balanced in this way two million slots hold 1.7 million live keys without one left over; of 1.4
/// million 98.6 % are in the first group. Filling the first group to the brim would leave sixty of
/// these, and five thousand of those.
const CROWDED: usize = GROUP * 7 / 8;

/// The words of a cache line.
const LINE: usize = if cfg!(loom) { 4 } else { 8 };

/// The one-bandwidth slots of a cache line.
const SLOTS: usize = LINE / 2;

/// The cache lines of a group of one-bandwidth slots, a power of two.
const LINES: usize = GROUP / SLOTS;

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
        let slot = self.slots().get(self.hits(key).trailing_zeros() as usize)?;
        // Acquire: what the word says is read after it.
        let tag = Tag::new(slot[0].load(Ordering::Acquire));
        tag.holds(key).then_some((slot, tag))
    }

    /// The one-bandwidth slots that have a key's tag, a bit for each.
    #[inline]
    fn hits(&self, key: Fingerprint) -> u32 {
        let mut hits = 0;
        for (place, [tag, _]) in self.slots().iter().enumerate() {
            // Relaxed: only to choose by.
            hits |= u32::from(Tag::new(tag.load(Ordering::Relaxed)).holds(key)) << place;
        }
        hits
    }

    #[inline]
    fn slots(&self) -> &[Slot] {
        self.0.as_chunks().0
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
    fn group(self, place: usize) -> impl Iterator<Item = usize> {
        (0..GROUP).map(move |step| self.slot(place, step))
    }

    #[inline]
    fn slot(self, place: usize, step: usize) -> usize {
        self.groups[place] * GROUP + (self.home + step) % GROUP
    }
}

/// What a look at all slots of a group finds.
struct Survey {
    /// How many are in debt.
    live: usize,
    /// The one that was paid off first.
    oldest: Option<Vacancy>,
}

/// A slot that owes nothing, and since when.
#[derive(Clone, Copy)]
struct Vacancy {
    paid_off: u64,
    slot: usize,
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
        Reach { groups, len: self.groups.min(2), home: home_line(key) * SLOTS }
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
    #[inline]
    pub(super) fn find(&self, reach: Reach, key: Fingerprint) -> Option<Seat> {
        self.seats(reach, key).next()
    }

    /// The slots that have a key's tag, in the order of search: there are several only after a race.
    #[inline]
    pub(super) fn seats(&self, reach: Reach, key: Fingerprint) -> impl Iterator<Item = Seat> {
        (0..reach.len)
            .flat_map(move |place| {
                let mut hits = self.hits(reach, place, key);
                std::iter::from_fn(move || {
                    let step = hits.trailing_zeros();
                    hits &= hits.wrapping_sub(1);
                    (step < u32::BITS).then(|| self.seat(reach.slot(place, step as usize)))
                })
            })
            .filter(move |seat| seat.tag.holds(key))
    }

    /// The slots of a group that have a key's tag, a bit for each in the order of search.
    #[inline]
    fn hits(&self, reach: Reach, place: usize, key: Fingerprint) -> u32 {
        if self.stride == 2 {
            let lines = &self.lines[reach.groups[place] * LINES..][..LINES];
            let line = |step| &lines[(home_line(key) + step) % LINES];
            (0..LINES).fold(0, |hits, step| hits | line(step).hits(key) << (step * SLOTS))
        } else {
            // Relaxed: as on a line.
            let holds = |slot| Tag::new(self.tag(slot).load(Ordering::Relaxed)).holds(key);
            let slots = reach.group(place).enumerate();
            slots.fold(0, |hits, (step, slot)| hits | u32::from(holds(slot)) << step)
        }
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

    /// The slot that a new key takes; `None` where all in reach are in debt.
    ///
    /// It is in the key's first group unless that is crowded and the other is emptier, and the first in
    /// the order of search of those that were never used, or paid off in the first half of the time since
    /// the one that was paid off first: so that most keys are on their own lines, and those who come
    /// again soon still find theirs.
    pub(super) fn vacancy(&self, reach: Reach, presents: &[u64]) -> Option<Seat> {
        let (mut place, mut survey) = (0, self.survey(reach, 0, presents));
        if survey.live >= CROWDED && reach.len > 1 {
            let other = self.survey(reach, 1, presents);
            if other.live < survey.live {
                (place, survey) = (1, other);
            }
        }
        let oldest = survey.oldest?;
        let middle = oldest.paid_off.midpoint(presents[0]);
        let is_old =
            |slot: &usize| !self.is_in_debt(*slot, presents) && self.paid_off(*slot) <= middle;
        // None but the oldest where others were quicker meanwhile.
        Some(self.seat(reach.group(place).find(is_old).unwrap_or(oldest.slot)))
    }

    fn survey(&self, reach: Reach, place: usize, presents: &[u64]) -> Survey {
        let (mut live, mut oldest) = (0, Vacancy { paid_off: u64::MAX, slot: 0 });
        // Without branches, for no processor foresees which slots are in debt.
        for slot in reach.group(place) {
            let is_in_debt = self.is_in_debt(slot, presents);
            live += usize::from(is_in_debt);
            let paid_off = if is_in_debt { u64::MAX } else { self.paid_off(slot) };
            if paid_off < oldest.paid_off {
                oldest = Vacancy { paid_off, slot };
            }
        }
        Survey { live, oldest: (oldest.paid_off < u64::MAX).then_some(oldest) }
    }

    /// Since when nothing is owed in a slot that owes nothing.
    #[inline]
    fn paid_off(&self, slot: usize) -> u64 {
        // Relaxed: only to choose by.
        word::worth(self.word(slot, 0).load(Ordering::Relaxed))
    }

    /// Whether anything is owed in a slot.
    #[inline]
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
