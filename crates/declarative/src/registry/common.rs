//! Replacements that ship with this crate.

use std::sync::Arc;

use highwater_core::Result;
use highwater_interpolation::{Map, Value};

use super::{CustomExtractor, CustomTransformation, Registry};
use crate::json;

type Fields = Map;

impl Registry {
    /// Creates a registry with replacements for Python classes of public manifests that do what the language, or a few lines,
    /// can say:
    ///
    /// | class | of | what it is |
    /// |---|---|---|
    /// | anything within `airbyte_cdk.sources.declarative` | early manifests | the component of that name |
    /// | `ObjectDpathExtractor` | Alpha Vantage, Mixpanel | the values of a mapping, with their keys where asked |
    /// | `NullCheckedDpathExtractor` | Pipedrive | a record's nested object, or the record where that is null |
    /// | `MailChimpRecordExtractorEmailActivity` | Mailchimp | a record for each activity |
    /// | `RemoveEmptyFields` | Jira | named mappings without their nulls |
    /// | `SalesloftAuthenticator`, `AuthenticatorZendeskSunshine` | Salesloft, Zendesk Sunshine | one of several by the config |
    /// | `PayPalOauth2Authenticator` | PayPal | OAuth with client credentials in a Basic header |
    /// | `source_okta.components.CustomBearerAuthenticator` | Okta | a token after `SSWS` |
    ///
    /// Other classes that public manifests name make requests of their own, or change the records of one API; they have no
    /// replacement. A replacement that is added afterwards takes the place of one of these.
    ///
    /// ```
    /// use highwater_declarative::{Files, Manifest, Registry};
    /// let manifest = r#"
    /// streams:
    ///   - name: days
    ///     retriever:
    ///       requester: {url_base: "https://x.example", path: days}
    ///       record_selector:
    ///         extractor:
    ///           type: CustomRecordExtractor
    ///           class_name: source_declarative_manifest.components.ObjectDpathExtractor
    ///           field_path: [days]
    ///           inject_key_as_field: date
    /// "#;
    /// assert!(Manifest::parse_with(manifest, &Files::new(), Registry::common())?.problems().is_empty());
    /// # Ok::<(), highwater_core::Error>(())
    /// ```
    pub fn common() -> Self {
        let mut registry = Registry::new()
            .component("MailChimpRecordExtractorEmailActivity", |fields| {
                let path = fields.get("field_path").cloned().unwrap_or_else(|| json!([]));
                json!({
                    "type": "DpathExtractor",
                    "field_path": path,
                    "record_expander": {"type": "RecordExpander", "expand_records_from_field": ["activity"], "merge_parent": true},
                })
            })
            .component("SalesloftAuthenticator", |fields| {
                one_of(fields, "auth_type", &[("api_key", "token_auth"), ("oauth2.0", "oauth2"), ("oauth2", "oauth2")])
            })
            .component("AuthenticatorZendeskSunshine", |fields| {
                let ways = [
                    ("api_token", "basic_auth"),
                    ("oauth2_refresh", "oauth2_refresh"),
                    ("oauth2.0", "oauth2"),
                    ("oauth2", "oauth2"),
                ];
                one_of(fields, "auth_method", &ways)
            })
            .component("PayPalOauth2Authenticator", paypal)
            .component("source_okta.components.CustomBearerAuthenticator", |_| {
                json!({
                    "type": "ApiKeyAuthenticator",
                    "api_token": "SSWS {{ config['credentials']['api_token'] }}",
                    "inject_into": {"type": "RequestOption", "inject_into": "header", "field_name": "Authorization"},
                })
            });
        registry.own_classes = true;
        registry.made_extractors.insert("ObjectDpathExtractor".into(), |fields| {
            let key = fields.get("inject_key_as_field").and_then(Value::as_str).map(ToOwned::to_owned);
            Some(Arc::new(ValuesOf { path: plain_path(fields)?, key }))
        });
        registry.made_extractors.insert("NullCheckedDpathExtractor".into(), |fields| {
            let nested = fields.get("nullable_nested_field")?.as_str()?.to_owned();
            Some(Arc::new(NestedOrWhole { path: plain_path(fields)?, nested }))
        });
        registry.made_transformations.insert("RemoveEmptyFields".into(), |fields| {
            let names = fields.get("field_pointers")?.as_array()?;
            let names = names.iter().map(|name| name.as_str().map(ToOwned::to_owned)).collect::<Option<Vec<_>>>()?;
            Some(Arc::new(WithoutNulls(names)))
        });
        registry
    }
}

