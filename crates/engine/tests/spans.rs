//! The spans of runs and requests, for OpenTelemetry. The only test of this program: `tracing` remembers for all threads whether
//! anybody listens to a place.

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use highwater_core::{Error, ErrorKind};
use scripted::{Scene, json};

/// The spans, and their fields.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

struct Fields<'s>(&'s mut BTreeMap<String, String>);

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
}

impl tracing::Subscriber for Spans {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_span()
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let mut spans = self.0.lock().unwrap();
        let mut fields = BTreeMap::from([("name".to_owned(), span.metadata().name().to_owned())]);
        span.record(&mut Fields(&mut fields));
        spans.push(fields);
        tracing::span::Id::from_u64(spans.len() as u64)
    }

    fn record(&self, id: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        let place = usize::try_from(id.into_u64()).unwrap() - 1;
        values.record(&mut Fields(&mut self.0.lock().unwrap()[place]));
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {}

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// `docs/telemetry.md` lists each span with each of its fields.
#[tokio::test(start_paused = true)]
async fn the_spans_have_the_names_that_the_page_lists() {
    let spans = Spans::default();
    let guard = tracing::subscriber::set_default(spans.clone());
    let mut asked = 0;
    let scene = Scene::new(move |_| {
        asked += 1;
        match asked {
            1 => Err(Error::new(ErrorKind::Unavailable, "the connection broke")),
            _ => Ok(json(200, r#"[{"id":1}]"#)),
        }
    })
    .await;
    scene.run().await.unwrap();
    drop(guard);
    let spans = spans.0.lock().unwrap().clone();
    let of = |name: &str| spans.iter().filter(|span| span["name"] == name).cloned().collect::<Vec<_>>();
    let [run] = &of("highwater.run")[..] else { panic!("{spans:?}") };
    assert_eq!((&*run["connection"], &*run["sync"]), ("c", "acme/items"));
    let requests = of("highwater.request");
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[0]["error.type"], "unavailable");
    assert_eq!(requests[1]["http.request.method"], "GET");
    assert_eq!(requests[1]["url.full"], "https://api.acme.example/v3/items");
    assert_eq!(requests[1]["http.response.status_code"], "200");
    assert_eq!(requests[1]["http.request.resend_count"], "1");
    assert_eq!(requests[1]["otel.kind"], "client");
    let page = include_str!("../../../docs/telemetry.md");
    for span in &spans {
        for name in span.keys().filter(|name| *name != "name").chain([&span["name"]]) {
            assert!(page.contains(&format!("`{name}`")), "docs/telemetry.md does not have {name}");
        }
    }
}
