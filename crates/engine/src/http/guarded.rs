//! Which requests may reach this machine and private networks.
//!
//! A setting of a connection may be part of the API's address, and whoever may make connections, such as a client of a server,
//! chooses it. So a client's requests reach such addresses only at origins that the program itself wrote. Every request of a client
//! goes through here: those of runs and actions, the host's own, and those to token endpoints.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use highwater_core::Result;
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse};

use crate::mutants::mutant;
use crate::urls::Url;

/// Which requests for connections may reach addresses of this machine and of private networks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrivateAddresses {
    /// Those to origins that the program wrote: in a provider's URLs without settings or with their defaults, and in
    /// [`ConnectionSettings::base_url`](crate::ConnectionSettings::base_url) or
    /// [`IntegrationSettings::base_url`](crate::IntegrationSettings::base_url).
    #[default]
    OfTheProgram,
    /// All. Whoever may change a connection's settings can then have the engine send requests into this network.
    OfAnyone,
}

/// A transport that reaches private addresses at some origins only.
pub(crate) struct Guarded {
    transport: Arc<dyn Transport>,
    /// The origins that may have any address.
    trusted: BTreeSet<String>,
}

impl Guarded {
    /// Guards a transport, except at these origins.
    pub(crate) fn new(transport: Arc<dyn Transport>, trusted: BTreeSet<String>) -> Self {
        Guarded { transport, trusted }
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").field("trusted", &self.trusted).finish_non_exhaustive()
    }
}

#[async_trait]
impl Transport for Guarded {
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        let is_trusted = Url::parse(&request.url).is_ok_and(|url| self.trusted.contains(url.origin()));
        if !is_trusted && !mutant!("settings-lead-anywhere") {
            request.global_only = true;
        }
        self.transport.send(request).await
    }
}

/// The origin of a provider's URL in which `defaults` are filled in; `None` if a setting without a default is part of it.
pub(crate) fn fixed_origin<'d>(
    pattern: &str,
    defaults: impl IntoIterator<Item = (&'d str, &'d str)>,
) -> Option<String> {
    let (scheme, rest) = pattern.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let mut text = format!("{scheme}://{authority}");
    for (name, value) in defaults {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    let url = Url::parse(&text).ok().filter(|_| !text.contains(['{', '}']))?;
    Some(url.origin().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_fixed_unless_a_setting_is_part_of_it() {
        for (pattern, origin) in [
            ("https://api.example/{tenant}/v1", Some("https://api.example")),
            ("https://api.example:8443", Some("https://api.example:8443")),
            ("https://{site}.example/v1", None),
            ("https://{region}.example/v1", Some("https://eu.example")),
            ("https://api.example:{port}/", None),
            ("{scheme}://api.example/", None),
            ("https://", None),
            ("nonsense", None),
        ] {
            assert_eq!(fixed_origin(pattern, [("region", "eu")]).as_deref(), origin, "{pattern}");
        }
    }
}
