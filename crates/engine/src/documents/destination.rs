//! Destinations of deliveries.

use highwater_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::reach::{self, Reach};
use crate::urls::Url;

/// Whose words and signature headers deliveries have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WebhookFormat {
    /// Highwater's own: `from` is `highwater`.
    #[default]
    Highwater,
    /// Nango's, for receivers that were written for it: `from` is `nango`, and the headers `X-Nango-Hmac-Sha256` and
    /// `X-Nango-Signature` are sent too. The latter signs by a plain hash, which is weaker: a receiver should check the former.
    Nango,
}

impl WebhookFormat {
    /// The member `from` of a delivery.
    pub(crate) fn sender(self) -> &'static str {
        match self {
            WebhookFormat::Highwater => "highwater",
            WebhookFormat::Nango => "nango",
        }
    }

    fn is_own(&self) -> bool {
        *self == WebhookFormat::Highwater
    }
}

/// A receiver of webhooks. Its secrets are not part of it: the credential store keeps those of
/// [`Outbox::rotate_secret`](crate::webhooks::Outbox::rotate_secret); others are passed to
/// [`Outbox::set_secrets`](crate::webhooks::Outbox::set_secrets) at each start.
///
/// ```
/// use highwater_engine::webhooks::Destination;
/// let destination = Destination::new("crm", "https://crm.example/hooks/highwater").connection("github-main").on_error(false);
/// assert_eq!(destination.max_rows, 1_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Destination {
    /// Its id, chosen by the host.
    pub id: String,
    /// The URL to `POST` to.
    pub url: String,
    /// Only notifications about this connection. Defaults to all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Only notifications about this integration. Defaults to all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
    /// Whether runs that changed nothing are reported too. Off by default.
    #[serde(default)]
    pub on_unchanged: bool,
    /// Whether failed runs are reported too. On by default.
    #[serde(default = "yes")]
    pub on_error: bool,
    /// Whether to send changes of connections' health: sign-ins, and credentials that have ended. Defaults to `true`.
    #[serde(default = "yes")]
    pub on_auth: bool,
    /// Whether to send that a queued action has ended. Defaults to `true`.
    #[serde(default = "yes")]
    pub on_action: bool,
    /// Whether to forward the webhooks of providers that integrations [receive](crate::IntegrationHandle::receive), with what the
    /// provider sent. Off by default.
    #[serde(default, skip_serializing_if = "is_off")]
    pub on_forward: bool,
    /// Whether the URL may resolve to an address that is not globally routable.
    #[serde(default)]
    pub allow_private: bool,
    /// Beyond this many waiting deliveries, those about the same stream are collapsed into one, and of those about a connection's
    /// health the latest of each operation stays, and of those about queued actions and forwarded webhooks the newest ones; the same applies to dead letters.
    /// Defaults to 1,000.
    #[serde(default = "most")]
    pub max_rows: usize,
    /// Whose words and signature headers deliveries have.
    #[serde(default, skip_serializing_if = "WebhookFormat::is_own")]
    pub format: WebhookFormat,
    /// Why deliveries to it have stopped, if they have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<String>,
}

fn yes() -> bool {
    true
}

fn is_off(switch: &bool) -> bool {
    !switch
}

fn most() -> usize {
    1000
}

impl Destination {
    /// Returns a receiver at `url`, with the default settings.
    pub fn new(id: impl Into<String>, url: impl Into<String>) -> Self {
        Destination {
            id: id.into(),
            url: url.into(),
            connection: None,
            integration: None,
            on_unchanged: false,
            on_error: true,
            on_auth: true,
            on_action: true,
            on_forward: false,
            allow_private: false,
            max_rows: most(),
            format: WebhookFormat::default(),
            disabled: None,
        }
    }

    /// Sends only notifications about one connection.
    #[must_use]
    pub fn connection(mut self, connection: impl Into<String>) -> Self {
        self.connection = Some(connection.into());
        self
    }

    /// Sends only notifications about one integration.
    #[must_use]
    pub fn integration(mut self, integration: impl Into<String>) -> Self {
        self.integration = Some(integration.into());
        self
    }

    /// Sets whether runs that changed nothing are reported.
    #[must_use]
    pub fn on_unchanged(mut self, tell: bool) -> Self {
        self.on_unchanged = tell;
        self
    }

    /// Sets whether failed runs are reported.
    #[must_use]
    pub fn on_error(mut self, tell: bool) -> Self {
        self.on_error = tell;
        self
    }

    /// Whether to tell how connections stand.
    #[must_use]
    pub fn on_auth(mut self, tell: bool) -> Self {
        self.on_auth = tell;
        self
    }

