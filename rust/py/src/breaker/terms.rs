//! What breakers of one config have in common, held once.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::BreakerOptions;
use crate::clock::Clock;

/// The options of breakers, the config they come from, the clock that the breakers read and who
/// listens to them.
///
/// Apart from the options, which a config keeps: it refers to its terms but weakly, or it would keep
/// itself alive.
#[pyclass(frozen, weakref, module = "sluicegate._native")]
pub(crate) struct BreakerTerms {
    pub(super) options: Py<BreakerOptions>,
    pub(super) clock: Clock,
    pub(super) config: Py<PyAny>,
    pub(super) listener: Option<Py<PyAny>>,
}

#[pymethods]
impl BreakerTerms {
    #[new]
    fn new(
        options: Py<BreakerOptions>,
        config: Py<PyAny>,
        clock: Option<&Bound<'_, PyAny>>,
        listener: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        Ok(Self { options, clock: Clock::from_argument(clock)?, config, listener })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.options)?;
        visit.call(&self.config)?;
        visit.call(&self.listener)
    }
}
