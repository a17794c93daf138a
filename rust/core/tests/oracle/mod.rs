//! Slow, obvious models that the core is held against.

pub(crate) mod window;
