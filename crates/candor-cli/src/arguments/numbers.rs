//! Parsers of numbers in a range.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use candor::image::MAX_SIDE;

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

/// Height and width: two numbers, or one for both.
pub(super) fn size(text: &str) -> Result<[usize; 2], String> {
    let side = |text: &str| text.trim().parse().ok().filter(|n| (1..=MAX_SIDE as usize).contains(n));
    let sides: Option<Vec<usize>> = text.split([',', 'x', '×']).map(side).collect();
    match sides.as_deref() {
        Some([both]) => Ok([*both; 2]),
        Some([height, width]) => Ok([*height, *width]),
        _ => Err(format!("must be HEIGHT,WIDTH, or one number for both, from 1 to {MAX_SIDE}")),
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
