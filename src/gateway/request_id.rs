//! Request ids: on every reply and every log line.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// Sixteen characters, as AWS's are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestId(u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl RequestId {
    pub(super) fn digits(self) -> [u8; 16] {
        let mut digits = [0; 16];
        let places = (0..u64::BITS).step_by(4).rev();
        for (digit, place) in digits.iter_mut().zip(places) {
            *digit = *b"0123456789ABCDEF".get((self.0 >> place & 0xf) as usize).unwrap_or(&b'0');
        }
        digits
    }

    pub(super) fn number(self) -> u64 {
        self.0
    }
}

/// Makes ids that do not repeat within a run and most likely not between runs. They are names, not secrets.
#[derive(Debug)]
pub(super) struct RequestIds {
    seed: u64,
    next: AtomicU64,
}

impl RequestIds {
    /// Starts at a random place.
    pub(super) fn seeded(random: &SystemRandom) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut seed = [0; 8];
        random.fill(&mut seed)?;
        Ok(Self { seed: u64::from_le_bytes(seed), next: AtomicU64::new(0) })
    }

    pub(super) fn next(&self) -> RequestId {
        // SplitMix64: one to one, so two counters never give one id.
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = self.seed.wrapping_add(count.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        id = (id ^ (id >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        id = (id ^ (id >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        RequestId(id ^ (id >> 31))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_have_sixteen_characters_and_do_not_repeat() {
        let ids = RequestIds::seeded(&SystemRandom::new()).unwrap();
        let seen: HashSet<String> = (0..10_000).map(|_| ids.next().to_string()).collect();
        assert_eq!(seen.len(), 10_000);
        assert!(seen.iter().all(|id| id.len() == 16));
        assert_eq!(RequestId(0x0123_4567_89ab_cdef).to_string(), "0123456789ABCDEF");
    }
}
