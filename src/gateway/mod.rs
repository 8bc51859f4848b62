//! The straight line from a request to its answer.
