//! Renewing leases.

use std::time::Duration;

use highwater_core::{ConsumerCommand, ConsumerReply, Delivery, ErrorKind, PollOptions, Result};

use crate::rig::Rig;
use crate::subject::Subject;

/// A slow reader keeps its lease for as long as it renews it, and no longer; a lost or released lease cannot be renewed.
pub fn p25_a_lease_is_kept_by_renewing_it<S: Subject>() {
    let mut rig = Rig::<S>::new();
    rig.save_all(0..6, 1);
    let options = PollOptions::default().limit(2).lease(Duration::from_secs(5));
    let poll = |rig: &Rig<S>| -> Result<Delivery> {
        match rig.consumer("copy", ConsumerCommand::Poll(options.clone()))? {
            ConsumerReply::Delivery(delivery) => Ok(delivery),
            other => panic!("{other:?}"),
        }
    };
    let renew = |rig: &Rig<S>, token| rig.consumer("copy", ConsumerCommand::Renew(token)).map(drop);
    let slow = poll(&rig).unwrap();
    for _ in 0..4 {
        rig.environment.step_ms(4000);
        renew(&rig, slow.token).unwrap();
        assert_eq!(poll(&rig).unwrap_err().kind(), ErrorKind::LeaseLost, "it is held");
    }
    if S::REOPENS {
        rig.reopen();
        assert_eq!(poll(&rig).unwrap_err().kind(), ErrorKind::LeaseLost, "also by what the file says");
    }
    rig.ack("copy", slow.token).unwrap();
    assert_eq!(renew(&rig, slow.token).unwrap_err().kind(), ErrorKind::LeaseLost, "it was given back");
    let dead = poll(&rig).unwrap();
    // Late, but no other reader took over.
    rig.environment.step_ms(5001);
    renew(&rig, dead.token).unwrap();
    rig.environment.step_ms(5001);
    let taken = poll(&rig).unwrap();
    assert_eq!(renew(&rig, dead.token).unwrap_err().kind(), ErrorKind::LeaseLost, "another has it");
    renew(&rig, taken.token).unwrap();
    assert_eq!(rig.consumer("nobody", ConsumerCommand::Renew(taken.token)).unwrap_err().kind(), ErrorKind::NotFound);
    rig.ack("copy", taken.token).unwrap();
    // Of the delivery whose lease ran out each record comes by itself.
    assert_eq!(rig.status("copy").lag, 3);
}
