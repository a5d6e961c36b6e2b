//! Benchmarks: methods × items, measured one by one into a journal, then summarised.

pub mod absent;
pub mod dwsol;
pub mod example;
pub mod faithful;
pub mod grid;
pub mod localize;
pub mod objects;
mod page;
#[cfg(feature = "parquet")]
mod parquet;
pub mod report;
pub mod table;
pub mod threshold;
mod values;
pub mod wsol;

use candor::progress::Progress;
use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use image::RgbImage;

use self::threshold::Frozen;
use super::check::{Skipped, Subject};
use crate::dataset::Sample;
use crate::error::{Error, Result};
use crate::explaining::Explaining;
use crate::journal::{Entry, Journal, Outcome};
use crate::localization::boxes::Box4;
use crate::shard::Shard;
use candor::error::one_line;
use candor::image::{Photo, Preprocessing};
use candor::map::Map;
use candor::model::Model;
use candor::parameters::MethodInfo;

/// A benchmark.
pub trait Measure {
    /// The results of one method on one item.
    type Record: Serialize + DeserializeOwned;

    /// Number of items.
    fn items(&self) -> usize;

    /// Name of an item, for tables.
    fn name(&self, item: usize) -> String;

    /// Number of an item in the journal; it does not change if only some of the samples are measured.
    fn key(&self, item: usize) -> usize {
        item
    }

    /// The unit of work that an item belongs to, by which [`Shard`] divides the work.
    fn unit(&self, item: usize) -> usize {
        item
    }

    /// Measures a method on an item.
    ///
    /// # Errors
    /// Any error that prevents this item from being measured; the run continues with the others.
    fn measure(&mut self, method: &mut Explaining<'_>, item: usize) -> Result<Self::Record>;

    /// The picture of an item and a method's maps of it, each with its name, for the page. The first map sets the scale. `frozen`: how
    /// the benchmark's boxes are found, if it has boxes.
    ///
    /// # Errors
    /// As [`Measure::measure`].
    fn show(&mut self, method: &mut Explaining<'_>, item: usize, frozen: Option<Frozen>) -> Result<Shown>;
}

/// An item for display.
pub struct Shown {
    /// The photo as the model sees it.
    pub picture: RgbImage,
    /// The map of each class asked for.
    pub maps: Vec<ShownMap>,
}

/// A map for display, with boxes in its pixels.
pub struct ShownMap {
    /// Name of the class.
    pub name: String,
    /// The map.
    pub map: Map,
    /// True boxes of the class; empty if it is absent or its position is unknown.
    pub truth: Vec<Box4>,
    /// For an absent class, the objects of the picture, on which a box is an error; empty for others.
    pub objects: Vec<Box4>,
    /// The box that the map gives, if any.
    pub found: Option<Box4>,
}

/// A sample's photo as `preprocessing` takes it.
///
/// # Errors
/// Naming the sample.
pub fn photo(sample: &Sample, preprocessing: &Preprocessing) -> Result<Photo> {
    sample.photo(preprocessing).map_err(|e| Error::sample(&sample.id, e))
}

/// A method of a run, and the number of items on which it is measured.
#[derive(Clone, Copy)]
pub struct Contender<'m> {
    /// Its name in the tables: the method's, with its settings if a method is run with several.
    pub name: &'m str,
    /// The method and its settings.
    pub subject: Subject<'m>,
    /// Maximum number of items, evenly spaced; all if `None`.
    pub most: Option<usize>,
}

impl Contender<'_> {
    /// Indices of the items on which it is measured, out of `count`.
    pub fn items(&self, count: usize) -> Vec<usize> {
        let most = self.most.unwrap_or(count).min(count);
        (0..most).map(|i| i * count / most).collect()
    }
}

/// Results of a run.
pub struct Found<R> {
    /// The methods with all their parameters, without skipped ones.
    pub methods: Vec<MethodInfo>,
    /// The measurements, by method and item.
    pub entries: Vec<Entry<R>>,
    /// Methods that are not defined for the model.
    pub skipped: Vec<Skipped>,
}

