//! A quota as Python's configuration builds it: exact fractions in, one validated value out.

use pyo3::prelude::*;
use sluicegate_core::{ConfigError, Rate};

use crate::errors::configuration_error;

/// A validated rate and burst; `RateLimiterConfig` holds one.
#[pyclass(frozen, module = "sluicegate._native")]
pub(crate) struct Quota {
    pub(crate) core: sluicegate_core::Quota,
}

#[pymethods]
impl Quota {
    /// Take `permits` per `nanoseconds`, both below 2^127, and a burst.
    #[new]
    fn new(py: Python<'_>, permits: u128, nanoseconds: u128, burst: u64) -> PyResult<Self> {
        let rate = Rate::new(permits, nanoseconds).ok_or_else(|| ConfigError {
            field: "rate",
            reason: "must be finite, and the period above zero".to_owned(),
        });
        let quota = rate.and_then(|rate| sluicegate_core::Quota::new(rate, burst));
        let core = quota.map_err(|error| {
            let value =
                if error.field == "burst" { burst.to_string() } else { permits.to_string() };
            configuration_error(py, error.to_string(), error.field, value)
        })?;
        Ok(Self { core })
    }

    /// No limit at all.
    #[staticmethod]
    fn unlimited() -> Self {
        Self { core: sluicegate_core::Quota::unlimited() }
    }
}
