//! The components of a manifest as types: decoded once, with every template checked, never walked as JSON at run time.

mod auth;
mod cursor;
pub(crate) mod decode;
mod encoding;
mod errors;
mod matcher;
mod paging;
mod quota;
mod requester;
mod retriever;
mod router;
mod selector;
mod smaller;
mod source;
mod spec;
mod stream;
mod template;
mod transformation;

pub(crate) use auth::*;
pub(crate) use cursor::*;
pub(crate) use decode::Node;
pub(crate) use errors::*;
pub(crate) use matcher::*;
pub(crate) use paging::*;
pub(crate) use quota::*;
pub(crate) use requester::*;
pub(crate) use retriever::*;
pub(crate) use router::*;
pub(crate) use selector::*;
pub(crate) use smaller::*;
pub(crate) use source::*;
pub(crate) use spec::*;
pub(crate) use stream::*;
pub(crate) use template::*;
pub(crate) use transformation::*;
