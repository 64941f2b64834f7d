//! Webhooks: receiving and verifying a provider's, and sending signed ones, delivered at least once.

mod of_integration;
pub(crate) mod outbox;
mod receive;
mod signature;
mod verify;

pub use highwater_template::webhooks::{WebhookRecipient, WebhookScheme};

pub use crate::documents::{Destination, OutboxRow, WebhookFormat};
pub use of_integration::ReceivedEvent;
pub(crate) use of_integration::forwarded_prefix;
pub use outbox::{BackgroundDelivery, DeliveryReport, Outbox, TestDelivery};
pub use receive::{ReceivedWebhook, WEBHOOK_SECRETS};
pub use signature::{SIGNATURE_TOLERANCE, VerifiedWebhook, verify, verify_hex};
pub use verify::verify_webhook;
