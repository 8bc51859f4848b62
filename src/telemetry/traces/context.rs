//! W3C Trace Context (<https://www.w3.org/TR/trace-context/>): `traceparent` and `tracestate`.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The least of a vendor's state that everybody must pass on, and the most that we do (3.3.1.5).
const MAX_STATE: usize = 512;
/// `00-` trace id `-` parent id `-` flags.
const LENGTH: usize = 55;
const SAMPLED: u8 = 1;

/// Of one trace; never all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub(super) [u8; 16]);

/// Of one span; never all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanId(pub(super) [u8; 8]);

/// What a caller says of its trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Incoming {
    pub(super) trace_id: TraceId,
    pub(super) parent: SpanId,
    pub(super) is_sampled: bool,
    pub(super) state: Option<HeaderValue>,
}

impl Incoming {
    /// `None`: there is none, or none that may be used; then a caller has no trace (3.2.2.5).
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        let mut this = Self::parse(value.as_bytes())?;
        let mut states = headers.get_all(TRACESTATE).iter();
        this.state = match (states.next(), states.next()) {
            (Some(state), None) if state.len() <= MAX_STATE && is_printable(state.as_bytes()) => {
                Some(state.clone())
            }
            _ => None,
        };
        Some(this)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(LENGTH)?;
        let [a, b, b'-', ids @ .., c, d] = known else { return None };
        let version = hex_byte(*a, *b)?;
        // A later version may say more behind another dash; this one may not.
        let is_fine = match version {
            0 => more.is_empty(),
            0xff => false,
            _ => more.first().is_none_or(|next| *next == b'-'),
        };
        if !is_fine {
            return None;
        }
        let (trace, rest) = ids.split_at_checked(32)?;
        let [b'-', parent @ .., b'-'] = rest else { return None };
        let trace_id = hex::<16>(trace)?;
        let parent = hex::<8>(parent)?;
        if trace_id == [0; 16] || parent == [0; 8] {
            return None;
        }
        let is_sampled = hex_byte(*c, *d)? & SAMPLED != 0;
        Some(Self { trace_id: TraceId(trace_id), parent: SpanId(parent), is_sampled, state: None })
    }
}

/// What the next one is told.
pub(super) fn traceparent(trace: TraceId, parent: SpanId, is_sampled: bool) -> String {
    format!("00-{trace}-{parent}-{:02x}", u8::from(is_sampled))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn is_printable(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| (b' '..=b'~').contains(byte))
}

/// Lower case alone, as the standard has it.
fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |character: u8| match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    };
    Some((digit(high)? << 4) | digit(low)?)
}

fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    let mut bytes = [0; N];
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = hex_byte(*high, *low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(values: &[&str]) -> Option<Incoming> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        Incoming::read(&headers)
    }

    #[test]
    fn a_traceparent_is_read_as_the_standard_has_it_and_written_alike() {
        let read = read(&[GOOD]).unwrap();
        assert!(read.is_sampled);
        assert_eq!(traceparent(read.trace_id, read.parent, true), GOOD);
    }

    #[test]
    fn one_that_is_not_as_the_standard_has_it_is_none() {
        let wrong = [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.more",
        ];
        for value in wrong {
            assert_eq!(read(&[value]), None, "{value}");
        }
        assert_eq!(read(&[]), None);
        assert_eq!(read(&[GOOD, GOOD]), None, "two of them");
    }

    #[test]
    fn a_later_version_may_say_more() {
        let later = read(&["cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-what-comes"]).unwrap();
        assert!(!later.is_sampled);
    }

    #[test]
    fn a_state_goes_along_when_it_is_short_and_printable() {
        let state = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, HeaderValue::from_static(GOOD));
            for value in values {
                headers.append(TRACESTATE, HeaderValue::from_bytes(value).unwrap());
            }
            Incoming::read(&headers).unwrap().state
        };
        assert_eq!(state(&[b"vendor=1"]).unwrap(), "vendor=1");
        assert_eq!(state(&[&[b'a'; 513]]), None);
        assert_eq!(state(&[b"a=\xff"]), None);
        assert_eq!(state(&[b"a=1", b"b=2"]), None);
    }
}
