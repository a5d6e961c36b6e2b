//! Parameters of methods: declared once, validated, recorded in results.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, MethodError, Result};

/// The method of a run.
#[derive(Clone, Debug, Serialize)]
pub struct MethodInfo {
    /// Name as listed by `candor methods`.
    pub name: String,
    /// Every parameter with its value, defaults included.
    pub parameters: BTreeMap<String, Value>,
}

/// Values that a parameter accepts.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A number in a range, ends included.
    Number(f64, f64),
    /// An integer in a range, ends included.
    Integer(i64, i64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// Name of another method, whose own parameters are set as `method.NAME`.
    Method,
}

/// The words of a table of choices, for [`Kind::Choice`].
pub const fn names<T: Copy, const N: usize>(table: &[(&'static str, T); N]) -> [&'static str; N] {
    let mut names = [""; N];
    let mut i = 0;
    while i < N {
        names[i] = table[i].0;
        i += 1;
    }
    names
}

/// A declared parameter.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Name in `--set NAME=VALUE`.
    pub name: &'static str,
    /// Default as text; `auto` if the method chooses by the model.
    pub default: &'static str,
    /// Values it accepts.
    pub kind: Kind,
    /// What it does.
    pub help: &'static str,
}

/// Pairs of a name and a value as text.
pub type Pairs = Vec<(String, String)>;

/// `KEY=VALUE` as a pair.
///
/// # Errors
/// A line that says what the text lacks.
pub fn key_value(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("'{text}' is not KEY=VALUE"))?;
    Ok((key.to_string(), value.to_string()))
}

/// `NAME` or `NAME+KEY=VALUE+…`: the name, which may itself end with + (`grad-cam++`), and the pairs.
///
/// # Errors
/// As [`key_value`].
pub fn name_and_settings(text: &str) -> std::result::Result<(&str, Pairs), String> {
    // A + before another + or at the end belongs to the name.
    let ends = |(at, _): &(usize, &str)| text[at + 1..].starts_with(|next| next != '+');
    let (name, settings) = text.match_indices('+').find(ends).map_or((text, ""), |(at, _)| text.split_at(at));
    let pair = |s| key_value(s).map_err(|_| format!("'{s}' of '{text}' is not KEY=VALUE"));
    let pairs = settings.split('+').filter(|s| !s.is_empty()).map(pair);
    Ok((name, pairs.collect::<std::result::Result<_, _>>()?))
}

/// Prefix of the names of a wrapped method's parameters.
const INNER: &str = "method.";

/// A method's parameters with their values.
#[derive(Clone, Debug)]
pub struct Parameters {
    method: &'static str,
    values: BTreeMap<String, Value>,
    inner: Vec<(String, String)>,
}

impl Parameters {
    /// Defaults, overridden by `set` (pairs of name and text).
    ///
    /// # Errors
    /// [`Error::Method`] for a name that is not declared or occurs twice, or a value out of range.
    pub fn new(
        method: &'static str,
        declared: &'static [Parameter],
        set: &[(String, String)],
    ) -> Result<Self> {
        let fail = |source| Error::method(method, source);
        let mut values = BTreeMap::new();
        for p in declared {
            values.insert(p.name.to_string(), parse(p, p.default).map_err(fail)?);
        }
        let mut inner = vec![];
        let wraps = declared.iter().any(|p| matches!(p.kind, Kind::Method));
        for (i, (name, text)) in set.iter().enumerate() {
            if set[..i].iter().any(|(before, _)| before == name) {
                return Err(fail(MethodError::Twice { name: name.clone() }));
            }
            if let Some(name) = name.strip_prefix(INNER).filter(|_| wraps) {
                inner.push((name.to_string(), text.clone()));
                continue;
            }
            let Some(p) = declared.iter().find(|p| p.name == name) else {
                let known = declared.iter().map(|p| p.name).collect();
                return Err(fail(MethodError::UnknownParameter { name: name.clone(), known }));
            };
            values.insert(name.clone(), parse(p, text).map_err(fail)?);
        }
        Ok(Parameters { method, values, inner })
    }

    /// The defaults.
    ///
    /// # Panics
    /// If a declared default is not a value of its parameter.
    pub fn defaults(method: &'static str, declared: &'static [Parameter]) -> Self {
        Parameters::new(method, declared, &[]).expect("declared defaults are values of their parameters")
    }

    /// The settings for the method that this one wraps.
    pub fn inner(&self) -> &[(String, String)] {
        &self.inner
    }

    /// All values, for results.
    pub fn values(&self) -> &BTreeMap<String, Value> {
        &self.values
    }

    /// Records the value chosen for a parameter that was `auto`, or something else worth recording.
    pub fn record(&mut self, name: &str, value: impl Into<Value>) {
        self.values.insert(name.to_string(), value.into());
    }

    /// A number whose default is `auto`; `None` if it is `auto`.
    pub fn auto(&self, name: &str) -> Option<f64> {
        self.values.get(name).and_then(Value::as_f64)
    }

    /// A number.
    ///
    /// # Panics
    /// If the method declares no number of that name.
    pub fn real(&self, name: &str) -> f64 {
        self.declared(name, Value::as_f64)
    }

    /// An integer.
    ///
    /// # Panics
    /// If the method declares no integer of that name.
    pub fn integer(&self, name: &str) -> usize {
        self.declared(name, Value::as_u64) as usize
    }

    /// A word.
    ///
    /// # Panics
    /// If the method declares no word of that name.
    pub fn word(&self, name: &str) -> &str {
        self.declared(name, Value::as_str)
    }

