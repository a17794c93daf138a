//! The package's own exceptions, raised from the core.

use pyo3::IntoPyObjectExt as _;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict as _, PyType};

/// Builds `sluicegate.ConfigurationError(message, field=…, value=…)`.
pub(crate) fn configuration_error<'py>(
    py: Python<'py>,
    message: String,
    field: &str,
    value: impl IntoPyObject<'py>,
) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = CLASS.import(py, "sluicegate._errors", "ConfigurationError");
    let fields =
        || Ok([("field", field.into_bound_py_any(py)?), ("value", value.into_bound_py_any(py)?)]);
    raised(py, class, message, fields)
}

/// Builds `sluicegate.BackendError(message, backend=…)`.
pub(crate) fn backend_error(py: Python<'_>, message: String, backend: &str) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = CLASS.import(py, "sluicegate._errors", "BackendError");
    raised(py, class, message, || Ok([("backend", backend.into_bound_py_any(py)?)]))
}

fn raised<'py, const N: usize>(
    py: Python<'py>,
    class: PyResult<&Bound<'py, PyType>>,
    message: String,
    fields: impl FnOnce() -> PyResult<[(&'static str, Bound<'py, PyAny>); N]>,
) -> PyErr {
    let build = || -> PyResult<PyErr> {
        let fields = fields()?.into_py_dict(py)?;
        Ok(PyErr::from_value(class?.call((message,), Some(&fields))?))
    };
    build().unwrap_or_else(|error| {
        let raised = PyValueError::new_err("an error of the package's own could not be built");
        raised.set_cause(py, Some(error));
        raised
    })
}
