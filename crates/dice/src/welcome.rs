//! What a person reads first: what runs, where, and what to try.

use crate::system::System;

/// Each part of the system with its address, and a line for each thing to try.
pub(crate) fn welcome(system: &System) -> String {
    let mut text = "\nThe system is running; Ctrl-C stops it.\n\n".to_owned();
    for part in system.parts.iter().rev() {
        let url = &part.url;
        let names = [(part.service.name, url.as_str())].into_iter().chain(std::iter::repeat(("", "")));
        for (to_try, (name, at)) in part.service.to_try.iter().zip(names) {
            text += &format!("  {name:<14}{at:<24}{}\n", to_try.replace("{url}", url));
        }
    }
    if let Some(backend) = &system.other_backend {
        text += &format!("  {:<14}go to {backend}; the trace viewer is not started\n", "traces");
        text += &format!("  {:<14}set TRACE_URL_TEMPLATE to where \"View trace\" should lead\n", "");
    }
    text
}
