//! Faults that can be switched on and off while a service runs, to see what each looks like in a trace.
//!
//! This crate knows which faults there are and which are on. What a fault does is in the file `faults.rs` of the service
//! that it belongs to. Without `FAULTS` and `FAULTS_FILE` a service has no [`Switches`], and none of that is called.
//!
//! Reading order: `table.rs` (all faults), `parse.rs` (`FAULTS=slow-die=800,lost-context`), `settings.rs`, `switches.rs`
//! (what is on now), `file.rs` (the watched file), `seal.rs`, `page.rs` (`/faults`).

mod file;
mod page;
mod parse;
mod seal;
mod settings;
mod switches;
mod table;

pub use parse::{Active, Faults};
pub use seal::{seal, unseal};
pub use settings::Settings;
pub use switches::Switches;
pub use table::{Fault, FaultInfo, TABLE, ValueInfo};
