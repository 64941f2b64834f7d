//! Ways to authenticate requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use highwater_core::Result;
use highwater_interpolation::Map;

use super::decode::{Context, Node};
use super::{Condition, Decoder, Parameters, Part, RequestOption, Requester, Template, TokenPool};
use crate::registry::CustomAuthenticator;

#[derive(Debug)]
pub(crate) enum Authenticator {
    None,
    ApiKey {
        option: RequestOption,
        token: Template,
    },
    Bearer {
        token: Template,
    },
    Basic {
        username: Template,
        password: Template,
    },
    OAuth(Box<OAuth>),
    Session(Box<Session>),
    LegacySession(Box<LegacySession>),
    Jwt(Box<Jwt>),
    Pool(Box<TokenPool>),
    /// One of several by the config. A fault is raised where it is the one.
    Selective {
        path: Vec<String>,
        choices: BTreeMap<String, Result<Authenticator>>,
    },
    Custom(Arc<dyn CustomAuthenticator>),
}

/// Paths into the config.
#[derive(Debug)]
pub(crate) struct KeptTokens {
    pub access_token: Vec<String>,
    pub refresh_token: Vec<String>,
    pub expiry: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct OAuth {
    pub path: String,
    pub endpoint: Option<Template>,
    pub client_id_name: Template,
    pub client_id: Option<Template>,
    pub client_secret_name: Template,
    pub client_secret: Option<Template>,
    pub refresh_token_name: Template,
    pub refresh_token: Option<Template>,
    pub access_token_name: Template,
    pub access_token: Option<Template>,
    pub expires_in_name: Template,
    pub grant_type_name: Template,
    pub grant_type: Template,
    pub scopes: Vec<String>,
    pub body: Map,
    pub headers: Map,
    pub as_query: bool,
    pub expiry: Option<Template>,
    pub expiry_format: Option<String>,
    pub assertion: Option<Jwt>,
    pub parameters: Parameters,
    /// Where the config keeps tokens, with a `refresh_token_updater`.
    pub kept: Option<KeptTokens>,
}

/// A token that a login request gives.
#[derive(Debug)]
pub(crate) struct Session {
    pub path: String,
    pub login: Requester,
    pub decoder: Decoder,
    pub token_path: Vec<Template>,
    pub expiration: Option<String>,
    /// Where the token goes, and a template around it; none for a bearer token.
    pub api_key: Option<(RequestOption, Template)>,
}

#[derive(Debug)]
pub(crate) struct LegacySession {
    pub path: String,
    pub api_url: Option<Template>,
    pub header: Template,
    pub login_url: Template,
    pub validate_url: Template,
    pub token: Option<Template>,
    pub response_key: Template,
    pub username: Option<Template>,
    pub password: Option<Template>,
}

#[derive(Debug)]
pub(crate) struct Jwt {
    pub path: String,
    pub secret: Template,
    pub passphrase: Option<Template>,
    pub secret_is_base64: Option<Condition>,
    pub algorithm: String,
    pub duration: i64,
    pub prefix: Option<Template>,
    pub headers: Map,
    pub payload: Map,
    pub additional_headers: Map,
    pub additional_payload: Map,
    pub option: Option<RequestOption>,
    pub parameters: Parameters,
}

const KNOWN: [&str; 10] = [
    "ApiKeyAuthenticator",
    "BasicHttpAuthenticator",
    "BearerAuthenticator",
    "OAuthAuthenticator",
    "JwtAuthenticator",
    "SessionTokenAuthenticator",
    "SelectiveAuthenticator",
    "RateLimitedMultipleTokenAuthenticator",
    "LegacySessionTokenAuthenticator",
    "NoAuth",
];

impl Authenticator {
    pub(crate) fn of(requester: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let url_base = requester.optional_template(context, "url")?;
        let url_base = match url_base {
            Some(url) => Some(url),
            None => requester.optional_template(context, "url_base")?,
        };
        match requester.get("authenticator") {
            Some(node) => Authenticator::decode(&node, context, url_base),
            None => Ok(Authenticator::None),
        }
    }

