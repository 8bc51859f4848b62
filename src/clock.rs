//! Time as a value. Nothing else in the crate asks the operating system what time it is.

use std::{
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use time::{
    OffsetDateTime, PrimitiveDateTime,
    format_description::{BorrowedFormatItem, well_known::Rfc2822, well_known::Rfc3339},
    macros::format_description,
};

/// A point in time in whole seconds since the Unix epoch, UTC: the resolution of every SigV4 and STS date.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub struct Timestamp(i64);

impl From<i64> for Timestamp {
    fn from(seconds: i64) -> Self {
        Self::from_unix(seconds)
    }
}

impl From<Timestamp> for i64 {
    fn from(at: Timestamp) -> Self {
        at.0
    }
}

/// `YYYYMMDDTHHMMSSZ`, the form of `X-Amz-Date`.
const AMZ_DATE: &[BorrowedFormatItem<'static>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// The last second of the year 9999, the end of what the wire formats can write.
const MAX_UNIX: i64 = 253_402_300_799;

impl Timestamp {
    /// Seconds outside the years 1970 to 9999 are brought to the nearest end, so that every value can be written.
    pub const fn from_unix(seconds: i64) -> Self {
        match seconds {
            ..0 => Self(0),
            0..=MAX_UNIX => Self(seconds),
            _ => Self(MAX_UNIX),
        }
    }

    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Reads `YYYYMMDDTHHMMSSZ` and nothing else (SigV4, `X-Amz-Date`).
    pub fn parse_amz_date(text: &str) -> Option<Self> {
        // The `time` parser would take a sign before the year.
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_digit() || b == b'T' || b == b'Z') {
            return None;
        }
        let parsed = PrimitiveDateTime::parse(text, AMZ_DATE).ok()?;
        Self::in_range(parsed.assume_utc())
    }

    /// Reads the `Date` header's form (RFC 9110 IMF-fixdate), which SigV4 allows in place of `x-amz-date`.
    pub fn parse_http_date(text: &str) -> Option<Self> {
        Self::in_range(OffsetDateTime::parse(text, &Rfc2822).ok()?)
    }

    /// Reads RFC 3339, as POST policies and XML bodies write dates.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        Self::in_range(OffsetDateTime::parse(text, &Rfc3339).ok()?)
    }

    /// `YYYYMMDDTHHMMSSZ`.
    pub fn amz_date(self) -> String {
        let at = self.to_offset();
        let mut text = String::with_capacity(16);
        // Written on every request, so without a format description.
        let mut push = |value: u32, places: u32| {
            for place in (0..places).rev() {
                text.push(char::from_digit(value / 10_u32.pow(place) % 10, 10).unwrap_or('0'));
            }
        };
        push(at.year().unsigned_abs(), 4);
        push(u8::from(at.month()).into(), 2);
        push(at.day().into(), 2);
        push(at.hour().into(), 2);
        push(at.minute().into(), 2);
        push(at.second().into(), 2);
        text.insert(8, 'T');
        text.push('Z');
        text
    }

    /// `YYYYMMDD`, the date of a credential scope.
    pub fn scope_date(self) -> String {
        let mut date = self.amz_date();
        date.truncate(8);
        date
    }

    /// The day in UTC, as a number: what scope dates are equal by.
    pub fn day(self) -> i64 {
        self.0.div_euclid(86_400)
    }

    /// `2026-11-23T18:26:00Z`.
    pub fn rfc3339(self) -> String {
        self.to_offset().format(&Rfc3339).unwrap_or_default()
    }

    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self::from_unix(self.0.saturating_add(seconds))
    }

    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self::from_unix(self.0.saturating_sub(seconds))
    }

    /// How far two times lie apart, whichever is first.
    pub fn distance(self, other: Self) -> Duration {
        Duration::from_secs(self.0.abs_diff(other.0))
    }

    pub fn system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.0.unsigned_abs())
    }

    fn in_range(at: OffsetDateTime) -> Option<Self> {
        let unix = at.unix_timestamp();
        (0..=MAX_UNIX).contains(&unix).then_some(Self(unix))
    }

    fn to_offset(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// Where the time comes from: the system in production, a hand-turned clock in tests.
pub trait Clock: Send + Sync + fmt::Debug {
    fn now(&self) -> Timestamp;

    /// Since some beginning, always the same one, and never backwards: what rates are measured by.
    fn monotonic(&self) -> Duration;
}

#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix(i64::try_from(since_epoch.as_secs()).unwrap_or(MAX_UNIX))
    }

    fn monotonic(&self) -> Duration {
        static BEGINNING: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGINNING.elapsed()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn at(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.unix()))
    }

    pub fn set(&self, to: Timestamp) {
        self.0.store(to.unix(), Ordering::SeqCst);
    }

    pub fn advance(&self, by: Duration) {
        self.set(self.now().plus(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.now().unix().unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amz_date_is_read_and_written_unchanged() {
        let at = Timestamp::parse_amz_date("20130524T000000Z").unwrap();
        assert_eq!(at.unix(), 1_369_353_600);
        assert_eq!(at.amz_date(), "20130524T000000Z");
        assert_eq!(at.scope_date(), "20130524");
        assert_eq!(at.rfc3339(), "2013-05-24T00:00:00Z");
    }

    #[test]
    fn other_spellings_of_an_amz_date_are_refused() {
        for odd in [
            "",
            "20130524",
            "20130524T000000",
            "2013-05-24T00:00:00Z",
            "+0130524T000000Z",
            "20130524t000000z",
            "20131324T000000Z",
            "20130524T000060Z",
        ] {
            assert_eq!(Timestamp::parse_amz_date(odd), None, "{odd}");
        }
    }

    #[test]
    fn the_date_header_is_read_in_its_http_form() {
        let at = Timestamp::parse_http_date("Fri, 24 May 2013 00:00:00 GMT").unwrap();
        assert_eq!(at.unix(), 1_369_353_600);
    }
}
