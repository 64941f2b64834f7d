//! Pages, drains and the past, as the store gives them.

use highwater_core::{Action, Actions, Cursor, Page, PageRequest, Result, Timestamp};

use super::super::content::Content;
use super::super::model::{Model, Paged, Refusal, Token, id_of, plain};
use super::super::steps::{IDS, Look};
use super::compare::{p10_page_is_the_models, p19_apply, p20_caught_up_is_true, p32_refused};
use super::{Copy, Given, System, open_only, stream};
use crate::rig::wait;
use crate::subject::Subject;

impl<S: Subject> System<S> {
    pub(super) fn page(&self, token: Token, place: usize, look: &Look, now_ms: u64) -> Result<Page> {
        let of = if look.elsewhere { 1 - token.stream } else { token.stream };
        let all = [Action::Added, Action::Updated, Action::Deleted];
        let actions: Actions = all.into_iter().filter(|action| look.actions & (1 << action.code()) != 0).collect();
        let mut request =
            PageRequest::new(stream(of)).since(self.given[place].cursor).limit(look.limit).filter(actions);
        if look.open_only {
            request = request.matching(open_only());
        }
        if let Some(ids) = &look.ids {
            request = request.ids(ids.iter().map(|id| IDS[*id]));
        }
        if let Some(last_ms) = look.last_ms {
            request = request.modified_after(Timestamp::from_unix_ms(now_ms.saturating_sub(last_ms)));
        }
        if look.metadata_only {
            request = request.metadata_only();
        }
        if let Some(most) = look.max_bytes {
            request = request.max_bytes(most);
        }
        wait(self.rig.store().page(request))
    }

    pub(super) fn read(&mut self, model: &Model, limit: usize, expected: &std::result::Result<Paged, Refusal>) {
        let Some(place) = model.read_from else { return };
        let token = model.tokens[place];
        let page = self.page(token, place, &plain(limit, token.filtered), model.now_ms);
        let at = self.step;
        let Some(page) = p10_page_is_the_models(page, expected, false) else { return };
        let given = &self.given[place];
        let copy = given.copy.clone().map(|mut copy| {
            p19_apply(&mut copy, &page, model, token, given.caught_up && !token.filtered);
            copy
        });
        if let (true, Some(copy)) = (page.caught_up, &copy) {
            p20_caught_up_is_true(model, token, copy);
        }
        self.given.push(Given { cursor: page.next_cursor, copy, caught_up: page.caught_up, at });
    }

    pub(super) fn p17_convergence(&self, model: &Model, place: usize, token: Token, refusal: Option<Refusal>) {
        let given = &self.given[place];
        if let Some(refusal) = refusal {
            let page = self.page(token, place, &plain(1000, token.filtered), model.now_ms);
            return p32_refused(page.map(drop), refusal);
        }
        let Some(mut copy) = given.copy.clone() else {
            // The model reads, too.
            drop(self.page(token, place, &plain(1000, token.filtered), model.now_ms));
            return;
        };
        let (mut cursor, mut exact) = (given.cursor, given.caught_up && !token.filtered);
        for _ in 0..100 {
            let mut request = PageRequest::new(stream(token.stream)).since(cursor).limit(2);
            if token.filtered {
                request = request.matching(open_only());
            }
            let page = wait(self.rig.store().page(request)).expect("a good cursor stays good");
            p19_apply(&mut copy, &page, model, token, exact);
            (cursor, exact) = (page.next_cursor, false);
            if page.caught_up {
                return p20_caught_up_is_true(model, token, &copy);
            }
        }
        panic!("p15: a drain does not end");
    }

    pub(super) fn past(&self, place: usize, cursor: Cursor) -> Result<Copy> {
        let (mut found, mut after) = (Copy::new(), String::new());
        loop {
            let part = wait(self.rig.store().as_of(&stream(place), cursor, &after, 2))?;
            let Some(last) = part.last() else { return Ok(found) };
            after = last.id.to_string();
            found.extend(part.iter().map(|record| {
                let content = record.payload.as_ref().map(|payload| Content::read(payload.as_str()));
                (id_of(&record.id), content)
            }));
        }
    }
}
