//! Where a key may be, in what order it is looked for there, and which slot a new one takes.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::cell::Cell;
use std::fmt::Debug;

use super::*;
use crate::fingerprint::Seed;
use crate::memory::Heap;

impl Reach {
    /// All of them, one after another.
    pub(in super::super) fn slots(self) -> impl Iterator<Item = usize> {
        (0..self.len).flat_map(move |place| self.group(place))
    }
}

/// A table with room for so many keys under so many bandwidths, none of them used yet.
fn table(max_keys: usize, bandwidths: usize) -> Table<Heap> {
    let (groups, count) = dimensions(max_keys, bandwidths);
    Table::over(lines(count).unwrap(), groups, bandwidths, Seed::new([1, 2]))
}

fn key(number: u64) -> Fingerprint {
    Seed::new([1, 2]).bytes(&number.to_le_bytes())
}

/// The words of the slots in reach, one after another, and what is owed at 1,000.
fn owing(table: &Table<Heap>, reach: Reach, words: impl IntoIterator<Item = u64>) {
    for (slot, word) in reach.slots().zip(words) {
        table.word(slot, 0).store(word, Ordering::Relaxed);
    }
}

const PRESENTS: &[u64] = &[1_000];

/// The place in the order of search that a new key takes in a table of two groups.
fn taken(words: &[u64; 2 * GROUP]) -> Option<usize> {
    let table = table(40, 1);
    let reach = table.reach(key(1));
    assert_eq!(table.slots(), 2 * GROUP);
    owing(&table, reach, *words);
    let seat = table.vacancy(reach, PRESENTS)?;
    reach.slots().position(|slot| slot == seat.slot)
}

fn words(first: [u64; GROUP], second: [u64; GROUP]) -> [u64; 2 * GROUP] {
    std::array::from_fn(|place| if place < GROUP { first[place] } else { second[place - GROUP] })
}

/// A group of which so many slots are in debt, and the others were paid off at `paid_off`.
fn group(live: usize, paid_off: u64) -> [u64; GROUP] {
    std::array::from_fn(|place| if place < live { 2_000 } else { paid_off })
}

#[test]
fn dimensions_leave_three_slots_of_ten_free() {
    assert_eq!(dimensions(22, 1), (1, 8));
    assert_eq!(dimensions(23, 1), (2, 16));
    assert_eq!(dimensions(1_400_000, 1), (62_500, 500_000));
    assert_eq!(dimensions(22, 2), (1, 12));
    assert_eq!(table(22, 1).size(), 32 * 16);
    assert_eq!(table(22, 2).size(), 32 * 24);
}

#[test]
fn a_key_reaches_two_groups_and_begins_at_any_of_the_lines() {
    let table = table(200, 1);
    let groups = table.slots() / GROUP;
    let mut seen = vec![[0_u32; 2]; groups];
    let mut homes = [0_u32; GROUP];
    let mut pairs = std::collections::HashSet::new();
    for number in 0..9_000 {
        let reach = table.reach(key(number));
        assert_eq!(reach.slots().count(), 2 * GROUP);
        assert!(reach.slots().all(|slot| slot < table.slots()));
        assert_ne!(reach.groups[0], reach.groups[1]);
        pairs.insert(reach.groups);
        for (place, group) in reach.groups.iter().enumerate() {
            seen[*group][place] += 1;
        }
        homes[reach.home] += 1;
    }
    // Nine groups, 1,000 keys each: 6 standard deviations are 180.
    assert_eq!((groups, pairs.len()), (9, 9 * 8), "the second does not follow from the first");
    assert!(seen.iter().flatten().all(|count| (820..1_180).contains(count)), "{seen:?}");
    // Eight lines of four slots, 1,125 keys each: 6 standard deviations are 190.
    for (slot, count) in homes.iter().enumerate() {
        let expected = if slot % 4 == 0 { 935..1_315 } else { 0..1 };
        assert!(expected.contains(count), "{homes:?}");
    }
}

