//! What operators see: logs.

pub mod log;
