//! The storage behind the gateway: a request is built from a [`Permit`](crate::s3::Permit), signed with the root keys, sent,
//! and its reply made fit for a client.

pub mod body;
mod client;
mod connector;
mod endpoint;
pub mod error_reply;
mod forward;
pub mod owner;
mod plan;
pub mod upload;

pub use self::{
    client::{ExchangeError, Progress, Timeouts},
    endpoint::{Endpoint, Known, RetryBudget},
    forward::{Backend, Outgoing, Settings},
};