#[test]
fn the_other_group_cannot_be_told_by_a_fingerprint() {
    let (groups, count) = dimensions(2_000, 1);
    let [one, other] = [[1, 2], [3, 4]]
        .map(|secret| Table::<Heap>::over(lines(count).unwrap(), groups, 1, Seed::new(secret)));
    let reached = |number| [&one, &other].map(|table| table.reach(key(number)).groups);
    assert!((0..200).map(reached).all(|[one, other]| one[0] == other[0]));
    // 90 groups: two in 200 are the same by chance.
    assert!((0..200).map(reached).filter(|[one, other]| one[1] == other[1]).count() < 20);
}

#[test]
fn the_search_goes_once_through_each_group_from_the_keys_own_line_on() {
    let table = table(40, 1);
    for number in 0..100 {
        let reach = table.reach(key(number));
        let slots: Vec<_> = reach.slots().collect();
        for (group, slots) in reach.groups.iter().zip(slots.chunks(GROUP)) {
            let turned: Vec<_> =
                (0..GROUP).map(|step| group * GROUP + (reach.home + step) % GROUP).collect();
            assert_eq!(slots, turned);
        }
    }
}

thread_local! {
    static FETCHED: Cell<usize> = const { Cell::new(0) };
}

/// The heap, and where words were fetched last.
struct Noted;

impl Memory for Noted {
    type Of<T: Debug> = Box<[T]>;

    fn fetch<T>(words: &T) {
        FETCHED.set(std::ptr::from_ref(words).addr());
    }
}

#[test]
fn the_line_that_is_fetched_is_the_one_on_which_the_search_begins() {
    for bandwidths in 1..9 {
        let (groups, count) = dimensions(400, bandwidths);
        let table =
            Table::<Noted>::over(lines(count).unwrap(), groups, bandwidths, Seed::new([1, 2]));
        for number in 0..100 {
            let first = table.reach(key(number)).slots().next().unwrap();
            let home = table.fetch_home(key(number));
            let line = FETCHED.get()..FETCHED.get() + size_of::<Line>();
            assert!(line.contains(&std::ptr::from_ref(table.tag(first)).addr()));
            assert_eq!(std::ptr::from_ref(&table.lines[home]).addr(), line.start);
        }
    }
}

#[test]
fn of_two_slots_with_the_tag_of_a_key_the_first_in_the_order_of_search_is_found() {
    for number in 0..9 {
        for bandwidths in 1..3 {
            let (reference, key) = (table(40, bandwidths), key(number));
            let slots: Vec<_> = reference.reach(key).slots().collect();
            for (place, first) in slots.iter().enumerate() {
                for second in &slots[place + 1..] {
                    let table = table(40, bandwidths);
                    let tag = Tag::new(0).passed_to(key);
                    for slot in [first, second] {
                        table.tag(*slot).store(tag.get(), Ordering::Relaxed);
                    }
                    let found = table.find(table.reach(key), key);
                    assert_eq!(found, Some(Seat { slot: *first, tag }));
                    if bandwidths == 1 {
                        let ([_, word], seen) =
                            table.find_in_lines(key, table.fetch_home(key)).unwrap();
                        assert!(std::ptr::eq(word, table.word(*first, 0)));
                        assert_eq!(seen, tag);
                    }
                }
            }
        }
    }
}

#[test]
fn the_only_group_of_a_small_table_is_searched_once() {
    let table = table(11, 1);
    for number in 0..100 {
        assert_eq!(table.reach(key(number)).slots().count(), GROUP);
        assert_eq!(table.find(table.reach(key(number)), key(number)), None);
    }
}

#[test]
fn slots_never_used_are_taken_in_the_order_of_search() {
    assert_eq!(taken(&[0; 2 * GROUP]), Some(0));
    assert_eq!(taken(&words(group(3, 0), group(0, 0))), Some(3));
}

