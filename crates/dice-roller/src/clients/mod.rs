//! The services that dice-roller calls.

pub(crate) mod die_service;
