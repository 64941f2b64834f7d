//! What bodies say of a connection: the end user and tags.

use std::collections::BTreeMap;

use highwater_core::{Error, ErrorKind};
use highwater_engine::connections::EndUser;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::about::schema;
use crate::error::{ApiError, Place};
use crate::input::value;
use crate::routes::common::text;

/// The longest text of an end user, and value of a tag, in bytes.
const MOST: usize = 255;

/// The longest name of a tag, in bytes.
const TAG_NAME: usize = 64;

pub(in crate::routes) type Tags = BTreeMap<String, String>;

/// An end user as bodies describe one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::routes) struct EndUserBody {
    id: String,
    email: Option<String>,
    display_name: Option<String>,
    tags: Option<Tags>,
}

/// An end user, and the tags of a connection that tell of them.
pub(in crate::routes) struct ReadUser {
    pub(in crate::routes) end_user: EndUser,
    pub(in crate::routes) tags: Tags,
}

/// The tag that keeps the end user's name.
pub(in crate::routes) const NAME_TAG: &str = "end_user_display_name";

impl EndUserBody {
    pub(in crate::routes) fn read(&self) -> Result<ReadUser, ApiError> {
        let mut tags = self.tags.as_ref().map(read_tags).transpose()?.unwrap_or_default();
        let id = text("end_user.id", &self.id, MOST)?;
        tags.insert("end_user_id".to_owned(), id.clone());
        let mut end_user = EndUser::new(id);
        if let Some(email) = &self.email {
            let email = text("end_user.email", email, 254)?;
            if email.len() < 5 || !email.contains('@') {
                return Err(ApiError::parameter(Place::Body, "end_user.email", "invalid", "is not a mail address"));
            }
            tags.insert("end_user_email".to_owned(), email.clone());
            end_user = end_user.email(email);
        }
        if let Some(name) = self.display_name.as_deref().filter(|name| !name.is_empty()) {
            tags.insert(NAME_TAG.to_owned(), text("end_user.display_name", name, MOST)?);
        }
        Ok(ReadUser { end_user, tags })
    }
}

/// The schema of tags.
pub(in super::super) fn tags_schema() -> Value {
    let name = json!({ "pattern": "^[a-z][a-z0-9_./-]*$", "maxLength": TAG_NAME });
    json!({ "type": "object", "propertyNames": name, "additionalProperties": schema::name(MOST) })
}

/// The schema of an end user.
pub(in super::super) fn end_user_schema() -> Value {
    let mail = json!({ "type": "string", "pattern": "^[a-z0-9.]+@[a-z0-9.]+\\.[a-z]+$", "maxLength": 254 });
    schema::closed([
        ("id", schema::name(MOST)),
        ("email?", mail),
        ("display_name?", schema::line(MOST)),
        ("tags?", schema::nullable(tags_schema())),
    ])
}

/// Reads tags; their names are written in lower case.
pub(in crate::routes) fn read_tags(tags: &Tags) -> Result<Tags, ApiError> {
    let mut read = Tags::new();
    for (name, given) in tags {
        let name = tag_name(Place::Body, name)?;
        let given = text(&format!("tags.{name}"), given, MOST)?;
        if read.insert(name.clone(), given).is_some() {
            let why = "stands twice, if case does not count: give it once";
            return Err(ApiError::parameter(Place::Body, &format!("tags.{name}"), "repeated", why));
        }
    }
    Ok(read)
}

/// Reads the name of a tag: a letter, then letters, digits and `_-./`.
pub(in crate::routes) fn tag_name(place: Place, name: &str) -> Result<String, ApiError> {
    value::read(place, "tags", name, value::text(TAG_NAME))?;
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c)) {
        let why = "must begin with a letter, and have letters, digits and _ - . / only";
        return Err(ApiError::parameter(place, &format!("tags.{name}"), "invalid", why));
    }
    Ok(name.to_ascii_lowercase())
}

/// Receivers of webhooks are destinations here, not URLs of a connection.
pub(in crate::routes) fn refuse_webhook_url(url: Option<&str>) -> Result<(), ApiError> {
    if url.is_none_or(str::is_empty) {
        return Ok(());
    }
    let why = "is not kept with a connection: add a webhook destination for the connection";
    Err(ApiError::parameter(Place::Body, "webhook_url_override", "invalid", why))
}

/// An error of the library about what a body says.
pub(in crate::routes) fn in_body(error: Error) -> ApiError {
    match error.kind() {
        ErrorKind::Invalid => ApiError::bad("invalid_body", crate::error::shown_facts(&error)),
        _ => error.into(),
    }
}
