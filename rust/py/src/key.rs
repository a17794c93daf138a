//! Keys as Python has them: texts, bytes, integers of any size, and tuples of these.

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict as _, PyBool, PyBytes, PyInt, PyString, PyTuple};
use sluicegate_core::{Fingerprint, Seed};

/// How deep tuples may lie in each other.
const DEPTH: u32 = 32;

/// Makes the fingerprint of a key, without an allocation for a text, bytes, or an integer of 64
/// bits; the interpreter keeps the UTF-8 of a text that is not ASCII with it.
///
/// `TypeError` for anything else, floats and bools included, since what they equal would be another
/// key; `ValueError` for a text that has no UTF-8.
#[inline]
pub(crate) fn fingerprint(key: &Bound<'_, PyAny>, seed: &Seed) -> PyResult<Fingerprint> {
    match key.cast::<PyString>() {
        Ok(text) => Ok(seed.bytes(text.to_str()?.as_bytes())),
        Err(_) => not_text(key, seed, DEPTH),
    }
}

fn not_text(key: &Bound<'_, PyAny>, seed: &Seed, depth: u32) -> PyResult<Fingerprint> {
    if let Ok(bytes) = key.cast::<PyBytes>() {
        return Ok(seed.bytes(bytes.as_bytes()));
    }
    if let Ok(text) = key.cast::<PyString>() {
        return Ok(seed.bytes(text.to_str()?.as_bytes()));
    }
    if key.is_instance_of::<PyInt>() && !key.is_instance_of::<PyBool>() {
        return integer(key, seed);
    }
    let Ok(keys) = key.cast::<PyTuple>() else {
        let kind = key.get_type();
        let message =
            format!("a key is a str, bytes, an int or a tuple of these, not {}", kind.name()?);
        return Err(PyTypeError::new_err(message));
    };
    let Some(depth) = depth.checked_sub(1) else {
        return Err(PyValueError::new_err(format!("a key nests tuples deeper than {DEPTH}")));
    };
    let mut error = None;
    let parts = keys
        .iter()
        .map_while(|part| not_text(&part, seed, depth).map_err(|raised| error = Some(raised)).ok());
    let sequence = seed.sequence(parts);
    error.map_or(Ok(sequence), Err)
}

fn integer(key: &Bound<'_, PyAny>, seed: &Seed) -> PyResult<Fingerprint> {
    if let Ok(small) = key.extract::<i64>() {
        return Ok(seed.integer(&small.to_le_bytes()));
    }
    let length = key.call_method0("bit_length")?.extract::<usize>()? / 8 + 1;
    let signed = [("signed", true)].into_py_dict(key.py())?;
    let bytes = key.call_method("to_bytes", (length, "little"), Some(&signed))?;
    Ok(seed.integer(bytes.cast::<PyBytes>()?.as_bytes()))
}