    fn decode(node: &Node<'_>, context: &Context<'_>, url_base: Option<Template>) -> Result<Self> {
        let parameters = node.parameters();
        let empty = || Template::new("", parameters.clone());
        let or_empty = |name: &str| node.optional_template(context, name).map(|found| found.unwrap_or_else(empty));
        Ok(match node.kind()? {
            "NoAuth" => Authenticator::None,
            "ApiKeyAuthenticator" => {
                let option = match (RequestOption::of(node, context, "inject_into")?, node.get("header")) {
                    (Some(option), None) => option,
                    (None, Some(header)) => {
                        RequestOption { into: Part::Header, field: vec![header.template(context, &parameters)?] }
                    }
                    (Some(_), Some(_)) => {
                        return Err(node.invalid("`inject_into` and `header` cannot be given both: remove `header`"));
                    }
                    (None, None) => return Err(node.invalid("`inject_into` is missing: say where the key goes")),
                };
                Authenticator::ApiKey { option, token: or_empty("api_token")? }
            }
            "BearerAuthenticator" => Authenticator::Bearer { token: or_empty("api_token")? },
            "BasicHttpAuthenticator" => {
                Authenticator::Basic { username: or_empty("username")?, password: or_empty("password")? }
            }
            "OAuthAuthenticator" => Authenticator::OAuth(Box::new(OAuth::decode(node, context)?)),
            "JwtAuthenticator" => Authenticator::Jwt(Box::new(Jwt::decode(node, context)?)),
            "SessionTokenAuthenticator" => Authenticator::Session(Box::new(Session::decode(node, context)?)),
            "RateLimitedMultipleTokenAuthenticator" => Authenticator::Pool(Box::new(TokenPool::decode(node, context)?)),
            "LegacySessionTokenAuthenticator" => Authenticator::LegacySession(Box::new(LegacySession {
                path: node.path.clone(),
                api_url: url_base,
                header: node.required_template(context, "header", "name the header of the token")?,
                login_url: node.required_template(context, "login_url", "give the path of the login")?,
                validate_url: node.required_template(
                    context,
                    "validate_session_url",
                    "give the path that checks a session",
                )?,
                token: node.optional_template(context, "session_token")?,
                response_key: or_empty("session_token_response_key")?,
                username: node.optional_template(context, "username")?,
                password: node.optional_template(context, "password")?,
            })),
            "SelectiveAuthenticator" => {
                let mut choices = BTreeMap::new();
                let authenticators = node.require("authenticators", "give the authenticators to choose from")?;
                for (name, value) in authenticators.members()? {
                    if value.is_object() && name != "$parameters" {
                        let choice = Node::at(value, format!("{}.{name}", authenticators.path));
                        let url_base = url_base.as_ref().map(|url| Template::new(url.source(), parameters.clone()));
                        let decoded = Authenticator::decode(&choice, context, url_base);
                        decoded.as_ref().err().into_iter().for_each(|error| context.fault(error));
                        choices.insert(name.clone(), decoded);
                    }
                }
                Authenticator::Selective { path: node.texts("authenticator_selection_path")?, choices }
            }
            other => {
                if let Some(custom) = context.registry.authenticator_of(node.value) {
                    return Ok(Authenticator::Custom(custom));
                }
                match context.registry.component_of(node.value)? {
                    Some(replacement) => Authenticator::decode(&Node::at(&replacement, &node.path), context, url_base)?,
                    None => return Err(node.unknown(other, &KNOWN)),
                }
            }
        })
    }
}

impl OAuth {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let parameters = node.parameters();
        let or = |name: &str, default: &str| -> Result<Template> {
            let given = node.optional_template(context, name)?;
            Ok(given.unwrap_or_else(|| Template::new(default, parameters.clone())))
        };
        let map = |name: &str| {
            node.get(name).map_or(Ok(Map::new()), |node| {
                node.check_all(context)?;
                node.members().cloned()
            })
        };
        let updater = node.get("refresh_token_updater");
        let refresh_token_name = match updater.as_ref().and_then(|updater| updater.get("refresh_token_name")) {
            Some(name) => name.template(context, &parameters)?,
            None => or("refresh_token_name", "refresh_token")?,
        };
        let oauth = OAuth {
            path: node.path.clone(),
            endpoint: node.optional_template(context, "token_refresh_endpoint")?,
            client_id_name: or("client_id_name", "client_id")?,
            client_id: node.optional_template(context, "client_id")?,
            client_secret_name: or("client_secret_name", "client_secret")?,
            client_secret: node.optional_template(context, "client_secret")?,
            refresh_token_name,
            refresh_token: node.optional_template(context, "refresh_token")?,
            access_token_name: or("access_token_name", "access_token")?,
            access_token: node.optional_template(context, "access_token_value")?,
            expires_in_name: or("expires_in_name", "expires_in")?,
            grant_type_name: or("grant_type_name", "grant_type")?,
            grant_type: or("grant_type", "refresh_token")?,
            scopes: node.texts("scopes")?,
            body: map("refresh_request_body")?,
            headers: map("refresh_request_headers")?,
            as_query: node.boolean("send_refresh_request_as_query_params")?.unwrap_or(false),
            expiry: node.optional_template(context, "token_expiry_date")?,
            expiry_format: node.get("token_expiry_date_format").map(|format| format.text()).transpose()?,
            assertion: match node.boolean("use_profile_assertion")? {
                Some(true) => {
                    let assertion = node.require("profile_assertion", "give the JwtAuthenticator of the assertion")?;
                    Some(Jwt::decode(&assertion, context)?)
                }
                _ => None,
            },
            kept: updater.as_ref().map(KeptTokens::decode).transpose()?,
            parameters: parameters.clone(),
        };
        Ok(oauth)
    }
}

