//! Named readers, as the store serves them.

use std::time::Duration;

use highwater_core::{ConsumerCommand, ConsumerReply, ConsumerStatus, PollOptions, Result, Seek, Store, Timestamp};

use super::super::model::{MAX_ATTEMPTS, MAX_BACKOFF_MS, MAX_EXPIRATIONS, Model, Paged, Refusal, consumer_name, id_of};
use super::super::steps::{Poll, To};
use super::compare::{p10_page_is_the_models, p25_consumer_answer, p32_refused};
use super::{System, open_only, stream};
use crate::rig::wait;
use crate::subject::Subject;

impl<S: Subject> System<S> {
    pub(super) fn poll(&mut self, poll: &Poll, expected: &std::result::Result<(Paged, u32), Refusal>) {
        let lease = Duration::from_millis(poll.lease_ms);
        let mut options = PollOptions::default()
            .limit(poll.limit)
            .lease(lease)
            .max_attempts(MAX_ATTEMPTS)
            .max_expirations(MAX_EXPIRATIONS)
            .backoff(Duration::from_millis(poll.backoff_ms), Duration::from_millis(MAX_BACKOFF_MS));
        if poll.open_only {
            options = options.matching(open_only());
        }
        match (self.say(poll.stream, poll.name, ConsumerCommand::Poll(options)), expected) {
            (Ok(ConsumerReply::Delivery(delivery)), Ok((page, attempt))) => {
                assert_eq!(delivery.attempt, *attempt, "p21: how often it was delivered");
                p10_page_is_the_models(Ok(delivery.page), &Ok(page.clone()), false);
                self.leases.push(delivery.token);
            }
            (reply, Err(refusal)) => p32_refused(reply.map(drop), refusal),
            (reply, Ok(_)) => panic!("p21: the poll should have delivered: {reply:?}"),
        }
    }

    pub(super) fn acknowledge(
        &mut self,
        model: &Model,
        selector: usize,
        good: bool,
        expected: &std::result::Result<u64, Refusal>,
    ) {
        let place = model.lease(selector);
        let (lease, token) = (model.leases[place], self.leases[place]);
        let command = if good { ConsumerCommand::Ack(token) } else { ConsumerCommand::Nack(token) };
        p25_consumer_answer(self.say(lease.stream, lease.name, command).map(drop), expected);
    }

    pub(super) fn seek(
        &mut self,
        model: &Model,
        (place, name): (usize, usize),
        to: To,
        filtered: bool,
        expected: &std::result::Result<u64, Refusal>,
    ) {
        let to = match to {
            To::Start => Seek::Start,
            To::End => Seek::End,
            To::Token(selector) => Seek::Cursor(self.given[model.token(selector).0].cursor),
            To::LastMs(last_ms) => Seek::Time(Timestamp::from_unix_ms(model.now_ms.saturating_sub(last_ms))),
        };
        let command = if filtered { ConsumerCommand::SeekMatching(to, open_only()) } else { ConsumerCommand::Seek(to) };
        p25_consumer_answer(self.say(place, name, command).map(drop), expected);
    }

    pub(super) fn unpark(&self, place: usize, name: usize, expected: &std::result::Result<Vec<usize>, Refusal>) {
        match (self.say(place, name, ConsumerCommand::Unpark), expected) {
            (Ok(ConsumerReply::Parked(ids)), Ok(expected)) => {
                let ids: Vec<usize> = ids.iter().map(|id| id_of(id)).collect();
                assert_eq!(&ids, expected, "p21: what was set aside");
            }
            (reply, Err(refusal)) => p32_refused(reply.map(drop), refusal),
            (reply, Ok(_)) => panic!("p21: the list should have been given: {reply:?}"),
        }
    }

    pub(super) fn say(&self, place: usize, name: usize, command: ConsumerCommand) -> Result<ConsumerReply> {
        wait(self.rig.store().consumer_command(&stream(place), consumer_name(name), command))
    }

    /// A consumer's status.
    pub(crate) fn status(&self, place: usize, name: usize) -> ConsumerStatus {
        match self.say(place, name, ConsumerCommand::Status) {
            Ok(ConsumerReply::Status(status)) => status,
            reply => panic!("p25: the consumer is known: {reply:?}"),
        }
    }
}
