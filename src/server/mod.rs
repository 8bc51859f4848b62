//! The listener: connections, TLS, limits, timeouts, drain.
