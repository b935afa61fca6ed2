//! The index against hashbrown: whatever is inserted and removed, both hold the same.

use std::ptr::NonNull;

use proptest::prelude::*;

use super::*;

/// An entry in these tests is its own place, boxed.
fn boxed(place: u64) -> NonNull<u8> {
    NonNull::from(Box::leak(Box::new(place))).cast()
}

fn place_of(entry: NonNull<u8>) -> u64 {
    // SAFETY: entries of these tests are made by `boxed` and freed by `unbox` only.
    unsafe { entry.cast::<u64>().read() }
}

fn unbox(entry: NonNull<u8>) {
    // SAFETY: made by `boxed`, and freed once.
    drop(unsafe { Box::from_raw(entry.cast::<u64>().as_ptr()) });
}

fn tag_of(place: u64) -> u16 {
    (place as u16 & 0x7fff).max(1)
}

fn find(index: &Index, place: u64) -> Option<Found> {
    index.find(place, tag_of(place), |entry| place_of(entry) == place)
}

fn drain(mut index: Index) -> usize {
    let mut count = 0;
    index.for_each(|entry| {
        unbox(entry);
        count += 1;
    });
    index.clear();
    count
}

/// Places that look like hashes (spread) or like one slot and few hash bits (clustered).
fn spread(i: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn holds_what_hashbrown_holds(
        steps in prop::collection::vec((0u64..600, any::<bool>()), 1..3_000),
        shift in prop::sample::select(vec![0u32, 3, 4, 20]),
    ) {
        let mut index = Index::default();
        let mut oracle = hashbrown::HashSet::new();
        for (i, insert) in steps {
            let place = spread(i) >> shift;
            match (find(&index, place), insert) {
                (None, true) => {
                    index.insert(place, tag_of(place), boxed(place), place_of);
                    prop_assert!(oracle.insert(place));
                }
                (Some(found), false) => {
                    index.remove(place, found, place_of);
                    unbox(found.entry);
                    prop_assert!(oracle.remove(&place));
                }
                (found, _) => prop_assert_eq!(found.is_some(), oracle.contains(&place)),
            }
        }
        for i in 0..600 {
            let place = spread(i) >> shift;
            prop_assert_eq!(find(&index, place).is_some(), oracle.contains(&place));
        }
        prop_assert_eq!(drain(index), oracle.len());
    }

    #[test]
    fn a_walk_by_buckets_misses_nothing_while_the_index_changes(
        stay in 1u64..400,
        churn in prop::collection::vec((400u64..2_000, any::<bool>()), 0..3_000),
        every in 1usize..20,
    ) {
        let mut index = Index::default();
        for i in 0..stay {
            index.insert(spread(i), tag_of(spread(i)), boxed(spread(i)), place_of);
        }
        let mut seen = hashbrown::HashSet::new();
        let mut churn = churn.into_iter();
        let mut cursor = Some(0);
        while let Some(place) = cursor {
            cursor = index.visit_bucket(place, place_of, |entry| {
                seen.insert(place_of(entry));
            });
            prop_assert!(cursor.is_none_or(|next| next > place));
            for (i, insert) in churn.by_ref().take(every) {
                let place = spread(i);
                match (find(&index, place), insert) {
                    (None, true) => index.insert(place, tag_of(place), boxed(place), place_of),
                    (Some(found), false) => {
                        index.remove(place, found, place_of);
                        unbox(found.entry);
                    }
                    _ => {}
                }
            }
        }
        for i in 0..stay {
            prop_assert!(seen.contains(&spread(i)), "entry {} was there all the time", i);
        }
        drain(index);
    }
}

#[test]
fn a_million_entries_take_at_most_thirteen_bytes_each() {
    // As many entries as a stripe has when a table of a million keys is spread over 1,024 stripes.
    let mut bytes = 0;
    for stripe in 0..64u64 {
        let mut index = Index::default();
        for i in 0..977 {
            let place = spread(stripe * 100_000 + i);
            index.insert(place, tag_of(place), boxed(place), place_of);
        }
        bytes += index.memory();
        drain(index);
    }
    let each = bytes as f64 / (64.0 * 977.0);
    assert!(each < 13.0, "{each} bytes per entry");
}

#[test]
fn one_slot_with_all_keys_grows_without_harm() {
    let mut index = Index::default();
    for i in 0..100_000u64 {
        let place = (5 << 60) | (spread(i) >> 4);
        index.insert(place, tag_of(place), boxed(place), place_of);
    }
    for i in 0..100_000u64 {
        assert!(find(&index, (5 << 60) | (spread(i) >> 4)).is_some());
    }
    assert_eq!(drain(index), 100_000);
}

#[test]
fn removing_everything_gives_the_memory_back() {
    let mut index = Index::default();
    for i in 0..50_000u64 {
        index.insert(spread(i), tag_of(spread(i)), boxed(spread(i)), place_of);
    }
    let full = index.memory();
    for i in 0..49_990u64 {
        let found = find(&index, spread(i)).expect("it was inserted");
        index.remove(spread(i), found, place_of);
        unbox(found.entry);
    }
    assert!(index.memory() * 4 < full, "{} of {full} bytes are left", index.memory());
    assert_eq!(drain(index), 10);
}

#[test]
fn a_hint_names_the_bucket_and_the_entry() {
    let (mut index, hint) = (Index::default(), Hint::default());
    let pinned = crossbeam_epoch::pin();
    assert!(hint.bucket(1, &pinned).is_none());
    let place = spread(9);
    let entry = boxed(place);
    index.insert(place, tag_of(place), entry, place_of);
    index.publish(&hint);
    let bucket = hint.bucket(place, &pinned).expect("the index is not empty");
    assert_eq!(bucket.entry(tag_of(place), &pinned), Some(entry.as_ptr().cast_const()));
    drain(index);
}
