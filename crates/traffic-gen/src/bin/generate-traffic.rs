//! The program `generate-traffic`.
fn main() -> std::process::ExitCode {
    service::settings::start(traffic_gen::generate::run)
}
