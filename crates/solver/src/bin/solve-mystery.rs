//! Concludes by rules what is wrong in the running system.

fn main() -> std::process::ExitCode {
    solver::run(solver::solve)
}
