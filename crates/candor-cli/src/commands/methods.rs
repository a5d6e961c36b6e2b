//! `candor methods`: all methods, with sources, costs and parameters.

use std::process::ExitCode;

use anstyle::Style;
use anyhow::Result;
use candor::methods::{Definition, all};
use candor::parameters::Kind;
use serde_json::{Value, json};

use crate::arguments::MethodsArgs;
use crate::output;

/// Style of a method's name.
const NAME: Style = Style::new().bold();

pub fn run(args: &MethodsArgs) -> Result<ExitCode> {
    let all = all();
    if args.json {
        let values: Vec<Value> = all.iter().map(|m| as_json(m.as_ref())).collect();
        output::json(&values)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for m in all.iter().map(|m| m.description()) {
        text += &format!("{NAME}{}{NAME:#}: {}\n  {} · {} a query\n", m.name, m.summary, m.source, m.cost);
        for p in m.parameters {
            text += &format!("    {}={} ({}): {}\n", p.name, p.default, values(p.kind), p.help);
        }
    }
    text += "\nSet a parameter with --set NAME=VALUE.\n";
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn as_json(method: &dyn Definition) -> Value {
    let m = method.description();
    let parameters: Vec<Value> = m
        .parameters
        .iter()
        .map(|p| json!({"name": p.name, "default": p.default, "values": values(p.kind), "help": p.help}))
        .collect();
    json!({
        "name": m.name, "summary": m.summary, "source": m.source, "cost": m.cost.to_string(), "forward": m.cost.forward, "backward": m.cost.backward, "signed": m.signed,
        "class_sensitive": m.class_sensitive, "exportable": method.exporter().is_some(), "parameters": parameters,
    })
}

fn values(kind: Kind) -> String {
    match kind {
        Kind::Number(low, high) => format!("{low} to {high}"),
        Kind::Integer(low, high) => format!("whole, {low} to {high}"),
        Kind::Choice(words) => words.join(" | "),
        Kind::Flag => "true | false".to_string(),
        Kind::Method => "a method".to_string(),
    }
}
