//! The events of a simulation, decided in advance from its seed, so that they can be shrunk.

use std::fmt;

use fastrand::Rng;

use crate::issuer::{ROTATIONS, Rotation};

/// The faults; each seed enables a random subset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Knob {
    CoarseTime,
    LateVisibility,
    Drift,
    ServerErrors,
    RateLimits,
    Timeouts,
    Truncated,
    ErrorInside200,
    EmptyPages,
    Duplicates,
    Unsorted,
    Respelled,
    Narrowed,
    TokensExpire,
    Crashes,
    StoreBusy,
    StoreFull,
    CommitUnknown,
    Pruning,
    ClockJumps,
    Backups,
    TwoEngines,
    Cancels,
    ConstantRandom,
    Webhooks,
    Scheduled,
    Outbox,
    BadReceivers,
    Redirects,
    Unasked,
    Limits,
    NoList,
    Repeats,
    Caps,
    Poison,
    SignIn,
    Toggles,
    Integrations,
}

impl Knob {
    pub(crate) const ALL: [Knob; 38] = [
        Knob::CoarseTime,
        Knob::LateVisibility,
        Knob::Drift,
        Knob::ServerErrors,
        Knob::RateLimits,
        Knob::Timeouts,
        Knob::Truncated,
        Knob::ErrorInside200,
        Knob::EmptyPages,
        Knob::Duplicates,
        Knob::Unsorted,
        Knob::Respelled,
        Knob::Narrowed,
        Knob::TokensExpire,
        Knob::Crashes,
        Knob::StoreBusy,
        Knob::StoreFull,
        Knob::CommitUnknown,
        Knob::Pruning,
        Knob::ClockJumps,
        Knob::Backups,
        Knob::TwoEngines,
        Knob::Cancels,
        Knob::ConstantRandom,
        Knob::Webhooks,
        Knob::Scheduled,
        Knob::Outbox,
        Knob::BadReceivers,
        Knob::Redirects,
        Knob::Unasked,
        Knob::Limits,
        Knob::NoList,
        Knob::Repeats,
        Knob::Caps,
        Knob::Poison,
        Knob::SignIn,
        Knob::Toggles,
        Knob::Integrations,
    ];
}

/// How a template reads its API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Everything each time, by offset, with overlapping pages.
    Offset,
    /// Everything each time, after the last id.
    Keyset,
    /// Everything once, then records updated since.
    Since,
    /// Everything once, then a feed of changes after a token.
    Feed,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Records change at the source of a connection.
    Source {
        connection: usize,
        writes: u8,
    },
    /// A run is requested.
    Run {
        connection: usize,
        engine: usize,
        full: bool,
        /// The streams are cleared first.
        clear: bool,
    },
    /// A consumer takes its next step.
    Consume(usize),
    /// The process dies at this many awaits from now.
    Crash {
        after: u32,
    },
    /// Running syncs are cancelled.
    Cancel,
    /// Old entries are pruned: a share of the log in percent.
    Prune {
        connection: usize,
        percent: u8,
        payloads: bool,
    },
    /// The clock is set, relative to true time.
    Clock {
        offset_ms: i64,
    },
    /// The computer is off or asleep for this long. A process that survives has not seen the time pass.
    Sleep {
        days: u16,
        dies: bool,
    },
    Backup,
    Restore,
    /// Made-up and foreign cursors are tried.
    ForgeCursors {
        connection: usize,
    },
    /// The source's token can see less from now on, or everything again.
    Narrow {
        connection: usize,
        narrow: bool,
    },
    /// The source forgets its feed up to now.
    ForgetFeed {
        connection: usize,
    },
    /// One of the source's latest events is delivered: any of them, so that some come late, out of order, twice
    /// or never.
    Webhook {
        connection: usize,
        engine: usize,
        pick: u8,
    },
    /// The host adds a receiver again that answered 410.
    Welcome,
    /// For days no receiver accepts anything, on a computer that sleeps most of the time: it wakes up once a day, and its
    /// clock has jumped.
    Outage,
    /// The next commit fails.
    StoreFault(Fault),
    /// Something is turned on or off.
    Toggle {
        connection: usize,
        engine: usize,
        toggle: Toggle,
    },
    /// The endpoint of the integration is turned on or off, for all its connections.
    Endpoint {
        engine: usize,
        toggle: Endpoint,
    },
    /// Something happens to the sign-in of a connection.
    SignIn {
        connection: usize,
        what: SignInEvent,
    },
}

