//! Reading a stream: requests out, records in.

mod auth;
mod body;
mod budget;
mod context;
mod cursor;
mod dpath;
mod errors;
mod expand;
mod jobs;
mod json;
mod jwt;
mod keys;
mod pages;
mod paging;
mod partitions;
mod properties;
mod quota;
mod reader;
mod request;
mod select;
mod send;
mod session;
mod slice;
mod smaller;
mod stream;
mod transform;

pub(crate) use budget::Spent;
pub(crate) use context::Run;
pub(crate) use dpath::{dpath_get, dpath_new, dpath_set};
pub(crate) use json::member;
pub(crate) use pages::PageReader;
pub(crate) use partitions::partitions;
pub(crate) use request::unquoted;
pub(crate) use slice::Slice;
pub(crate) use stream::read_stream;
pub(crate) use transform::{add_fields, apply_all, remove_fields};
