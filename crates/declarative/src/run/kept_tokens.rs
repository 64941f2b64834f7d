//! Tokens in the config (`refresh_token_updater`). New ones are stored before they are used, because a refresh token may work
//! only once.

use async_trait::async_trait;
use highwater_core::Result;
use highwater_interpolation::Value;

use super::auth::{configured, find_deep};
use super::context::Run;
use crate::dpath::nest;
use crate::exchange::ConfigRenewal;
use crate::model::{KeptTokens, OAuth};

impl OAuth {
    /// The config's own access token while it is good, or a new one.
    pub(super) async fn kept_token(&self, kept: &KeptTokens, run: &Run<'_>) -> Result<String> {
        let config = run.renewed.or(run.config);
        if let Some(token) = self.good_token(kept, &config, run)? {
            return Ok(token);
        }
        let mut renewal = Renewal { oauth: self, kept, run, token: None };
        run.exchange.renew_config(&mut renewal).await?;
        renewal.token.ok_or_else(|| self.no_token())
    }

    fn good_token(&self, kept: &KeptTokens, config: &Value, run: &Run<'_>) -> Result<Option<String>> {
        let Some(token) = configured(&kept.access_token, config) else { return Ok(None) };
        let until = self.instant(&configured(&kept.expiry, config).unwrap_or_default())?;
        // Without a token endpoint there is nothing better than what the config has.
        let good = self.endpoint.is_none() || until.is_some_and(|until| until >= run.now());
        Ok(Some(token).filter(|token| good && run.renewed.use_token(token)))
    }
}

struct Renewal<'a, 'r> {
    oauth: &'a OAuth,
    kept: &'a KeptTokens,
    run: &'a Run<'r>,
    token: Option<String>,
}

#[async_trait]
impl ConfigRenewal for Renewal<'_, '_> {
    async fn renew(&mut self, config: Option<Value>) -> Result<Vec<(Vec<String>, Value)>> {
        let (oauth, kept, run) = (self.oauth, self.kept, self.run);
        let mut config = config.unwrap_or_else(|| run.renewed.or(run.config));
        if let Some(token) = oauth.good_token(kept, &config, run)? {
            run.renewed.set(config);
            self.token = Some(token);
            return Ok(Vec::new());
        }
        let endpoint = oauth.endpoint.as_ref().ok_or_else(|| oauth.no_token())?;
        let (token, answer) = oauth.ask_token(oauth.token_request(endpoint, &config, run)?, run).await?;
        let mut changes = vec![(kept.access_token.clone(), Value::from(token.text.as_str()))];
        let refresh_token = find_deep(&answer, &oauth.refresh_token_name.text(&run.scope())?, 0);
        // An API that names none means the old one to be used again.
        changes.extend(refresh_token.map(|refresh_token| (kept.refresh_token.clone(), refresh_token.clone())));
        let until = token.expires.map(|at| at.format("%Y-%m-%dT%H:%M:%S%:z").to_string()).unwrap_or_default();
        changes.push((kept.expiry.clone(), until.into()));
        if let Value::Object(members) = &mut config {
            for (path, value) in &changes {
                nest(members, path, value.clone());
            }
        }
        run.renewed.set(config);
        run.renewed.use_token(&token.text);
        self.token = Some(token.text);
        Ok(changes)
    }
}
