//! Memory of this process, as reported by Linux.

/// Memory currently in use, in bytes (VmRSS); `None` if the system does not report it.
pub fn resident() -> Option<u64> {
    field("VmRSS:")
}

/// Peak memory, in bytes (VmHWM); `None` if the system does not report it.
pub fn peak() -> Option<u64> {
    field("VmHWM:")
}

fn field(name: &str) -> Option<u64> {
    read(&std::fs::read_to_string("/proc/self/status").ok()?, name)
}

/// A line such as `VmHWM:     2048 kB`.
fn read(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found_and_its_unit_is_kilobytes() {
        let status = "Name:\tcandor\nVmHWM:\t    2048 kB\nVmRSS:\t     512 kB\n";
        assert_eq!(read(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(read(status, "VmRSS:"), Some(512 << 10));
        assert_eq!(read(status, "VmSwap:"), None);
    }
}
