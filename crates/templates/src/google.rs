//! Google: Calendar, Gmail, Drive, each by its own feed of changes.

pub mod calendar;
pub mod drive;
pub mod gmail;

use std::time::Duration;

use highwater_template::{AuthKind, DesktopSignIn, LimitHabits, OAuth2, Provider};

/// One of Google's APIs.
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
            LimitHabits::new()
                .status_with(403, "rateLimitExceeded")
                .status_with(403, "userRateLimitExceeded")
                .lock_out(Duration::from_secs(10)),
        )
        .docs(docs)
}
