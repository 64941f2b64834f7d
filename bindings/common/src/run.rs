//! A run of a host's template: the host's function gives commands, and the engine answers them.

mod commands;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use highwater::template::SyncContext;
use highwater::{Error, ErrorKind, Result};
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::mpsc;

pub use commands::RUN_COMMANDS;

use crate::call::Done;
use crate::engine::{lock, refuse_within_task};
use crate::failure::{Failure, Outcome, closed};
use commands::{REQUEST, perform, request};

/// The most commands of a run that wait for their answers.
const MOST_WAITING: usize = 1024;

/// Errors of a run that are kept, in case the host's function ends with one of them.
const KEPT: usize = 16;

type Reply = Box<dyn FnOnce(Outcome<String>) + Send>;
type Answer = Done<String, Reply>;

/// What the host's function says.
pub(crate) enum Command {
    Call { name: String, arguments: String, answer: Answer },
    End(Outcome<()>),
}

pub(crate) fn inbox() -> (mpsc::Sender<Command>, mpsc::Receiver<Command>) {
    mpsc::channel(MOST_WAITING)
}

/// A run, as the host's function sees it: it gives [`RUN_COMMANDS`], and then ends the run.
///
/// Clones are the same run. When the last one is dropped without [`end`](HostRun::end), the run fails.
#[derive(Clone)]
pub struct HostRun {
    inner: Arc<Inner>,
}

struct Inner {
    setup: String,
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    alive: Arc<AtomicUsize>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::AcqRel);
    }
}

impl HostRun {
    pub(crate) fn new(
        template: &str,
        context: &SyncContext<'_>,
        commands: mpsc::Sender<Command>,
        alive: Arc<AtomicUsize>,
    ) -> Result<Self> {
        let setup = json!({
            "connection": context.connection(),
            "template": template,
            "variant": context.variant(),
            "config": context.config_values(),
            "metadata": context.metadata(),
            "checkpoint": context.last_checkpoint::<Box<RawValue>>()?,
            "is_full_refresh": context.is_full_refresh(),
            "started_at": context.started_at(),
        });
        alive.fetch_add(1, Ordering::AcqRel);
        Ok(HostRun { inner: Arc::new(Inner { setup: setup.to_string(), commands: Mutex::new(Some(commands)), alive }) })
    }

    /// Returns what the run begins with, as JSON: `connection`, `template`, `variant`, `config`, `metadata`, `checkpoint` (null in the
    /// first run and at the beginning of a full refresh), `is_full_refresh`, `started_at`.
    pub fn setup(&self) -> &str {
        &self.inner.setup
    }

    /// Gives a command and blocks until it is answered. `arguments` and the answer are JSON; see [`RUN_COMMANDS`].
    ///
    /// # Errors
    ///
    /// `cancelled` once the run was stopped, `closed` once the host's function has ended it, `invalid` for a command that is not known
    /// or arguments that it does not take, and those of the command. A function that cannot go on ends the run with the error it got.
    pub fn call(&self, command: &str, arguments: &str) -> Outcome<String> {
        refuse_within_task()?;
        let (sender, answer) = std::sync::mpsc::channel();
        self.start_call(command, arguments, move |outcome| {
            // The other end waits for it below.
            let _ = sender.send(outcome);
        });
        answer.recv().unwrap_or_else(|_| Err(stopped()))
    }

    /// Gives a command, and calls `done` with the answer on a thread of the engine, exactly once. `done` must not block. Requests are
    /// answered as they arrive, other commands in the order in which they were given.
    pub fn start_call(&self, command: &str, arguments: &str, done: impl FnOnce(Outcome<String>) + Send + 'static) {
        let answer: Answer = Done::new(Box::new(done));
        let commands = lock(&self.inner.commands).clone();
        let Some(commands) = commands else {
            return answer.call(Err(closed("the run")));
        };
        let command = Command::Call { name: command.to_owned(), arguments: arguments.to_owned(), answer };
        match commands.try_send(command) {
            Err(mpsc::error::TrySendError::Full(Command::Call { answer, .. })) => {
                let message = format!("{MOST_WAITING} commands of the run wait for an answer: wait for some first");
                answer.call(Err(Failure::of(ErrorKind::Invalid, message)));
            }
            Err(mpsc::error::TrySendError::Closed(Command::Call { answer, .. })) => answer.call(Err(stopped())),
            _ => {}
        }
    }

    /// Ends the run: `Ok` if everything was read. Whatever follows is an error of the code `closed`. Ending again does nothing.
    pub fn end(&self, outcome: Outcome<()>) {
        if let Some(commands) = lock(&self.inner.commands).take() {
            // Full only with commands whose answers nobody waits for: then the run fails because its channel closes.
            let _ = commands.try_send(Command::End(outcome));
        }
    }

    /// Returns whether the run is over: it was stopped, or the host's function has ended it.
    pub fn is_stopped(&self) -> bool {
        lock(&self.inner.commands).as_ref().is_none_or(mpsc::Sender::is_closed)
    }

    /// Waits until the run is over.
    pub async fn stopped(&self) {
        let commands = lock(&self.inner.commands).clone();
        if let Some(commands) = commands {
            commands.closed().await;
        }
    }
}

impl fmt::Debug for HostRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostRun").field("is_stopped", &self.is_stopped()).finish_non_exhaustive()
    }
}

fn stopped() -> Failure {
    Failure::of(ErrorKind::Cancelled, "the run was stopped: return, the next run continues")
}

/// Answers the commands of a run until it ends.
pub(crate) async fn drive(context: &mut SyncContext<'_>, inbox: &mut mpsc::Receiver<Command>) -> Result<()> {
    let host = context.host();
    let mut requests = FuturesUnordered::new();
    let mut kept = Vec::new();
    loop {
        let command = tokio::select! {
            command = inbox.recv() => command,
            Some((answer, outcome)) = requests.next(), if !requests.is_empty() => {
                reply(answer, outcome, &mut kept);
                continue;
            }
        };
        match command {
            Some(Command::Call { name, arguments, answer }) if name == REQUEST => {
                requests.push(async move { (answer, request(host, &arguments).await) });
            }
            Some(Command::Call { name, arguments, answer }) => {
                let outcome = perform(context, &name, &arguments).await;
                reply(answer, outcome, &mut kept);
            }
            Some(Command::End(Ok(()))) => return Ok(()),
            Some(Command::End(Err(failure))) => return Err(as_it_was(failure, kept)),
            None => {
                let message = "the fetch function ended without saying whether it succeeded";
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        }
    }
}

fn reply(answer: Answer, outcome: Result<String>, kept: &mut Vec<(Failure, Error)>) {
    answer.call(outcome.map_err(|error| {
        let failure = Failure::from(&error);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((failure.clone(), error));
        failure
    }));
}

/// Returns the error that a failure was made from, if the run had it; the host's own error otherwise.
fn as_it_was(failure: Failure, kept: Vec<(Failure, Error)>) -> Error {
    let is_same = |known: &Failure| known.code() == failure.code() && known.message() == failure.message();
    match kept.into_iter().rev().find(|(known, _)| is_same(known)) {
        Some((_, error)) => error,
        None => failure.into_error(),
    }
}
