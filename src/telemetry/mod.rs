//! What operators see: logs.

mod line_layer;
mod lines;
pub mod log;
pub mod metrics;
pub mod panics;

pub use self::lines::Lines;
