//! A segment: made by whoever comes first, attached by the rest.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use crate::error::SegmentError;
use crate::file::{self, Aside};
use crate::header::{self, Header, Kind};
use crate::home::Home;
use crate::map::Map;
use crate::plan::{Plain, Plan, Section};

/// How often a file that vanishes or comes up meanwhile is looked for again.
const PATIENCE: u32 = 64;

/// What is to live in a segment.
#[derive(Clone, Debug)]
pub struct Blueprint<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its configuration: another one is not attached to.
    pub config: &'a [u8],
    /// Where its words lie.
    pub plan: Plan,
    /// What makes the fingerprints of keys, should it be made now.
    pub secret: [u64; 2],
}

/// A segment that is being made: nobody else sees it yet.
#[derive(Debug)]
pub struct Draft(Map);

impl Draft {
    /// Writes the words of a section; what nobody fills is zero.
    ///
    /// # Errors
    /// [`SegmentError::Damaged`] where the section is of another plan.
    pub fn fill<T: Plain>(
        &mut self,
        section: Section<T>,
        make: impl FnMut(usize) -> T,
    ) -> Result<(), SegmentError> {
        self.0.fill(section, make).ok_or_else(beyond)
    }
}

/// A file that is mapped here and in other processes.
///
/// It survives every one of them, and ends with the machine or when somebody removes it; whoever
/// has it then goes on with what is no longer shared with newcomers.
#[derive(Debug)]
pub struct Segment {
    map: Arc<Map>,
    file: File,
    header: Header,
}

impl Segment {
    /// Attaches the segment at `path`, or makes it and has `fill` write its words.
    ///
    /// # Errors
    /// [`SegmentError`] says why it cannot be used; the file is left as it was.
    pub fn open(
        path: &Path,
        blueprint: &Blueprint<'_>,
        fill: impl Fn(&mut Draft) -> Result<(), SegmentError>,
    ) -> Result<Self, SegmentError> {
        for _ in 0..PATIENCE {
            match file::open(path)? {
                Some(found) if found.metadata()?.len() > 0 => {
                    return Self::attach(found, blueprint);
                }
                Some(empty) => {
                    let mode = std::os::unix::fs::MetadataExt::mode(&empty.metadata()?) & 0o777;
                    draw(path, blueprint, Some(mode), &fill)?.replace(&empty, path)?;
                }
                None => draw(path, blueprint, None, &fill)?.place(path)?,
            }
        }
        let what = "it comes and goes: somebody removes it as soon as it is made";
        Err(SegmentError::Damaged(what.to_owned()))
    }

    /// Reads the header of the segment at `path`; `None` where there is none, or an empty file.
    ///
    /// # Errors
    /// [`SegmentError`] says why it cannot be used.
    pub fn inspect(path: &Path) -> Result<Option<Header>, SegmentError> {
        match file::open(path)? {
            Some(file) if file.metadata()?.len() > 0 => Ok(Some(check(&file)?)),
            _ => Ok(None),
        }
    }

    fn attach(file: File, blueprint: &Blueprint<'_>) -> Result<Self, SegmentError> {
        let header = check(&file)?;
        let length = blueprint.plan.length();
        if header.kind != blueprint.kind || header.config != blueprint.config {
            let config = String::from_utf8_lossy(&header.config);
            return Err(SegmentError::Other(format!("a {}, {config}", header.kind.name())));
        }
        if header.length != length as u64 {
            let what = format!("it is {} bytes long, where its kind takes {length}", header.length);
            return Err(SegmentError::Damaged(what));
        }
        Ok(Self { map: Arc::new(Map::new(&file, length)?), file, header })
    }

    /// What it says of itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The words of a section; the mapping lasts as long as they do.
    ///
    /// # Errors
    /// [`SegmentError::Damaged`] where the section is of another plan.
    pub fn words<T: Plain>(&self, section: Section<T>) -> Result<Home<[T]>, SegmentError> {
        let words = self.map.words(section).ok_or_else(beyond)?;
        Ok(Home::in_map(words, Arc::clone(&self.map)))
    }

    /// Keeps changes of a configuration apart, among all processes, for as long as it is held.
    /// The kernel frees it where a process dies; no decision takes it.
    ///
    /// # Errors
    /// [`SegmentError::Io`] where the operating system refuses.
    pub fn lock_for_update(&self) -> Result<UpdateLock, SegmentError> {
        Ok(UpdateLock { _locked: file::lock(&self.file)? })
    }
}

/// The right to change a configuration.
#[derive(Debug)]
pub struct UpdateLock {
    /// Held for its drop, which frees the lock.
    _locked: File,
}

fn beyond() -> SegmentError {
    SegmentError::Damaged("its words lie beyond its end".to_owned())
}

/// Writes a segment aside, whole: first the words, then the header.
fn draw(
    path: &Path,
    blueprint: &Blueprint<'_>,
    mode: Option<u32>,
    fill: &impl Fn(&mut Draft) -> Result<(), SegmentError>,
) -> Result<Aside, SegmentError> {
    let length = blueprint.plan.length();
    let header = Header {
        kind: blueprint.kind,
        length: length as u64,
        boot: file::boot(),
        secret: blueprint.secret,
        config: blueprint.config.to_vec(),
    };
    let page = header.encode()?;
    let aside = Aside::new(path, header.length, mode)?;
    fill(&mut Draft(Map::new(&aside.file, length)?))?;
    std::os::unix::fs::FileExt::write_all_at(&aside.file, &page, 0)?;
    Ok(aside)
}

/// Reads the header of a file, and looks whether the rest is there and of this boot.
fn check(file: &File) -> Result<Header, SegmentError> {
    let header = Header::parse(&file::read_page(file)?)?;
    let length = file.metadata()?.len();
    if length != header.length {
        let what = format!("it is {length} bytes long, where it was {} once", header.length);
        return Err(SegmentError::Damaged(what));
    }
    debug_assert!(header.length >= header::LENGTH as u64);
    if header.boot != file::boot() {
        return Err(SegmentError::EarlierBoot);
    }
    Ok(header)
}