/// The component for a class of the reference implementation itself; none where it is another's.
pub(super) fn own_class(fields: &Fields) -> Option<Value> {
    let class = fields.get("class_name")?.as_str()?.strip_prefix("airbyte_cdk.sources.declarative.")?;
    let mut component = fields.clone();
    component.shift_remove("class_name");
    component.insert("type".to_owned(), class.rsplit('.').next()?.into());
    Some(Value::Object(component))
}

/// The way to authenticate that the config's `credentials` name.
fn one_of(fields: &Fields, member: &str, ways: &[(&str, &str)]) -> Value {
    let way = |(name, field): &(&str, &str)| Some(((*name).to_owned(), fields.get(field)?.clone()));
    json!({
        "type": "SelectiveAuthenticator",
        "authenticator_selection_path": ["credentials", member],
        "authenticators": ways.iter().filter_map(way).collect::<Map>(),
    })
}

fn paypal(fields: &Fields) -> Value {
    let mut component = fields.clone();
    let part = |name: &str| {
        let text = fields.get(name).and_then(Value::as_str).unwrap_or_default().trim().to_owned();
        text.strip_prefix("{{").and_then(|text| text.strip_suffix("}}")).map(|text| text.trim().to_owned())
    };
    let (Some(id), Some(secret)) = (part("client_id"), part("client_secret")) else { return Value::Null };
    component.shift_remove("class_name");
    component.insert("type".to_owned(), "OAuthAuthenticator".into());
    component.insert("grant_type".to_owned(), "client_credentials".into());
    let basic = format!("Basic {{{{ (({id}) ~ ':' ~ ({secret})) | base64encode }}}}");
    component.insert("refresh_request_headers".to_owned(), json!({"Authorization": basic}));
    Value::Object(component)
}

/// A path that the config has no part in.
fn plain_path(fields: &Fields) -> Option<Vec<String>> {
    let path = fields.get("field_path")?.as_array()?;
    let segment = |segment: &Value| Some(segment.as_str()?.to_owned()).filter(|text| !text.contains("{{"));
    path.iter().map(segment).collect()
}

#[derive(Debug)]
struct ValuesOf {
    path: Vec<String>,
    key: Option<String>,
}

impl CustomExtractor for ValuesOf {
    fn extract(&self, body: &Value, _config: &Value) -> Result<Vec<Value>> {
        let members = match crate::dpath::dpath_get(body, &self.path) {
            Some(Value::Object(members)) => members,
            Some(Value::Array(items)) => return Ok(items.clone()),
            Some(Value::Null) | None => return Ok(Vec::new()),
            Some(other) => return Ok(vec![other.clone()]),
        };
        let record = |(name, value): (&String, &Value)| match (value, &self.key) {
            (Value::Object(record), Some(key)) => {
                let mut keyed = Map::from_iter([(key.clone(), Value::from(name.as_str()))]);
                keyed.extend(record.clone());
                Value::Object(keyed)
            }
            (value, _) => value.clone(),
        };
        Ok(members.iter().map(record).collect())
    }
}

#[derive(Debug)]
struct NestedOrWhole {
    path: Vec<String>,
    nested: String,
}

impl CustomExtractor for NestedOrWhole {
    fn extract(&self, body: &Value, _config: &Value) -> Result<Vec<Value>> {
        let found = match crate::dpath::dpath_get(body, &self.path) {
            Some(Value::Array(items)) => items.as_slice(),
            Some(Value::Null) | None => &[],
            Some(one) => std::slice::from_ref(one),
        };
        let nested = |item: &Value| item.get(&self.nested).filter(|nested| !nested.is_null()).unwrap_or(item).clone();
        Ok(found.iter().map(nested).collect())
    }
}

#[derive(Debug)]
struct WithoutNulls(Vec<String>);

impl CustomTransformation for WithoutNulls {
    fn transform(&self, record: &mut Map, _config: &Value) -> Result<()> {
        for name in &self.0 {
            if let Some(Value::Object(members)) = record.get_mut(name) {
                members.retain(|_, value| !value.is_null());
            }
        }
        Ok(())
    }
}
