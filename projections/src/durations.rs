//! Durations counted in buckets: how many there are of about each length.
//!
//! Up to 63 each millisecond has a bucket of its own; beyond, each doubling is divided into 32. So a
//! bucket spans at most a thirty-second of its durations, and what stands at a rank within it is found
//! by looking at few.

/// Doublings are divided into so many buckets, as a power of two.
const DIVIDED_BITS: u32 = 5;
/// Durations below this have buckets of their own.
const EXACT: u64 = 1 << (DIVIDED_BITS + 1);
/// Bits of a byte of a number that belong to the number; the other says that more bytes follow.
const BITS: u32 = 7;

/// The bucket of a duration in milliseconds.
pub(crate) fn bucket_of(duration_ms: u64) -> u16 {
    if duration_ms < EXACT {
        return u16::try_from(duration_ms).unwrap_or(u16::MAX);
    }
    let doublings = duration_ms.ilog2() - DIVIDED_BITS;
    // At most 58 doublings of 32 buckets: far below what the type holds.
    let bucket = u64::from(doublings) * (EXACT / 2) + (duration_ms >> doublings);
    u16::try_from(bucket).unwrap_or(u16::MAX)
}

/// The shortest and the longest duration of a bucket, in milliseconds.
pub(crate) fn bounds(bucket: u16) -> (u64, u64) {
    let bucket = u64::from(bucket);
    if bucket < EXACT {
        return (bucket, bucket);
    }
    let half = EXACT / 2;
    let doublings = bucket / half - 1;
    let first = (half + bucket % half).checked_shl(u32::try_from(doublings).unwrap_or(u32::MAX));
    let first = first.unwrap_or(u64::MAX);
    let width = 1_u64.checked_shl(u32::try_from(doublings).unwrap_or(u32::MAX));
    (first, first.saturating_add(width.map_or(0, |width| width - 1)))
}

/// Counts of buckets, ascending, as bytes: the distance from the bucket before, and the count.
pub(crate) fn encode(counts: impl Iterator<Item = (u16, u64)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut before = 0;
    for (bucket, count) in counts {
        push(&mut bytes, u64::from(bucket) - before);
        push(&mut bytes, count);
        before = u64::from(bucket);
    }
    bytes
}

/// Counts of buckets from their bytes; nothing where these were not made here.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<Vec<(u16, u64)>> {
    let mut counts = Vec::new();
    let mut before = 0_u64;
    while !bytes.is_empty() {
        before = before.checked_add(pull(&mut bytes)?)?;
        counts.push((u16::try_from(before).ok()?, pull(&mut bytes)?));
    }
    Some(counts)
}

fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >> BITS > 0 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= BITS;
    }
    bytes.push((number & 0x7f) as u8);
}

fn pull(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in 0..=u64::BITS / BITS {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let shifted = u64::from(byte & 0x7f).checked_shl(place * BITS)?;
        number |= shifted;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_on_each_other_without_gaps() {
        let mut next = 0;
        for bucket in 0..bucket_of(u64::MAX) {
            let (first, last) = bounds(bucket);
            assert_eq!(first, next, "{bucket}");
            assert!(last - first <= first / 32, "{bucket}");
            assert_eq!((bucket_of(first), bucket_of(last)), (bucket, bucket));
            next = last + 1;
        }
        assert_eq!(bounds(bucket_of(u64::MAX)), (next, u64::MAX));
    }

    #[test]
    fn what_was_not_written_here_is_not_read() {
        for bytes in [&[0x80_u8][..], &[1], &[0xff; 12], &[0xff, 0xff, 0xff, 0xff, 1, 1]] {
            assert_eq!(decode(bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn counts_are_read_as_they_were_written(
            counts in proptest::collection::btree_map(0..1_920_u16, 1..u64::MAX, 0..40),
        ) {
            let bytes = encode(counts.iter().map(|(bucket, count)| (*bucket, *count)));
            prop_assert_eq!(decode(&bytes), Some(counts.into_iter().collect()));
        }
    }
}
