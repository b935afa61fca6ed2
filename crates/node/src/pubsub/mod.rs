//! Channels: who listens, and how a message gets to everybody in one order.

pub mod delivery;
pub mod hub;
mod outbox;
pub mod subscriptions;
#[cfg(test)]
mod tests;

pub use delivery::{Delivery, Source};
pub use hub::Hub;
pub use outbox::{Outbox, Posted};
pub use subscriptions::Subscriptions;
