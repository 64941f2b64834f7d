//! Records of about 1 KB, the same in every run: issues of a tracker, as such an API would send them.

use std::fmt::Write as _;
use std::str::FromStr;

use bytes::Bytes;

/// How the ids of the records come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    /// UUIDs of version 7: they ascend with time.
    Time,
    /// UUIDs of version 4: no order at all.
    Random,
}

impl FromStr for Ids {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Ids::Time, Ids::Random].into_iter().find(|ids| ids.name() == text).ok_or("time or random")
    }
}

impl Ids {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Ids::Time => "time",
            Ids::Random => "random",
        }
    }
}

const WORDS: [&str; 48] = [
    "the",
    "a",
    "when",
    "after",
    "cellar",
    "pump",
    "tide",
    "sensor",
    "gauge",
    "reads",
    "wrong",
    "value",
    "on",
    "start",
    "restart",
    "because",
    "of",
    "cache",
    "expected",
    "to",
    "see",
    "nothing",
    "but",
    "got",
    "timeout",
    "error",
    "water",
    "level",
    "export",
    "import",
    "of",
    "large",
    "files",
    "fails",
    "with",
    "retry",
    "and",
    "it",
    "works",
    "again",
    "sometimes",
    "please",
    "look",
    "into",
    "this",
    "naïve",
    "Zürich",
    "日本",
];
const LABELS: [&str; 8] = ["bug", "docs", "help wanted", "question", "good first issue", "wontfix", "perf", "api"];

/// The id of a record.
pub(crate) fn id(ids: Ids, number: u64) -> String {
    let (high, low) = match ids {
        Ids::Time => (((1_790_000_000_000 + number) << 16) | 0x7000 | (mix(number) & 0xfff), mix(number ^ 0x5eed)),
        Ids::Random => ((mix(number) & !0xf000) | 0x4000, mix(number ^ 0x5eed)),
    };
    let low = (low & !(3 << 62)) | (1 << 63);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}

/// A record as the API sends it; another version differs in its comments, time and text.
pub(crate) fn record(ids: Ids, number: u64, version: u64) -> Bytes {
    let mut random = Random(mix(number.wrapping_mul(31)));
    let mut out = String::with_capacity(1400);
    let id = id(ids, number);
    let user = random.below(5000);
    let state = if random.below(4) == 0 { "closed" } else { "open" };
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        r#"{{"url":"https://api.tracker.example/repos/acme/pump/issues/{number}","id":"{id}","number":{number},"title":""#
    );
    words(&mut out, &mut random, 7);
    let _ = write!(
        out,
        r#"","user":{{"login":"user-{user}","id":{},"avatar_url":"https://avatars.tracker.example/u/{user}?v=4","type":"User","site_admin":false}},"labels":["#,
        1_000_000 + user * 37
    );
    for place in 0..random.below(4) {
        let label = random.below(8);
        let comma = if place > 0 { "," } else { "" };
        let _ = write!(
            out,
            r#"{comma}{{"id":{},"name":"{}","color":"{:06x}","default":{}}}"#,
            label * 7919,
            LABELS[label as usize],
            mix(label) & 0xff_ffff,
            label < 2
        );
    }
    let (day, second) = (random.below(28) + 1, random.below(60));
    let _ = write!(
        out,
        r#"],"state":"{state}","locked":false,"assignee":null,"milestone":null,"comments":{},"score":{}.{},"created_at":"2025-03-{day:02}T10:{second:02}:00Z","updated_at":"2025-04-{day:02}T11:{second:02}:{:02}Z","closed_at":null,"author_association":"CONTRIBUTOR","reactions":{{"total_count":{},"+1":{},"-1":0,"heart":0,"eyes":1}},"body":""#,
        random.below(90) + version,
        random.below(100),
        random.below(100),
        version % 60,
        random.below(40),
        random.below(20)
    );
    if version > 0 {
        let _ = write!(out, "edit {version}: ");
    }
    for line in 0..4 {
        if line > 0 {
            out.push_str(r"\n");
        }
        words(&mut out, &mut random, 12 + line);
    }
    out.push_str(r#""}"#);
    Bytes::from(out)
}

fn words(out: &mut String, random: &mut Random, count: u64) {
    for place in 0..count {
        if place > 0 {
            out.push(' ');
        }
        out.push_str(WORDS[random.below(WORDS.len() as u64) as usize]);
    }
}

/// A pseudo-random sequence (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0) % limit
    }
}

fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