/// Measures all methods on all items that the journal does not have. `progress` receives each method as a stage and each item as a step.
///
/// # Errors
/// If the journal cannot be written, or belongs to another run.
pub fn run<M: Measure>(
    model: &Model,
    contenders: &[Contender<'_>],
    measure: &mut M,
    (journal, configuration): (&Path, &serde_json::Value),
    progress: &mut dyn Progress,
) -> Result<Found<M::Record>> {
    let mut journal = Journal::open(journal, configuration)?;
    let Measured { methods, skipped, asked } =
        measured(model, contenders, measure, (&mut journal, None), progress)?;
    // Read back even if all was measured now, so that a resumed run computes its figures in the same way.
    let names: Vec<&str> = methods.iter().map(|m| m.name.as_str()).collect();
    // A journal may contain more than this run needs: with another limit, more items of a method.
    let item = |mut e: Entry<M::Record>| {
        e.item = *asked.get(&(e.method.clone(), e.item))?;
        Some(e)
    };
    let entries = journal.entries(&names)?.into_iter().filter_map(item).collect();
    Ok(Found { entries, methods, skipped })
}

/// As [`run`], but only for the work of a shard, and nothing is read back. Returns the number of maps that belong to it.
///
/// # Errors
/// As [`run`].
pub fn run_shard<M: Measure>(
    model: &Model,
    contenders: &[Contender<'_>],
    measure: &mut M,
    (journal, configuration, shard): (&Path, &serde_json::Value, Shard),
    progress: &mut dyn Progress,
) -> Result<usize> {
    let mut journal = Journal::open(journal, configuration)?;
    let found = measured(model, contenders, measure, (&mut journal, Some(shard)), progress)?;
    Ok(found.asked.len())
}

/// Measurements of a pass over methods and items.
struct Measured {
    methods: Vec<MethodInfo>,
    skipped: Vec<Skipped>,
    /// Items by their entries in the journal.
    asked: HashMap<(String, usize), usize>,
}

fn measured<M: Measure>(
    model: &Model,
    contenders: &[Contender<'_>],
    measure: &mut M,
    (journal, shard): (&mut Journal, Option<Shard>),
    progress: &mut dyn Progress,
) -> Result<Measured> {
    let mut all = Measured { methods: vec![], skipped: vec![], asked: HashMap::new() };
    for contender in contenders {
        let name = contender.name;
        progress.stage(name);
        let mut items = contender.items(measure.items());
        items.retain(|&item| shard.is_none_or(|shard| shard.owns(measure.unit(item))));
        let (mut explainer, parameters) = match contender.subject.prepare(model) {
            Ok(prepared) => prepared,
            Err(e) => {
                all.skipped.push(Skipped { method: name.to_string(), reason: one_line(&e) });
                progress.steps(items.len() as u64)?;
                continue;
            }
        };
        all.methods.push(MethodInfo { name: name.to_string(), ..parameters.info() });
        for item in items {
            let key = measure.key(item);
            all.asked.insert((name.to_string(), key), item);
            if !journal.has(name, key) {
                let mut method = Explaining { model, explainer: explainer.as_mut(), progress };
                let outcome = match measure.measure(&mut method, item) {
                    Ok(record) => Outcome::Measured(record),
                    // Not the item's fault: it is measured when the run is resumed.
                    Err(e @ Error::Explain(candor::Error::Cancelled(_))) => return Err(e),
                    Err(e) => Outcome::Failed(one_line(&e)),
                };
                journal.append(&Entry { method: name.to_string(), item: key, outcome })?;
            }
            progress.step()?;
        }
    }
    Ok(all)
}

impl<R> Found<R> {
    /// Items that could not be measured, without duplicates, each with its number and the reason.
    pub fn failed(&self) -> Vec<(usize, String)> {
        let mut failed: Vec<(usize, String)> = vec![];
        for entry in &self.entries {
            if let Outcome::Failed(reason) = &entry.outcome
                && !failed.iter().any(|(item, _)| *item == entry.item)
            {
                failed.push((entry.item, reason.clone()));
            }
        }
        failed
    }

    /// A method's measurements, item by item, without failures.
    pub fn of(&self, method: &str) -> Vec<(usize, &R)> {
        let of_method = self.entries.iter().filter(|e| e.method == method);
        of_method
            .filter_map(|e| match &e.outcome {
                Outcome::Measured(record) => Some((e.item, record)),
                Outcome::Failed(_) => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candor::methods::{Choices, find};

    #[test]
    fn fewer_items_are_spread_over_all() {
        let (method, choices) = (find("random").unwrap(), Choices::default());
        let subject = Subject { method: method.as_ref(), set: &[], choices: &choices };
        let items = |most, count| Contender { name: "random", subject, most }.items(count);
        assert_eq!(items(Some(4), 10), [0, 2, 5, 7]);
        assert_eq!(items(None, 3), [0, 1, 2]);
        assert_eq!(items(Some(9), 3), [0, 1, 2]);
        assert!(items(Some(0), 3).is_empty() && items(None, 0).is_empty());
    }
}
