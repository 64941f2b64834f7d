//! The token endpoint of a simulated API: grants, refresh tokens that rotate, and what a client must never do with them.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use highwater_core::locks::lock;
use highwater_core::{Error, ErrorKind, Result};
use highwater_engine::Secret;
use highwater_engine::credentials::OAuthTokens;
use highwater_template::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::plan::Knob;
use crate::shared::Shared;

/// How long an access token lasts, in seconds.
const LIFETIMES: [u64; 3] = [120, 900, 3600];

/// What becomes of a refresh token that was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// It stays good.
    Never,
    /// The next one takes its place. Until that one is used it can be sent again.
    Lenient,
    /// The next one takes its place. Sending it again revokes the grant.
    Strict,
}

/// What one answer of the token endpoint gave.
#[derive(Clone, Debug)]
struct Tokens {
    /// True time in milliseconds.
    ends_ms: u64,
    /// The life of the process that the answer reached.
    reached: Option<u64>,
    saved: bool,
    used: bool,
}

/// What a user agreed to once.
#[derive(Clone, Debug, Default)]
struct Grant {
    revoked: bool,
    tokens: Vec<Tokens>,
    /// A backup was restored when there were so many: earlier ones may come again.
    forgotten: usize,
}

/// The token endpoint of one connection's API.
#[derive(Debug, Default)]
pub(crate) struct Issuer {
    grants: Mutex<Vec<Grant>>,
}

