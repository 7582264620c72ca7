use std::env;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::LazyLock;

use futures::future::{join, join_all};
use reqwest::Client;
use tracing::{Instrument, info_span};

/// One for all calls: it keeps connections open.
static CLIENT: LazyLock<Client> = LazyLock::new(Client::new);

#[tokio::main]
async fn main() {
    let telemetry = learning::start();
    LazyLock::force(&CLIENT); // here, because it takes a while: the first call would be longer

    let parcel = env::var("PARCEL").unwrap_or("box-1".to_owned());
    let items = env::var("ITEMS").unwrap_or("lamp-1,pen-2".to_owned());
    let order = async {
        let weight = weigh(&parcel).instrument(info_span!("weigh", parcel));
        let prices = join_all(items.split(',').map(price));
        join(weight, prices).await;
    };
    order.instrument(info_span!("order")).await;

    drop(telemetry);
}

/// Weighs the parcel.
async fn weigh(parcel: &str) {
    let parcel = parcel.to_owned();
    tokio::task::spawn_blocking(move || match scale(&parcel) {
        Ok(status) => println!("{parcel}: {status}"),
        Err(error) => println!("{parcel}: {error}"),
    });
}

/// The driver of the scale, an old library without async: it keeps its thread until the response is there.
fn scale(parcel: &str) -> io::Result<String> {
    let address = env::var("UPSTREAM_URL").unwrap_or_default().replace("http://", "");
    let mut connection = TcpStream::connect(address)?;
    write!(connection, "GET /weigh/{parcel} HTTP/1.1\r\nHost: scale\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    connection.read_to_string(&mut response)?;
    Ok(response.lines().next().unwrap_or_default().to_owned())
}

/// Requests the price of one item.
async fn price(item: &str) {
    let call = async {
        let shop = env::var("UPSTREAM_URL").unwrap_or_default();
        match CLIENT.get(format!("{shop}/prices/{item}")).send().await {
            Ok(response) => println!("{item}: {}", response.status()),
            Err(error) => println!("{item}: {error}"),
        }
    };
    call.instrument(info_span!("price", item)).await;
}
