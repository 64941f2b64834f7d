//! A delivery that only tries whether a destination can be reached.

use highwater_core::Result;
use highwater_core::RunId;
use serde::Serialize;
use serde_json::json;

use super::Outbox;
use super::deliver::Verdict;
use crate::documents::OutboxRow;

/// What became of a test delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TestDelivery {
    /// Whether the receiver accepted it.
    pub accepted: bool,
    /// Why it did not.
    pub error: Option<String>,
}

impl Outbox {
    /// Sends a delivery of the type `test` to a destination, signed as others are, once and at once. Nothing is queued, and the
    /// destination's other deliveries stay as they are.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](highwater_core::ErrorKind::NotFound) for an unknown destination, and those of the store. A receiver
    /// that fails is no error: see [`TestDelivery`].
    pub async fn test(&self, destination: &str) -> Result<TestDelivery> {
        let destination = self.destination(destination).await?;
        let now = self.parts.environment.now();
        let mut random = [0; 16];
        self.parts.environment.fill_random(&mut random);
        let id = RunId::new(now, u128::from_le_bytes(random)).to_string();
        let body = json!({ "from": destination.format.sender(), "type": "test" }).to_string();
        let error = match self.send(&destination, &OutboxRow::new(id, body, now)).await {
            Verdict::Accepted => None,
            Verdict::Gone => Some("the receiver answered 410: it wants no deliveries".to_owned()),
            Verdict::Failed { error, .. } => Some(error),
        };
        Ok(TestDelivery { accepted: error.is_none(), error })
    }
}
