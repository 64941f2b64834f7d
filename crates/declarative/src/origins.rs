//! Where a manifest's requests go, as far as it can be known before the first one.

use std::collections::BTreeSet;

use highwater_core::Result;

use crate::model::{Authenticator, Requester, Retriever, Scope, Stream};
use crate::source::Source;

/// The base URLs of every requester and token endpoint that config and parameters alone decide on.
pub(crate) fn base_urls(source: &Source) -> Result<Vec<String>> {
    let scope = Scope::new(source.interpolator(), source.config());
    let mut urls = BTreeSet::new();
    for entry in source.entries()? {
        if let Some(stream) = &entry.stream {
            stream.each(&mut |stream| of_stream(stream, &scope, &mut urls));
        }
    }
    Ok(urls.into_iter().collect())
}

fn of_stream(stream: &Stream, scope: &Scope<'_>, urls: &mut BTreeSet<String>) {
    match &stream.retriever {
        Retriever::Simple(retriever) => of_requester(&retriever.requester, scope, urls),
        Retriever::Async(retriever) => {
            let optional = [&retriever.download_target, &retriever.abort, &retriever.delete];
            let all = [&retriever.create, &retriever.poll, &retriever.download.requester];
            all.into_iter()
                .chain(optional.into_iter().flatten())
                .for_each(|requester| of_requester(requester, scope, urls));
        }
    }
    if let Some(router) = stream.router() {
        router.parents(&mut |parent| parent.stream.each(&mut |stream| of_stream(stream, scope, urls)));
    }
}

fn of_requester(requester: &Requester, scope: &Scope<'_>, urls: &mut BTreeSet<String>) {
    let mut add = |template: &Option<crate::model::Template>| {
        let url = template.as_ref().and_then(|template| template.text(scope).ok());
        urls.extend(url.filter(|url| url.contains("://")));
    };
    add(&requester.url_base);
    add(&requester.url);
    of_authenticator(&requester.authenticator, scope, urls);
}

fn of_authenticator(authenticator: &Authenticator, scope: &Scope<'_>, urls: &mut BTreeSet<String>) {
    match authenticator {
        Authenticator::OAuth(oauth) => {
            let url = oauth.endpoint.as_ref().and_then(|template| template.text(scope).ok());
            urls.extend(url.filter(|url| url.contains("://")));
        }
        Authenticator::Pool(pool) => {
            let url = pool.status.url.text(scope).ok();
            urls.extend(url.filter(|url| url.contains("://")));
        }
        Authenticator::Session(session) => of_requester(&session.login, scope, urls),
        Authenticator::Selective { choices, .. } => {
            choices.values().for_each(|choice| of_authenticator(choice, scope, urls));
        }
        _ => {}
    }
}
