//! What operators see: logs.

mod lines;
pub mod log;

pub use self::lines::Lines;
