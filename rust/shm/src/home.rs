//! Words with an owner: the heap, or a segment.

use std::fmt::{self, Debug};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use sluicegate_core::Memory;

use crate::map::Map;

/// Who frees the words.
enum Owner {
    Heap,
    /// Held for its drop: the mapping lasts as long as one of its words is in use.
    Segment {
        _map: Arc<Map>,
    },
}

/// Words on the heap or in a segment: reading them takes the same one load.
pub struct Home<T: ?Sized> {
    words: NonNull<T>,
    owner: Owner,
}

// SAFETY: it owns the words as a box does, or shares them as an arc does.
unsafe impl<T: ?Sized + Send + Sync> Send for Home<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send + Sync> Sync for Home<T> {}

impl<T: ?Sized> Home<T> {
    /// Takes words of a mapping. They lie in it and are valid: `Map::words` says so.
    pub(crate) fn in_map(words: NonNull<T>, map: Arc<Map>) -> Self {
        Self { words, owner: Owner::Segment { _map: map } }
    }

    /// Whether the words lie in a segment.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.owner, Owner::Segment { .. })
    }
}

impl<T: ?Sized> From<Box<T>> for Home<T> {
    fn from(words: Box<T>) -> Self {
        Self { words: NonNull::from(Box::leak(words)), owner: Owner::Heap }
    }
}

impl<T> FromIterator<T> for Home<[T]> {
    fn from_iter<I: IntoIterator<Item = T>>(words: I) -> Self {
        Box::<[T]>::from_iter(words).into()
    }
}

impl<T: ?Sized> Deref for Home<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: from a box that is freed by `drop` alone, or in a mapping that the owner keeps,
        // of a type that any bytes are a value of.
        unsafe { self.words.as_ref() }
    }
}

impl<T: ?Sized> Drop for Home<T> {
    fn drop(&mut self) {
        if let Owner::Heap = self.owner {
            // SAFETY: from the box that was leaked, and dropped only here.
            drop(unsafe { Box::from_raw(self.words.as_ptr()) });
        }
    }
}

impl<T: ?Sized + Debug> Debug for Home<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl<T> Home<[T]> {
    /// One of the words of a segment alone, where there is one.
    #[must_use]
    pub fn one(&self, index: usize) -> Option<Home<T>> {
        let Owner::Segment { _map: map } = &self.owner else { return None };
        Some(Home::in_map(NonNull::from(self.get(index)?), Arc::clone(map)))
    }
}

/// Memory on the heap or in a segment, whichever the words come from.
#[derive(Clone, Copy, Debug)]
pub struct Anywhere;

impl Memory for Anywhere {
    type Of<T: Debug> = Home<[T]>;

    #[inline]
    fn fetch<T>(words: &T) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: every processor of this kind has the instruction, and it is a hint: it neither
            // faults nor reads anything that the program sees, whatever the address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(words).cast()) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = words;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_the_heap_are_freed_with_their_home() {
        let word = Arc::new(5);
        let home: Home<[Arc<u32>]> = [Arc::clone(&word)].into_iter().collect();
        assert_eq!((home.len(), *home[0]), (1, 5));
        drop(home);
        assert_eq!(Arc::strong_count(&word), 1);
    }
}
