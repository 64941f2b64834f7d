//! Times, numbers and states in words.

use std::time::Duration;

use highwater_core::{Timestamp, printable};
use highwater_engine::connections::{ConnectionHealth, SignInReason};
use highwater_engine::runs::RunState;
use highwater_engine::syncs::SyncState;
use highwater_engine::{Phase, Schedule};
use maud::{Markup, html};

/// The look of a state. Each has a colour, a shape and a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Running,
    Well,
    Waits,
    Failed,
    Off,
}

impl Look {
    fn class(self) -> &'static str {
        match self {
            Look::Running => "running",
            Look::Well => "well",
            Look::Waits => "waits",
            Look::Failed => "failed",
            Look::Off => "off",
        }
    }
}

/// A state: its shape and its word.
pub(super) fn state(look: Look, word: &str) -> Markup {
    html! { span.state.(look.class()) { span.shape aria-hidden="true" {} (word) } }
}

pub(super) fn of_sync(sync: &SyncState) -> Markup {
    let failed = sync.status.last_error.is_some();
    let (look, word) = match sync.phase {
        Phase::Running => (Look::Running, "running"),
        Phase::Queued => (Look::Running, "queued"),
        Phase::NeedsSignIn => (Look::Failed, "needs sign-in"),
        Phase::NeedsSetting => (Look::Waits, "needs a setting"),
        Phase::Paused => (Look::Off, "paused"),
        Phase::Offline => (Look::Waits, "offline"),
        Phase::Disabled => (Look::Off, "off"),
        _ if sync.status.parked_run.is_some() => (Look::Waits, "deletes held"),
        _ if failed => (Look::Failed, "failed"),
        Phase::Ended => (Look::Off, "ended"),
        _ if sync.has_synced => (Look::Well, "well"),
        _ => (Look::Waits, "due"),
    };
    state(look, word)
}

pub(super) fn of_run(run: RunState) -> Markup {
    let (look, word) = match run {
        RunState::Queued => (Look::Waits, "queued"),
        RunState::Running => (Look::Running, "running"),
        RunState::Success => (Look::Well, "succeeded"),
        RunState::Error => (Look::Failed, "failed"),
        RunState::Cancelled => (Look::Off, "cancelled"),
        RunState::TimedOut => (Look::Failed, "timed out"),
        RunState::AwaitingApproval => (Look::Waits, "awaits approval"),
        _ => (Look::Off, "unknown"),
    };
    state(look, word)
}

pub(super) fn of_health(health: &ConnectionHealth) -> Markup {
    let (look, word) = match health {
        ConnectionHealth::Ok => (Look::Well, "well"),
        ConnectionHealth::Expiring { .. } => (Look::Waits, "expiring"),
        ConnectionHealth::NeedsSignIn { .. } => (Look::Failed, "needs sign-in"),
        ConnectionHealth::Revoked { .. } => (Look::Failed, "revoked"),
        _ => (Look::Off, "unknown"),
    };
    state(look, word)
}

/// Says why a connection is not well, as a sentence.
pub(super) fn why(health: &ConnectionHealth) -> &'static str {
    match health {
        ConnectionHealth::NeedsSignIn { reason, .. } => match reason {
            SignInReason::NoCredentials => "It has no credentials.",
            SignInReason::Refused => "The API refused its credentials.",
            SignInReason::Expired => "Its access token has expired, and nothing renews it.",
            SignInReason::RefreshRefused => "The API no longer renews its access token.",
            SignInReason::Unreadable => "Its stored credentials cannot be read.",
            _ => "Somebody has to sign in again.",
        },
        ConnectionHealth::Revoked { .. } => "The access was withdrawn.",
        ConnectionHealth::Expiring { .. } => "Its access token ends soon, and nothing renews it.",
        _ => "Nothing is known to be wrong.",
    }
}

/// A time, relative to now, with the exact one on hover.
pub(super) fn when(at: Timestamp, now: Timestamp) -> Markup {
    let exact = at.to_string();
    let words = if at <= now {
        let past = now.duration_since(at);
        if past < Duration::from_secs(5) { "just now".to_owned() } else { format!("{} ago", length(past)) }
    } else {
        format!("in {}", length(at.duration_since(now)))
    };
    html! { time datetime=(exact) title=(exact) { (words) } }
}

/// The same, for a time that may be missing.
pub(super) fn when_or(at: Option<Timestamp>, now: Timestamp, otherwise: &str) -> Markup {
    match at {
        Some(at) => when(at, now),
        None => html! { span.quiet { (otherwise) } },
    }
}

/// A length of time with its unit, in at most three digits.
pub(super) fn length(time: Duration) -> String {
    let ms = time.as_millis();
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{ms} ms"),
        1..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

pub(super) fn schedule(schedule: &Schedule) -> String {
    match schedule {
        Schedule::Every(interval) => format!("every {}", length(*interval)),
        Schedule::Cron(expression) => format!("{expression} (UTC)"),
        _ => "by a schedule".to_owned(),
    }
}

/// A number with its thousands apart: `12,345`.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 record`, `2 records`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

pub(super) fn bytes(bytes: u64) -> String {
    let (mut whole, mut tenth) = (bytes, 0);
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if whole < 1024 {
            return if unit == "B" || whole >= 10 {
                format!("{whole} {unit}")
            } else {
                format!("{whole}.{tenth} {unit}")
            };
        }
        tenth = whole % 1024 * 10 / 1024;
        whole /= 1024;
    }
    format!("{} TiB", number(whole))
}

/// Text of others at most so long, with control characters made visible.
pub(super) fn cut(text: &str, most: usize) -> String {
    let short: String = text.chars().take(most).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{}{more}", printable(&short))
}

/// An id: its middle is left out where it is long, and there on hover and to be copied.
pub(super) fn id(text: &str) -> Markup {
    let letters: Vec<char> = text.chars().collect();
    let shown = match letters.len() {
        0..=24 => text.to_owned(),
        length => {
            let begin: String = letters.iter().take(12).collect();
            let end: String = letters.iter().skip(length - 8).collect();
            format!("{begin}…{end}")
        }
    };
    html! { code title=(printable(text)) { (printable(&shown)) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_have_units() {
        for (value, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(value), text);
        }
        for (value, text) in [(1023, "1023 B"), (1536, "1.5 KiB"), (20 << 20, "20 MiB"), (3 << 40, "3 TiB")] {
            assert_eq!(bytes(value), text);
        }
        for (ms, text) in
            [(7, "7 ms"), (61_000, "61 s"), (3_600_000, "60 min"), (86_400_000, "24 h"), (864_000_000, "10 days")]
        {
            assert_eq!(length(Duration::from_millis(ms)), text);
        }
        assert_eq!(cut("a\u{202e}bcd", 3), "a\\u{202e}b…");
    }
}
