//! What is to be awaited: the result of a call, or what a function gives.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

/// The flag of a code object whose function is a coroutine function.
const CO_COROUTINE: u32 = 0x80;

/// Tells by a few comparisons that a result of a common type is no awaitable.
#[inline]
pub(crate) fn is_plain(result: &Bound<'_, PyAny>) -> bool {
    result.is_none()
        || result.is_exact_instance_of::<PyBool>()
        || result.is_exact_instance_of::<PyInt>()
        || result.is_exact_instance_of::<PyString>()
        || result.is_exact_instance_of::<PyBytes>()
        || result.is_exact_instance_of::<PyFloat>()
        || result.is_exact_instance_of::<PyDict>()
        || result.is_exact_instance_of::<PyList>()
        || result.is_exact_instance_of::<PyTuple>()
}

pub(crate) fn is_awaitable(result: &Bound<'_, PyAny>) -> PyResult<bool> {
    static GENERATOR: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    static IS_AWAITABLE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let (py, kind) = (result.py(), result.get_type());
    if kind.is(GENERATOR.import(py, "types", "GeneratorType")?) {
        // Some generators are coroutines of the old kind; a flag in their code tells.
        let is_awaitable = IS_AWAITABLE.import(py, "inspect", "isawaitable")?;
        return is_awaitable.call1((result,))?.is_truthy();
    }
    kind.hasattr(intern!(py, "__await__"))
}

pub(crate) fn is_coroutine(result: &Bound<'_, PyAny>) -> PyResult<bool> {
    static COROUTINE: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    Ok(result.get_type().is(COROUTINE.import(result.py(), "types", "CoroutineType")?))
}

/// Asks the code object first: most functions have one, and `inspect` takes its time.
pub(crate) fn is_coroutine_function(func: &Bound<'_, PyAny>) -> PyResult<bool> {
    static IS_COROUTINE_FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = func.py();
    if let Some(code) = func.getattr_opt(intern!(py, "__code__"))? {
        let flags: u32 = code.getattr(intern!(py, "co_flags"))?.extract()?;
        return Ok(flags & CO_COROUTINE != 0);
    }
    let is_coroutine_function =
        IS_COROUTINE_FUNCTION.import(py, "sluicegate._calls", "is_coroutine_function")?;
    is_coroutine_function.call1((func,))?.is_truthy()
}
