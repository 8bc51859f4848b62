//! The ids of lines.

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};

/// Random bytes of one id.
const ID: usize = 16;
/// So many ids are drawn at once: asking for random bytes costs more than the bytes.
const DRAWN: usize = 64;

/// UUIDs of version 4.
pub(super) struct EventIds {
    random: SystemRandom,
    drawn: [u8; ID * DRAWN],
    /// How many of them are used.
    used: usize,
}

impl EventIds {
    pub(super) fn new(random: SystemRandom) -> Self {
        Self { random, drawn: [0; ID * DRAWN], used: DRAWN }
    }

    pub(super) fn next(&mut self) -> String {
        if self.used == DRAWN {
            // Without random numbers an id says nothing; the chain holds all the same.
            let _ = self.random.fill(&mut self.drawn);
            self.used = 0;
        }
        let mut bytes = [0; ID];
        bytes.copy_from_slice(self.drawn.chunks_exact(ID).nth(self.used).unwrap_or(&[0; ID]));
        self.used += 1;
        uuid(bytes)
    }
}

/// RFC 9562, 4.
fn uuid(bytes: [u8; ID]) -> String {
    let number = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let mut digits = [0; 2 * ID];
    // Twice as many digits as bytes.
    let _ = hex::encode_to_slice(number.to_be_bytes(), &mut digits);
    let digits = std::str::from_utf8(&digits).unwrap_or_default();
    let group = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
    [group(0, 8), group(8, 12), group(12, 16), group(16, 20), group(20, 32)].join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_version_and_the_variant_are_where_they_belong() {
        assert_eq!(uuid([0; ID]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([0xff; ID]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }

    #[test]
    fn no_id_comes_twice() {
        let mut ids = EventIds::new(SystemRandom::new());
        let seen: HashSet<String> = (0..3 * DRAWN).map(|_| ids.next()).collect();
        assert_eq!(seen.len(), 3 * DRAWN);
    }
}
