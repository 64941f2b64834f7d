//! The outbox of several processes: whose turn it is to deliver. In virtual time.
#![allow(clippy::disallowed_methods)]

#[path = "support/staged.rs"]
mod staged;
#[path = "support/world.rs"]
mod world;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use highwater_core::{Error, ErrorKind, Result, Store};
use highwater_engine::webhooks::{Destination, Outbox};
use highwater_engine::{Engine, RunOptions, Secret};
use highwater_template::http::Transport;
use highwater_template::{HttpRequest, HttpResponse};
use staged::Staged;
use world::{World, sleep};

/// A receiver that takes its time.
#[derive(Debug, Default)]
struct Slow {
    takes: Mutex<Duration>,
    /// The `webhook-id` of each delivery that set out.
    seen: Mutex<Vec<String>>,
}

#[async_trait]
impl Transport for Slow {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        let id = request.headers.iter().find(|(name, _)| name == "webhook-id").unwrap().1.clone();
        self.seen.lock().unwrap().push(id);
        let takes = *self.takes.lock().unwrap();
        tokio::time::sleep(takes).await;
        Ok(HttpResponse::new(200, Vec::new(), ""))
    }
}

impl Slow {
    fn seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

fn outbox(engine: &Engine) -> Outbox {
    let outbox = Outbox::new(engine);
    outbox.set_secrets("crm", vec![Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")]).unwrap();
    outbox
}

/// A world with one row to deliver, to a receiver that takes this long.
async fn one_row(takes: Duration) -> (World, Arc<Slow>) {
    let receiver = Arc::new(Slow { takes: Mutex::new(takes), ..Slow::default() });
    let transport = Arc::clone(&receiver);
    let world = World::built(0, |builder| builder.transport(transport)).await;
    outbox(&world.engine).add(Destination::new("crm", "https://crm.example/hook")).await.unwrap();
    world.run(RunOptions::default()).await.unwrap();
    (world, receiver)
}

fn over(world: &World, store: &Arc<dyn Store>, receiver: &Arc<Slow>) -> Outbox {
    let receiver = Arc::clone(receiver);
    outbox(&world.engine_with(Arc::clone(store), |builder| builder.transport(receiver)))
}

#[tokio::test(start_paused = true)]
async fn while_one_delivers_no_other_does() {
    // Longer than the term: what keeps the others out is that it shows that it is alive.
    let (world, receiver) = one_row(Duration::from_secs(19)).await;
    let (one, two) = (outbox(&world.engine), over(&world, &world.store, &receiver));
    let one = tokio::spawn(async move { one.deliver_due().await });
    for _ in 0..18 {
        sleep(1.0).await;
        let pass = two.deliver_due().await.unwrap();
        assert_eq!((pass.delivered, pass.failed, receiver.seen()), (0, 0, 1));
    }
    sleep(2.0).await;
    assert_eq!(one.await.unwrap().unwrap().delivered, 1);
    assert_eq!(two.deliver_due().await.unwrap().delivered, 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_kill_another_delivers_within_fifteen_seconds() {
    let (world, receiver) = one_row(Duration::from_secs(19)).await;
    let (one, two) = (outbox(&world.engine), over(&world, &world.store, &receiver));
    let one = tokio::spawn(async move { one.deliver_due().await });
    sleep(7.0).await; // one sign of life, at 5 s
    one.abort();
    *receiver.takes.lock().unwrap() = Duration::ZERO;
    let delivering = two.start(&tokio::runtime::Handle::current());
    sleep(12.0).await;
    assert_eq!(receiver.seen(), 1, "two signs of life may yet be late");
    sleep(1.5).await;
    delivering.shutdown().await.unwrap();
    let seen = receiver.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], seen[1], "the receiver can tell that it is the same");
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_show_that_it_is_alive_stops_before_another_begins() {
    let (world, receiver) = one_row(Duration::from_secs(19)).await;
    let full = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&full);
    let failing: Arc<dyn Store> = Staged::over(&world.store, move |_| {
        let full = flag.load(Ordering::Relaxed).then(|| Error::new(ErrorKind::Full, "no space is left"));
        Box::pin(std::future::ready(full.map_or(Ok(()), Err)))
    });
    let (one, two) = (over(&world, &failing, &receiver), over(&world, &world.store, &receiver));
    let one = tokio::spawn(async move { one.deliver_due().await });
    sleep(1.0).await;
    full.store(true, Ordering::Relaxed);
    sleep(13.5).await;
    assert!(two.deliver_due().await.unwrap().delivered == 0 && !one.is_finished());
    sleep(1.0).await;
    assert_eq!(one.await.unwrap().unwrap_err().kind(), ErrorKind::Busy, "its try was cut short");
    *receiver.takes.lock().unwrap() = Duration::ZERO;
    assert_eq!(two.deliver_due().await.unwrap().delivered, 1);
}
