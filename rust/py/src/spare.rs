//! Objects that are used again once nobody holds them any more: to make and to free one costs more
//! than what it stands for.

use std::cell::Cell;

use pyo3::prelude::*;

/// The place of a thread for the object that it made last.
pub(crate) struct Spare<T>(Cell<Option<Py<T>>>);

impl<T> Spare<T> {
    pub(crate) const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// The object, if nobody else holds it.
    #[inline]
    pub(crate) fn take(&self, py: Python<'_>) -> Option<Py<T>> {
        self.0.take().filter(|object| has_holders(py, object, 1))
    }

    #[inline]
    pub(crate) fn keep(&self, object: Py<T>) {
        self.0.set(Some(object));
    }
}

/// Whether an object has so many holders, whom the caller all knows, and certainly no other.
///
/// The interpreter's lock sees to it that nobody takes hold of it meanwhile; where there is no lock a
/// count says nothing certain.
#[expect(deprecated, reason = "the other way to the count is unsafe")]
#[inline]
pub(crate) fn has_holders<T>(py: Python<'_>, object: &Py<T>, known: isize) -> bool {
    !cfg!(Py_GIL_DISABLED) && object.get_refcnt(py) == known
}
