//! The faults: what an API does, in which requests, and what a run must do in response.

use highwater_core::ErrorKind;

use super::subject::Subject;

/// What the hostile API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    /// A status with headers and a body instead of the answer. `{now+N}` in a header is the server's Unix time in N seconds,
    /// `{date+N}` the same as an HTTP date.
    Answer(u16, &'static [(&'static str, &'static str)], &'static str),
    /// The sound answer's body with another status.
    Restatus(u16),
    /// An answer of the subject's own: how it reports a rate limit.
    LimitTold,
    /// An answer of the subject's own: how it reports an expired token.
    TokenEndTold,
    /// The API's answer to the secret: it repeats it.
    EchoSecret,
    /// The request has its effect, and no answer comes.
    Lost,
    /// Half the body.
    Truncated,
    /// The first page of a list says that it is the last.
    Capped { told: bool },
    /// Every page after the first is the first one again.
    Repeats,
    /// The first page's records again, under a new cursor each time.
    EverNew,
    /// An empty page between two others.
    EmptyPage,
    /// Each page begins with the last record of the previous one.
    Duplicates,
    /// All records changed at one time.
    Ties,
    /// The same resource at another place of the API.
    Redirect(u16),
    /// A redirect to itself.
    RedirectLoop,
    /// A redirect without a target, with an empty list as its body.
    RedirectNowhere(u16),
    /// A redirect to a stranger.
    RedirectAway(u16),
    /// How the next page's URL is written.
    Links(LinkForm),
    /// A record that cannot be saved, beside the sound ones.
    Poison(Poison),
    /// Members of every record or of the page change.
    Drift(Drift),
    /// The list is a string: `{"data": "maintenance"}`.
    ListIsText,
    /// The correct page, with errors beside it (GraphQL).
    PartialErrors,
    /// The engine's clock is wrong by this many seconds, and the API limits once.
    Skew(i64),
    /// A coding, a charset or a break of the connection: over a real socket.
    Wire(Wire),
}

/// How a link to the next page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkForm {
    /// `/path?query`
    Path,
    /// `?query`
    Query,
    /// `last-segment?query`
    Segment,
    /// In a `Link` header behind other links, with quoted parameters that hold `<`, `>`, `,` and `;`.
    Quoted,
}

/// What is wrong with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poison {
    IdNull,
    IdMissing,
    Surrogate,
    NotAnObject,
    Time,
}

/// How answers change without notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drift {
    IdVanishes,
    IdChangesType,
    TimeVanishes,
    ListVanishes,
    ListChangesType,
}

/// What only a socket shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// `Content-Encoding` in this spelling, over gzip.
    Gzip(&'static str),
    /// Twice gzip: `gzip, gzip`.
    GzipTwice,
    /// A gzip header over a plain body.
    NoGzip,
    /// No body under `Content-Encoding: gzip`, with this status; 0 keeps the status of an answer that has no body anyway.
    GzipEmpty(u16),
    /// An unknown coding.
    UnknownCoding,
    /// A UTF-8 byte-order mark.
    Mark,
    /// UTF-16 with its mark, and declared.
    Utf16,
    /// ISO 8859-1, declared.
    Latin1,
    /// The connection ends in the middle of the body.
    CutBody,
    /// A header line of 70 KiB.
    LongHeader,
}

/// Which requests of a run the fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// All.
    Every,
    /// This many in a row: in one trial from the first request on, in others from the middle one and from the last one.
    Some(u32),
}

/// What a run must achieve under the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// It succeeds, with every record.
    Bear,
    /// It succeeds with every valid record, or reports that it is incomplete.
    SetAside,
    /// It succeeds with every record, or fails and names the cause.
    Name,
    /// The fault is undetectable: only the delete guard protects the records.
    Guard,
}

/// The longest waits for rate limits of one request, with a margin.
const LONGEST_S: u64 = 2 * 3600;

/// The same if the API asks for three seconds.
const LONGEST_OF_SKEW_S: u64 = 600;

/// A misbehaviour of an API, and what a run must do in response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) source: &'static str,
    pub(super) switch: Switch,
    pub(super) reach: Reach,
    pub(super) duty: Duty,
    /// Kinds that the error of a failed run may have.
    pub(super) kinds: &'static [ErrorKind],
    /// Words that describe the fault: the error must contain one of them.
    pub(super) words: &'static [&'static str],
    /// The wait that the answer asks for, in seconds.
    pub(super) wait_s: u64,
    /// The longest that a run may take in virtual time, in seconds.
    pub(super) longest_s: u64,
}

impl Fault {
    pub(super) const fn new(name: &'static str, about: &'static str, switch: Switch) -> Self {
        Fault {
            name,
            about,
            source: "",
            switch,
            reach: Reach::Every,
            duty: Duty::Bear,
            kinds: &[ErrorKind::Remote],
            words: &[],
            wait_s: 0,
            longest_s: if matches!(switch, Switch::Skew(_)) { LONGEST_OF_SKEW_S } else { LONGEST_S },
        }
    }