#[test]
fn of_the_slots_paid_off_in_the_older_half_of_the_time_the_first_is_taken() {
    let mut mixed = group(2, 700);
    mixed[7] = 300;
    mixed[5] = 651;
    mixed[9] = 300;
    assert_eq!(taken(&words(mixed, group(0, 0))), Some(7), "1,000 is now");
    mixed[5] = 650;
    assert_eq!(taken(&words(mixed, group(0, 0))), Some(5));
    mixed[12] = 0;
    assert_eq!(taken(&words(mixed, group(0, 0))), Some(7), "half of 1,000");
    mixed[7] = 501;
    assert_eq!(taken(&words(mixed, group(0, 0))), Some(9));
    assert_eq!(taken(&words(group(GROUP - 1, 1_000), group(GROUP, 0))), Some(GROUP - 1));
}

#[test]
fn what_owes_to_the_very_present_is_paid_off() {
    let mut first = group(GROUP, 0);
    first[5] = 1_000;
    assert_eq!(taken(&words(first, group(GROUP, 0))), Some(5));
    first[5] = 1_001;
    assert_eq!(taken(&words(first, group(GROUP, 0))), None);
}

#[test]
fn a_crowded_group_leaves_a_new_key_to_an_emptier_one_however_late_that_was_paid_off() {
    assert_eq!(CROWDED, 28);
    assert_eq!(taken(&words(group(27, 900), group(0, 100))), Some(27));
    assert_eq!(taken(&words(group(28, 100), group(27, 900))), Some(GROUP + 27));
    assert_eq!(taken(&words(group(28, 100), group(28, 50))), Some(28));
    assert_eq!(taken(&words(group(28, 900), group(29, 100))), Some(28));
    assert_eq!(taken(&words(group(GROUP, 0), group(31, 900))), Some(GROUP + 31));
}

#[test]
fn a_slot_that_owes_something_is_not_taken_and_keeps_what_it_owes() {
    for bandwidths in 1..3 {
        let table = table(11, bandwidths);
        let presents = &[1_000; 2][..bandwidths];
        let reach = table.reach(key(1));
        let seat = table.seat(reach.slots().next().unwrap());
        table.word(seat.slot, bandwidths - 1).store(1_001, Ordering::Relaxed);
        assert_eq!(table.occupy(seat, key(1), presents), None);
        assert_eq!(table.word(seat.slot, bandwidths - 1).load(Ordering::Relaxed), 1_001);
        assert!(table.is_in_debt(seat.slot, presents));
        table.word(seat.slot, bandwidths - 1).store(1_000, Ordering::Relaxed);
        assert!(table.occupy(seat, key(1), presents).is_some());
    }
}

#[test]
fn a_claim_is_worth_what_the_word_was_and_may_be_made_again() {
    let table = table(11, 1);
    let seat = table.seat(3);
    table.word(3, 0).store(512, Ordering::Relaxed);
    assert_eq!(table.claim(seat, 0, 511), None);
    assert_eq!(table.claim(seat, 0, 512), Some(512));
    assert_eq!(table.claim(seat, 0, 512), Some(512));
    assert_eq!(table.claim(table.seat(4), 0, 0), Some(0));
    let passed = table.pass(seat, key(1)).unwrap();
    assert_eq!(table.claim(seat, 0, 512), None);
    assert!(passed.tag.owns(table.word(3, 0).load(Ordering::Relaxed)));
}

#[test]
fn an_owner_that_regains_its_slot_touches_no_neighbour() {
    for bandwidths in 1..4 {
        let table = table(11, bandwidths);
        let seats: Vec<_> = (0..GROUP).map(|slot| table.seat(slot)).collect();
        let before: Vec<_> =
            seats.iter().map(|seat| table.pass(*seat, key(seat.slot as u64)).unwrap()).collect();
        let regained = table.regain(before[4], key(4)).unwrap();
        assert_eq!((regained.slot, table.seat(4)), (4, regained));
        for bandwidth in 0..bandwidths {
            let word = table.word(4, bandwidth).load(Ordering::Relaxed);
            assert!(regained.tag.owns(word));
        }
        for seat in before.iter().filter(|seat| seat.slot != 4) {
            assert!(table.is_held(*seat));
            for bandwidth in 0..bandwidths {
                assert_eq!(table.word(seat.slot, bandwidth).load(Ordering::Relaxed), 0);
            }
        }
    }
}
