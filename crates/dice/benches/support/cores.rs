//! Who runs where: the measured service has the first core for itself; load, stub and sink share the others.

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The cores of this process, divided.
pub(crate) struct Cores {
    service: CpuSet,
    load: CpuSet,
    /// How many the load has.
    pub(crate) for_load: usize,
}

impl Cores {
    /// Moves this thread, and the threads that it will start, to the load's cores. On a machine with a single core all
    /// share it.
    ///
    /// # Errors
    /// When the operating system does not let processes choose.
    pub(crate) fn divide() -> nix::Result<Self> {
        let this_thread = Pid::from_raw(0);
        let all = sched_getaffinity(this_thread)?;
        let mut cores = (0..CpuSet::count()).filter(|core| all.is_set(*core) == Ok(true));
        let mut service = CpuSet::new();
        service.set(cores.next().unwrap_or(0))?;
        let (mut load, mut for_load) = (CpuSet::new(), 0);
        for core in cores {
            load.set(core)?;
            for_load += 1;
        }
        if for_load == 0 {
            (load, for_load) = (service, 1);
        }
        sched_setaffinity(this_thread, &load)?;
        Ok(Self { service, load, for_load })
    }

    /// Runs `start` on the service's core. A process that it starts stays there, and takes itself to be on a machine
    /// with one core.
    ///
    /// # Errors
    /// As [`Cores::divide`], and those of `start`.
    pub(crate) fn on_its_own<T>(&self, start: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let this_thread = Pid::from_raw(0);
        sched_setaffinity(this_thread, &self.service)?;
        let started = start();
        sched_setaffinity(this_thread, &self.load)?;
        started
    }
}
