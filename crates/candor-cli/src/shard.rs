//! A run that does only its part of the work ([`Shard`]), and what `candor merge` needs to know about it.

use std::cell::Cell;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};
use candor::file;
use candor_eval::shard::Shard;
use candor_report::atomic;
use candor_report::folder::STATE;
use serde::{Deserialize, Serialize};

use crate::command_line;
use crate::output;
use crate::setup::Usage;

/// Description of the part of a run in a folder.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    candor_shard: Shard,
    version: String,
    /// The command of the whole run, without the program's name, `--shard`, `--out`, `--force` and `--json`.
    command: Vec<String>,
    /// The run's journals, relative to the folder.
    pub journals: Vec<String>,
    /// Folders with files that the journals list.
    pub folders: Vec<String>,
    /// Whether the part is finished.
    done: bool,
}

/// Summary of the work done, for people and programs.
#[derive(Serialize)]
struct Done<'d> {
    shard: Shard,
    out: &'d Path,
    /// Number of photos or maps that belong to it.
    items: usize,
    failed: usize,
}

/// The commands that support `--shard`.
const COMMANDS: [&str; 3] = ["explain", "check", "bench"];
/// Maximum bytes of a part's description: a command may name a million photos.
const MOST_BYTES: u64 = 1 << 30;

impl Part {
    /// The part that this run does in the folder `out`, which is already open. Nothing is written yet: [`write`](Part::write) does that
    /// once it is certain that the run can continue there.
    pub fn begin(out: &Path, shard: Shard, journals: &[&str], folders: &[&str]) -> Result<Self> {
        let command = command_line::arguments().into_iter().skip(1).map(|word| {
            word.into_string().map_err(|word| {
                Usage(format!("{}: --shard needs arguments in UTF-8", word.to_string_lossy()))
            })
        });
        let command: Vec<String> = command.collect::<Result<_, _>>()?;
        let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let part = Part {
            candor_shard: shard,
            version: env!("CARGO_PKG_VERSION").to_string(),
            command: without(
                &command,
                &[("--shard", true), ("--out", true), ("--force", false), ("--json", false)],
            ),
            journals: owned(journals),
            folders: owned(folders),
            done: false,
        };
        if let Ok(there) = Part::read(out) {
            let (held, out) = (there.candor_shard, out.display());
            if held != shard && there.same_command(&part) {
                let reason =
                    format!("{out} holds shard {held} of this run; name another --out for shard {shard}");
                return Err(Usage(reason).into());
            }
            // More methods of a benchmark are added to the same journal; other commands have others.
            if there.journals != part.journals || there.command.iter().take(2).ne(part.command.iter().take(2))
            {
                let other = there.command.iter().take(2).cloned().collect::<Vec<_>>().join(" ");
                let reason = format!(
                    "{out} holds shard {held} of `candor {other}`; a folder takes one part: name another --out"
                );
                return Err(Usage(reason).into());
            }
        }
        Ok(part)
    }

    /// Number of the shard and of all shards.
    pub fn shard(&self) -> Shard {
        self.candor_shard
    }

    /// Marks the part as finished, and prints how many items it had and how many of them failed.
    pub fn end(mut self, out: &Path, (items, failed): (usize, usize), what: &str, json: bool) -> Result<()> {
        self.done = true;
        self.write(out)?;
        let shard = self.candor_shard;
        if json {
            return output::json(&Done { shard, out, items, failed });
        }
        let failures = if failed > 0 { format!(", {failed} of them failed") } else { String::new() };
        output::print(&format!(
            "shard {shard} is done in {}: {items} {what}{failures}; join all {} by `candor merge OUT… --out DIR`\n",
            out.display(),
            shard.count()
        ))
    }

    /// Reads the part in a folder.
    ///
    /// # Errors
    /// If the folder contains no part, naming it.
    pub fn read(out: &Path) -> Result<Self> {
        let path = place(out);
        let none = || format!("{} holds no part of a run that was begun with --shard", out.display());
        let bytes = file::read(&path, MOST_BYTES).with_context(none)?;
        let part: Part =
            serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?;
        let inside = |name: &String| Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
        let known = part.command.first().is_some_and(|name| COMMANDS.contains(&name.as_str()));
        if !known || !part.journals.iter().chain(&part.folders).all(inside) {
            anyhow::bail!("{} is damaged", path.display());
        }
        Ok(part)
    }

    /// Writes the description of the part into the folder `out`.
    pub fn write(&self, out: &Path) -> Result<()> {
        Ok(atomic::write(&place(out), &serde_json::to_vec(self)?)?)
    }

    /// Whether both are parts of one run. The number of threads may differ.
    fn same_command(&self, other: &Part) -> bool {
        self.plain() == other.plain() && self.version == other.version
    }

    /// The words of the command that a result depends on.
    fn plain(&self) -> Vec<String> {
        without(&self.command, &[("--threads", true)])
    }

