//! Blames the slowest span of the running system, to compare with `solve-mystery`.

fn main() -> std::process::ExitCode {
    solver::run(solver::slowest_span)
}
