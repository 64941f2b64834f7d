//! Counts with their nouns.

/// A count with its noun: `1 record`, `2 records`, `3 entries`.
pub(crate) fn counted(count: impl TryInto<u64>, noun: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    let stem = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'o', 'u']));
    match (count, stem) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{count} {stem}ies"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_agree_with_their_nouns() {
        assert_eq!(counted(0_u64, "record"), "0 records");
        assert_eq!(counted(1_usize, "entry"), "1 entry");
        assert_eq!(counted(2_u32, "entry"), "2 entries");
        assert_eq!(counted(900_i64, "day"), "900 days");
    }
}
