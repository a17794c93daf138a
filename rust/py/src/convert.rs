//! Times across the border: Python's seconds are the core's nanoseconds.

use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDelta, PyDeltaAccess as _, PyInt};
use sluicegate_core::Nanos;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// 97 days: below 2^23 s the floats of seconds lie closer together than nanoseconds, so that each
/// nanosecond has one of its own. Beyond, two may share one.
const EXACT: u64 = (1 << 23) * NANOS_PER_SECOND;

/// Takes seconds (int, float or `timedelta`) and rounds them to the nearest nanosecond; a span
/// beyond the range, infinity included, becomes [`Nanos::MAX`].
///
/// Raises `TypeError` for anything else and `ValueError` for a negative number or NaN, both naming
/// `field` and the value.
pub(crate) fn nanos_from_seconds(value: &Bound<'_, PyAny>, field: &str) -> PyResult<Nanos> {
    // The commonest first; a bool is no exact int.
    if value.is_exact_instance_of::<PyInt>()
        && let Ok(whole) = value.extract::<u64>()
    {
        return Ok(Nanos::from_secs(whole));
    }
    if let Ok(delta) = value.cast::<PyDelta>() {
        return nanos_from_delta(delta, field);
    }
    let unfit = || {
        PyTypeError::new_err(format!(
            "{field} must be seconds as int, float or timedelta, not {value:?}"
        ))
    };
    if value.is_instance_of::<PyBool>() {
        return Err(unfit());
    }
    if let Ok(whole) = value.extract::<u64>() {
        return Ok(Nanos::from_secs(whole));
    }
    span_from_seconds(value.extract().map_err(|_| unfit())?, field)
}

/// Rounds non-negative seconds to the nearest nanosecond: exact for any float that came from
/// [`seconds`] of less than [`EXACT`].
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "whole seconds fit u64 below the guard, a fraction is below one, a cast saturates"
)]
fn nanos_from_f64(seconds: f64) -> Nanos {
    if seconds >= (u64::MAX / NANOS_PER_SECOND) as f64 {
        return Nanos::MAX;
    }
    let fraction = (seconds.fract() * NANOS_PER_SECOND as f64).round_ties_even() as u64;
    Nanos::new(seconds.trunc() as u64 * NANOS_PER_SECOND + fraction)
}

fn nanos_from_delta(delta: &Bound<'_, PyDelta>, field: &str) -> PyResult<Nanos> {
    let Ok(days) = u64::try_from(delta.get_days()) else {
        return Err(PyValueError::new_err(format!("{field} must be at least 0, not {delta}")));
    };
    // Python keeps 0 ≤ seconds < 86,400 and 0 ≤ microseconds < 1,000,000.
    let seconds = u64::from(delta.get_seconds().cast_unsigned());
    let micros = u64::from(delta.get_microseconds().cast_unsigned());
    Ok(Nanos::from_secs(days.saturating_mul(86_400) + seconds) + Nanos::new(micros * 1_000))
}

/// Takes seconds, or `None` for no bound at all.
pub(crate) fn nanos_or_forever(value: Option<&Bound<'_, PyAny>>, field: &str) -> PyResult<Nanos> {
    value.map_or(Ok(Nanos::MAX), |value| nanos_from_seconds(value, field))
}

/// Gives a span as a float that is no shorter than it: exactly it below [`EXACT`], since the nearest
/// float reads as the same nanosecond again. [`Nanos::MAX`] is infinity.
pub(crate) fn span_seconds(span: Nanos) -> f64 {
    if span == Nanos::MAX {
        return f64::INFINITY;
    }
    let nearest = seconds(span);
    let exact = span.get() < EXACT || nanos_from_f64(nearest) >= span;
    if exact { nearest } else { nearest.next_up() }
}

/// Takes a float that came from [`span_seconds`].
pub(crate) fn span_from_seconds(seconds: f64, field: &str) -> PyResult<Nanos> {
    if seconds.is_nan() || seconds < 0.0 {
        return Err(PyValueError::new_err(format!("{field} must be at least 0, not {seconds}")));
    }
    Ok(nanos_from_f64(seconds))
}

/// A count of permits as Python hands it over.
///
/// Negative is `ValueError`, anything but an integer `TypeError`; one beyond 64 bits can never be
/// granted, as the largest of them never is.
#[derive(Clone, Copy)]
pub(crate) struct Count(pub(crate) u64);

impl Count {
    pub(crate) const ONE: Self = Self(1);
}

impl FromPyObject<'_, '_> for Count {
    type Error = PyErr;

    #[inline]
    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        value.extract().map(Self).or_else(|error: PyErr| Self::beyond(&value, &error))
    }
}

impl Count {
    #[cold]
    fn beyond(value: &Bound<'_, PyAny>, error: &PyErr) -> PyResult<Self> {
        if !error.is_instance_of::<PyOverflowError>(value.py()) {
            return Err(PyTypeError::new_err(format!(
                "count must be an integer, not {}",
                value.repr()?
            )));
        }
        if value.lt(0)? {
            return Err(PyValueError::new_err(format!("count must be at least 0, not {value}")));
        }
        Ok(Self(u64::MAX))
    }
}

/// Gives seconds as a float; [`Nanos::MAX`] is the end of the range, not infinity.
#[expect(clippy::cast_precision_loss, reason = "floats are what Python asks for; see the docs")]
pub(crate) fn seconds(time: Nanos) -> f64 {
    time.get() as f64 / NANOS_PER_SECOND as f64
}
