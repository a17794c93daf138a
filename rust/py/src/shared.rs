//! Where a shared limiter or breaker lives: its file, and what goes wrong with it.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use sluicegate_core::Seed;
use sluicegate_shm::UpdateLock;
use sluicegate_shm::{Blueprint, Draft, Home, Kind, Plain, Plan, Section, Segment, SegmentError};

use crate::errors::{backend_error, configuration_error};

/// The `shared` argument: a path, and the configuration in a canonical form.
#[derive(FromPyObject)]
pub(crate) struct Place(PathBuf, Vec<u8>);

/// A segment that is in use.
pub(crate) struct Shared {
    path: PathBuf,
    segment: Segment,
}

impl Place {
    /// Attaches the segment, or makes it.
    pub(crate) fn open(
        self,
        py: Python<'_>,
        kind: Kind,
        plan: Plan,
        fill: impl Fn(&mut Draft) -> Result<(), SegmentError>,
    ) -> PyResult<Shared> {
        self.open_with(py, kind, [0; 2], plan, fill)
    }

    /// Attaches the segment, or makes it with a secret for its keys.
    pub(crate) fn open_with(
        self,
        py: Python<'_>,
        kind: Kind,
        secret: [u64; 2],
        plan: Plan,
        fill: impl Fn(&mut Draft) -> Result<(), SegmentError>,
    ) -> PyResult<Shared> {
        let Self(path, config) = self;
        let blueprint = Blueprint { kind, config: &config, plan, secret };
        match Segment::open(&path, &blueprint, fill) {
            Ok(segment) => Ok(Shared { path, segment }),
            Err(error) => Err(raised(py, &error, &path)),
        }
    }
}

impl Shared {
    /// The words of a section.
    pub(crate) fn words<T: Plain>(&self, py: Python<'_>, of: Section<T>) -> PyResult<Home<[T]>> {
        self.segment.words(of).map_err(|error| raised(py, &error, &self.path))
    }

    /// The word of a section that has one.
    pub(crate) fn word<T: Plain>(&self, py: Python<'_>, of: Section<T>) -> PyResult<Home<T>> {
        let none = || backend_error(py, "a segment lacks a word".to_owned(), "shared memory");
        self.words(py, of)?.one(0).ok_or_else(none)
    }

    /// What makes the fingerprints of its keys.
    pub(crate) fn seed(&self) -> Seed {
        Seed::new(self.segment.header().secret)
    }

    /// Keeps changes apart where others may make them: without the interpreter, for one of those
    /// others may wait for it.
    pub(crate) fn changing(py: Python<'_>, shared: Option<&Self>) -> PyResult<Option<UpdateLock>> {
        let Some(shared) = shared else { return Ok(None) };
        let locked = py.detach(|| shared.segment.lock_for_update());
        locked.map(Some).map_err(|error| raised(py, &error, &shared.path))
    }
}

fn raised(py: Python<'_>, error: &SegmentError, path: &std::path::Path) -> PyErr {
    let shown = path.display();
    if let SegmentError::Other(_) = error {
        let message = format!(
            "cannot share {shown}: {error}; use that configuration, take it as it is with \
             adopt=True, or remove the segment with sluicegate.shared.unlink"
        );
        return configuration_error(py, message, "shared", path.to_string_lossy());
    }
    let remedy = match error {
        SegmentError::Io(_) => "",
        _ => "; remove it with sluicegate.shared.unlink if nobody needs it",
    };
    backend_error(py, format!("cannot share {shown}: {error}{remedy}"), "shared memory")
}

/// Read what a segment says of itself: its kind and configuration; None where there is none.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "as arguments are handed over")]
pub(crate) fn inspect_segment(
    py: Python<'_>,
    path: PathBuf,
) -> PyResult<Option<(&'static str, Bound<'_, PyBytes>)>> {
    let header = Segment::inspect(&path).map_err(|error| raised(py, &error, &path))?;
    Ok(header.map(|header| (header.kind.name(), PyBytes::new(py, &header.config))))
}
