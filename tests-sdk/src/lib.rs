//! Tests of Daypass with the AWS SDK for Rust live in `tests/`.
