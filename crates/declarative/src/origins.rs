//! What a manifest's requesters and authenticators tell before the first request: the base URLs, and which members of the
//! config are renewed.

use std::collections::BTreeSet;

use crate::manifest::Manifest;
use crate::model::{Authenticator, Requester, Resolver, Retriever, Router, Scope, Stream, StreamEntry};

/// The base URLs of every requester and token endpoint that config and parameters alone decide on.
pub(crate) fn base_urls<'s>(
    manifest: &Manifest,
    entries: impl IntoIterator<Item = &'s StreamEntry>,
    scope: &Scope<'_>,
) -> Vec<String> {
    let mut urls = BTreeSet::new();
    let mut visit = |requester: &Requester| {
        let endpoints =
            authenticators(&requester.authenticator).into_iter().filter_map(|authenticator| match authenticator {
                Authenticator::OAuth(oauth) => oauth.endpoint.as_ref(),
                Authenticator::Pool(pool) => Some(&pool.status.url),
                _ => None,
            });
        for template in [&requester.url_base, &requester.url].into_iter().flatten().chain(endpoints) {
            urls.extend(template.text(scope).ok().filter(|url| url.contains("://")));
        }
    };
    each_requester(entries, &mut visit);
    for streams in &manifest.model.dynamic {
        if let Resolver::Http(retriever) = &streams.resolver {
            of_requester(&retriever.requester, &mut visit);
            retriever.router.iter().for_each(|router| of_router(router, &mut visit));
            each_requester(streams.unfilled(manifest, scope.interpolator).as_ref(), &mut visit);
        }
    }
    urls.into_iter().collect()
}

/// The paths into the config where a `refresh_token_updater` keeps tokens.
pub(crate) fn renewed_paths<'s>(entries: impl IntoIterator<Item = &'s StreamEntry>) -> BTreeSet<Vec<String>> {
    let mut paths = BTreeSet::new();
    each_requester(entries, &mut |requester| {
        for authenticator in authenticators(&requester.authenticator) {
            if let Authenticator::OAuth(oauth) = authenticator
                && let Some(kept) = &oauth.kept
            {
                paths.extend([&kept.access_token, &kept.refresh_token, &kept.expiry].into_iter().cloned());
            }
        }
    });
    paths
}

fn each_requester<'s>(entries: impl IntoIterator<Item = &'s StreamEntry>, visit: &mut dyn FnMut(&Requester)) {
    for entry in entries {
        if let Some(stream) = &entry.stream {
            stream.each(&mut |stream| of_stream(stream, visit));
        }
    }
}

fn of_stream(stream: &Stream, visit: &mut dyn FnMut(&Requester)) {
    match &stream.retriever {
        Retriever::Simple(retriever) => of_requester(&retriever.requester, visit),
        Retriever::Async(retriever) => {
            let optional = [&retriever.download_target, &retriever.abort, &retriever.delete];
            let all = [&retriever.create, &retriever.poll, &retriever.download.requester];
            all.into_iter().chain(optional.into_iter().flatten()).for_each(|requester| of_requester(requester, visit));
        }
    }
    stream.router().iter().for_each(|router| of_router(router, visit));
}

fn of_router(router: &Router, visit: &mut dyn FnMut(&Requester)) {
    router.parents(&mut |parent| parent.stream.each(&mut |stream| of_stream(stream, visit)));
}

/// The requester, and those that log in for it.
fn of_requester(requester: &Requester, visit: &mut dyn FnMut(&Requester)) {
    visit(requester);
    for authenticator in authenticators(&requester.authenticator) {
        if let Authenticator::Session(session) = authenticator {
            of_requester(&session.login, visit);
        }
    }
}

/// The authenticator, or those it selects from.
fn authenticators(authenticator: &Authenticator) -> Vec<&Authenticator> {
    match authenticator {
        Authenticator::Selective { choices, .. } => choices.values().flatten().flat_map(authenticators).collect(),
        one => vec![one],
    }
}
