//! Values by name: help and completions list them, and an unknown one is answered with the nearest.

use std::ffi::OsStr;

use candor::image::Preset;
use candor::suggest::among;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command, Error, ValueEnum};

/// Parses one of the names of `all`.
#[derive(Clone)]
pub struct OneOf<T> {
    what: &'static str,
    all: Vec<(PossibleValue, T)>,
}

/// The values of an enum; `what` they are stands in the error.
pub fn one_of<T: ValueEnum>(what: &'static str) -> OneOf<T> {
    let named = |value: &T| Some((value.to_possible_value()?, value.clone()));
    OneOf { what, all: T::value_variants().iter().filter_map(named).collect() }
}

/// The presets, each with its numbers.
pub fn presets() -> OneOf<Preset> {
    let named = |preset: Preset| {
        let help = format!("{}: {}", preset.preprocessing(1, 1).formula(), preset.used_by());
        (PossibleValue::new(preset.name()).help(help), preset)
    };
    OneOf { what: "preset", all: Preset::ALL.map(named).into() }
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for OneOf<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let OneOf { what, all } = self.clone();
        let find = move |text: String| {
            let found = all.iter().find(|(name, _)| name.matches(&text, true));
            let names: Vec<&str> = all.iter().map(|(name, _)| name.get_name()).collect();
            found
                .map(|(_, value)| value.clone())
                .ok_or_else(|| format!("there is no such {what}{}", among(&text, &names)))
        };
        StringValueParser::new().try_map(find).parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.all.iter().map(|(name, _)| name.clone())))
    }
}
