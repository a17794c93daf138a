//! Where the words of a limiter live: on the heap, or wherever their owner keeps them.

use std::fmt::Debug;
use std::ops::Deref;

/// A place for words: what is decided about them does not depend on it.
pub trait Memory {
    /// So many of one kind, side by side, in this place.
    type Of<T: Debug>: Deref<Target = [T]> + Debug;

    /// Has the processor fetch words that will be looked at soon, while the caller goes on; nothing
    /// where this place has no way to.
    #[inline]
    fn fetch<T>(_words: &T) {}
}

/// The memory of this process.
#[derive(Clone, Copy, Debug)]
pub struct Heap;

impl Memory for Heap {
    type Of<T: Debug> = Box<[T]>;
}
