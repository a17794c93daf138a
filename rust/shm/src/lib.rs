//! Words that every process of a machine maps: limiters and breakers in a file.
//!
//! A segment is a file of a header and plain words. It is written aside, whole, and then put in its
//! place unless another is there, so that nobody ever sees one half made; from then on its header
//! never changes, and its words change by the core's compare-and-swaps alone. There is no lock
//! that a killed process could keep, and nothing to repair after it.
//!
//! This crate is the only home of unsafe code.

mod error;
mod file;
mod header;
mod home;
mod map;
mod plan;
mod segment;

pub use error::SegmentError;
pub use header::{Header, Kind};
pub use home::{Anywhere, Home};
pub use plan::{Plain, Plan, Section};
pub use segment::{Blueprint, Draft, Segment, UpdateLock};
