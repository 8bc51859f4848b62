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
    Date, Month, OffsetDateTime,
    format_description::well_known::{Rfc2822, Rfc3339},
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
        let [y1, y2, y3, y4, mo1, mo2, d1, d2, b'T', h1, h2, mi1, mi2, s1, s2, b'Z'] =
            *text.as_bytes().as_array()?
        else {
            return None;
        };
        let two = |tens: u8, ones: u8| {
            (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + (ones - b'0'))
        };
        let year = i32::from(two(y1, y2)?) * 100 + i32::from(two(y3, y4)?);
        let month = Month::try_from(two(mo1, mo2)?).ok()?;
        let day = Date::from_calendar_date(year, month, two(d1, d2)?).ok()?;
        let at = day.with_hms(two(h1, h2)?, two(mi1, mi2)?, two(s1, s2)?).ok()?;
        Self::in_range(at.assume_utc())
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
        self.written(*b"00000000T000000Z")
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
        self.written(*b"0000-00-00T00:00:00Z")
    }

    /// A form with the digits of the time in place of its zeros. Dates are written on every request, so without a format
    /// description.
    fn written<const LENGTH: usize>(self, mut form: [u8; LENGTH]) -> String {
        let at = self.to_offset();
        let (year, month, day) = at.to_calendar_date();
        let (hour, minute, second) = at.to_hms();
        let part = |value: i32| u8::try_from(value).unwrap_or_default();
        let parts = [part(year / 100), part(year % 100), month.into(), day, hour, minute, second];
        let mut digits = parts.into_iter().flat_map(|part| [b'0' + part / 10 % 10, b'0' + part % 10]);
        for place in form.iter_mut().filter(|place| **place == b'0') {
            *place = digits.next().unwrap_or(b'0');
        }
        std::str::from_utf8(&form).unwrap_or_default().to_owned()
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
            "20130524T240000Z",
            "20130229T000000Z",
            "20130500T000000Z",
            "19691231T235959Z",
            "2013052:T000000Z",
            "20130524T00000 Z",
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