impl Action {
    /// The knob that it needs.
    fn knob(&self) -> Option<Knob> {
        Some(match self {
            Action::Source { .. } | Action::Run { .. } | Action::Consume(_) | Action::ForgeCursors { .. } => {
                return None;
            }
            Action::Webhook { .. } => Knob::Webhooks,
            Action::Crash { .. } => Knob::Crashes,
            Action::Cancel => Knob::Cancels,
            Action::Prune { .. } => Knob::Pruning,
            Action::Clock { .. } | Action::Sleep { .. } => Knob::ClockJumps,
            Action::Backup | Action::Restore => Knob::Backups,
            Action::Outage | Action::Welcome => Knob::Outbox,
            Action::Narrow { .. } => Knob::Narrowed,
            Action::ForgetFeed { .. } => Knob::TokensExpire,
            Action::StoreFault(Fault::Busy) => Knob::StoreBusy,
            Action::StoreFault(Fault::Full) => Knob::StoreFull,
            Action::StoreFault(Fault::UnknownDone | Fault::UnknownLost) => Knob::CommitUnknown,
            Action::Toggle { .. } => Knob::Toggles,
            Action::SignIn { .. } => Knob::SignIn,
            Action::Endpoint { .. } => Knob::Integrations,
        })
    }
}

/// What is turned on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Toggle {
    Disable,
    /// Off, and its streams are emptied.
    Clear,
    Enable,
    Pause,
    Resume,
    /// The connection is removed, with its credentials.
    Disconnect,
    /// The connection is removed, and its streams are emptied.
    Erase,
    Connect,
    /// The connection gives up what it decided for itself.
    Follow,
}

/// What happens to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Enable,
    /// It runs less often.
    Slow,
    Disable,
    /// Off, and the streams of every connection are emptied.
    Clear,
    /// The integration is deleted, with its connections.
    Delete,
    /// The integration is deleted, and the streams of its connections are emptied.
    Erase,
}

/// What happens to a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignInEvent {
    /// The access tokens of now are good no more.
    EndAccess,
    /// The provider ends the grant.
    Revoke,
    /// The user signs in again.
    Again,
    /// The vault gets other keys.
    RotateKeys,
}

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Busy,
    Full,
    /// It was applied, and is reported as unknown.
    UnknownDone,
    /// It was not applied, and is reported as unknown.
    UnknownLost,
}

pub(crate) const CONNECTIONS: usize = 2;
pub(crate) const CONSUMERS: usize = 7;

