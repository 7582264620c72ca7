//! frontend from the outside: the real app on port 0, with the real services behind it wherever they can play the part.
#![allow(clippy::unwrap_used)] // a panic is how a test reports

mod answers;
mod backend_fails;
mod both_ways;
mod common;
mod limits;
mod page;
mod seed;
