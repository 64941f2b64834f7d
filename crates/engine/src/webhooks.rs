//! Webhooks: receiving and verifying a provider's, and sending signed ones, delivered at least once.

pub(crate) mod outbox;
mod receive;
mod signature;
mod verify;

pub use highwater_template::webhooks::{WebhookRecipient, WebhookScheme};

pub use crate::documents::{Destination, OutboxRow, WebhookFormat};
pub use outbox::{BackgroundDelivery, DeliveryReport, Outbox, TestDelivery};
pub use receive::{ReceivedEvent, ReceivedWebhook, WEBHOOK_SECRETS};
pub(crate) use receive::{Seen, TRIES, bucket_of, is_usable};
pub use signature::{SIGNATURE_TOLERANCE, VerifiedWebhook, verify, verify_hex};
pub use verify::verify_webhook;
pub(crate) use verify::{Content, content};
