//! The gateway in process, before fake neighbours on real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    unreachable_pub,
    reason = "a test that cannot go on fails"
)]

mod bodies;
mod decisions;
mod forms;
mod header_signatures;
mod http2;
mod isolation;
mod ldap;
mod limits;
mod names;
mod policies;
mod presigned_urls;
mod roles;
mod structure;
mod sts;
mod support;
mod vectors;
