//! The test kit that every Highwater store must pass. Exempt from semantic versioning.
//!
//! A store joins with one type and one macro:
//!
//! ```
//! use std::sync::Arc;
//! use highwater_conformance::{Subject, conformance_tests};
//! use highwater_core::{MemoryBackend, Result, Store, StoreOptions, Threaded};
//!
//! /// A store in memory. Each handle to the backend shows the same data, so it can be reopened.
//! #[derive(Default)]
//! struct InMemory(MemoryBackend);
//!
//! impl Subject for InMemory {
//!     fn new() -> Self {
//!         InMemory::default()
//!     }
//!
//!     fn open(&self, options: StoreOptions) -> Result<Arc<dyn Store>> {
//!         Ok(Arc::new(Threaded::open(self.0.clone(), options)?))
//!     }
//!
//!     fn image(&self) -> Option<Self> {
//!         Some(InMemory(self.0.backup()))
//!     }
//! }
//!
//! conformance_tests!(InMemory);
//! # fn main() { highwater_conformance::check_all::<InMemory>(); }
//! ```
//!
//! The macro makes one `#[test]` per property, named after it, and one that runs a state machine:
//! random histories of writes, reads, restarts, crashes, restored backups, clones and clock
//! jumps, each step compared with a model of a store that was written from the specification.
//! Runs 24 histories by default; `PROPTEST_CASES` sets another number.
//!
//! Each function of [`cases`] is one property, and its documentation says what it checks. `docs/guarantees.md` lists which test
//! proves what, `docs/write-a-store.md` shows how to write a store.
#![deny(missing_docs, clippy::missing_errors_doc)]

pub mod cases;
mod environment;
mod machine;
mod rig;
mod script;
mod subject;

pub use environment::{Randomness, TestEnvironment};
pub use machine::state_machine;
pub use rig::Rig;
pub use script::transcript;
pub use subject::{MemorySubject, Subject, bytes_below};

#[doc = include_str!("../../../docs/write-a-store.md")]
#[cfg(doctest)]
struct WriteAStore;

#[doc(hidden)]
#[macro_export]
macro_rules! for_each_case {
    ($then:ident, $($before:tt)*) => {
        $crate::$then! { $($before)*
            p01_one_entry_per_record
            p01_without_memory
            p02_unique_total_order
            p03_a_leap_is_refused_until_it_is_accepted
            p03_positions_ascend_whatever_the_clock_does
            p03_time_away_is_no_leap
            p03_two_handles_take_turns
            p04_nothing_arrives_late
            p05_cursors_only_move_forward
            p06_resync_is_silent
            p07_action_truth_table
            p08_metadata_is_coherent
            p09_batch_is_a_sequence
            p10_page_is_a_prefix
            p11_bytes_end_a_page
            p11_pages_concatenate
            p12_same_call_same_answer
            p12_the_past_stays_as_it_was
            p13_no_skip_under_concurrency
            p14_each_position_once
            p15_a_filtered_page_advances
            p16_time_window
            p17_every_cursor_converges
            p18_a_named_reader_keeps_to_its_filter
            p18_content_filter_converges
            p18_filters_on_actions
            p18_filters_that_nothing_matches_are_refused
            p18_only_matched_records_leave
            p18_reading_by_ids
            p19_net_action
            p20_a_stream_never_written_to_says_so
            p20_caught_up_is_true
            p21_an_acknowledgement_never_goes_back
            p21_named_readers_converge_whatever_dies
            p21_a_parked_record_that_changes_comes_again
            p21_deaths_weigh_less_than_refusals
            p21_poison_alone_is_parked
            p21_refused_deliveries_back_off
            p21_seeking_replays
            p21_unacknowledged_is_delivered_again
            p21_parked_records_are_bounded
            p21_unparked_records_are_delivered
            p21_unacknowledged_records_are_reported_when_they_end
            p22_other_handles_wake_too
            p22_wakeups_are_hints
            p24_a_batch_can_clear_first
            p24_a_named_reading_from_start_outlives_prunes
            p24_a_prune_covers_all_of_the_history
            p24_a_pruned_payload_that_comes_again_is_stored
            p24_a_pruned_tombstone_takes_its_versions
            p24_a_reading_from_start_passes_the_horizon
            p24_clear_begins_anew
            p24_history_outlives_a_clock_that_was_ahead
            p24_history_is_kept_as_configured_and_can_be_pruned_alone
            p24_horizon_of_payloads
            p24_horizon_of_tombstones
            p24_prune_stops_at_consumers
            p24_the_past_behind_its_horizon_is_refused
            p24_removed_records_are_parked_nowhere
            p24_erased_content_is_in_no_file
            p25_a_lease_is_kept_by_renewing_it
            p25_a_late_acknowledgement_counts_while_nobody_took_over
            p25_a_removed_consumers_lease_stays_lost
            p25_a_wrong_clock_gives_no_lease_for_years
            p25_an_evicted_reader_gets_an_error
            p25_lag
            p25_leases_fence
            p25_removed_records_are_no_lag
            p26_a_resumed_run_remembers_what_it_saw
            p26_a_restarted_run_has_seen_nothing
            p26_a_run_spares_what_it_saw_and_what_is_new
            p26_a_writer_can_set_records_aside
            p26_an_incomplete_run_deletes_nothing
            p26_each_bad_record_is_set_aside_by_itself
            p26_quarantined_records_count_as_seen
            p26_the_guard_holds_mass_deletes
            p26_unseen_records_can_be_looked_up_first
            p26_set_aside_records_are_bounded
            p27_a_runs_end_is_one
            p28_a_changed_document_is_not_overwritten
            p28_a_delete_outranks_all_that_is_not_newer
            p28_a_delete_that_came_first_is_invisible_to_readers
            p28_a_superseded_lease_writes_nothing
            p28_merging_keeps_fresher_writes
            p28_older_source_versions_are_refused
            p29_a_crash_keeps_what_was_acknowledged
            p29_a_failed_batch_leaves_nothing
            p29_a_summary_equals_the_log
            p30_a_moved_file_is_noticed
            p30_nothing_delivered_is_taken_back
            p31_positions_after_a_crash
            p31_rebase_of_the_clock
            p32_cursor_validation_is_total
            p32_lost_histories_are_noticed
            p33_no_two_ids_are_confused
            p33_streams_are_isolated
            p34_canonical_content
            p34_patches_merge_deeply
            p35_boundary_refetch
            p36_same_script_same_answers
            p37_checksum_is_the_readers
            p38_an_own_write_is_no_change_when_it_returns
            p39_a_page_from_before_an_own_write_does_not_undo_it
            p40_codec_changes_only_where_the_host_says_so
            p40_codec_changes_stop_earlier_handles
            p41_reading_only_writes_nothing
            p42_a_backup_is_the_store_at_one_moment
            p42_a_backup_that_fails_leaves_nothing
            p43_pages_of_one_version_are_equal
        }
    };
}

/// Generates one test per case for a [`Subject`].
#[macro_export]
macro_rules! conformance_tests {
    ($subject:ty) => {
        $crate::for_each_case!(__tests, $subject;);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($subject:ty; $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::cases::$case::<$subject>();
            }
        )*

        #[test]
        fn state_machine() {
            $crate::state_machine::<$subject>();
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __run_all {
    ($subject:ty; $($case:ident)*) => {
        $($crate::cases::$case::<$subject>();)*
    };
}

/// Runs every case except the state machine, for contexts without named tests.
pub fn check_all<S: Subject>() {
    for_each_case!(__run_all, S;);
}
