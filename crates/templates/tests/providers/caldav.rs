//! A CalDAV server that does not show everything it names.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use highwater_core::ErrorKind;
use highwater_engine::Credentials;
use highwater_template::{HttpResponse, Secret};
use highwater_templates::caldav::Entries;
use highwater_testkit::fakes::{CalDav, Spelling};
use highwater_testkit::{FakeApi, FakeRequest, Trial};

use super::{refresh, run, shared};

#[derive(Default)]
struct Calendar {
    entries: BTreeMap<String, u32>,
    /// An entry that is named but not shown, and how.
    hidden: Option<(String, Hidden)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Hidden {
    LeftOut,
    Forbidden,
    Gone,
}

impl FakeApi for Calendar {
    fn answer(&mut self, request: &FakeRequest) -> HttpResponse {
        let asked = String::from_utf8_lossy(&request.body).into_owned();
        let whole = asked.contains("sync-collection");
        let mut body = r#"<d:multistatus xmlns:d="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">"#.to_owned();
        for (href, version) in self.entries.iter().filter(|(href, _)| whole || asked.contains(href.as_str())) {
            let hidden = self.hidden.as_ref().filter(|(known, _)| known == href && !whole).map(|(_, how)| *how);
            let shown = match hidden {
                None => format!(
                    "<d:propstat><d:prop><d:getetag>{version}</d:getetag><c:calendar-data>BEGIN:{version}</c:calendar-data>\
                     </d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
                ),
                Some(Hidden::LeftOut) => continue,
                Some(Hidden::Forbidden) => "<d:propstat><d:prop><c:calendar-data/></d:prop>\
                    <d:status>HTTP/1.1 403 Forbidden</d:status></d:propstat>"
                    .to_owned(),
                Some(Hidden::Gone) => "<d:status>HTTP/1.1 404 Not Found</d:status>".to_owned(),
            };
            write!(body, "<d:response><d:href>{href}</d:href>{shown}</d:response>").unwrap();
        }
        body.push_str("<d:sync-token>urn:t:1</d:sync-token></d:multistatus>");
        HttpResponse::new(207, Vec::new(), body)
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_the_server_calls_gone_is_gone() {
    let mut api = Calendar::default();
    (1..=5).for_each(|n| {
        api.entries.insert(format!("/u/work/e{n}.ics"), 1);
    });
    let settings = [("host", "localhost"), ("calendar", "/u/work/")];
    let trial = Trial::with_config(shared(Entries::new()), api, &settings).await.unwrap();
    trial.use_credentials(Credentials::basic("u", Secret::new("p")));
    assert_eq!(run(&trial).await, (5, 0, 0));
    for hidden in [Hidden::LeftOut, Hidden::Forbidden] {
        trial.api.with(|api| {
            api.hidden = Some(("/u/work/e2.ics".to_owned(), hidden));
            *api.entries.get_mut("/u/work/e2.ics").unwrap() += 1;
        });
        // It stops none of the others, and is asked for until it is shown.
        let add = |name: &str| trial.api.with(|api| api.entries.insert(format!("/u/work/{name}.ics"), 1));
        add(if hidden == Hidden::LeftOut { "e6" } else { "e8" });
        let report = trial.run().await.unwrap();
        assert_eq!((report.progress.counts.added, report.is_clean()), (1, false));
        add(if hidden == Hidden::LeftOut { "e7" } else { "e9" });
        let report = trial.refresh().await.unwrap();
        assert_eq!((report.progress.counts.added, report.progress.counts.deleted, report.is_clean()), (1, 0, false));
        trial.api.with(|api| api.hidden = None);
        assert_eq!(run(&trial).await, (0, 1, 0), "the change that could not be shown then");
    }
    trial.api.with(|api| api.hidden = Some(("/u/work/e2.ics".to_owned(), Hidden::Gone)));
    assert_eq!(refresh(&trial).await, (0, 0, 1));
}

async fn calendar_of(api: CalDav) -> Trial<CalDav> {
    let settings = [("host", "cal.example"), ("calendar", CalDav::PATH)];
    let trial = Trial::with_config(shared(Entries::new()), api, &settings).await.unwrap();
    trial.use_credentials(Credentials::basic("u", Secret::new("p")));
    trial
}

#[tokio::test(start_paused = true)]
async fn entries_by_sync_token() {
    let mut api = CalDav::default();
    (1..=8).for_each(|n| api.put(&format!("e{n}"), "Meeting"));
    api.delete("e8");
    let trial = calendar_of(api).await;
    assert_eq!(run(&trial).await, (7, 0, 0));
    assert_eq!(run(&trial).await, (0, 0, 0));
    trial.api.with(|api| {
        api.put("e1", "Moved");
        api.put("e9", "New");
        (2..=5).for_each(|n| api.delete(&format!("e{n}")));
    });
    assert_eq!(run(&trial).await, (1, 1, 4));
    assert_eq!(trial.ids("Entry").await.unwrap(), ["/cal/e1.ics", "/cal/e6.ics", "/cal/e7.ics", "/cal/e9.ics"]);
    trial.api.with(|api| {
        api.delete("e6");
        api.forget();
    });
    if let Err(error) = trial.run().await {
        assert_eq!(error.kind(), ErrorKind::SourceReset);
        run(&trial).await;
    }
    assert_eq!(trial.ids("Entry").await.unwrap(), ["/cal/e1.ics", "/cal/e7.ics", "/cal/e9.ics"]);
}

#[tokio::test(start_paused = true)]
async fn an_address_has_one_spelling() {
    let spellings = [Spelling::Plain, Spelling::Encoded, Spelling::Url];
    for changes in spellings {
        for entries in spellings {
            let mut api = CalDav::default();
            (api.changes_spelling, api.entries_spelling) = (changes, entries);
            ["a@b", "two words", "50%", "é"].into_iter().for_each(|name| api.put(name, "Meeting"));
            let trial = calendar_of(api).await;
            assert_eq!(run(&trial).await, (4, 0, 0), "{changes:?} {entries:?}");
            let ids = trial.ids("Entry").await.unwrap();
            assert_eq!(ids, ["/cal/%C3%A9.ics", "/cal/50%25.ics", "/cal/a%40b.ics", "/cal/two%20words.ics"]);
            trial.api.with(|api| {
                api.put("50%", "Moved");
                api.delete("a@b");
                // A server that was upgraded may spell in another way from then on.
                (api.changes_spelling, api.entries_spelling) = (entries, changes);
            });
            assert_eq!(run(&trial).await, (0, 1, 1), "{changes:?} {entries:?}");
            assert_eq!(refresh(&trial).await, (0, 0, 0), "{changes:?} {entries:?}");
        }
    }
}
