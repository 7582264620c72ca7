//! What a person reads first: what runs, where, and what to try.

use crate::system::System;

/// The table: each part of the system with its address, and a line for each thing to try.
pub(crate) fn table(system: &System) -> String {
    let mut table = "\nThe system is running; Ctrl-C stops it.\n\n".to_owned();
    for service in system.services.iter().rev() {
        let url = service.url();
        let tries = match service.role {
            "frontend" => vec![
                "open it, roll five dice at once, follow \"View trace\"".to_owned(),
                format!("curl '{url}/roll?die=fair'"),
                format!("curl '{url}/roll-async?die=fair&times=5'"),
            ],
            "dice-roller" => vec![format!("curl '{url}/metrics'")],
            "die-service" => vec![format!("curl '{url}/dice'")],
            _ => vec!["open it to see the traces arrive".to_owned()],
        };
        let names = [(service.role, url.as_str())].into_iter().chain(std::iter::repeat(("", "")));
        for (to_try, (role, url)) in tries.iter().zip(names) {
            table += &format!("  {role:<14}{url:<24}{to_try}\n");
        }
    }
    if let Some(backend) = &system.other_backend {
        table += &format!("  {:<14}go to {backend}; the trace viewer is not started\n", "traces");
        table += &format!("  {:<14}set TRACE_URL_TEMPLATE to where \"View trace\" should lead\n", "");
    }
    table
}
