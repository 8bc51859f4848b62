//! A binary that sends no spans.

use super::{Ended, Settings, Trace, TracesError};

/// There is none.
pub(super) enum Exporter {}

impl Exporter {
    pub(super) fn open(_: &Settings) -> Result<Self, TracesError> {
        Err(TracesError::NotBuilt)
    }

    pub(super) fn sample(&self) -> u64 {
        match *self {}
    }

    pub(super) fn send(&self, _: &Trace, _: &Ended<'_>) {
        match *self {}
    }

    pub(super) fn close(&self) {
        match *self {}
    }
}
