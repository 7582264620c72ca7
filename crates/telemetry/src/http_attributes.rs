//! What the SERVER and the CLIENT span share. Source: OpenTelemetry semantic conventions for HTTP spans, stable since 1.23.

use std::borrow::Cow;

use http::{Method, Version};
use reqwest::Url;

/// Longest attribute that a client can write, in bytes: enough for a person, too little to fill a queue of spans with.
const MAX_ATTRIBUTE: usize = 1024;

/// Query parameters whose values are credentials, as the conventions list them for `url.query` and `url.full`.
const CREDENTIALS: [&str; 4] = ["AWSAccessKeyId", "Signature", "sig", "X-Goog-Signature"];

/// `http.request.method`: `_OTHER` for what a client made up, so that it cannot make metric labels.
pub(crate) fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

/// `network.protocol.version`.
pub(crate) fn protocol_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn may_have_credentials(query: &str) -> bool {
    CREDENTIALS.iter().any(|key| query.contains(key))
}

/// `url.query`, with `REDACTED` in place of each credential.
pub(crate) fn query(query: &str) -> String {
    if !may_have_credentials(query) {
        return clip(query).to_owned();
    }
    let redacted = |pair: &str| match pair.split_once('=') {
        Some((key, _)) if CREDENTIALS.contains(&key) => Cow::from(format!("{key}=REDACTED")),
        _ => pair.to_owned().into(),
    };
    clip(&query.split('&').map(redacted).collect::<Vec<_>>().join("&")).to_owned()
}

/// `url.full`, with `REDACTED` in place of user name, password and each credential of the query.
pub(crate) fn full_url(url: &Url) -> String {
    if url.username().is_empty() && url.password().is_none() && !url.query().is_some_and(may_have_credentials) {
        return clip(url.as_str()).to_owned();
    }
    let mut url = url.clone();
    let redacted = url.query().map(query);
    url.set_query(redacted.as_deref());
    // These fail for URLs without a host, which cannot have a user name either.
    if !url.username().is_empty() {
        let _ = url.set_username("REDACTED");
    }
    if url.password().is_some() {
        let _ = url.set_password(Some("REDACTED"));
    }
    clip(url.as_str()).to_owned()
}

/// At most [`MAX_ATTRIBUTE`] bytes, cut between two characters.
pub(crate) fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_ATTRIBUTE)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_queries_and_urls_are_redacted() {
        assert_eq!(
            query("die=fair&sig=abc&Signature=x%20y&signature=z"),
            "die=fair&sig=REDACTED&Signature=REDACTED&signature=z"
        );
        let full = |url: &str| full_url(&url.parse().unwrap());
        assert_eq!(
            full("http://user:secret@h/p?AWSAccessKeyId=a"),
            "http://REDACTED:REDACTED@h/p?AWSAccessKeyId=REDACTED"
        );
        assert_eq!(full("http://h:1/dice?identifier=a%20b"), "http://h:1/dice?identifier=a%20b");
    }
}
