//! What every broker does, written once over the traits and run on each engine: those in the process on the paused clock, the
//! others on the real one, where waiting takes a little longer than on paper and no upper bound in time is asserted.
//!
//! What an engine cannot do is in its capabilities, and is asserted to answer `Unsupported`.

mod acks;
mod dead_letters;
mod engines;
mod flow;
mod kit;
mod listening;
mod members;
mod polling;
mod pushing;
mod retention;
mod run;
mod seeking;
mod subscribing;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

macro_rules! cases {
    ($($module:ident { $($case:ident)* })*) => {
        /// All cases on one engine.
        fn on<E: engines::Engine>() -> Vec<Trial> {
            vec![$($(run::trial::<E, _>(
                concat!(stringify!($module), "::", stringify!($case)),
                $module::$case,
            ),)*)*]
        }
    };
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most of what runs on the real clock waits most of the time.
    arguments.test_threads.get_or_insert(16);
    let mut trials = Vec::new();
    // Those that take longest first.
    #[cfg(feature = "nats")]
    trials.extend(on::<engines::nats::Nats>());
    #[cfg(feature = "kafka")]
    trials.extend(on::<engines::kafka::Mock>());
    #[cfg(feature = "kafka")]
    if engines::kafka::brokers().is_some() {
        trials.extend(on::<engines::kafka::Real>());
    }
    trials.extend(on::<engines::Memory>());
    trials.extend(on::<engines::Boxed>());
    #[cfg(feature = "durable")]
    trials.extend(on::<engines::Durable>());
    trials.push(run::on_threads(
        "memory::listening::order_holds_on_threads",
        listening::order_holds_on_threads,
    ));
    let conclusion = libtest_mimic::run(&arguments, trials);
    #[cfg(feature = "nats")]
    engines::nats::stop();
    conclusion.exit_code()
}

cases! {
    pushing {
        a_record_comes_back_as_it_was
        a_partition_keeps_the_order
        a_key_keeps_its_partition
        a_record_may_name_its_partition
        what_cannot_be_stored_comes_back
        topics_that_cannot_be_are_refused
        many_are_pushed_at_once
        a_producer_is_a_sink
        what_is_synced_is_stored
    }
    polling {
        every_group_gets_every_record
        a_poll_returns_when_there_is_something
        a_poll_takes_no_more_than_it_may
        a_poll_for_nothing_returns_at_once
        a_busy_partition_starves_none
        a_busy_topic_starves_none
        a_cancelled_poll_loses_nothing
        a_consumer_is_a_stream
        batches_are_acknowledged_from_beside
        a_closed_consumer_says_so
    }
    subscribing {
        a_subscription_replaces_the_one_before
        topics_are_added_and_removed
        what_was_read_stays_read
        an_unknown_topic_changes_nothing
        subscribing_commits_nothing
        a_group_begins_where_it_is_told
    }
    seeking {
        to_the_ends_and_to_an_offset
        to_a_time
        refusals_name_what_is_wrong
        what_was_delivered_before_is_fenced
    }
    acks {
        the_committed_offset_waits_for_the_oldest
        commit_is_for_everything_delivered
        commit_to_is_for_everything_before
        what_was_never_delivered_is_not_committed
        what_is_in_other_hands_is_fenced
        silence_is_answered_with_another_attempt
        a_late_acknowledgement_is_a_success
        what_is_in_work_is_extended
        a_failure_is_delivered_again
        a_failure_rests_as_long_as_it_is_told
        keys_stay_in_order_across_redelivery
        an_ordered_key_waits_for_its_acknowledgement
        an_ordered_member_takes_over_from_one_that_was_not
    }
    dead_letters {
        the_last_failure_goes_to_the_dead_letters
        silence_is_a_failure_too
        without_dead_letters_a_record_is_given_up
    }
    members {
        members_share_the_partitions
        joining_hands_over_without_duplicates
        joining_waits_for_what_is_in_hand
        who_leaves_is_replaced
        who_is_dropped_is_replaced
        who_stalls_is_replaced_and_fenced
        signs_of_life_keep_a_member
        a_wait_in_a_poll_keeps_a_member
        more_members_than_partitions
    }
    flow {
        what_is_in_flight_is_bounded_and_visible
        a_partition_pauses_and_resumes
        lag_position_and_committed_add_up
    }
    retention {
        by_count
        by_bytes
        by_age
        a_full_topic_waits_for_its_groups
        a_full_topic_refuses
    }
    listening {
        partitions_keep_their_order
        keys_keep_their_order
        panics_and_errors_are_delivered_again
        no_more_is_taken_than_there_are_hands
        a_long_handler_keeps_its_member
        a_slow_handler_is_extended
        stopping_gives_back_what_is_left
        a_failed_key_is_held_back_where_order_is_asked_for
    }
}
