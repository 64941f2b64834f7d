//! Resolves names to globally routable addresses only.

use std::fmt;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::mutants::mutant;
use crate::reach::{self, Reach};

/// Resolves a host and drops addresses that are not globally routable. It runs when the connection is made, so that a name that
/// resolves differently the second time (DNS rebinding) cannot get around it.
#[derive(Debug, Default)]
pub(super) struct GlobalResolver(DefaultResolver);

impl Resolver for GlobalResolver {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut global = self.empty();
        for address in self.0.resolve(uri, config, timeout)?.iter() {
            if reach::of(address.ip()) == Reach::Public || mutant!("names-lead-anywhere") {
                global.push(*address);
            }
        }
        if global.is_empty() { Err(ureq::Error::Other(Box::new(NotGlobal))) } else { Ok(global) }
    }
}

/// None of the host's addresses is globally routable.
#[derive(Debug)]
pub(super) struct NotGlobal;

impl fmt::Display for NotGlobal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none of the host's addresses is globally routable")
    }
}

impl std::error::Error for NotGlobal {}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(resolver: &impl Resolver) -> bool {
        let uri = Uri::from_static("http://localhost/");
        resolver.resolve(&uri, &Config::default(), NextTimeout::default()).is_ok()
    }

    #[test]
    fn destination_names_that_lead_to_this_machine_have_no_address() {
        assert!(resolved(&DefaultResolver::default()), "this machine has no name of its own");
        assert!(!resolved(&GlobalResolver::default()));
    }
}
