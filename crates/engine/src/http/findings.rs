//! What answers say of the credentials that requests carry.

use highwater_template::HttpResponse;

use super::client::Client;
use super::credentials::Credentials;
use super::tokens;
use crate::documents::Finding;
use crate::urls::Url;

impl Client {
    /// Notes what an answer says of the credentials that its request carried. A refusal counts where `strict`.
    pub(super) fn note_answer(&self, url: &Url, response: &HttpResponse, credentials: &Credentials, strict: bool) {
        let over = tokens::is_over(response, self.provider());
        if !self.owns(url) {
            return;
        }
        match (credentials.can_sign_in(), over) {
            (true, true) if strict => self.session().note_refused(credentials),
            (true, false) if response.status < 400 => self.session().note(Finding::Accepted),
            // A template may sign in by secret settings of its own.
            (false, true) if strict && credentials.all_secrets().is_empty() => self.session().note_missing(),
            _ => {}
        }
    }
}
