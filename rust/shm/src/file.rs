//! The file of a segment: written aside, put in its place unless another is there.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};

use crate::error::SegmentError;
use crate::header;

/// The permissions of a new file: its owner's alone.
const MODE: u32 = 0o600;

/// Opens the file at `path` to read and write it; `None` where there is none.
pub(crate) fn open(path: &Path) -> Result<Option<File>, SegmentError> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    match OpenOptions::new().read(true).write(true).custom_flags(no_follow).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Err(SegmentError::Damaged("it is no file".to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Reads the page of the header, or less where the file is shorter.
pub(crate) fn read_page(file: &File) -> Result<Vec<u8>, SegmentError> {
    let mut page = vec![0; header::LENGTH];
    let mut filled = 0;
    while filled < page.len() {
        match file.read_at(&mut page[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    page.truncate(filled);
    Ok(page)
}

/// A file beside its place, gone again when it is dropped.
pub(crate) struct Aside {
    pub(crate) file: File,
    path: PathBuf,
}

impl Aside {
    /// Makes a file of `length` bytes, all of them allocated, so that no write to its mapping can
    /// ever fail for want of space.
    pub(crate) fn new(
        place: &Path,
        length: u64,
        access: Option<u32>,
    ) -> Result<Self, SegmentError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = place.file_name().ok_or(io::Error::from(ErrorKind::InvalidInput))?;
        let (file, path) = loop {
            // Relaxed: a number that orders nothing.
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let mut aside = std::ffi::OsString::from(".");
            aside.push(name);
            aside.push(format!(".{}.{number}", std::process::id()));
            let path = place.with_file_name(aside);
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).mode(MODE);
            match options.open(&path) {
                Ok(file) => break (file, path),
                // Of a process of the same number that was killed.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error.into()),
            }
        };
        let aside = Self { file, path };
        aside.file.set_permissions(Permissions::from_mode(access.unwrap_or(MODE)))?;
        fallocate(&aside.file, FallocateFlags::empty(), 0, length)?;
        Ok(aside)
    }

    /// Puts the file in its place, unless one is there.
    pub(crate) fn place(&self, place: &Path) -> Result<(), SegmentError> {
        settle(fs::hard_link(&self.path, place))
    }

    /// Puts the file in the place of `empty`, if that is still there and still empty.
    ///
    /// Whoever would do the same locks the empty file first; the kernel frees the lock of a
    /// process that dies.
    pub(crate) fn replace(&self, empty: &File, place: &Path) -> Result<(), SegmentError> {
        flock(empty, FlockOperation::LockExclusive)?;
        let locked = empty.metadata()?;
        let found = match fs::symlink_metadata(place) {
            Ok(found) => found,
            Err(error) => return settle(Err(error)),
        };
        let same = (locked.dev(), locked.ino()) == (found.dev(), found.ino());
        if same && found.len() == 0 { settle(fs::rename(&self.path, place)) } else { Ok(()) }
    }
}

/// Takes for done what somebody else did or undid meanwhile: the caller looks again.
fn settle(done: io::Result<()>) -> Result<(), SegmentError> {
    match done {
        Err(error) if ![ErrorKind::AlreadyExists, ErrorKind::NotFound].contains(&error.kind()) => {
            Err(error.into())
        }
        _ => Ok(()),
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // Where it was renamed there is none any more.
        let _ = fs::remove_file(&self.path);
    }
}

/// Keeps others from what is done while the lock is held; the kernel frees that of a process which
/// dies. The file is opened afresh for it: a lock is shared with whoever shares the opened file, as
/// the children of a fork do.
pub(crate) fn lock(file: &File) -> Result<File, SegmentError> {
    let afresh = format!("/proc/self/fd/{}", file.as_raw_fd());
    let locked = OpenOptions::new().read(true).write(true).open(afresh)?;
    flock(&locked, FlockOperation::LockExclusive)?;
    Ok(locked)
}

/// The boot of the machine; zeros where the kernel does not tell.
pub(crate) fn boot() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).unwrap_or(0).to_be_bytes()
}