    /// A flag.
    ///
    /// # Panics
    /// If the method declares no flag of that name.
    pub fn flag(&self, name: &str) -> bool {
        self.declared(name, Value::as_bool)
    }

    /// The value that a table gives for the parameter's word; [`Kind::Choice`] with the table's [`names`] accepts no other word.
    ///
    /// # Panics
    /// If the method declares no such choice.
    pub fn choice<T: Copy>(&self, table: &[(&str, T)], name: &str) -> T {
        let word = self.word(name);
        let found = table.iter().find(|(known, _)| *known == word);
        found.unwrap_or_else(|| panic!("'{word}' of parameter '{name}' is not in its table")).1
    }

    /// Whether the method declares the parameter.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Reads a parameter that the method declares and whose value was checked against its kind.
    fn declared<'v, T>(&'v self, name: &str, read: impl Fn(&'v Value) -> Option<T>) -> T {
        let value = self.values.get(name).and_then(read);
        value.unwrap_or_else(|| panic!("method '{}' declares no such parameter '{name}'", self.method))
    }

    /// The method with all values, for results.
    pub fn info(&self) -> MethodInfo {
        MethodInfo { name: self.method.to_string(), parameters: self.values.clone() }
    }

    /// Name of the method.
    pub fn method(&self) -> &'static str {
        self.method
    }
}

fn parse(p: &Parameter, text: &str) -> Result<Value, MethodError> {
    if text == "auto" && p.default == "auto" {
        return Ok(Value::from("auto"));
    }
    let bad = |wanted: String| MethodError::Value { name: p.name, wanted, given: text.to_string() };
    match p.kind {
        Kind::Number(low, high) => match number(text) {
            Some(v) if v >= low && v <= high => Ok(Value::from(v)),
            _ => Err(bad(format!("a number from {low} to {high}"))),
        },
        Kind::Integer(low, high) => match text.parse::<i64>() {
            Ok(v) if v >= low && v <= high => Ok(Value::from(v)),
            _ => Err(bad(format!("a whole number from {low} to {high}"))),
        },
        Kind::Method => Ok(Value::from(text)),
        Kind::Choice(words) if words.contains(&text) => Ok(Value::from(text)),
        Kind::Choice(known) => Err(MethodError::Choice { name: p.name, known, given: text.to_string() }),
        Kind::Flag => text.parse::<bool>().map(Value::from).map_err(|_| bad("true or false".to_string())),
    }
}

/// A number, or a fraction of two: `8/255`.
fn number(text: &str) -> Option<f64> {
    let (over, under) = text.split_once('/').unwrap_or((text, "1"));
    Some(over.trim().parse::<f64>().ok()? / under.trim().parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &[Parameter] = &[
        Parameter { name: "rate", default: "0.05", kind: Kind::Number(0.0, 1.0), help: "" },
        Parameter { name: "lambda", default: "auto", kind: Kind::Number(0.0, 1.0), help: "" },
        Parameter { name: "shape", default: "full", kind: Kind::Choice(&["spatial", "full"]), help: "" },
    ];

    #[test]
    fn a_name_may_have_a_plus_of_its_own() {
        let pair = |k: &str, v: &str| (k.to_string(), v.to_string());
        assert_eq!(name_and_settings("grad-cam++"), Ok(("grad-cam++", vec![])));
        assert_eq!(
            name_and_settings("grad-cam+++steps=2+eps=8/255"),
            Ok(("grad-cam++", vec![pair("steps", "2"), pair("eps", "8/255")]))
        );
        assert_eq!(name_and_settings("pgd+eps"), Err("'eps' of 'pgd+eps' is not KEY=VALUE".into()));
        assert_eq!(
            name_and_settings("pgd+eps=1+fast"),
            Err("'fast' of 'pgd+eps=1+fast' is not KEY=VALUE".into())
        );
    }

    #[test]
    fn values_are_checked_and_unknown_names_list_the_known() {
        let set = |name: &str, value: &str| {
            Parameters::new("m", DECLARED, &[(name.to_string(), value.to_string())])
                .map_err(|e| crate::error::one_line(&e))
        };
        assert_eq!(set("rate", "0.5").unwrap().real("rate"), 0.5);
        assert_eq!(set("rate", "0.5").unwrap().auto("lambda"), None);
        assert_eq!(set("rate", "8/255").unwrap().real("rate"), 8.0 / 255.0);
        assert!(set("rate", "1/0").is_err());
        assert_eq!(
            set("rate", "2").unwrap_err(),
            "method 'm': parameter 'rate' must be a number from 0 to 1, not '2'"
        );
        assert_eq!(
            set("speed", "2").unwrap_err(),
            "method 'm': has no parameter 'speed'; there are: rate, lambda, shape"
        );
        assert_eq!(
            set("lamda", "2").unwrap_err(),
            "method 'm': has no parameter 'lamda'; did you mean 'lambda'? There are: rate, lambda, shape"
        );
        let pair = |k: &str, v: &str| (k.to_string(), v.to_string());
        for twice in [[pair("rate", "0.1"), pair("rate", "0.2")], [pair("rate", "0.1"), pair("rate", "0.1")]]
        {
            let error = crate::error::one_line(&Parameters::new("m", DECLARED, &twice).unwrap_err());
            assert_eq!(error, "method 'm': parameter 'rate' is given twice");
        }
        assert_eq!(
            set("shape", "ful").unwrap_err(),
            "method 'm': parameter 'shape' must be one of spatial, full, not 'ful'; did you mean 'full'?"
        );
    }
}
