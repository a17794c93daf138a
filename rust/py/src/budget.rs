//! The retry budget, which many retries share.

use pyo3::prelude::*;
use sluicegate_core::ConfigError;
use sluicegate_core::breaker::Ratio;

use crate::clock::Clock;
use crate::errors::configuration_error;
use crate::quota::Quota;

/// What bounds the retries of many calls together; `sluicegate.RetryBudget` adds its options.
#[pyclass(frozen, subclass, module = "sluicegate._native")]
pub(crate) struct RetryBudget {
    core: sluicegate_core::RetryBudget,
    clock: Clock,
}

#[pymethods]
impl RetryBudget {
    #[new]
    fn new(
        py: Python<'_>,
        ratio: (u64, u64),
        reserve: &Quota,
        clock: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let clock = Clock::from_argument(clock)?;
        let value = format!("{}/{}", ratio.0, ratio.1);
        let ratio = Ratio::new(ratio.0, ratio.1).ok_or_else(|| ConfigError {
            field: "ratio",
            reason: "must be a number from 0 to 1".to_owned(),
        });
        let core = ratio.and_then(|ratio| sluicegate_core::RetryBudget::new(ratio, reserve.core));
        let core =
            core.map_err(|error| configuration_error(py, error.to_string(), error.field, value))?;
        Ok(Self { core, clock })
    }

    /// Note a call, which earns its share of a retry.
    fn deposit(&self) {
        self.core.deposit();
    }

    /// Take one retry, or say that there is none left.
    fn try_withdraw(&self) -> bool {
        self.core.try_withdraw(&self.clock)
    }

    /// How many retries could be taken now, those of the reserve included.
    #[getter]
    fn available(&self) -> u64 {
        self.core.available(&self.clock)
    }
}
