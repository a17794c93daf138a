//! What can be wrong with a segment.

use std::error::Error;
use std::{fmt, io};

/// Why a segment cannot be used; it is left as it was found.
#[derive(Debug)]
pub enum SegmentError {
    /// The operating system refused.
    Io(io::Error),
    /// The file is none of ours, or damaged: what is wrong with it.
    Damaged(String),
    /// The machine was restarted since: the times in it mean nothing any more.
    EarlierBoot,
    /// It was made for something else: what it holds in the words of whoever made it.
    Other(String),
}

impl fmt::Display for SegmentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(formatter),
            Self::Damaged(what) => formatter.write_str(what),
            Self::EarlierBoot => formatter.write_str(
                "the machine was restarted since it was made, and nobody knows what is still owed",
            ),
            Self::Other(found) => write!(formatter, "it was made for {found}"),
        }
    }
}

impl Error for SegmentError {}

impl From<io::Error> for SegmentError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for SegmentError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}
