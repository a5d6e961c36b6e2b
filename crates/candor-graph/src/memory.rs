//! Whether memory is available, checked before something large is computed: a failed allocation ends the process, and a few bytes of
//! a file can demand any size.

/// Whether the allocator grants that many bytes in one piece. They are freed at once, untouched. On systems that overcommit memory the
/// answer may be too optimistic.
pub fn is_available(bytes: u64) -> bool {
    let Ok(bytes) = usize::try_from(bytes) else { return false };
    let mut room: Vec<u8> = vec![];
    let given = room.try_reserve_exact(bytes).is_ok();
    // The compiler would remove an allocation that is not used.
    std::hint::black_box(&room);
    given
}

#[cfg(test)]
mod tests {
    use super::is_available;

    #[test]
    fn a_little_is_there_and_everything_is_not() {
        assert!(is_available(0) && is_available(1 << 20));
        assert!(!is_available(u64::MAX) && !is_available(1 << 62));
    }
}
