//! dice-roller with the real die-service beside it, in one process: one registry, one store of spans, one log.

use clap::Parser;
use dice_roller::{AppState, Config, app};
use trace_check::Trace;

pub(crate) use test_support::service::{TestService, eventually, get, get_json, serve};

/// No simulated work and a fixed seed, unless a flag says otherwise.
pub(crate) async fn start(flags: &[&str]) -> TestService {
    TestService::start("dice-roller", &[], async |service| {
        let catalogue = die_service::Catalogue::load(None)?;
        let dice = die_service::app(die_service::AppState::new(catalogue, service)?, service);
        let url = serve(dice).await;
        Ok(app(AppState::new(&config(&[&["--die-service-url", &url], flags].concat()), service)?, service))
    })
    .await
}

/// dice-roller with `die_service_url` as its upstream, which need not be a die-service.
pub(crate) async fn start_beside(die_service_url: &str, flags: &[&str]) -> TestService {
    TestService::start("dice-roller", &[], async |service| {
        let config = config(&[&["--die-service-url", die_service_url], flags].concat());
        Ok(app(AppState::new(&config, service)?, service))
    })
    .await
}

/// The spans so far, of dice-roller and of the die-service beside it.
pub(crate) fn trace(service: &TestService) -> Trace {
    Trace::from_memory("dice-roller", service.spans())
}

fn config(flags: &[&str]) -> Config {
    let mut args = vec!["dice-roller", "--roll-delay-max-ms=0", "--roll-seed=1"];
    // A later flag would be a second one for clap, so a default makes way for it.
    args.retain(|arg| !flags.iter().any(|flag| flag.split('=').next() == arg.split('=').next()));
    Config::try_parse_from([&args, flags].concat()).unwrap()
}
