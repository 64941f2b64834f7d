//! Rules that a test build can break on purpose, one at a time, to prove that the suite notices.
//!
//! Without the `mutants` feature every `mutant!` is the constant `false`. With it, the environment
//! variable `HIGHWATER_MUTANT` names the rule to break; `cargo xtask mutants` breaks them all in turn.

/// A rule that can be broken.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its name.
    pub name: &'static str,
    /// The property whose tests are expected to notice: the beginning of their names.
    pub property: &'static str,
    /// What is done instead of the right thing.
    pub instead: &'static str,
}

const fn rule(name: &'static str, property: &'static str, instead: &'static str) -> Mutant {
    Mutant { name, property, instead }
}

/// Every rule that can be broken, wherever it lives.
pub const ALL: &[Mutant] = &[
    rule("page-inclusive", "p10", "a page begins at its cursor, not behind it"),
    rule("allocate-before-lock", "p03", "positions follow the high water of before the write lock was taken"),
    rule("allocator-unseeded", "p03", "an opening mints from nothing, not from the stored high water"),
    rule("allocate-equal-only", "p03", "only an equal millisecond is a tie, not a clock that went back"),
    rule("leap-guard-gone", "p03", "positions are minted by a clock that leapt years ahead"),
    rule(
        "leap-guard-from-last-position",
        "p03",
        "a year without a change, or in a drawer, counts as a leap of the clock",
    ),
    rule("clock-witness-ignored", "p03", "a clock is believed that another one contradicts"),
    rule("high-water-second-transaction", "p10", "a page's end is read from a second snapshot"),
    rule("prune-keeps-horizon", "p24", "tombstones are pruned and the horizon stays"),
    rule("horizon-off-by-one", "p24", "the cursor just behind the horizon is still good"),
    rule("ack-before-handler", "p21", "a poll acknowledges what it delivers"),
    rule("filtered-next-last-match", "p15", "a filtered page ends at its last match"),
    rule("readd-keeps-birth", "p19", "a deleted record that returns goes on with its old life"),
    rule("delete-without-completion", "p26", "an aborted or overtaken run deletes what it did not see"),
    rule("run-start-ignored", "p26", "a run deletes what was written after it began"),
    rule("marks-not-persisted", "p26", "what a run saw is forgotten by a restart"),
    rule("hash-number-text", "p34", "numbers are compared as they are written"),
    rule("tag-without-variant", "p32", "a cursor serves every variant of its model"),
    rule("notify-before-commit", "p22", "readers are woken before there is something to see"),
    rule("checkpoint-own-transaction", "p29", "documents are committed before the records of their batch"),
    rule("sled-no-flush", "p30", "sled's commit returns before it is on disk"),
    rule("sled-log-kept", "p24_what_was_erased", "sled's compaction leaves the log as it is"),
    rule("moved-unnoticed", "p30_a_moved", "a file that was removed or replaced while it is open takes commits"),
    rule(
        "overwritten-unnoticed",
        "p30_a_backup",
        "a file that a backup was copied over while it is open takes commits",
    ),
    rule("raw-open", "p30_a_second", "SQLite's file is opened and closed beside SQLite, which gives up its locks"),
    rule("index-own-transaction", "p29", "rows are committed before the stream's end and counters"),
    rule("epoch-not-updated", "p32", "the end of a write epoch stays at its first commit"),
    // Beyond the twenty of the specification: rules that were wrong once, or nearly.
    rule("fence-unchecked", "p28", "a superseded lease may write"),
    rule("expectation-unchecked", "p28", "a document is replaced though somebody changed it meanwhile"),
    rule("freshness-fence-ignored", "p28", "a page undoes what another origin wrote since it was asked for"),
    rule(
        "pruned-comes-back",
        "p28",
        "a page brings back what another origin deleted since, once the tombstone is pruned",
    ),
    rule("source-version-ignored", "p28", "an older version of the source replaces a newer one"),
    rule("tombstone-unversioned", "p28", "a tombstone forgets the version that its record was deleted at"),
    rule("second-delete-unversioned", "p28", "a delete of what is deleted already leaves its version as it was"),
    rule("guard-ignored", "p26", "a run deletes any number of records"),
    rule(
        "empty-run-unnoticed",
        "p26",
        "a run that met nothing passes for one that did, if somebody else wrote meanwhile",
    ),
    rule("prune-passes-consumers", "p24", "a prune does not look at named consumers"),
    rule("payload-horizon-ignored", "p24", "a reader behind pruned payloads is not told"),
    rule("filter-blind-to-pruned", "p24", "a reader of metadata with a filter is not told of pruned payloads"),
    rule("stale-lease-accepted", "p25", "who lost a lease may still acknowledge"),
    rule("returned-lease-renewed", "p25", "a lease that was given back can be renewed"),
    rule("left-not-told", "p18", "a record that stops matching a filter is passed over"),
    rule(
        "untold-left-behind",
        "p21",
        "a named reader that dies with what it stored is not told what of that left its filter",
    ),
    rule(
        "told-before-a-clear",
        "p21",
        "a named reader that never acknowledged goes on after a clear with what it stored before",
    ),
    rule("idle-end-without-epoch", "p32", "an equal ULID of another history counts as the stream's end"),
    rule("others-unseen", "p22", "a poll at the end asks nobody whether another handle or process committed"),
    rule("others-unnoticed", "p22", "a commit of ours hides those that others made before it"),
    rule("rebase-remembered", "p31", "cursors known before a rebase of the clock stay good"),
    rule("drain-expires", "p24", "a reading from START expires in the middle, below the horizon"),
    rule(
        "prune-expires-drains",
        "p24",
        "a named reader in the middle of its first reading expires by a prune that stopped at it",
    ),
    rule("epoch-survives-rebase", "p31", "a handle goes on in an epoch whose positions another gave up"),
    rule("uncommitted-remembered", "p29", "where rows of a failed batch stood is remembered"),
    rule("history-horizon-ignored", "p24", "a view of the past is given though part of it was not kept"),
    rule("versions-outlive-tombstone", "p24", "versions of a record stay though its tombstone was pruned"),
    rule("prune-keeps-surplus-history", "p24", "a prune leaves more versions than are to be kept, and older ones"),
    rule("history-by-positions-ahead", "p24", "versions are old by positions that are ahead of the clock"),
    rule("aside-outlives-tombstone", "p24", "what was set aside of a record stays though its tombstone was pruned"),
    rule("parked-outlives-record", "p24", "named readers keep the ids of records whose tombstones were pruned"),
    rule("pruned-payload-stays-away", "p24", "a payload that was pruned and comes again is not stored"),
    rule("page-bytes-ignored", "p11", "a page ends by its count of records alone"),
    rule("no-record-fits", "p11", "a page ends before its first record, when that alone is too large"),
    rule("hashes-of-other-rules", "p34", "content is compared by hashes that were made under other rules"),
    rule("text-versions-equal", "p28", "of versions that are texts none is older"),
    rule("kinds-of-versions-compare", "p28", "a version that is a number is older than every text"),
    rule("own-writes-kept", "p28", "a page does not replace what its own sync wrote since it was asked for"),
    rule("runs-by-id-alone", "p26", "a run that is begun anew under its old id has seen what another handle remembers"),
    rule("quarantine-unseen", "p26", "a record that could not be read counts as gone"),
    rule("unidentified-uncounted", "p26", "records without an id leave no doubt what is missing"),
    rule("quarantine-unbounded", "p26", "everything that is set aside is kept for ever"),
    rule("quarantine-by-beginning", "p26", "records whose long ids begin alike take each other's place in quarantine"),
    rule("quarantine-without-stream", "p26", "a stream whose first batch was all bad gets another number later"),
    rule("ack-goes-back", "p21", "an acknowledgement counts even if it is behind an earlier one"),
    rule("poison-delivered", "p21", "a record that fails again and again is delivered again and again"),
    rule("whole-batch-set-aside", "p21", "a batch that fails stays as large, and its first record is set aside"),
    rule("expiration-is-a-nack", "p21", "a reader that dies counts against the record as one that refuses it"),
    rule("nack-without-backoff", "p21", "what was refused is delivered again at once"),
    rule("parked-for-ever", "p21", "a record that was set aside stays so, also once it was acknowledged"),
    rule("parked-counts-as-held", "p21", "a record that was set aside counts as held by the reader that never got it"),
    rule("parked-unbounded", "p21", "a reader that fails at everything sets everything aside"),
    rule("unpark-forgets", "p21", "records that are taken back are not delivered"),
    rule("any-filter-taken", "p18", "a filter that nothing can match reads empty pages"),
    rule("left-untracked", "p18", "of what a record was nothing is kept, so nothing has left a filter"),
    rule("left-without-having-matched", "p18", "a record that never matched a filter is told to have left it"),
    rule("left-with-payload", "p18", "a record that left a filter comes with its content"),
    rule(
        "pruned-matches-nothing",
        "p18",
        "a record whose payload was pruned is not told to a new reader of its filter",
    ),
    rule("lag-from-the-start", "p25", "a reader lags behind by everything there ever was"),
    rule("filter-not-fixed", "p18", "a named reader takes any filter at any poll"),
    rule(
        "unfiltered-start",
        "p18",
        "a reader that was sent somewhere before its first poll keeps a cursor without filter",
    ),
    rule("removed-lease-revived", "p25", "a consumer that was removed and made again honours leases of before"),
    rule(
        "time-ends-eviction",
        "p25",
        "an evicted reader that is sent to a time begins at the start and keeps its copy",
    ),
    rule("wrong-clock-lease", "p25", "a lease that a wrong clock gave holds until that time comes"),
    // Runs of the engine.
    rule("live-lease-ignored", "h49", "a run begins while another process's run is alive"),
    rule("resume-as-new", "h39", "an interrupted refresh goes on at its checkpoint as a run that has seen nothing"),
    rule(
        "opened-late",
        "h40",
        "a refresh opens with its first page, and deletes what a webhook wrote while that was asked for",
    ),
    rule("asked-unnoted", "p28", "a page of a run undoes what a webhook wrote since it was asked for"),
    rule("event-forgotten", "incoming", "an event that comes again is taken again"),
    rule("pause-keeps-lease", "pause", "a paused sync's run in another process may go on writing"),
    rule("strikes-hide-from-guard", "h38", "absences that are let pass do not count for the guard"),
    rule("unverified-deletes", "missing", "missing records are deleted without a look"),
    rule("begin-without-expectation", "h49", "two processes that saw the same lease both begin"),
    rule("early-checkpoint-dropped", "h51", "a forgotten checkpoint stays for the next run"),
    rule("clear-before-commit", "emptied", "the streams are emptied before the commit that begins the run"),
    rule("clear-unfenced", "p24_a_batch", "who lost the lease may still empty a stream"),
    rule(
        "credential-without-origin",
        "bound_credentials",
        "a template of another provider gets the connection's credentials",
    ),
    rule("exit-unredacted", "redaction", "errors leave the engine with the secrets that the API echoed"),
    rule("call-unopened", "cut_off", "an action leaves no trace before it has ended"),
    rule("incomplete-is-complete", "incomplete", "a run that did not see everything deletes what it did not see"),
    rule("set-aside-deletes", "set_aside", "a run that could not save a record deletes what it did not see"),
    // News of runs, and their deliveries.
    rule("summary-of-one-batch", "p29_a_summary", "a summary has what its last batch did alone"),
    rule("account-unnamed", "told", "a run tells nothing of the accounts that it opened itself"),
    rule("draft-told-by-its-run-alone", "told", "what a dead process had to tell is told by nobody"),
    rule("draft-stays", "told", "what was told is told again at the next look"),
    rule("two-deliver", "delivers", "a process delivers though another does"),
    rule("rest-forgotten", "pause", "a receiver's pause is known to whoever was asked for it alone"),
    rule("row-ids-by-chance", "rows_of_the_same", "a row takes the place of another whose id it was given"),
    rule("answers-are-read", "eight_receivers", "what a receiver answers behind its status is read to the end"),
    rule("names-lead-anywhere", "destination", "a destination's name may lead into the host's own network"),
    rule("never-due-is-now", "a_schedule", "a sync whose schedule has ended is due without pause"),
    rule("destination-translated-address", "destination", "an IPv6 address that carries a private IPv4 one is public"),
    rule("quiet-follows-clock", "a_pause", "a pause that the API asked for lasts longer when the clock is set back"),
    rule("far-times-kept", "ahead", "what a clock that was ahead put off waits until then"),
    // Opening.
    rule("key-on-plain-store", "p40", "a key that is given for a plain store is taken, and needed from then on"),
    rule("missing-key-unnoticed", "p40", "a store opens without a key that payloads of a change under way need"),
    rule("codec-left-behind", "p40", "a handle goes on to write with a key that the store was moved away from"),
    rule("read-only-writes", "p41", "a store that is open for reading only can be written to"),
    // Answers of an API.
    rule("redirect-is-success", "followed", "a redirect that cannot be followed counts as a success"),
    rule("write-becomes-read", "an_action", "an action that is redirected by 301 reads something and counts as done"),
    rule("unasked-unchanged", "unasked", "an answer \"not modified\" that nobody asked for is an empty page"),
    rule("unreadable-is-offline", "arrived", "an answer that cannot be read counts as none"),
];

/// Whether the named rule is broken in this process.
#[cfg(feature = "mutants")]
pub fn active(name: &str) -> bool {
    use std::sync::OnceLock;
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("HIGHWATER_MUTANT").ok()).as_deref() == Some(name)
}

/// Whether the named rule is broken in this process: never, in a build without the feature.
macro_rules! mutant {
    ($name:literal) => {{
        #[cfg(feature = "mutants")]
        {
            $crate::mutants::active($name)
        }
        #[cfg(not(feature = "mutants"))]
        {
            false
        }
    }};
}
pub(crate) use mutant;
