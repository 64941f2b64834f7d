//! The demo's API: contacts, companies and deals that keep being added, changed and deleted.
//!
//! `GET /{model}?after=VERSION&limit=N` answers `{"items": [...], "next": VERSION, "more": bool}`:
//! each record at its latest version, deleted ones as `{"id": .., "deleted": true}`. `POST /Contact` with `{"name": ..}` adds one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use highwater_core::{Error, ErrorKind, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// The models of the demo API.
pub const MODELS: [&str; 3] = ["Contact", "Company", "Deal"];

const FIRST: [&str; 12] =
    ["Ada", "Ben", "Chiara", "Dmitri", "Emi", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kavya", "Liam"];
const LAST: [&str; 10] =
    ["Alvarez", "Brandt", "Chen", "Dubois", "Eriksen", "Fischer", "Gupta", "Haddad", "Ito", "Jensen"];
const TRADES: [&str; 6] = ["Boats", "Canals", "Dredging", "Harbours", "Locks", "Pumps"];
const STAGES: [&str; 5] = ["lead", "offer", "negotiation", "won", "lost"];

/// The demo API. A clone is the same one.
#[derive(Clone, Debug)]
pub struct Crm {
    data: Arc<Mutex<Data>>,
    /// A permit for each list that is answered, where that is limited.
    lists: Arc<Semaphore>,
}

/// How many records of each model there are at first, in the order of [`MODELS`].
const RECORDS: [u64; 3] = [600, 120, 280];

#[derive(Debug)]
struct Data {
    models: BTreeMap<&'static str, Model>,
    next_id: u64,
    version: u64,
    random: u64,
}

/// Records by version: each stands at its latest one.
#[derive(Debug, Default)]
struct Model {
    by_version: BTreeMap<u64, Value>,
    versions: BTreeMap<u64, u64>,
}

impl Crm {
    /// Fills it with a thousand records, and answers on a free port of this machine, in a task on the current runtime. Returns the
    /// base URL too.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if no port can be listened on.
    pub async fn start() -> Result<(Self, String)> {
        Crm::start_with(RECORDS).await
    }

    /// Starts it like [`start`](Crm::start) with as many records of each model, in the order of [`MODELS`].
    ///
    /// # Errors
    ///
    /// Those of [`start`](Crm::start).
    pub async fn start_with(records: [u64; 3]) -> Result<(Self, String)> {
        let mut data = Data { models: BTreeMap::new(), next_id: 1, version: 0, random: 0x9E37_79B9_7F4A_7C15 };
        for (model, count) in MODELS.into_iter().zip(records) {
            data.models.insert(model, Model::default());
            for _ in 0..count {
                data.add(model);
            }
        }
        let lists = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let crm = Crm { data: Arc::new(Mutex::new(data)), lists };
        let failed =
            |source| Error::new(ErrorKind::Unavailable, "the demo API could not listen on 127.0.0.1").because(source);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let app = Router::new()
            .route("/{model}", get(list))
            .route("/Contact", get(list_contacts).post(create_contact))
            .with_state(crm.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok((crm, format!("http://{address}")))
    }

    /// Lets its users work until the returned task is aborted.
    pub fn work(&self) -> JoinHandle<()> {
        let crm = self.clone();
        tokio::spawn(async move {
            loop {
                let pause = {
                    let mut data = crm.data();
                    data.step();
                    60 + data.random(240)
                };
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        })
    }

    /// Returns the number of live records of a model.
    pub fn count(&self, model: &str) -> u64 {
        self.records(model).len() as u64
    }

    /// Returns the live records of a model, those that were changed last at the end.
    pub fn records(&self, model: &str) -> Vec<Value> {
        let data = self.data();
        let live = |model: &Model| {
            model.by_version.values().filter(|record| record.get("deleted").is_none()).cloned().collect()
        };
        data.models.get(model).map_or_else(Vec::new, live)
    }

    /// Adds a contact, as a user of it does. Returns its id.
    pub fn add_contact(&self, name: &str) -> u64 {
        let mut data = self.data();
        data.add_contact(name, None)["id"].as_u64().unwrap_or_default()
    }

    /// Answers as many lists from now on, and lets later ones wait until the next call. To stop a sync in its middle.
    pub fn answer_lists(&self, lists: usize) {
        self.lists.forget_permits(Semaphore::MAX_PERMITS);
        self.lists.add_permits(lists.min(Semaphore::MAX_PERMITS));
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Data {
    /// One thing a user does.
    fn step(&mut self) {
        let model = MODELS[self.random(MODELS.len() as u64) as usize];
        match self.random(10) {
            0..=2 => self.add(model),
            3..=7 => self.change(model),
            _ => self.delete(model),
        }
    }

    fn add(&mut self, model: &'static str) {
        let id = self.next_id;
        self.next_id += 1;
        let record = match model {
            "Contact" => {
                let (first, last) = (self.pick(&FIRST), self.pick(&LAST));
                let mail = format!("{}.{}{id}@example.com", first.to_lowercase(), last.to_lowercase());
                json!({ "id": id, "name": format!("{first} {last}"), "email": mail, "visits": 0 })
            }
            "Company" => {
                json!({ "id": id, "name": format!("{} {}", self.pick(&LAST), self.pick(&TRADES)), "employees": 1 + self.random(500) })
            }
            _ => json!({ "id": id, "title": format!("{} for {}", self.pick(&TRADES), self.pick(&LAST)),
                "amount": 100 * (1 + self.random(900)), "stage": "lead" }),
        };
        self.put(model, id, record);
    }

    fn add_contact(&mut self, name: &str, email: Option<&str>) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        let record = json!({ "id": id, "name": name, "email": email, "visits": 0 });
        self.put("Contact", id, record.clone());
        record
    }

    fn change(&mut self, model: &'static str) {
        let Some((id, mut record)) = self.any(model) else { return };
        let (stage, number) = (self.pick(&STAGES), self.random(1000));
        match model {
            "Contact" => record["visits"] = json!(record["visits"].as_u64().unwrap_or(0) + 1),
            "Company" => record["employees"] = json!(number + 1),
            _ => record["stage"] = json!(stage),
        }
        self.put(model, id, record);
    }

    fn delete(&mut self, model: &'static str) {
        if let Some((id, _)) = self.any(model) {
            self.put(model, id, json!({ "id": id, "deleted": true }));
        }
    }

    fn put(&mut self, model: &'static str, id: u64, record: Value) {
        self.version += 1;
        let version = self.version;
        let model = self.models.entry(model).or_default();
        if let Some(old) = model.versions.insert(id, version) {
            model.by_version.remove(&old);
        }
        model.by_version.insert(version, record);
    }

    fn any(&mut self, model: &'static str) -> Option<(u64, Value)> {
        let random = self.random(u64::MAX);
        let model = self.models.get(model)?;
        let live: Vec<&Value> = model.by_version.values().filter(|record| record.get("deleted").is_none()).collect();
        let record = live.get((random % live.len().max(1) as u64) as usize)?;
        Some((record["id"].as_u64()?, (*record).clone()))
    }

    fn pick<'s>(&mut self, from: &[&'s str]) -> &'s str {
        let place = self.random(from.len() as u64) as usize;
        from.get(place).copied().unwrap_or_default()
    }

    /// A small generator: the demo is the same each time, only its pace is not.
    fn random(&mut self, below: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct NewContact {
    name: String,
    #[serde(default)]
    email: Option<String>,
}

async fn create_contact(State(crm): State<Crm>, Json(contact): Json<NewContact>) -> (StatusCode, Json<Value>) {
    (StatusCode::CREATED, Json(crm.data().add_contact(&contact.name, contact.email.as_deref())))
}

async fn list_contacts(state: State<Crm>, page: Query<Page>) -> std::result::Result<Json<Value>, StatusCode> {
    list(state, Path("Contact".to_owned()), page).await
}

async fn list(
    State(crm): State<Crm>,
    Path(model): Path<String>,
    Query(page): Query<Page>,
) -> std::result::Result<Json<Value>, StatusCode> {
    // Never closed.
    if let Ok(permit) = crm.lists.acquire().await {
        permit.forget();
    }
    let data = crm.data();
    let model = data.models.get(model.as_str()).ok_or(StatusCode::NOT_FOUND)?;
    let mut behind = model.by_version.range(page.after.saturating_add(1)..);
    let items: Vec<(&u64, &Value)> = behind.by_ref().take(page.limit.unwrap_or(100).clamp(1, 500)).collect();
    let next = items.last().map_or(page.after, |(version, _)| **version);
    let values: Vec<&Value> = items.iter().map(|(_, value)| *value).collect();
    Ok(Json(json!({ "items": values, "next": next, "more": behind.next().is_some() })))
}
