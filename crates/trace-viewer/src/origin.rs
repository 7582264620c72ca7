//! Which pages may send OTLP, and which names the pages are served under.
//!
//! A browser runs scripts of any site, and sends their requests to this machine too. For a request to another origin it
//! tells that origin; and it can be led to take a foreign name for this machine (DNS rebinding).

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// The origins beside loopback whose pages may send OTLP.
pub(crate) type Origins = Arc<[String]>;

/// Lets pages of loopback origins and of `origins` send to `routes`; other pages get 403. Programs send no origin.
pub(crate) fn restrict(routes: Router, origins: Origins) -> Router {
    let allowed = move |origin: &HeaderValue| origin.to_str().is_ok_and(|origin| is_allowed_origin(origin, &origins));
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate({
            let allowed = allowed.clone();
            move |origin, _| allowed(origin)
        }))
        .allow_methods([Method::POST])
        .allow_headers(AllowHeaders::mirror_request());
    let refuse_foreign = from_fn(move |request: Request, next: Next| {
        let is_foreign = request.headers().get_all(ORIGIN).iter().any(|origin| !allowed(origin));
        async move {
            if is_foreign {
                let reason = "403: pages of this origin may not send OTLP; CORS_ALLOWED_ORIGINS allows more\n";
                return (StatusCode::FORBIDDEN, reason).into_response();
            }
            next.run(request).await
        }
    });
    routes.layer(cors).layer(refuse_foreign)
}

/// Lets only pages that are served under the same host and port send to `routes`; others get 403.
pub(crate) fn only_own_pages(routes: Router) -> Router {
    routes.layer(from_fn(async |request: Request, next: Next| {
        let host = request.headers().get(HOST).map(|host| host.as_bytes());
        let is_own = |origin: &HeaderValue| {
            let origin = origin.as_bytes();
            let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
            authority.is_some() && authority == host
        };
        if request.headers().get_all(ORIGIN).iter().all(is_own) {
            next.run(request).await as Response
        } else {
            (StatusCode::FORBIDDEN, "403: only the viewer's own pages may send here\n").into_response()
        }
    }))
}

fn is_allowed_origin(origin: &str, origins: &[String]) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let is_loopback = |authority: Authority| is_loopback(authority.host());
    origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
        || authority.and_then(|authority| authority.parse().ok()).is_some_and(is_loopback)
}

/// Serves `routes` under addresses, loopback names and the names `hosts`; under others with 403.
pub(crate) fn only_known_hosts(routes: Router, hosts: Arc<[String]>) -> Router {
    routes.layer(from_fn(move |request: Request, next: Next| {
        let named = request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
        let mut named = named.chain(request.uri().authority().map(Authority::as_str));
        let foreign = named.find(|host| !is_known_host(host, &hosts)).map(str::to_owned);
        async move {
            if let Some(name) = foreign {
                let reason = format!("403: the host '{name}' is not allowed; ALLOWED_HOSTS=name allows it\n");
                return (StatusCode::FORBIDDEN, reason).into_response();
            }
            next.run(request).await as Response
        }
    }))
}

/// Whether `host`, with or without a port, is an address, a loopback name, or one of `hosts`.
fn is_known_host(host: &str, hosts: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>().is_ok();
    is_address || is_loopback(name) || hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
}

/// Whether browsers take `host` for this machine without asking a name server (RFC 6761, section 6.3).
fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || host.ends_with(".localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_addresses_loopback_names_and_allowed_names() {
        let hosts = ["viewer.example".to_owned()];
        let known = [
            "127.0.0.1:3200",
            "[::1]:3200",
            "10.1.2.3",
            "LOCALHOST",
            "localhost.:1",
            "a.localhost",
            "Viewer.example:80",
        ];
        for host in known {
            assert!(is_known_host(host, &hosts), "{host}");
        }
        let foreign =
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "a b"];
        for host in foreign {
            assert!(!is_known_host(host, &hosts), "{host}");
        }
    }

    #[test]
    fn origins_are_loopback_or_allowed() {
        let origins = ["https://app.example".to_owned()];
        for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:1", "https://app.example"] {
            assert!(is_allowed_origin(origin, &origins), "{origin}");
        }
        for origin in ["http://app.example", "https://evil.example", "null", "file://localhost", "http://10.0.0.1"] {
            assert!(!is_allowed_origin(origin, &origins), "{origin}");
        }
    }
}