    pub(super) const fn source(mut self, url: &'static str) -> Self {
        self.source = url;
        self
    }

    pub(super) const fn some(mut self, requests: u32) -> Self {
        self.reach = Reach::Some(requests);
        self
    }

    pub(super) const fn waits(mut self, seconds: u64) -> Self {
        self.wait_s = seconds;
        self
    }

    /// The run may fail, with one of these words.
    pub(super) const fn names(mut self, words: &'static [&'static str]) -> Self {
        self.duty = Duty::Name;
        self.words = words;
        self
    }

    pub(super) const fn kinds(mut self, kinds: &'static [ErrorKind]) -> Self {
        self.kinds = kinds;
        self
    }

    pub(super) const fn owes(mut self, duty: Duty) -> Self {
        self.duty = duty;
        self
    }

    /// Returns the name, such as `redirect-loop`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns what the API does, in one line.
    pub fn about(&self) -> &'static str {
        self.about
    }

    /// Returns the URL at which this behaviour is documented or reported.
    pub fn source_url(&self) -> &'static str {
        self.source
    }

    /// Whether runs under the fault may delete however much is missing. If records are set aside, or the fault is undetectable,
    /// the guard of deletes is part of what is tried.
    pub(super) fn approves_deletes(&self) -> bool {
        !matches!(self.duty, Duty::Guard | Duty::SetAside) && !matches!(self.switch, Switch::Drift(_))
    }

    /// The fault as `subject` meets it.
    pub(super) fn met_by(&self, subject: &Subject) -> Self {
        let mut fault = *self;
        if !subject.has_own_limits {
            return fault;
        }
        let no_list = matches!(self.switch, Switch::Answer(200, _, "{}" | "") | Switch::Wire(Wire::GzipEmpty(200)))
            || self.name == "200-error";
        match self.switch {
            Switch::Answer(429, ..) if self.reach == Reach::Every => {
                fault.kinds = &[ErrorKind::RateLimited, ErrorKind::Remote, ErrorKind::TimedOut];
                fault.words = &["429", "limit", "time limit"];
                // As long as a run may take.
                fault.longest_s = 25 * 3600;
            }
            // A status that is passed over means that there is nothing.
            Switch::Answer(403, ..) => {
                fault.duty = Duty::Guard;
                fault.kinds = &[ErrorKind::Unauthorized, ErrorKind::Remote];
                fault.words = &["403"];
            }
            // So does an answer without the list; a record without an id has another one.
            _ if no_list => fault.duty = Duty::Guard,
            Switch::Drift(_) => fault.duty = Duty::Guard,
            _ => {}
        }
        fault
    }

    /// Whether the API is one whose records all changed at one time.
    pub(super) fn ties(&self) -> bool {
        self.switch == Switch::Ties
    }

    /// Why the fault has no place in an API where it never took hold.
    pub(super) fn reason(&self) -> &'static str {
        match self.switch {
            Switch::Answer(304, ..) => "every request carries a validator",
            Switch::Answer(403, _, body) if body.contains("secondary") => "the API has no secondary rate limits",
            Switch::EchoSecret => "the requests carry no secret",
            Switch::LimitTold => "the API reports limits by status",
            Switch::TokenEndTold => "the API reports an expired token by status",
            Switch::Capped { told: true } => "the API cannot report an incomplete list",
            Switch::Ties => "changes have no time, or always distinct times",
            Switch::PartialErrors => "no GraphQL",
            Switch::Links(LinkForm::Quoted) => "no Link header",
            Switch::Links(_) => "pages have no URLs",
            Switch::EverNew | Switch::EmptyPage => "pages have no cursors",
            Switch::Drift(Drift::ListVanishes) => "the API omits empty lists",
            Switch::Poison(Poison::Time) | Switch::Drift(Drift::TimeVanishes) => {
                "the template reads no time from records"
            }
            Switch::Poison(Poison::Surrogate) => "no JSON list of records, or only a list of names",
            Switch::Poison(_) | Switch::Drift(_) | Switch::ListIsText => "no JSON list of records",
            Switch::Capped { .. } | Switch::Repeats | Switch::Duplicates => "no JSON list of several pages",
            Switch::Wire(Wire::GzipEmpty(0)) => "no request carries a validator",
            _ => "no answer can carry it",
        }
    }
}

/// A choice of faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub(super) Vec<Fault>);

impl Faults {
    /// Chooses every fault.
    pub fn all() -> Self {
        Faults(super::catalogue::ALL.to_vec())
    }

    /// Chooses the fault `name`, and those whose names begin with `name-`.
    pub fn named(name: &str) -> Self {
        let begins =
            |fault: &&Fault| fault.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        Faults(super::catalogue::ALL.iter().filter(begins).copied().collect())
    }

    /// Returns the faults in order.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// Returns how many faults there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is no fault.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
