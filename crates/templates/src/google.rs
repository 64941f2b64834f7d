//! Google: Calendar, Gmail and Drive, each by a feed of changes of its own.

pub mod calendar;
pub mod drive;
pub mod gmail;

use std::time::Duration;

use highwater_template::auth::{AuthKind, DesktopSignIn, OAuth2};
use highwater_template::limits::RateLimits;
use highwater_template::{Provider, Verification};

/// Describes one of Google's APIs.
fn provider(name: &str, scope: &str, docs: &str, verification: Verification) -> Provider {
    let oauth = OAuth2::new(
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/token",
        DesktopSignIn::PkceWithSecret,
    )
    .scope(scope)
    // https://developers.google.com/identity/protocols/oauth2/native-app#tokenrevoke
    .revocation_url("https://oauth2.googleapis.com/revoke")
    // https://developers.google.com/identity/protocols/oauth2/native-app#creatingcred
    .registered(
        "an OAuth client of the type \"Desktop app\", in a Google Cloud project with this API enabled",
        "https://console.cloud.google.com/auth/clients",
    )
    // Without the first Google gives no refresh token, and without the second only at a user's first consent.
    // https://cloud.google.com/nodejs/docs/reference/google-auth-library/latest/google-auth-library/generateauthurlopts
    .authorize_parameter("access_type", "offline")
    .authorize_parameter("prompt", "consent");
    Provider::new(name, "https://www.googleapis.com")
        .auth(AuthKind::OAuth2(oauth))
        // https://developers.google.com/identity/protocols/oauth2/service-account
        .auth(
            AuthKind::service_account(
                "the JSON key file of a service account, which acts as a user of your domain or sees what is shared with it",
            )
            .page("https://console.cloud.google.com/iam-admin/serviceaccounts"),
        )
        .verification(verification)
        .limits(
            RateLimits::new()
                .status_with_text(403, "rateLimitExceeded")
                .status_with_text(403, "userRateLimitExceeded")
                .first_backoff(Duration::from_secs(10)),
        )
        .docs(docs)
}