/// A whole simulation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) knobs: Vec<Knob>,
    pub(crate) styles: [Style; CONNECTIONS],
    pub(crate) rotation: Rotation,
    pub(crate) page_size: usize,
    pub(crate) records: usize,
    /// Each with its pause before.
    pub(crate) actions: Vec<(u64, Action)>,
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut knobs: Vec<Knob> = Knob::ALL.into_iter().filter(|_| rng.u8(..10) < 4).collect();
        if knobs.contains(&Knob::ConstantRandom) {
            // Random numbers distinguish histories: without randomness, backups are outside the guarantees.
            knobs.retain(|knob| *knob != Knob::Backups);
        }
        let style = |rng: &mut Rng| match rng.u8(..4) {
            0 => Style::Offset,
            1 => Style::Keyset,
            2 => Style::Since,
            _ => Style::Feed,
        };
        let styles = [style(&mut rng), style(&mut rng)];
        let rotation = ROTATIONS[rng.usize(..ROTATIONS.len())];
        let page_size = [1, 2, 3, 7, 20][rng.usize(..5)];
        let records = [0, 3, 12, 30, 60][rng.usize(..5)];
        let length = rng.usize(20..120);
        let mut plan = Plan { seed, knobs, styles, rotation, page_size, records, actions: Vec::new() };
        for _ in 0..length {
            let pause = [0, 1, 10, 100, 1000, 20_000, 300_000][rng.usize(..7)];
            let action = plan.action(&mut rng);
            plan.actions.push((pause, action));
        }
        plan
    }

    pub(crate) fn has(&self, knob: Knob) -> bool {
        self.knobs.contains(&knob)
    }

    fn action(&self, rng: &mut Rng) -> Action {
        let connection = rng.usize(..CONNECTIONS);
        loop {
            let action = match rng.u8(..110) {
                0..18 => Action::Source { connection, writes: rng.u8(1..8) },
                18..38 => {
                    let engine = if self.has(Knob::TwoEngines) { rng.usize(..2) } else { 0 };
                    let (full, clear) = (rng.u8(..4) == 0, rng.u8(..16) == 0);
                    Action::Run { connection, engine, full: full || clear, clear }
                }
                38..60 => Action::Consume(rng.usize(..CONSUMERS)),
                60..65 => Action::Webhook { connection, engine: rng.usize(..2), pick: rng.u8(..) },
                65..72 => Action::Crash { after: rng.u32(0..60) },
                72..75 => Action::Cancel,
                75..79 => Action::Prune { connection, percent: rng.u8(..=100), payloads: rng.u8(..4) == 0 },
                79..81 => {
                    const DAY: i64 = 86_400_000;
                    let offset_ms = match rng.u8(..12) {
                        0 | 1 => 0,
                        // Together less than the jump of a year that the log refuses.
                        2 | 3 => -rng.i64(0..150 * DAY),
                        4 | 5 => rng.i64(0..150 * DAY),
                        6 => rng.i64(400 * DAY..900 * DAY),
                        _ => rng.i64(-5000..5000),
                    };
                    let sleep = Action::Sleep { days: rng.u16(400..900), dies: rng.u8(..4) != 0 };
                    let asleep = rng.u8(..8) == 0;
                    if asleep { sleep } else { Action::Clock { offset_ms } }
                }
                81..83 => Action::Backup,
                83..85 => Action::Restore,
                85..86 => Action::ForgeCursors { connection },
                86..87 if self.has(Knob::ClockJumps) && self.has(Knob::BadReceivers) && rng.bool() => Action::Outage,
                86..87 => Action::Welcome,
                87..90 => Action::Narrow { connection, narrow: rng.bool() },
                90..92 => Action::ForgetFeed { connection },
                92..93 => Action::StoreFault(Fault::Busy),
                93..94 => Action::StoreFault(Fault::Full),
                94..96 => Action::StoreFault(if rng.bool() { Fault::UnknownDone } else { Fault::UnknownLost }),
                96..102 => {
                    use Toggle::{Clear, Connect, Disable, Disconnect, Enable, Erase, Follow, Pause, Resume};
                    let toggles = [
                        Disable, Disable, Clear, Enable, Enable, Enable, Pause, Resume, Disconnect, Erase, Connect,
                        Connect, Connect,
                    ];
                    let toggle = match toggles[rng.usize(..toggles.len())] {
                        Enable if self.has(Knob::Integrations) && rng.bool() => Follow,
                        toggle => toggle,
                    };
                    Action::Toggle { connection, engine: rng.usize(..2), toggle }
                }
                102..105 => {
                    use SignInEvent::{Again, EndAccess, Revoke, RotateKeys};
                    let what = [EndAccess, EndAccess, Again, Revoke, RotateKeys][rng.usize(..5)];
                    Action::SignIn { connection, what }
                }
                105..109 => {
                    use Endpoint::{Clear, Delete, Disable, Enable, Erase, Slow};
                    let toggles = [Enable, Enable, Enable, Slow, Disable, Disable, Clear, Delete, Erase];
                    let toggle = toggles[rng.usize(..toggles.len())];
                    Action::Endpoint { engine: rng.usize(..2), toggle }
                }
                _ => Action::Webhook { connection, engine: rng.usize(..2), pick: rng.u8(..) },
            };
            if action.knob().is_none_or(|knob| self.has(knob)) {
                return action;
            }
        }
    }

    /// Smaller plans, the greatest reductions first.
    pub(crate) fn smaller(&self) -> Vec<Plan> {
        let mut plans = Vec::new();
        let mut size = self.actions.len() / 2;
        while size > 0 {
            for begin in (0..self.actions.len()).step_by(size) {
                let mut plan = self.clone();
                plan.actions.drain(begin..(begin + size).min(self.actions.len()));
                plans.push(plan);
            }
            size /= 2;
        }
        for knob in &self.knobs {
            let mut plan = self.clone();
            plan.knobs.retain(|known| known != knob);
            // What only happens with the knob goes with it: the end of a simulation puts right what the knobs may have done.
            plan.actions.retain(|(_, action)| action.knob() != Some(*knob));
            plans.push(plan);
        }
        if self.records > 3 {
            plans.push(Plan { records: self.records / 2, ..self.clone() });
        }
        plans
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}, styles {:?}, refresh tokens rotate: {:?}, {} records in pages of {}, knobs {:?}",
            self.seed, self.styles, self.rotation, self.records, self.page_size, self.knobs
        )?;
        for (pause, action) in &self.actions {
            writeln!(f, "  +{pause} ms {action:?}")?;
        }
        Ok(())
    }
}
