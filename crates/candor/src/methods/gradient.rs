//! Gradient: max over channels of |∂S_c/∂x| (Simonyan, Vedaldi, Zisserman 2014, section 3).

use candor_graph::builder::Builder;
use candor_graph::grad::gradients;
use candor_graph::tensor::{DataType, Tensor};
use candor_graph::{rewrite, shape::Dim};

use super::parameters::{Kind, Parameter, Parameters};
use super::{Choices, Description, Explainer, Explanation, Method};
use crate::engine::{Folding, Session};
use crate::error::{Error, Result};
use crate::map::Map;
use crate::mask::learn::Passes;
use crate::model::Model;

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "channels",
    default: "max-abs",
    kind: Kind::Choice(&["max-abs", "sum"]),
    help: "how the colour channels become one value: the largest magnitude, or the signed sum",
}];

/// The method.
pub(super) struct Gradient;

impl Method for Gradient {
    fn description(&self) -> Description {
        Description {
            name: "gradient",
            summary: "the gradient of the class's logit with respect to the pixels",
            source: "Simonyan, Vedaldi, Zisserman 2014",
            cost: "1 forward, 1 backward",
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, _: &Choices) -> Result<Box<dyn Explainer>> {
        let session = logit_gradient(model, &[model.input], false)?;
        Ok(Box::new(GradientExplainer { session, sum: p.word("channels") == "sum", image: vec![] }))
    }
}

/// Compiles logits and the gradient of the logit chosen by a one-hot second input with respect to `wrt`; the values of
/// `wrt` themselves follow if asked for.
pub(super) fn logit_gradient(
    model: &Model,
    wrt: &[candor_graph::graph::ValueId],
    with_values: bool,
) -> Result<Box<dyn Session>> {
    let at = |e| Error::graph(&model.info.path, e);
    let builder = Builder::new(model.graph.clone());
    let shape = builder.value(model.logits).shape().map_err(at)?;
    let shape: Vec<Dim> = shape.clone();
    let seed = builder.input("query_one_hot", DataType::Float, &shape).id();
    let graph = builder.finish().map_err(at)?;
    let (mut graph, found) = gradients(graph, &[(model.logits, seed)], wrt).map_err(at)?;
    graph.outputs = vec![model.logits];
    graph.outputs.extend(found);
    if with_values {
        graph.outputs.extend(wrt);
    }
    rewrite::fold_constants(&mut graph, &Folding(model.engine.as_ref())).map_err(at)?;
    rewrite::remove_dead(&mut graph);
    Ok(model.engine.compile(&graph)?)
}

/// Runs such a session on one image and one class. The first `model.classes` values are the logits.
pub(super) fn run_logit_gradient(
    model: &Model,
    session: &mut dyn Session,
    image: &[f32],
    class: usize,
) -> Result<Vec<Vec<f32>>> {
    let at = |e| Error::graph(&model.info.path, e);
    let batch = model.fixed_batch.unwrap_or(1);
    let input = Tensor::floats(&model.batch_shape(batch), image.repeat(batch)).map_err(at)?;
    let one_hot: Vec<f32> = (0..model.classes).map(|k| f32::from(u8::from(k == class))).collect();
    let one_hot = Tensor::floats(&[batch, model.classes], one_hot.repeat(batch)).map_err(at)?;
    let out = session.run(&[&input, &one_hot])?;
    Ok(out
        .into_iter()
        .map(|t| {
            let mut values = t.into_floats().unwrap_or_default();
            values.truncate(values.len() / batch);
            values
        })
        .collect())
}

struct GradientExplainer {
    session: Box<dyn Session>,
    sum: bool,
    image: Vec<f32>,
}

impl Explainer for GradientExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.image = image.to_vec();
        let scores = run_logit_gradient(model, self.session.as_mut(), image, 0)?.swap_remove(0);
        model.check_scores(&scores)?;
        Ok(scores)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        steps: &mut dyn FnMut(),
    ) -> Result<Vec<Explanation>> {
        let [channels, height, width] = model.input_shape;
        let area = height * width;
        let mut explanations = vec![];
        for &class in classes {
            let out = run_logit_gradient(model, self.session.as_mut(), &self.image, class)?;
            let g = &out[1];
            let over = (0..area).map(|i| (0..channels).map(move |c| g[c * area + i]));
            let data = match self.sum {
                true => over.map(Iterator::sum).collect(),
                false => over.map(|v| v.fold(0.0f32, |m, g| m.max(g.abs()))).collect(),
            };
            explanations.push(Explanation {
                map: Map { height, width, data },
                levels: vec![],
                log_odds: None,
                null_log_odds: None,
                evidence: None,
                kept: None,
                passes: Passes { forward: 1, backward: 1 },
                warnings: vec![],
            });
        }
        steps();
        Ok(explanations)
    }
}