impl Issuer {
    fn grants(&self) -> MutexGuard<'_, Vec<Grant>> {
        lock(&self.grants)
    }

    /// A user signs in: the tokens of a new grant.
    pub(crate) fn sign_in(&self, shared: &Shared) -> OAuthTokens {
        let ends_ms = shared.true_ms() + LIFETIMES[shared.below(LIFETIMES.len())] * 1000;
        let mut grants = self.grants();
        let first = Tokens { ends_ms, reached: Some(shared.life()), saved: true, used: false };
        grants.push(Grant { tokens: vec![first], ..Grant::default() });
        let grant = grants.len() - 1;
        // Whether the application was told when it ends or finds out.
        let told = (shared.below(2) == 0).then(|| highwater_core::Timestamp::from_unix_ms(ends_ms));
        OAuthTokens::new("app").access(Secret::new(access(grant, 0)), told).refresh(Secret::new(refresh(grant, 0)))
    }

    /// The provider ends the grant.
    pub(crate) fn revoke(&self) {
        self.grants().iter_mut().for_each(|grant| grant.revoked = true);
    }

    /// Every access token of now ends before its time.
    pub(crate) fn end_access(&self) {
        self.grants().iter_mut().flat_map(|grant| &mut grant.tokens).for_each(|tokens| tokens.ends_ms = 0);
    }

    /// Whether a grant was revoked.
    pub(crate) fn is_revoked(&self) -> bool {
        self.grants().iter().any(|grant| grant.revoked)
    }

    /// An older store has older tokens.
    pub(crate) fn restored(&self) {
        self.grants().iter_mut().for_each(|grant| grant.forgotten = grant.tokens.len());
    }

    /// The vault has kept these tokens.
    pub(crate) fn saved(&self, tokens: &OAuthTokens) {
        let named = tokens.access_token.as_ref().and_then(|token| parse(token.expose(), 'A'));
        if let Some((grant, serial)) = named
            && let Some(tokens) = self.grants().get_mut(grant).and_then(|grant| grant.tokens.get_mut(serial))
        {
            tokens.saved = true;
        }
    }

    /// Checks a request's access token; the answer to one that is not good.
    pub(crate) fn admit(&self, shared: &Shared, request: &HttpRequest) -> Option<HttpResponse> {
        let header = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let token = header.and_then(|(_, value)| value.strip_prefix("Bearer "));
        let unauthorized = || Some(HttpResponse::new(401, Vec::new(), r#"{"error":"invalid_token"}"#));
        let Some((grant, serial)) = token.and_then(|token| parse(token, 'A')) else { return unauthorized() };
        let mut grants = self.grants();
        let Some(grant) = grants.get_mut(grant) else { return unauthorized() };
        let (revoked, Some(tokens)) = (grant.revoked, grant.tokens.get_mut(serial)) else { return unauthorized() };
        if !tokens.saved {
            shared.broken("sign-in", format!("{token:?} was used before it was kept"));
        }
        tokens.used = true;
        if revoked {
            return unauthorized();
        }
        if tokens.ends_ms <= shared.true_ms() {
            shared.reached(if tokens.ends_ms == 0 {
                "access token ended early"
            } else {
                "access token ended in a run"
            });
            return unauthorized();
        }
        None
    }

    /// Answers a request for tokens, badly.
    pub(crate) async fn answer(&self, shared: &Shared, request: &HttpRequest, life: u64) -> Result<HttpResponse> {
        let odd = if shared.chance(Knob::SignIn, 35) { shared.below(7) } else { usize::MAX };
        match odd {
            0 => {
                shared.reached("refresh lost before its effect");
                tokio::time::sleep(Duration::from_secs(20)).await;
                return Err(Error::new(ErrorKind::Unavailable, "the token endpoint did not answer in time"));
            }
            1 => {
                shared.reached("token endpoint busy");
                let headers = vec![("Retry-After".to_owned(), "5".to_owned())];
                return Ok(HttpResponse::new([429, 503][shared.below(2)], headers, r#"{"error":"slow_down"}"#));
            }
            _ => {}
        }
        let body = String::from_utf8_lossy(request.body.as_deref().unwrap_or_default()).into_owned();
        let sent = body.split('&').find_map(|pair| pair.strip_prefix("refresh_token=")).unwrap_or_default();
        let answer = match parse(sent, 'R') {
            Some((grant, serial)) => self.refresh(shared, grant, serial),
            None => Err("invalid_request"),
        };
        shared.note(|| format!("tokens for {sent}: {answer:?}"));
        shared.gate(life, "answer with tokens").await;
        let (grant, serial) = match answer {
            Ok(fresh) => fresh,
            Err(code) => return Ok(HttpResponse::new(400, Vec::new(), json!({ "error": code }).to_string())),
        };
        match odd {
            2 => {
                shared.reached("refresh answer lost");
                return Err(Error::new(ErrorKind::Unavailable, "the token endpoint's answer broke off"));
            }
            3 => {
                shared.reached("refresh answered by a page for people");
                return Ok(HttpResponse::new(200, Vec::new(), "<html><body>Please wait</body></html>"));
            }
            4 => {
                shared.reached("refresh answered slowly");
                tokio::time::sleep(Duration::from_secs(25)).await;
            }
            _ => {}
        }
        let ends_ms = {
            let mut grants = self.grants();
            let tokens = grants.get_mut(grant).and_then(|grant| grant.tokens.get_mut(serial));
            let Some(tokens) = tokens else { return Ok(HttpResponse::new(500, Vec::new(), "")) };
            tokens.reached = Some(life);
            tokens.ends_ms
        };
        let mut body = json!({ "access_token": access(grant, serial), "token_type": "bearer" });
        if shared.plan.rotation != Rotation::Never {
            body["refresh_token"] = refresh(grant, serial).into();
        }
        if shared.below(4) > 0 {
            body["expires_in"] = (ends_ms.saturating_sub(shared.true_ms()) / 1000).into();
        }
        Ok(HttpResponse::new(200, Vec::new(), body.to_string()))
    }

    /// The place of the tokens that a refresh token brings.
    fn refresh(
        &self,
        shared: &Shared,
        number: usize,
        serial: usize,
    ) -> std::result::Result<(usize, usize), &'static str> {
        let mut grants = self.grants();
        let Some(grant) = grants.get_mut(number) else { return Err("invalid_grant") };
        if grant.revoked {
            shared.reached("grant revoked");
            return Err("invalid_grant");
        }
        let next = grant.tokens.len();
        let rotates = shared.plan.rotation != Rotation::Never;
        if rotates && serial + 1 < next {
            let later = &grant.tokens[serial + 1..];
            let excused = serial < grant.forgotten
                || later.iter().all(|tokens| !tokens.saved && tokens.reached.is_none_or(|life| life < shared.life()));
            if !excused {
                let what =
                    format!("refresh token {number}-{serial} was sent again, although its successor came: {later:?}");
                shared.broken("sign-in", what);
            }
            if shared.plan.rotation == Rotation::Strict || later.iter().any(|tokens| tokens.used) {
                shared.reached("refresh token sent twice ends the grant");
                grant.revoked = true;
                return Err("invalid_grant");
            }
            shared.reached("refresh token sent again in time");
        }
        if let Some(tokens) = grant.tokens.get_mut(serial) {
            tokens.used = true;
        }
        if rotates {
            shared.reached("refresh token rotated");
        }
        let ends_ms = shared.true_ms() + LIFETIMES[shared.below(LIFETIMES.len())] * 1000;
        grant.tokens.push(Tokens { ends_ms, reached: None, saved: false, used: false });
        Ok((number, next))
    }
}

fn access(grant: usize, serial: usize) -> String {
    format!("A-{grant}-{serial}-access-token-of-the-simulation")
}

fn refresh(grant: usize, serial: usize) -> String {
    format!("R-{grant}-{serial}-refresh-token-of-the-simulation")
}

/// Grant and serial of a token.
fn parse(token: &str, kind: char) -> Option<(usize, usize)> {
    let mut parts = token.strip_prefix(kind)?.strip_prefix('-')?.splitn(3, '-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// What a plan may choose.
pub(crate) const ROTATIONS: [Rotation; 3] = [Rotation::Never, Rotation::Lenient, Rotation::Strict];
