//! Parsers of numbers in a range.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A parser of whole numbers in a range.
pub(super) fn whole(range: RangeInclusive<usize>) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.parse() {
        Ok(n) if range.contains(&n) => Ok(n),
        _ => Err(format!("must be a whole number from {} to {}", range.start(), range.end())),
    }
}

/// A parser of numbers in a range.
pub(super) fn number<T: FromStr + PartialOrd + Display + Clone>(
    range: RangeInclusive<T>,
) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| match text.parse() {
        Ok(v) if range.contains(&v) => Ok(v),
        _ => Err(format!("must be a number from {} to {}", range.start(), range.end())),
    }
}

/// A number of things of which none would leave nothing to do.
pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("0 leaves nothing to do; give at least 1".to_string()),
        Ok(n) => Ok(n),
        Err(_) => Err("not a whole number of at least 1".to_string()),
    }
}

pub(super) fn range(text: &str) -> Result<(usize, usize), String> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (low.parse(), high.parse()) {
        (Ok(low), Ok(high)) if low <= high => Ok((low, high)),
        _ => Err(format!("'{text}' is not MIN-MAX")),
    }
}
