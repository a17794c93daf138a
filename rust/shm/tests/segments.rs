//! Segments as processes see them: made once, attached by the rest, refused where they are wrong.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use sluicegate_core::{Bandwidth, Nanos, Quota, Rate, RateLimiter};
use sluicegate_shm::{Anywhere, Blueprint, Kind, Plan, Segment, SegmentError};
use tempfile::TempDir;

fn quota() -> Quota {
    Quota::new(Rate::per(10, Nanos::from_secs(1)).unwrap(), 10).unwrap()
}

fn open(path: &Path, config: &[u8]) -> Result<RateLimiter<Anywhere>, SegmentError> {
    let mut plan = Plan::default();
    let words = plan.section::<Bandwidth>(1);
    let blueprint = Blueprint { kind: Kind::Limiter, config, plan, secret: [0; 2] };
    let segment =
        Segment::open(path, &blueprint, |draft| draft.fill(words, |_| Bandwidth::new(&quota())))?;
    Ok(RateLimiter::over(segment.words(words)?).unwrap())
}

fn place() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("api");
    (folder, path)
}

#[test]
fn whoever_opens_it_shares_the_permits() {
    let (_folder, path) = place();
    let (first, second) = (open(&path, b"10/s").unwrap(), open(&path, b"10/s").unwrap());
    assert!(first.try_acquire(&Nanos::ZERO, 6));
    assert!(!second.try_acquire(&Nanos::ZERO, 5));
    assert!(second.try_acquire(&Nanos::ZERO, 4));
}

#[test]
fn it_is_its_owners_alone_and_leaves_nothing_beside_it() {
    let (folder, path) = place();
    open(&path, b"10/s").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn it_outlives_those_who_attached_it() {
    let (_folder, path) = place();
    assert!(open(&path, b"10/s").unwrap().try_acquire(&Nanos::ZERO, 10));
    assert!(!open(&path, b"10/s").unwrap().try_acquire(&Nanos::ZERO, 1));
}

#[test]
fn another_configuration_is_refused_and_loses_nothing() {
    let (_folder, path) = place();
    let limiter = open(&path, b"10/s").unwrap();
    assert!(limiter.try_acquire(&Nanos::ZERO, 10));
    let error = open(&path, b"20/s").unwrap_err();
    assert!(matches!(&error, SegmentError::Other(found) if found.contains("10/s")), "{error}");
    assert!(!open(&path, b"10/s").unwrap().try_acquire(&Nanos::ZERO, 1));
}

#[test]
fn a_foreign_file_is_left_untouched() {
    let (_folder, path) = place();
    fs::write(&path, "somebody's letters").unwrap();
    assert!(matches!(open(&path, b"10/s"), Err(SegmentError::Damaged(_))));
    assert_eq!(fs::read(&path).unwrap(), b"somebody's letters");
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let (_folder, path) = place();
    open(&path, b"10/s").unwrap();
    let whole = fs::read(&path).unwrap();
    for length in [1, 8, 100, 4_095, 4_096, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = open(&path, b"10/s").unwrap_err();
        assert!(matches!(error, SegmentError::Damaged(_)), "{length}: {error}");
        assert_eq!(fs::read(&path).unwrap(), &whole[..length]);
    }
}

#[test]
fn an_empty_file_is_initialised_and_keeps_its_permissions() {
    let (_folder, path) = place();
    fs::write(&path, "").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o660)).unwrap();
    assert!(open(&path, b"10/s").unwrap().try_acquire(&Nanos::ZERO, 10));
    assert!(!open(&path, b"10/s").unwrap().try_acquire(&Nanos::ZERO, 1));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
}

#[test]
fn a_segment_of_an_earlier_boot_is_refused() {
    let (_folder, path) = place();
    open(&path, b"10/s").unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let header = Segment::inspect(&path).unwrap().unwrap();
    let earlier = sluicegate_shm::Header { boot: [9; 16], ..header };
    bytes[..4_096].copy_from_slice(&earlier.encode().unwrap());
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(open(&path, b"10/s"), Err(SegmentError::EarlierBoot)));
}

#[test]
fn threads_that_come_at_once_find_one_segment() {
    for found_empty in [false, true] {
        let (folder, path) = place();
        if found_empty {
            fs::write(&path, "").unwrap();
        }
        let granted: usize = std::thread::scope(|scope| {
            let draw = || open(&path, b"10/s").unwrap().try_acquire(&Nanos::ZERO, 1);
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(draw)).collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
        });
        assert_eq!(granted, 10);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

#[test]
fn whoever_opens_it_while_others_remove_it_gets_one() {
    let (folder, path) = place();
    let opened = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let opening = || {
            (0..200).try_for_each(|_| {
                let segment = open(&path, b"10/s").map(drop);
                opened.fetch_add(1, Ordering::SeqCst);
                segment
            })
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(opening)).collect();
        let mut seen = 0;
        while threads.iter().any(|thread| !thread.is_finished()) {
            // Who removes without a pause may win for ever, and is told of as an error.
            let now = opened.load(Ordering::SeqCst);
            if now == seen {
                std::thread::yield_now();
                continue;
            }
            seen = now;
            // As `unlink` does: the segment, and what is being made beside it.
            for found in fs::read_dir(folder.path()).unwrap().flatten() {
                let _ = fs::remove_file(found.path());
            }
        }
        for thread in threads {
            thread.join().unwrap().unwrap();
        }
    });
}
