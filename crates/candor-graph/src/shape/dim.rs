//! One dimension: a number, a multiple of the batch size, or not known.

use rten_shape_inference::SymExpr;

/// The symbol that stands for the batch size.
const BATCH: &str = "batch";

/// One dimension of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A fixed size.
    Fixed(usize),
    /// A multiple of the batch size.
    Batch(usize),
    /// Not known.
    Unknown,
}

impl Dim {
    /// The size, if it does not depend on the batch.
    pub fn fixed(self) -> Option<usize> {
        match self {
            Dim::Fixed(n) => Some(n),
            _ => None,
        }
    }

    /// The size at a batch size, if it is known.
    pub(crate) fn at(self, batch: usize) -> Option<usize> {
        match self {
            Dim::Fixed(n) => Some(n),
            Dim::Batch(k) => k.checked_mul(batch),
            Dim::Unknown => None,
        }
    }

    pub(crate) fn to_expr(self) -> SymExpr {
        match self {
            Dim::Fixed(n) => SymExpr::Value(n as i32),
            Dim::Batch(1) => SymExpr::pos_var(BATCH),
            Dim::Batch(k) => SymExpr::pos_var(BATCH) * SymExpr::Value(k as i32),
            Dim::Unknown => SymExpr::var("unknown"),
        }
    }
}

/// Reads an expression as a multiple of the batch size, by evaluating it at three sizes.
pub(crate) fn dim_of(expr: &SymExpr) -> Dim {
    if let SymExpr::Value(v) = expr {
        return usize::try_from(*v).map_or(Dim::Unknown, Dim::Fixed);
    }
    let at = |n: i64| value_at(expr, n).and_then(|v| usize::try_from(v).ok());
    match (at(2), at(4), at(6)) {
        (Some(a), Some(b), Some(c)) if a == b && b == c => Dim::Fixed(a),
        (Some(a), Some(b), Some(c)) if a % 2 == 0 && b == 2 * a && c == 3 * a => Dim::Batch(a / 2),
        _ => Dim::Unknown,
    }
}

/// The value of an expression at a batch size; `None` if it has another variable or overflows.
fn value_at(expr: &SymExpr, batch: i64) -> Option<i64> {
    let of = |a: &SymExpr, b: &SymExpr| Some((value_at(a, batch)?, value_at(b, batch)?));
    match expr {
        SymExpr::Value(v) => Some(i64::from(*v)),
        SymExpr::Var(symbol) => (symbol.name == BATCH).then_some(batch),
        SymExpr::Neg(a) => value_at(a, batch)?.checked_neg(),
        SymExpr::Add(a, b) => of(a, b).and_then(|(x, y)| x.checked_add(y)),
        SymExpr::Sub(a, b) => of(a, b).and_then(|(x, y)| x.checked_sub(y)),
        SymExpr::Mul(a, b) => of(a, b).and_then(|(x, y)| x.checked_mul(y)),
        SymExpr::Div(a, b) => of(a, b).and_then(|(x, y)| x.checked_div(y)),
        SymExpr::DivCeil(a, b) => of(a, b).and_then(|(x, y)| {
            let quotient = x.checked_div(y)?;
            let up = x % y != 0 && (x < 0) == (y < 0);
            quotient.checked_add(i64::from(up))
        }),
        SymExpr::Max(a, b) | SymExpr::Broadcast(a, b) => of(a, b).map(|(x, y)| x.max(y)),
        SymExpr::Min(a, b) => of(a, b).map(|(x, y)| x.min(y)),
    }
}

/// A shape as text: `N×3×224×224`.
pub fn display(shape: Option<&[Dim]>) -> String {
    let Some(shape) = shape else { return "?".to_string() };
    if shape.is_empty() {
        return "scalar".to_string();
    }
    let dims: Vec<String> = shape
        .iter()
        .map(|d| match d {
            Dim::Fixed(n) => n.to_string(),
            Dim::Batch(1) => "N".to_string(),
            Dim::Batch(k) => format!("{k}N"),
            Dim::Unknown => "?".to_string(),
        })
        .collect();
    dims.join("×")
}
