//! How many requests one client may send, so that it cannot starve the others (`RATE_LIMIT_PER_SECOND`).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts};
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::request::Parts;

use crate::app::AppState;
use crate::config::Rate;
use crate::error::Error;

/// Clients that are remembered at once: a few megabytes. Beyond it, those that sent nothing for a second are forgotten.
const MAX_CLIENTS: usize = 1 << 16;

/// One bucket for each client address; none where there is no limit.
#[derive(Clone)]
pub(crate) struct RateLimit {
    rate: Rate,
    buckets: Option<Arc<DefaultKeyedRateLimiter<IpAddr>>>,
}

impl RateLimit {
    /// Allows `rate` requests a second to each client, also all at once.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, buckets: rate.map(|rate| Arc::new(RateLimiter::keyed(Quota::per_second(rate)))) }
    }

    fn check(&self, client: IpAddr) -> Result<(), Error> {
        let (Some(allowed), Some(buckets)) = (self.rate, &self.buckets) else { return Ok(()) };
        if buckets.len() >= MAX_CLIENTS {
            buckets.retain_recent();
        }
        let retry_after = if buckets.len() >= MAX_CLIENTS {
            Duration::from_secs(1) // so many within one second; in the next they are forgotten
        } else {
            match buckets.check_key(&network(client)) {
                Ok(()) => return Ok(()),
                Err(not_until) => not_until.wait_time_from(buckets.clock().now()),
            }
        };
        Err(Error::TooManyRequests { allowed, retry_after })
    }
}

/// What counts as one client: an IPv4 address, or the /64 that an IPv6 host can choose its addresses from.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// A request that may go on: taken as a handler's argument, it responds 429 where the limit is reached.
pub(crate) struct Admitted;

impl FromRequestParts<AppState> for Admitted {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Error> {
        match parts.extensions.get::<ConnectInfo<SocketAddr>>() {
            Some(ConnectInfo(peer)) => state.rate_limit.check(peer.ip()).map(|()| Admitted),
            None => Ok(Admitted),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn limit() -> RateLimit {
        RateLimit::new(std::num::NonZeroU32::new(1))
    }

    #[test]
    fn memory_is_bounded_for_any_number_of_addresses() {
        let limit = limit();
        let addresses = (0..100_000).map(|number| IpAddr::from(Ipv4Addr::from_bits(number)));
        let refused = addresses.filter(|address| limit.check(*address).is_err()).count();
        assert!(limit.buckets.as_ref().unwrap().len() <= MAX_CLIENTS);
        assert!(refused > 0, "more than the limit came within one second");
    }

    #[test]
    fn ipv6_host_has_one_bucket_for_all_its_addresses() {
        let limit = limit();
        let admits = |address: &str| limit.check(address.parse().unwrap()).is_ok();
        assert!(admits("2001:db8:0:1::1") && !admits("2001:db8:0:1:ffff::2"));
        assert!(admits("2001:db8:0:2::1"), "another network");
        assert!(admits("192.0.2.1") && !admits("::ffff:192.0.2.1"), "the same host, as IPv6 writes it");
    }
}
