//! The wait for a charge's time: counted while it lasts, and given back unless the time came.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};
use sluicegate_core::{Clock as _, Decision, Nanos};

use crate::answer::Answer;
use crate::charged::Charged;

/// Permits charged for somebody who waits until he may use them: a context manager about the sleep.
///
/// However the wait ends, by an exception at whatever instruction or by being forgotten, it is counted
/// no longer and what was charged goes back, as far as that is sound.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct Wait {
    /// What was charged, of one limiter or of several, all for the same time.
    charges: Box<[Charged]>,
    course: Mutex<Course>,
}

/// How far a wait has come.
#[derive(Clone, Copy)]
enum Course {
    /// Charged, and nobody waits yet.
    Charged,
    /// Waiting since then.
    Waiting(Nanos),
    /// Granted or given back.
    Over,
}

impl Wait {
    /// Of one charge or more.
    pub(crate) fn new(charges: impl Into<Box<[Charged]>>) -> Self {
        Self { charges: charges.into(), course: Mutex::new(Course::Charged) }
    }

    fn first(&self) -> &Charged {
        &self.charges[0]
    }

    /// No Python is called while it is held, and nothing in it can be half done.
    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its time has come.
    pub(crate) fn is_due(&self) -> bool {
        let first = self.first();
        first.grant().execute_at() <= first.clock().now()
    }

    /// Ends it, whoever comes first: what was charged is kept, or goes back.
    pub(crate) fn end(&self, is_granted: bool) {
        let course = std::mem::replace(&mut *self.course(), Course::Over);
        if let Course::Waiting(began) = course {
            let waited = self.first().clock().now() - began;
            self.charges.iter().for_each(|charged| charged.tally().end_wait(waited));
        }
        if !matches!(course, Course::Over) && !is_granted {
            for charged in &self.charges {
                charged.cancel();
            }
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.end(false);
    }
}

#[pymethods]
impl Wait {
    /// The first instant of use in whole nanoseconds.
    #[getter]
    fn execute_at_ns(&self) -> u64 {
        self.first().grant().execute_at().get()
    }

    /// Count a caller that waits from now on.
    fn __enter__(&self) {
        let mut course = self.course();
        if matches!(*course, Course::Charged) {
            *course = Course::Waiting(self.first().clock().now());
            self.charges.iter().for_each(|charged| charged.tally().begin_wait());
        }
    }

    /// End the wait: by an exception, before its time.
    fn __exit__(
        &self,
        kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) {
        self.end(kind.is_none());
    }

    /// Say how things stand once the time has come; of several limiters the one with the least
    /// remaining decides.
    pub(crate) fn granted(&self) -> Answer {
        let others = self.charges[1..].iter().map(Charged::state);
        let state = others.fold(self.first().state(), Decision::and);
        Decision { allowed: true, retry_after: Nanos::ZERO, ..state }.into()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.charges.iter().try_for_each(|charged| charged.traverse(&visit))
    }
}
