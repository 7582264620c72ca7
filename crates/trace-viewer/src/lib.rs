//! trace-viewer
