//! A file in memory, shared with every process that maps it.

use std::fs::File;
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::error::SegmentError;
use crate::plan::{Plain, Section};

/// A mapping, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Map {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; what is read and written through it
// are atomics, by the promise of `Plain`.
unsafe impl Send for Map {}
// SAFETY: as above.
unsafe impl Sync for Map {}

impl Map {
    /// Maps the first `length` bytes of a file that has them.
    pub(crate) fn new(file: &File, length: usize) -> Result<Self, SegmentError> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the address is the kernel's choice, so that no other mapping is touched.
        let start =
            unsafe { mmap(std::ptr::null_mut(), length, access, MapFlags::SHARED, file, 0) }?;
        let Some(start) = NonNull::new(start.cast()) else {
            return Err(SegmentError::Damaged("it was mapped at no address".to_owned()));
        };
        Ok(Self { start, length })
    }

    /// Where the words of a section lie, if they do.
    pub(crate) fn words<T: Plain>(&self, section: Section<T>) -> Option<NonNull<[T]>> {
        let bytes = size_of::<T>().checked_mul(section.count)?;
        let inside = section.offset.checked_add(bytes)? <= self.length;
        if !inside || !section.offset.is_multiple_of(align_of::<T>()) {
            return None;
        }
        // SAFETY: the offset is within the mapping, which is no longer than `isize::MAX`.
        let first = unsafe { self.start.add(section.offset) }.cast();
        Some(NonNull::slice_from_raw_parts(first, section.count))
    }

    /// Writes the words of a section, one after another, where nobody else has the mapping yet.
    pub(crate) fn fill<T: Plain>(
        &mut self,
        section: Section<T>,
        mut make: impl FnMut(usize) -> T,
    ) -> Option<()> {
        let words = self.words(section)?;
        for index in 0..section.count {
            // SAFETY: in bounds and aligned, as `words` has looked at; the mapping is borrowed
            // mutably, so that nobody reads it meanwhile.
            unsafe { words.cast::<T>().add(index).write(make(index)) };
        }
        Some(())
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` and unmapped nowhere else; whoever points into it keeps it.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
        debug_assert!(unmapped.is_ok());
    }
}
