use std::env;

use tracing::{Instrument, info_span};

#[tokio::main]
async fn main() {
    let telemetry = learning::start();

    let labels = env::var("LABELS").unwrap_or("lamp-1,pen-2".to_owned());
    let order = async {
        // TODO: each span `print` has to begin when its label is printed
        let job = |label| print(label).instrument(info_span!("print", label));
        let jobs: Vec<_> = labels.split(',').map(job).collect();
        for job in jobs {
            job.await;
        }
    };
    order.instrument(info_span!("order")).await;

    drop(telemetry);
}

/// Prints one label. The printer can do one at a time.
async fn print(label: &str) {
    let printer = env::var("UPSTREAM_URL").unwrap_or_default();
    match reqwest::get(format!("{printer}/labels/{label}")).await {
        Ok(response) => println!("{label}: {}", response.status()),
        Err(error) => println!("{label}: {error}"),
    }
}
