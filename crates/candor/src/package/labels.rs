//! Names of classes in a model's configuration.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::labels::Labels;

/// The names in a `config.json`: timm's `label_names` with their descriptions, or `id2label`.
pub(super) fn of_config(config: &Value) -> Option<Labels> {
    of_timm(config).or_else(|| by_number(config.get("id2label")?))
}

/// timm's list of names; WordNet IDs are replaced by their descriptions.
fn of_timm(config: &Value) -> Option<Labels> {
    let part = |key: &str| config.get(key).or_else(|| config.get("pretrained_cfg")?.get(key));
    let descriptions = part("label_descriptions");
    let described = |name: &str| match descriptions.and_then(|d| d.get(name)).and_then(Value::as_str) {
        Some(text) => text.to_string(),
        None => name.to_string(),
    };
    let names = part("label_names")?.as_array()?;
    Some(Labels::new(names.iter().map(|n| described(n.as_str().unwrap_or_default())).collect()))
}

/// `{"0": "tench", …}` with all numbers from 0 on.
fn by_number(map: &Value) -> Option<Labels> {
    let names: BTreeMap<usize, String> = map
        .as_object()?
        .iter()
        .map(|(id, name)| Some((id.parse().ok()?, name.as_str()?.to_string())))
        .collect::<Option<_>>()?;
    let whole = !names.is_empty() && names.keys().copied().eq(0..names.len());
    whole.then(|| Labels::new(names.into_values().collect()))
}
