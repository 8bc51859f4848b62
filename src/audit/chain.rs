//! The chain: each line holds the hash of the line before it and its own.
//!
//! A line is `{… "chainID":"…","sequence":7,"previousHash":"…" …,"hash":"…"}`, and its hash is the SHA-256 of all its bytes
//! before `,"hash":`.

use std::io::Write as _;

use aws_lc_rs::{
    error::Unspecified,
    rand::{SecureRandom, SystemRandom},
};
use serde::Deserialize;

use super::json::Json;
use crate::digest::sha256_hex;

const HASH: &[u8] = b",\"hash\":\"";
const END: &[u8] = b"\"}";
const DIGITS: usize = 64;

/// Where a chain stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) id: String,
    /// Of the last line; 0: there is none yet.
    pub(super) sequence: u64,
    /// Of the last line, in hexadecimal digits; before the first line zeros.
    pub(super) hash: String,
}

impl Chain {
    /// With a random id.
    pub(super) fn begin(random: &SystemRandom) -> Result<Self, Unspecified> {
        let mut id = [0; 16];
        random.fill(&mut id)?;
        Ok(Self { id: hex::encode(id), sequence: 0, hash: "0".repeat(DIGITS) })
    }

    /// Adds a line with its line break.
    pub(super) fn append(&mut self, buffer: &mut Vec<u8>, members: impl FnOnce(&mut Json<'_>)) {
        let begins = buffer.len();
        // A file whose last line has the greatest number is not taken.
        self.sequence = self.sequence.saturating_add(1);
        Json::new(buffer).braces(|json| {
            json.string("chainID", &self.id);
            json.number("sequence", self.sequence);
            json.string("previousHash", &self.hash);
            members(json);
        });
        // The brace stands behind the hash.
        buffer.pop();
        self.hash = sha256_hex(buffer.get(begins..).unwrap_or_default());
        let _ = buffer.write_all(HASH).and_then(|()| buffer.write_all(self.hash.as_bytes()));
        buffer.extend_from_slice(END);
        buffer.push(b'\n');
    }
}

/// A line whose own hash holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    #[serde(rename = "chainID")]
    pub(super) chain_id: String,
    pub(super) sequence: u64,
    pub(super) previous_hash: String,
    #[serde(skip)]
    pub(super) hash: String,
    pub(super) event_time: String,
    pub(super) event_name: String,
    #[serde(default)]
    pub(super) additional_event_data: Additional,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Additional {
    /// Of `AuditLoss`.
    pub(super) lost_events: u64,
    /// Of `AuditSummary`.
    pub(super) gathered_events: u64,
}

/// Why something is no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoLine {
    #[error("it is no line of an audit log")]
    Foreign,
    #[error("its own hash is wrong: the line was changed")]
    Changed,
}

impl Line {
    /// Reads a line without its line break.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, NoLine> {
        let tail = HASH.len() + DIGITS + END.len();
        let at = bytes.len().checked_sub(tail).ok_or(NoLine::Foreign)?;
        let (covered, rest) = bytes.split_at(at);
        let hash = rest.strip_prefix(HASH).and_then(|rest| rest.strip_suffix(END)).ok_or(NoLine::Foreign)?;
        let own = sha256_hex(covered);
        if own.as_bytes() != hash {
            return Err(NoLine::Changed);
        }
        let mut line: Self = serde_json::from_slice(bytes).map_err(|_| NoLine::Foreign)?;
        line.hash = own;
        Ok(line)
    }

    /// The chain that this line is the last one of.
    pub(super) fn chain(self) -> Chain {
        Chain { id: self.chain_id, sequence: self.sequence, hash: self.hash }
    }
}
