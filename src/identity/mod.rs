//! Who was proven.
