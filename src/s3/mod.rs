//! What S3 is: addresses, operations, permissions, errors. Pure: no I/O.

pub mod checksum;
mod context;
mod copy_source;
mod described;
pub mod error;
pub mod headers;
pub mod multi_delete;
pub mod operation;
mod permit;
pub mod profile;
mod public;
mod target;
#[cfg(test)]
mod tests;
mod xml_text;

pub use self::{
    context::{Arrival, RequestContext},
    copy_source::CopySource,
    described::Described,
    error::{ErrorCode, S3Error},
    operation::Call,
    permit::{DeletePermit, Permit, Subject, authorize, authorize_delete, may_see_bucket},
    public::refuse_public,
    target::{Place, PublicHosts, Target},
};
