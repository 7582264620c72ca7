//! dice-roller from the outside: the real app on port 0.

mod answers;
mod common;
mod die_service_fails;
