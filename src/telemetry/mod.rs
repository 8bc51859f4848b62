//! What operators see: logs.
