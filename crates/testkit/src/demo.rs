//! A small CRM that answers on this machine, with a template and an action for it: what `highwater demo` and the examples sync.

mod crm;
mod template;

pub use crm::{Crm, MODELS};
pub use template::{CreateContact, Records};
