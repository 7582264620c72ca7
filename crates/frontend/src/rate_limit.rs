//! How many rolls one client may request, so that it cannot starve the others (`RATE_LIMIT_PER_SECOND`).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequestParts};
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use http::request::Parts;
use serde::de::DeserializeOwned;
use service::{Parameters, Query};

use crate::app::AppState;
use crate::config::Rate;
use crate::error::Error;

/// Clients that are remembered at once: a few megabytes. Beyond it, those that sent nothing for a second are forgotten.
const MAX_CLIENTS: usize = 1 << 16;

/// One bucket for each client address; none where there is no limit.
pub(crate) struct RateLimit {
    rate: Rate,
    buckets: Option<DefaultKeyedRateLimiter<IpAddr>>,
}

impl RateLimit {
    /// Allows `rate` rolls a second to each client, also all at once.
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, buckets: rate.map(|rate| RateLimiter::keyed(Quota::per_second(rate))) }
    }

    /// Takes `rolls` from the client's bucket, all or none.
    fn check(&self, client: IpAddr, rolls: u32) -> Result<(), Error> {
        let (Some(allowed), Some(buckets)) = (self.rate, &self.buckets) else { return Ok(()) };
        if buckets.len() >= MAX_CLIENTS {
            buckets.retain_recent();
        }
        let retry_after = if buckets.len() >= MAX_CLIENTS {
            Duration::from_secs(1) // so many within one second; in the next they are forgotten
        } else {
            let count = NonZeroU32::new(rolls).unwrap_or(NonZeroU32::MIN);
            match buckets.check_key_n(&network(client), count) {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(not_until)) => not_until.wait_time_from(buckets.clock().now()),
                // More than the bucket holds: waiting would not help.
                Err(_) => return Err(Error::MoreThanRateLimit { allowed, rolls }),
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

/// What a request counts as.
pub(crate) trait Rolls {
    /// How many rolls it makes. A page without one, and a malformed request, count as one too.
    fn rolls(&self) -> u32 {
        1
    }
}

/// A query, and whether its client may have it now. An extractor.
pub(crate) struct Limited<T> {
    pub(crate) query: T,
    /// An error, which responds 429, where the limit is reached.
    pub(crate) admitted: Result<(), Error>,
}

impl<T> Limited<T> {
    pub(crate) fn admitted(self) -> Result<T, Error> {
        self.admitted.map(|()| self.query)
    }
}

impl<T: DeserializeOwned + Parameters<Arc<AppState>> + Rolls> FromRequestParts<Arc<AppState>> for Limited<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Error> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let rolls = query.as_ref().map_or(1, |Query(query)| query.rolls());
        let admitted = match parts.extensions.get::<ConnectInfo<SocketAddr>>() {
            Some(ConnectInfo(peer)) => state.rate_limit.check(peer.ip(), rolls),
            None => Ok(()),
        };
        match query {
            Ok(Query(query)) => Ok(Self { query, admitted }),
            Err(malformed) => Err(admitted.err().unwrap_or(malformed.into())),
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
        let refused = addresses.filter(|address| limit.check(*address, 1).is_err()).count();
        assert!(limit.buckets.as_ref().unwrap().len() <= MAX_CLIENTS);
        assert!(refused > 0, "more than the limit came within one second");
    }

    #[test]
    fn ipv6_host_has_one_bucket_for_all_its_addresses() {
        let limit = limit();
        let admits = |address: &str| limit.check(address.parse().unwrap(), 1).is_ok();
        assert!(admits("2001:db8:0:1::1") && !admits("2001:db8:0:1:ffff::2"));
        assert!(admits("2001:db8:0:2::1"), "another network");
        assert!(admits("192.0.2.1") && !admits("::ffff:192.0.2.1"), "the same host, as IPv6 writes it");
    }
}
