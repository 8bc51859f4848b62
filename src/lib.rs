//! Daypass gives any S3 storage temporary credentials: it answers STS, verifies SigV4 on every request, decides by IAM
//! policies, re-signs with the backend's root keys and streams on.
//!
//! `ARCHITECTURE.md` follows one request through these modules.

pub mod admin_client;
pub mod app;
pub mod arn;
pub mod audit;
pub mod backend;
pub mod clock;
pub mod config;
pub mod credentials;
#[cfg(feature = "demo")]
pub mod demo;
mod digest;
pub mod excerpt;
pub mod explain;
pub mod gateway;
pub mod health;
pub mod iam;
pub mod identity;
pub mod lint;
pub mod online;
pub mod outbound_tls;
pub mod rate;
pub mod revoke;
pub mod s3;
pub mod secret;
pub mod server;
pub mod sigv4;
pub mod sts;
pub mod telemetry;
