//! Formats numbers for readers: three significant digits, a real minus sign.

/// A number of any size: `0`, `0.0123`, `−4.57`, `1234`, `2.1e−6`, `∞`.
pub fn figure(value: f64) -> String {
    let magnitude = value.abs();
    let text = if value.is_nan() {
        "not a number".to_owned()
    } else if value.is_infinite() {
        "∞".to_owned()
    } else if magnitude == 0.0 {
        "0".to_owned()
    } else if magnitude < 1e-3 {
        format!("{magnitude:.1e}").replace("e-", "e−")
    } else {
        // Digits before the decimal point, counted after rounding to three significant ones.
        let exponent: i32 =
            format!("{magnitude:.2e}").rsplit('e').next().and_then(|e| e.parse().ok()).unwrap_or(0);
        format!("{magnitude:.*}", (2 - exponent).max(0) as usize)
    };
    if value < 0.0 { format!("−{text}") } else { text }
}

/// A fraction of 0..=1 as a percentage: `93.1 %`, `100 %`, `<0.1 %`, `0 %`.
pub fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if !percent.is_finite() {
        figure(percent)
    } else if percent == 0.0 {
        "0 %".to_owned()
    } else if percent < 0.1 {
        "<0.1 %".to_owned()
    } else if percent < 99.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// Width of a bar for `value` on an axis up to `most`, in percent with one decimal; 0 if `most` is 0.
pub fn width(value: f64, most: f64) -> String {
    let share = if most > 0.0 && value.is_finite() { (value / most).clamp(0.0, 1.0) } else { 0.0 };
    format!("{:.1}", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let cases = [
            (0.0, "0"),
            (-0.0, "0"),
            (0.83, "0.830"),
            (-4.5678, "−4.57"),
            (9.999, "10.0"),
            (1234.5, "1234"),
            (0.0012345, "0.00123"),
            (2.1e-6, "2.1e−6"),
            (f64::NEG_INFINITY, "−∞"),
            (f64::NAN, "not a number"),
        ];
        for (value, text) in cases {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn shares_do_not_pretend() {
        let cases = [(0.0, "0 %"), (1e-9, "<0.1 %"), (0.931, "93.1 %"), (0.9999, "100 %"), (1.3, "130 %")];
        for (share, text) in cases {
            assert_eq!(percent(share), text);
        }
        assert_eq!([width(1.0, 4.0), width(-1.0, 4.0), width(1.0, 0.0)], ["25.0", "0.0", "0.0"]);
    }
}
