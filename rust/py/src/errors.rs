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
    let build = || -> PyResult<PyErr> {
        let class = CLASS.import(py, "sluicegate._errors", "ConfigurationError")?;
        let fields =
            [("field", field.into_bound_py_any(py)?), ("value", value.into_bound_py_any(py)?)];
        let fields = fields.into_py_dict(py)?;
        let error = class.call((message,), Some(&fields))?;
        Ok(PyErr::from_value(error))
    };
    build().unwrap_or_else(|error| {
        let raised = PyValueError::new_err("a configuration error could not be built");
        raised.set_cause(py, Some(error));
        raised
    })
}
