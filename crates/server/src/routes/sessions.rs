//! `/connect/sessions*`: not there yet. A session would let an end user sign in on a page of this server, which has none.

use axum::http::StatusCode;

use crate::about::About;
use crate::call::Call;
use crate::error::ApiError;
use crate::keys::Scope;
use crate::route::{Answer, Route};

pub(crate) fn routes() -> Vec<Route> {
    let about = || {
        About::new("Is refused always: this server has no page on which end users sign in.").error(501, "unsupported")
    };
    vec![
        Route::post("/connect/sessions", Scope::Write, unsupported).about(about()),
        Route::post("/connect/sessions/reconnect", Scope::Write, unsupported).about(about()),
    ]
}

/// A token whose link leads nowhere would be worse than none.
async fn unsupported(_: Call) -> Answer {
    let message = "this server has no page on which an end user signs in: sign the user in with the library, or import the connection \
                   with POST /connections";
    Err(ApiError::new(StatusCode::NOT_IMPLEMENTED, "unsupported", message))
}
