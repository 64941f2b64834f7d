//! What requests bring, read strictly: a parameter that is missing, empty, wrong, too long, sent twice or unknown is a 400 that
//! names it.
//!
//! [`Query`] and [`Headers`] read parameters with the readers of [`value`]: `query.optional("limit", number(1..=100))?`.

mod body;
mod headers;
mod object;
mod query;
pub(crate) mod value;

pub(crate) use body::{read_bytes, read_json};
pub(crate) use headers::Headers;
pub(crate) use object::Object;
pub(crate) use query::Query;
