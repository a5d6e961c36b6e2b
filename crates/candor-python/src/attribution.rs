//! Attribution of tensors that are already preprocessed.

use candor::error::Error;
use candor::explanation::Explanation;
use candor::labels::ClassError;
use candor::methods::Compiled;
use candor::model::Model;
use candor::progress::Progress;
use candor::scores::ranking;
use candor_graph::guard;
use numpy::{
    PyArray1, PyArray2, PyArray3, PyArray4, PyArrayMethods, PyReadonlyArray4, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use crate::errors::{self, Raised};
use crate::progress::Watcher;

/// Maps, N×H×W; attributions to channels, N×C×H×W, for methods that have them; scores, N×K.
pub type Attributions<'py> =
    (Bound<'py, PyArray3<f32>>, Option<Bound<'py, PyArray4<f32>>>, Bound<'py, PyArray2<f32>>);

/// The images of a batch, C·H·W values each.
pub fn tensors<'a>(inputs: &'a PyReadonlyArray4<'_, f32>, model: &Model) -> PyResult<Vec<&'a [f32]>> {
    let wrong = |text: String| errors::exception("InputError", &text);
    let [channels, height, width] = model.input_shape;
    if inputs.shape()[1..] != model.input_shape {
        let given = inputs.shape();
        return Err(wrong(format!(
            "inputs of shape {given:?}; the model takes N × {channels} × {height} × {width}"
        )));
    }
    let values = inputs.as_slice().map_err(|_| wrong("inputs must be in C order".to_string()))?;
    if let Some(i) = values.iter().position(|v| !v.is_finite()) {
        return Err(wrong(format!("inputs hold {} at image {}", values[i], i / (channels * height * width))));
    }
    Ok(values.chunks_exact(channels * height * width).collect())
}

/// The results for a batch.
pub struct Found {
    scores: Vec<f32>,
    explanations: Vec<Explanation>,
}

/// Attributes one class of each image.
pub fn attributions(
    model: &Model,
    compiled: &mut dyn Compiled,
    images: &[&[f32]],
    targets: &[Option<usize>],
    progress: Option<Py<PyAny>>,
) -> PyResult<Found> {
    if let Some(&id) = targets.iter().flatten().find(|&&id| id >= model.classes) {
        return Err(errors::of(&ClassError::OutOfRange { id, classes: model.classes }.into()));
    }
    let mut watcher = Watcher::new(progress, images.len() as u64 * compiled.steps(1));
    let raised = watcher.raised();
    let mut found = Found { scores: vec![], explanations: vec![] };
    for (image, target) in images.iter().zip(targets) {
        let path = &model.info.path;
        let one = guard::guarded(|| attribution(model, compiled, image, *target, &mut watcher))
            .map_err(|reason| Error::Panicked { what: path.clone(), reason })
            .flatten();
        let (scores, explanation) = raised.or(one.raised())?;
        found.scores.extend(scores);
        found.explanations.push(explanation);
    }
    watcher.finish()?;
    Ok(found)
}

fn attribution(
    model: &Model,
    compiled: &mut dyn Compiled,
    image: &[f32],
    target: Option<usize>,
    progress: &mut dyn Progress,
) -> candor::Result<(Vec<f32>, Explanation)> {
    let scores = compiled.scores(model, image)?;
    let target = target.unwrap_or_else(|| ranking(&scores)[0]);
    let explanation = compiled.explain(model, &[target], progress)?.into_iter().next();
    Ok((scores, explanation.ok_or(Error::NoPhoto)?))
}

impl Found {
    /// The results as arrays; the input is C×H×W.
    pub fn arrays<'py>(self, py: Python<'py>, [c, h, w]: [usize; 3]) -> PyResult<Attributions<'py>> {
        let count = self.explanations.len();
        let classes = self.scores.len() / count.max(1);
        let (mut maps, mut channels) = (Vec::with_capacity(count * h * w), Some(vec![]));
        for explanation in self.explanations {
            maps.extend(explanation.map.data);
            channels = channels.zip(explanation.attribution).map(|(mut all, one)| {
                all.extend(one.values);
                all
            });
        }
        let channels = channels.map(|values| PyArray1::from_vec(py, values).reshape([count, c, h, w]));
        Ok((
            PyArray1::from_vec(py, maps).reshape([count, h, w])?,
            channels.transpose()?,
            PyArray1::from_vec(py, self.scores).reshape([count, classes])?,
        ))
    }
}
