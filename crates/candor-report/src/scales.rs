//! The scales of an image, one per method: units of different methods cannot be compared.

use super::paint::Scales;
use super::result::{ExplainedImage, QueryResult};
use super::words;

/// The scales of one method for an image.
#[derive(Debug)]
pub(crate) struct MethodScales {
    /// Name of the method, if a run has several.
    pub method: Option<String>,
    pub scales: Scales,
    /// Says which scale its maps have, and why.
    pub sentence: String,
}

impl MethodScales {
    /// One per method, in the order of the methods.
    pub fn of(image: &ExplainedImage) -> Vec<MethodScales> {
        let of = |method: Option<&str>| {
            let own = image.result.queries.iter().filter(|query| query.method.as_deref() == method);
            let scales = Scales::of_method(image, method);
            let sentence = words::scale(&own.collect::<Vec<_>>(), &scales.map);
            MethodScales { method: method.map(str::to_string), scales, sentence }
        };
        image.methods().into_iter().map(of).collect()
    }

    /// The scales for a query of the image.
    pub fn for_query<'s>(all: &'s [MethodScales], query: &QueryResult) -> &'s MethodScales {
        all.iter().find(|of| of.method == query.method).expect("each method of the image has its scales")
    }
}
