//! What S3 is: addresses, operations, permissions, errors. Pure: no I/O.

pub mod checksum;
mod copy_source;
pub mod error;
pub mod headers;
pub mod multi_delete;
pub mod operation;
mod permit;
pub mod profile;
mod target;
#[cfg(test)]
mod tests;

pub use self::{
    copy_source::CopySource,
    error::{ErrorCode, S3Error},
    operation::Call,
    permit::{DeletePermit, Permission, Permit, Subject, authorize, authorize_delete},
    target::{Place, PublicHosts, Target},
};
