//! dice-roller
