//! The gateway in process, before fake neighbours on real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    unreachable_pub,
    reason = "a test that cannot go on fails"
)]

mod admin;
mod audit;
mod audit_operations;
mod audit_outages;
mod audit_strangers;
mod bodies;
mod canary;
mod certificate_rotation;
mod certificates;
mod clock_jumps;
mod decisions;
#[cfg(feature = "demo")]
mod demo;
mod forms;
mod header_signatures;
mod http2;
mod http2_talk;
mod identity_edits;
mod isolation;
mod ldap;
mod ldap_sessions;
mod limits;
mod metrics;
mod names;
mod operators;
mod overload;
mod panics;
mod policies;
mod presigned_urls;
mod rates;
mod reload;
mod revocation;
mod roles;
mod shared_revocation;
mod stopping;
mod storage_endpoints;
mod storage_failures;
mod structure;
mod sts;
mod support;
mod token_shapes;
mod traces;
mod vectors;
mod web_identity;
mod web_identity_outages;
mod web_identity_tokens;
mod webhook;
