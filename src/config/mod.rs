//! The configuration file: read, checked whole, every problem at once.
