//! What operators see: logs, metrics, traces.

mod line_layer;
mod lines;
pub mod log;
pub mod metrics;
pub mod panics;
pub mod traces;

pub use self::lines::Lines;