    /// The command of the whole run with this folder as output, including the program's name.
    pub fn arguments(&self, out: &Path, (force, json): (bool, bool)) -> Vec<OsString> {
        let mut command: Vec<OsString> = self.command.iter().map(OsString::from).collect();
        let ends = self.command.iter().position(|word| word == "--").unwrap_or(command.len());
        let mut more: Vec<OsString> = vec!["--out".into(), out.into()];
        more.extend(force.then(|| "--force".into()));
        more.extend(json.then(|| "--json".into()));
        command.splice(ends..ends, more);
        std::iter::once("candor".into()).chain(command).collect()
    }
}

/// The parts of one run in these folders; checks that all are there, each once.
///
/// # Errors
/// In one line: a folder without a part, a part of another run, one that is not finished, a duplicate or a missing part.
pub fn all(folders: &[PathBuf]) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = vec![];
    for (at, folder) in folders.iter().enumerate() {
        let part = Part::read(folder)?;
        let (shard, here) = (part.candor_shard, folder.display());
        let (theirs, ours) = (&part.version, env!("CARGO_PKG_VERSION"));
        if theirs != ours {
            anyhow::bail!(
                "{here} was made by Candor {theirs}, and this is Candor {ours}; join parts with the version that made them"
            );
        }
        if let Some(first) = parts.first() {
            let whole = folders[0].display();
            if !first.same_command(&part) {
                anyhow::bail!("{here} belongs to another command than {whole}: {}", differs(first, &part));
            }
            if first.candor_shard.count() != shard.count() {
                let other = first.candor_shard;
                anyhow::bail!(
                    "{here} holds shard {shard}, {whole} shard {other}: they divide the work differently"
                );
            }
        }
        if let Some(twice) = parts.iter().position(|p| p.candor_shard == shard) {
            anyhow::bail!("shard {shard} is given twice: in {} and in {here}", folders[twice].display());
        }
        if !part.done {
            anyhow::bail!(
                "shard {shard} in {} is not finished; run its command again",
                folders[at].display()
            );
        }
        if let Some(gone) = part.journals.iter().find(|journal| !folder.join(journal).exists()) {
            anyhow::bail!(
                "{here} no longer has the results of shard {shard} ({gone}), because another run replaced them; run the shard's command again"
            );
        }
        parts.push(part);
    }
    let count = parts.first().map_or(0, |p| p.candor_shard.count());
    let there = |number: usize| parts.iter().any(|p| p.candor_shard.number() == number);
    let missing: Vec<String> =
        (1..=count).filter(|&i| !there(i)).take(10).map(|i| format!("{i}/{count}")).collect();
    if !missing.is_empty() {
        let (s, are) = if count - parts.len() == 1 { ("", "is") } else { ("s", "are") };
        let more = if count - parts.len() > missing.len() { ", …" } else { "" };
        anyhow::bail!("shard{s} {}{more} {are} missing", missing.join(", "));
    }
    Ok(parts)
}

thread_local! {
    /// Whether this run's command comes from the parts of a run.
    static JOINED: Cell<bool> = const { Cell::new(false) };
}

/// While such a value exists, the running command is that of joined parts.
pub struct Joined(());

impl Joined {
    /// To be called before the command of the parts is run.
    pub fn begin() -> Self {
        JOINED.set(true);
        Joined(())
    }

    /// Whether the running command is that of joined parts.
    pub fn is_on() -> bool {
        JOINED.get()
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        JOINED.set(false);
    }
}

/// The error for parts that were measured differently from how their command would measure now.
pub fn changed_since(why: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "the parts were measured {why}: the model, its sidecar or the data changed since; bring back what they had, or run all parts again"
    )
}

/// The first word in which two commands differ.
fn differs(a: &Part, b: &Part) -> String {
    let (a, b) = (a.plain(), b.plain());
    let at = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let word = |words: &[String]| words.get(at).map_or("nothing more".to_string(), |w| format!("'{w}'"));
    format!("{} instead of {}", word(&b), word(&a))
}

fn place(out: &Path) -> PathBuf {
    out.join(STATE).join("shard.json")
}

/// The words without some options; the flag says whether an option takes a value.
fn without(words: &[String], options: &[(&str, bool)]) -> Vec<String> {
    let mut kept = vec![];
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            kept.push(word.clone());
            kept.extend(words.cloned());
            break;
        }
        let found = options.iter().find(|(name, _)| {
            word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        });
        match found {
            Some((name, true)) if word == name => drop(words.next()),
            Some(_) => {}
            None => kept.push(word.clone()),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(String::from).collect()
    }

    #[test]
    fn a_command_is_that_of_the_whole_run() {
        let given = "explain m.onnx --shard 1/2 a.png --out=x --set iterations=3 --force -- --out";
        let options = [("--shard", true), ("--out", true), ("--force", false)];
        let command = without(&words(given), &options);
        assert_eq!(command, words("explain m.onnx a.png --set iterations=3 -- --out"));
        let part = Part {
            candor_shard: "1/2".parse().unwrap(),
            version: String::new(),
            command,
            journals: vec![],
            folders: vec![],
            done: true,
        };
        let whole = part.arguments(Path::new("d"), (true, false));
        let expected = "candor explain m.onnx a.png --set iterations=3 --out d --force -- --out";
        assert_eq!(whole, words(expected).into_iter().map(OsString::from).collect::<Vec<_>>());
    }
}
