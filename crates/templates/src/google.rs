//! Google: Calendar, Gmail and Drive, each by a feed of changes of its own.

pub mod calendar;
pub mod drive;
pub mod gmail;

use std::time::Duration;

use highwater_template::Provider;
use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater_template::limits::RateLimits;

/// Describes one of Google's APIs.
fn provider(name: &str, scope: &str, docs: &str) -> Provider {
    let oauth = OAuth2::new(
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/token",
        DesktopSignIn::PkceWithSecret,
    )
    .scope(scope)
    // Without these Google gives no refresh token.
    .authorize_parameter("access_type", "offline")
    .authorize_parameter("prompt", "consent");
    Provider::new(name, "https://www.googleapis.com")
        .auth(AuthKind::OAuth2(oauth))
        .limits(
            RateLimits::new()
                .status_with_text(403, "rateLimitExceeded")
                .status_with_text(403, "userRateLimitExceeded")
                .first_backoff(Duration::from_secs(10)),
        )
        .docs(docs)
}
