//! Which faults of a service are on now.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use crate::file;
use crate::parse::{Active, Faults};
use crate::table::Fault;

/// The switches of one service; clones share them.
#[derive(Debug, Clone)]
pub struct Switches(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: &'static str,
    file: Option<PathBuf>,
    page: bool,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Those of this service; what others have is not kept.
    on: Vec<Active>,
    /// Whether it must not be shown.
    sealed: bool,
}

impl Switches {
    pub(crate) fn new(service: &'static str, faults: Faults, file: Option<PathBuf>) -> Self {
        let page = faults.page;
        let state = State { on: of_service(service, faults), sealed: false };
        Self(Arc::new(Inner { service, file, page, state: RwLock::new(state) }))
    }

    /// Says which faults are on, and watches the file from now on. Call it once, inside the runtime.
    pub fn start(&self) {
        self.read(|state| state.on.iter().for_each(switched_on));
        if let Some(path) = self.0.file.clone() {
            #[allow(clippy::disallowed_methods)] // there is no span, and it ends with the runtime
            tokio::spawn(file::watch(self.clone(), path));
        }
    }

    /// The value of `fault`, if it is on.
    pub fn active(&self, fault: Fault) -> Option<Active> {
        self.read(|state| state.on.iter().find(|active| active.fault == fault).cloned())
    }

    /// The number of `fault`, if it is on and takes one.
    pub fn number(&self, fault: Fault) -> Option<u64> {
        self.read(|state| state.on.iter().find(|active| active.fault == fault)?.number)
    }

    /// Whether `fault` is on.
    pub fn is_on(&self, fault: Fault) -> bool {
        self.read(|state| state.on.iter().any(|active| active.fault == fault))
    }

    /// The first of `faults` that is on.
    pub fn first_of(&self, faults: &[Fault]) -> Option<Fault> {
        faults.iter().copied().find(|fault| self.is_on(*fault))
    }

    /// Whether `FAULTS` shows the page.
    pub fn has_page(&self) -> bool {
        self.0.page
    }

    pub(crate) fn service(&self) -> &'static str {
        self.0.service
    }

    pub(crate) fn is_sealed(&self) -> bool {
        self.read(|state| state.sealed)
    }

    /// Switches one fault on or off, and leaves the others as they are.
    pub(crate) fn switch(&self, fault: Fault, active: Option<Active>) {
        let mut on = self.read(|state| state.on.clone());
        on.retain(|other| other.fault != fault);
        on.extend(active);
        self.replace(State { on, sealed: false });
    }

    /// Switches on what `faults` says, and everything else off.
    pub(crate) fn set(&self, faults: Faults, sealed: bool) {
        self.replace(State { on: of_service(self.0.service, faults), sealed });
    }

    fn replace(&self, new: State) {
        let old = {
            let mut state = self.0.state.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *state, State { on: new.on.clone(), sealed: new.sealed })
        };
        if !old.sealed {
            old.on.iter().filter(|active| !new.on.contains(active)).for_each(switched_off);
        }
        if !new.sealed {
            new.on.iter().filter(|active| old.sealed || !old.on.contains(active)).for_each(switched_on);
        }
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.0.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn of_service(service: &str, faults: Faults) -> Vec<Active> {
    faults.on.into_iter().filter(|active| active.fault.info().service == service).collect()
}

fn switched_on(active: &Active) {
    let (fault, value) = (active.fault.info().name, active.number.map(|_| active.value()));
    tracing::warn!(name: "fault.switched", fault, value, "Fault switched on");
}

fn switched_off(active: &Active) {
    let (fault, value) = (active.fault.info().name, active.number.map(|_| active.value()));
    tracing::warn!(name: "fault.switched", fault, value, "Fault switched off");
}
