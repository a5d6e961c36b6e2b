//! The requested methods with their settings, all checked before a model is opened.

use anyhow::Result;
use candor::error::one_line;
use candor::methods::{self, Definition, Description};
use candor::parameters::{Kind, Pairs, name_and_settings};
use candor::suggest::did_you_mean;

use crate::setup;
use crate::usage::Usage;

/// A requested method.
pub struct Chosen {
    /// Its name in results: the method's, or `NAME+KEY=VALUE+…` if a method is run with several settings.
    pub name: String,
    pub method: Box<dyn Definition>,
    pub set: Pairs,
}

/// Methods by name, each with its settings of `set`: `METHOD.KEY=VALUE` is for one method, `KEY=VALUE` for all that have the parameter.
pub fn methods(names: &[String], set: &[(String, String)]) -> Result<Vec<Chosen>> {
    let named = |name: &String| Ok((name.clone(), setup::found(name)?, vec![]));
    settle(distinct(names, names.iter().map(named).collect::<Result<_>>()?)?, set)
}

/// Returns the methods, or an error if one is named twice, also under a former name.
fn distinct(names: &[String], named: Vec<Named>) -> Result<Vec<Named>> {
    let found: Vec<&str> = named.iter().map(|(_, method, _)| method.description().name).collect();
    match (1..found.len()).find(|&i| found[..i].contains(&found[i])) {
        Some(i) => Err(Usage(format!("the method '{}' is named twice", names[i])).into()),
        None => Ok(named),
    }
}

/// The same for names that may have their own settings, `NAME+KEY=VALUE+…`, which take precedence over those of `set`.
pub fn methods_with_settings(names: &[String], set: &[(String, String)]) -> Result<Vec<Chosen>> {
    let named = |name: &String| {
        let (method, own) = name_and_settings(name).map_err(Usage)?;
        Ok((name.clone(), setup::found(method)?, own))
    };
    if let Some(i) = (1..names.len()).find(|&i| names[..i].contains(&names[i])) {
        return Err(Usage(format!("'{}' is named twice among the methods", names[i])).into());
    }
    settle(names.iter().map(named).collect::<Result<_>>()?, set)
}

/// The names given, or those of all methods.
pub fn or_all(names: &[String]) -> Vec<String> {
    match names {
        [] => methods::all().iter().map(|m| m.description().name.to_string()).collect(),
        names => names.to_vec(),
    }
}

type Named = (String, Box<dyn Definition>, Pairs);

fn settle(named: Vec<Named>, set: &[(String, String)]) -> Result<Vec<Chosen>> {
    let descriptions: Vec<Description> = named.iter().map(|(_, m, _)| m.description()).collect();
    if let Some((key, _)) = set.iter().find(|(key, _)| descriptions.iter().all(|d| meant(key, d).is_none())) {
        return Err(Usage(format!("--set {key}: {}", meant_for_none(key, &descriptions))).into());
    }
    named
        .into_iter()
        .map(|(name, method, own)| {
            let d = method.description();
            // A setting for this method takes precedence over one for all that have the parameter.
            let alone: Vec<&str> = set
                .iter()
                .filter(|(key, _)| key.contains('.'))
                .filter_map(|(key, _)| meant(key, &d))
                .collect();
            let given = set.iter().filter_map(|(key, value)| {
                let name = meant(key, &d)?;
                (key.contains('.') || !alone.contains(&name)).then(|| (name.to_string(), value.clone()))
            });
            let mut settled: Pairs = given.filter(|(key, _)| own.iter().all(|(k, _)| k != key)).collect();
            settled.extend(own);
            methods::check(method.as_ref(), &settled)?;
            Ok(Chosen { name, method, set: settled })
        })
        .collect()
}

/// The parameter's name, if the setting with that key is for the method.
fn meant<'k>(key: &'k str, d: &Description) -> Option<&'k str> {
    let wraps = || d.parameters.iter().any(|p| matches!(p.kind, Kind::Method));
    match key.split_once('.') {
        Some((name, own)) if methods::renamed(name).unwrap_or(name) == d.name => Some(own),
        Some(("method", _)) if wraps() => Some(key),
        Some(_) => None,
        None => d.parameters.iter().any(|p| p.name == key).then_some(key),
    }
}

/// Why no method accepts a setting.
fn meant_for_none(key: &str, methods: &[Description]) -> String {
    let Some((name, _)) = key.split_once('.') else {
        let known = methods.iter().flat_map(|d| d.parameters).map(|p| p.name);
        let meant = did_you_mean(key, known);
        return format!("none of the methods has this parameter{meant} (`candor methods` lists them)");
    };
    match methods::find(name) {
        _ if name == "method" => "none of the methods wraps another".to_string(),
        Ok(_) => format!("{name} is not among the methods of this run; name it with --methods"),
        Err(unknown) => one_line(&unknown),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::*;

    fn settled(names: &[&str], set: &[(&str, &str)]) -> Result<Vec<Pairs>, String> {
        let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        let set: Pairs = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let chosen = methods_with_settings(&names, &set).map_err(|e| crate::output::one_line(&e))?;
        Ok(chosen.into_iter().map(|c| c.set).collect())
    }

    #[test]
    fn a_setting_goes_to_the_methods_that_it_is_for() {
        let pair = |k: &str, v: &str| (k.to_string(), v.to_string());
        let set = [("iterations", "5"), ("reliable.rate", "0.1"), ("method.composite", "epsilon")];
        let found =
            settled(&["reliable", "reliable+iterations=9", "grad-cam", "evident+method=lrp"], &set).unwrap();
        assert_eq!(found[0], [pair("iterations", "5"), pair("rate", "0.1")]);
        assert_eq!(found[1], [pair("rate", "0.1"), pair("iterations", "9")]);
        assert_eq!(found[2], []);
        let one_and_all = settled(&["reliable"], &[("reliable.rate", "0.1"), ("rate", "0.2")]).unwrap();
        assert_eq!(one_and_all[0], [pair("rate", "0.1")], "what is for one comes before what is for all");
        assert!(
            found[3].ends_with(&[pair("method.composite", "epsilon"), pair("method", "lrp")]),
            "{:?}",
            found[3]
        );
    }

    #[test]
    fn a_setting_that_is_for_none_is_refused() {
        let fails = |names: &[&str], set: &[(&str, &str)], part: &str| {
            let error = settled(names, set).unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        fails(&["reliable+shap=full"], &[], "did you mean 'shape'?");
        fails(&["reliable+shape"], &[], "is not KEY=VALUE");
        fails(
            &["reliable"],
            &[("lamda", "1")],
            "--set lamda: none of the methods has this parameter; did you mean 'lambda'?",
        );
        fails(&["reliable"], &[("lime.samples", "9")], "lime is not among the methods");
        fails(&["reliable"], &[("relaible.rate", "9")], "did you mean 'reliable'?");
        fails(&["reliable"], &[("method.rate", "9")], "none of the methods wraps another");
        fails(&["grad-cam", "reliable"], &[("reliable.rate", "fast")], "must be a number");
        fails(&["reliable"], &[("rate", "0.2"), ("rate", "0.1")], "parameter 'rate' is given twice");
        fails(&["reliable+rate=0.2+rate=0.1"], &[], "parameter 'rate' is given twice");
        fails(&["reliable", "lime", "reliable"], &[], "'reliable' is named twice");
        let names = ["lime", "lime"].map(String::from);
        assert!(methods(&names, &[]).is_err_and(|e| e.to_string().contains("'lime' is named twice")));
    }
}
