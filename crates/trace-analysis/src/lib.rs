//! What a trace says, as a library. The trace viewer still includes the files of this crate.
