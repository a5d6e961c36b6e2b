//! The scales of an image, one for each method: units of different methods cannot be compared.

use super::paint::Scales;
use super::result::{ExplainedImage, QueryResult};
use super::words;

/// The scales of what a method found of an image.
#[derive(Debug)]
pub(crate) struct MethodScales {
    /// Its name, where a run has several.
    pub method: Option<String>,
    pub scales: Scales,
    /// Which scale its maps have, and why.
    pub sentence: String,
}

impl MethodScales {
    /// One a method, in the order of the methods.
    pub fn of(image: &ExplainedImage) -> Vec<MethodScales> {
        let of = |method: Option<&str>| {
            let own = image.result.queries.iter().filter(|query| query.method.as_deref() == method);
            let scales = Scales::of_method(image, method);
            let sentence = words::scale(&own.collect::<Vec<_>>(), &scales.map);
            MethodScales { method: method.map(str::to_string), scales, sentence }
        };
        image.methods().into_iter().map(of).collect()
    }

    /// Those of a query of the image.
    pub fn for_query<'s>(all: &'s [MethodScales], query: &QueryResult) -> &'s MethodScales {
        all.iter().find(|of| of.method == query.method).expect("each method of the image has its scales")
    }
}
