//! The program `async-performance`.
fn main() -> std::process::ExitCode {
    service::settings::start(traffic_gen::performance::run)
}
