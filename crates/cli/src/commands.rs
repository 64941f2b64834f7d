//! One module per command.

mod account;
pub(crate) mod consumers;
pub(crate) mod control;
pub(crate) mod doctor;
pub(crate) mod maintain;
pub(crate) mod recode;
pub(crate) mod records;
pub(crate) mod runs;
pub(crate) mod scaffold;
pub(crate) mod sql_view;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod tail;
pub(crate) mod templates;
pub(crate) mod try_out;
pub(crate) mod webhooks;
