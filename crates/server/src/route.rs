//! Routes: what each needs, and how a request reaches it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::http::header::AUTHORIZATION;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::about::{About, Parameter};
use crate::call::Call;
use crate::error::{ApiError, Place};
use crate::guard::{guard, one};
use crate::input::Query;
use crate::keys::Scope;
use crate::state::State;

/// What a route answers.
pub(crate) type Answer = Result<Response, ApiError>;

type Handler = Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

/// A route: its method and path, who may call it, and the query that it takes.
pub(crate) struct Route {
    path: &'static str,
    method: MethodFilter,
    access: Access,
    query: QueryNames,
    time: Option<Duration>,
    about: About,
    handler: Handler,
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Whoever has a key of this scope, or one that includes it.
    Key(Scope),
    /// Anybody who reaches the server.
    Anyone,
}

impl From<Scope> for Access {
    fn from(scope: Scope) -> Self {
        Access::Key(scope)
    }
}

enum QueryNames {
    Known(Vec<Parameter>),
    /// The query is not for this server.
    Foreign,
}

macro_rules! methods {
    ($($name:ident $filter:ident),*) => {$(
        #[allow(dead_code)] // a route of every method can be written
        pub(crate) fn $name<F, A>(path: &'static str, access: impl Into<Access>, handler: F) -> Route
        where
            F: Fn(Call) -> A + Send + Sync + 'static,
            A: Future<Output = Answer> + Send + 'static,
        {
            Route::new(MethodFilter::$filter, path, access.into(), handler)
        }
    )*};
}

impl Route {
    methods!(get GET, post POST, put PUT, patch PATCH, delete DELETE);

    fn new<F, A>(method: MethodFilter, path: &'static str, access: Access, handler: F) -> Self
    where
        F: Fn(Call) -> A + Send + Sync + 'static,
        A: Future<Output = Answer> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |call| Box::pin(handler(call)));
        Route {
            path,
            method,
            access,
            query: QueryNames::Known(Vec::new()),
            time: None,
            about: About::default(),
            handler,
        }
    }

    /// Says what the route does, takes and answers. A route without it fails a test.
    pub(crate) fn about(mut self, about: About) -> Self {
        self.about = about;
        self
    }

    /// Sets the query's parameters; all others are refused. `tags[*]` stands for every `tags[…]`. None by default.
    pub(crate) fn query(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.query = QueryNames::Known(parameters.into_iter().collect());
        self
    }

    /// Returns its path, as axum writes one.
    pub(crate) fn path(&self) -> &'static str {
        self.path
    }

    /// Returns its method, in lower case.
    pub(crate) fn method(&self) -> &'static str {
        let known = [
            (MethodFilter::GET, "get"),
            (MethodFilter::POST, "post"),
            (MethodFilter::PUT, "put"),
            (MethodFilter::PATCH, "patch"),
        ];
        known.into_iter().find(|(method, _)| *method == self.method).map_or("delete", |(_, name)| name)
    }

    /// Returns who may call it.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// Returns what it says of itself.
    pub(crate) fn description(&self) -> &About {
        &self.about
    }

    /// Returns the query's parameters; `None` if it takes any.
    pub(crate) fn parameters(&self) -> Option<&[Parameter]> {
        match &self.query {
            QueryNames::Known(parameters) => Some(parameters),
            QueryNames::Foreign => None,
        }
    }

    /// Takes any query, and leaves it as it is in `Call::parts`.
    pub(crate) fn foreign_query(mut self) -> Self {
        self.query = QueryNames::Foreign;
        self
    }

    /// Sets how long the answer may take to begin, for a route that waits on purpose.
    pub(crate) fn answer_time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }
}

/// Makes a router of routes. Each answers with and without a slash at the end, and what is no route is a JSON error too.
pub(crate) fn router(state: &Arc<State>, routes: Vec<Route>) -> Router {
    let mut router = Router::new();
    for route in routes {
        let route = Arc::new(route);
        router = router.route(route.path, handled(state, &route));
        // A wildcard takes the slash itself.
        if !route.path.ends_with('/') && !route.path.contains("{*") {
            router = router.route(&format!("{}/", route.path), handled(state, &route));
        }
    }
    router
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(state), guard))
}

fn handled(state: &Arc<State>, route: &Arc<Route>) -> MethodRouter<(), Infallible> {
    let (state, route) = (Arc::clone(state), Arc::clone(route));
    on(route.method, move |request: Request| {
        let (state, route) = (Arc::clone(&state), Arc::clone(&route));
        async move {
            #[cfg(feature = "metrics")]
            let (counted, begun) = (Arc::clone(&state), state.elapsed());
            let response = answer(state, &route, request).await.into_response();
            #[cfg(feature = "metrics")]
            counted.served.count(
                route.method(),
                route.path,
                response.status().as_u16(),
                counted.elapsed().saturating_sub(begun),
            );
            response
        }
    })
}

async fn answer(state: Arc<State>, route: &Route, request: Request) -> Answer {
    let time = route.time.unwrap_or(state.limits.answer_time);
    let (mut parts, body) = request.into_parts();
    let answered = tokio::time::timeout(time, async {
        let key = match route.access {
            Access::Anyone => None,
            Access::Key(scope) => {
                let authorization = one(&parts.headers, &AUTHORIZATION).map_err(|_| {
                    ApiError::unauthenticated("malformed_auth_header", "send one header Authorization: Bearer KEY")
                })?;
                Some(state.authorize(authorization, scope).await?)
            }
        };
        let query = match route.parameters() {
            Some(known) => Query::read(parts.uri.query().unwrap_or_default(), known)?,
            None => Query::default(),
        };
        let path = RawPathParams::from_request_parts(&mut parts, &()).await;
        let path =
            path.map_err(|_| ApiError::parameter(Place::Path, "path", "invalid", "is not percent-encoded UTF-8"))?;
        let path = path.iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        (route.handler)(Call { state, key, parts, query, path, body: Mutex::new(body) }).await
    });
    answered.await.unwrap_or_else(|_| {
        let message = "the answer took too long: try again, or ask for less";
        Err(ApiError::new(StatusCode::GATEWAY_TIMEOUT, "timed_out", message))
    })
}

async fn no_route(request: Request) -> ApiError {
    let path = crate::error::shown(request.uri().path());
    ApiError::not_found(format!("there is no route `{} {path}`: check the address", request.method()))
}

async fn no_method(method: Method) -> ApiError {
    let message = format!("this address does not take {method}: see the header Allow");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}
