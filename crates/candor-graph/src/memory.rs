//! Whether memory can be had, asked before something large is computed: an allocation that fails ends the process, and a few bytes of a
//! file can ask for any size.

/// Whether the allocator gives that many bytes at once. They are given back at once, untouched. Where a system promises more than it
/// has, so does this.
pub fn is_available(bytes: u64) -> bool {
    let Ok(bytes) = usize::try_from(bytes) else { return false };
    let mut room: Vec<u8> = vec![];
    let given = room.try_reserve_exact(bytes).is_ok();
    // An allocation that nobody sees would be left out.
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
