//! Makes external names (of classes, files and processes) safe to print.

/// A name in which every character that [`acts`] is replaced by a space: those that move a terminal's cursor, end a line or change the
/// direction of writing.
pub fn printable(name: &str) -> String {
    name.replace(acts, " ").trim().to_string()
}

/// Whether a character has an effect other than being shown.
pub fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_acts_is_a_space() {
        assert_eq!(printable("a\u{1b}[2J\nb\u{202e}c "), "a [2J b c");
        assert_eq!(printable("κατά 猫.png"), "κατά 猫.png");
    }
}