    /// Sets whether the ends of queued actions are reported.
    #[must_use]
    pub fn on_action(mut self, tell: bool) -> Self {
        self.on_action = tell;
        self
    }

    /// Sets whether the webhooks of providers are forwarded.
    #[must_use]
    pub fn on_forward(mut self, forward: bool) -> Self {
        self.on_forward = forward;
        self
    }

    /// Allows an address of a private network, such as a server in your own cluster.
    #[must_use]
    pub fn allow_private(mut self, allow: bool) -> Self {
        self.allow_private = allow;
        self
    }

    /// Sets whose words and signature headers deliveries have.
    #[must_use]
    pub fn format(mut self, format: WebhookFormat) -> Self {
        self.format = format;
        self
    }

    /// Sets about how many deliveries are kept for an unreachable receiver, and how many dead letters.
    #[must_use]
    pub fn max_rows(mut self, rows: usize) -> Self {
        self.max_rows = rows;
        self
    }

    pub(crate) fn wants(&self, connection: &str, integration: &str) -> bool {
        self.connection.as_deref().is_none_or(|wanted| wanted == connection)
            && self.integration.as_deref().is_none_or(|wanted| wanted == integration)
    }

    /// Whether it wants an event of an integration, which may be for a connection.
    pub(crate) fn wants_event(&self, connection: Option<&str>, integration: &str) -> bool {
        match connection {
            Some(connection) => self.wants(connection, integration),
            None => self.connection.is_none() && self.integration.as_deref().is_none_or(|wanted| wanted == integration),
        }
    }

    /// Refuses a destination that may reach this machine or a private network.
    pub(crate) fn check_public(&self) -> Result<()> {
        if self.check()? == Reach::Public && !self.allow_private {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Invalid,
            "the destination's address is one of this machine or a private network: only the program that runs the engine can allow it",
        )
        .with("destination", &self.id))
    }

    /// Classifies the destination's address, if it may be delivered to.
    pub(crate) fn check(&self) -> Result<Reach> {
        let invalid =
            |message: &'static str| Err(Error::new(ErrorKind::Invalid, message).with("destination", &self.id));
        if self.id.is_empty() || self.id.len() > 100 || self.id.contains('/') {
            return invalid("a destination's id has 1 to 100 bytes and no slash");
        }
        let Ok(url) = Url::parse(&self.url) else { return invalid("the destination's URL is not a URL") };
        if url.has_credentials() {
            return invalid("the destination's URL must not hold credentials: deliveries are signed instead");
        }
        let reach = reach::of_url(&url);
        match reach {
            _ if url.is_https() => {}
            Reach::Loopback => {}
            Reach::Private if self.allow_private => {}
            _ => return invalid("a destination is reached over https:// (or http:// on this machine)"),
        }
        if reach == Reach::Private && !self.allow_private {
            return invalid("the destination's address is not globally routable: allow it with `allow_private`");
        }
        Ok(reach)
    }
}

pub(crate) const DESTINATIONS: &str = "outbox/destination/";

pub(crate) fn destination_key(id: &str) -> String {
    format!("{DESTINATIONS}{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_deliveries_may_go() {
        for url in [
            "https://example.com/hook",
            "http://localhost:8080/",
            "http://127.0.0.1/",
            "http://[::1]:1/",
            "https://8.8.8.8/",
            "https://[::ffff:8.8.8.8]/",
        ] {
            assert!(Destination::new("a", url).check().is_ok(), "{url}");
        }
        for url in [
            "http://example.com/",
            "ftp://example.com/",
            "nonsense",
            "https://user:word@example.com/",
            "https://10.0.0.1/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest",
            "https://100.64.0.1/",
            "https://0.0.0.0/",
            "https://0x0a000001/",
            "https://167772161/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[::169.254.169.254]/",
            "https://[2002:a9fe:a9fe::]/",
            "https://[2001:0:53aa:64c:0:fbff:5601:5601]/",
            "https://[64:ff9b:1::a9fe:a9fe]/",
            "https://[::ffff:0:10.0.0.1]/",
            "https://[fec0::1]/",
            "https://192.0.0.192/",
            "https://198.18.0.1/",
            "https://240.0.0.1/",
        ] {
            assert_eq!(Destination::new("a", url).check().unwrap_err().kind(), ErrorKind::Invalid, "{url}");
        }
        assert!(Destination::new("a", "http://10.0.0.1/").allow_private(true).check().is_ok());
        assert!(Destination::new("a/b", "https://example.com/").check().is_err());
    }
}