impl KeptTokens {
    fn decode(updater: &Node<'_>) -> Result<Self> {
        let path = |name: &str, usual: &str| -> Result<Vec<String>> {
            match updater.get(name) {
                Some(_) => updater.texts(name),
                None => Ok(vec!["credentials".to_owned(), usual.to_owned()]),
            }
        };
        Ok(KeptTokens {
            access_token: path("access_token_config_path", "access_token")?,
            refresh_token: path("refresh_token_config_path", "refresh_token")?,
            expiry: path("token_expiry_date_config_path", "token_expiry_date")?,
        })
    }
}

impl Session {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let login = node.require("login_requester", "give the request that logs in")?;
        let usage = node.require("request_authentication", "say how the token is used")?;
        let api_key = match usage.kind()? {
            "Bearer" => None,
            "ApiKey" => {
                let option = usage.require("inject_into", "say where the token goes")?;
                let template = usage.optional_template(context, "api_token")?;
                let template = template.unwrap_or_else(|| Template::new("{{ session_token }}", usage.parameters()));
                Some((RequestOption::decode(&option, context)?, template))
            }
            other => return Err(usage.unknown(other, &["Bearer", "ApiKey"])),
        };
        Ok(Session {
            path: node.path.clone(),
            login: Requester::decode(&login, context, &["HttpRequester"])?,
            decoder: Decoder::of(node, context, "decoder")?,
            token_path: node.templates(context, "session_token_path")?,
            expiration: node.get("expiration_duration").map(|duration| duration.text()).transpose()?,
            api_key,
        })
    }
}

/// What a JWT can be signed with.
const ALGORITHMS: [&str; 12] =
    ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

impl Jwt {
    fn decode(node: &Node<'_>, context: &Context<'_>) -> Result<Self> {
        let map = |name: &str| {
            node.get(name).map_or(Ok(Map::new()), |node| {
                node.check_all(context)?;
                let mut map = node.members()?.clone();
                map.shift_remove("$parameters");
                Ok(map)
            })
        };
        let algorithm = node.require("algorithm", "name the algorithm, such as HS256")?.text()?;
        if !ALGORITHMS.contains(&algorithm.as_str()) {
            return Err(node.unsupported(format!(
                "the JWT algorithm {algorithm} is not built in: use one of {}, or register an authenticator",
                ALGORITHMS.join(", ")
            )));
        }
        Ok(Jwt {
            path: node.path.clone(),
            secret: node.required_template(context, "secret_key", "give the key to sign with")?,
            passphrase: node.optional_template(context, "passphrase")?,
            secret_is_base64: node.condition(context, "base64_encode_secret_key")?,
            algorithm,
            duration: node.integer("token_duration")?.unwrap_or(1200),
            prefix: node.optional_template(context, "header_prefix")?,
            headers: map("jwt_headers")?,
            payload: map("jwt_payload")?,
            additional_headers: map("additional_jwt_headers")?,
            additional_payload: map("additional_jwt_payload")?,
            option: RequestOption::bare(node, context, "request_option")?,
            parameters: node.parameters(),
        })
    }
}
