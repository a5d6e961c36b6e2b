//! Explanation methods, one file each, and their registry.

mod ablation_cam;
mod attention;
pub mod attribution;
pub mod backward;
pub mod baseline;
mod blend;
mod cam;
mod completeness;
mod deep_lift;
mod eigen_cam;
mod evidence_scaled;
mod excitation;
mod expected_gradients;
mod extremal;
mod forward;
mod full_grad;
mod gradient;
mod gradient_times_input;
mod guided_grad_cam;
mod integrated_gradients;
pub mod kernel_shap;
mod layer;
pub mod least_squares;
pub mod level_gradients;
pub mod lime;
mod lrp;
mod meaningful;
mod null_methods;
mod occlusion;
mod recipe;
pub mod reliable;
mod relu_rules;
pub mod rise;
mod score_cam;
mod segments;
mod smooth_grad;
mod smooth_mask;
pub mod superpixels;

use crate::progress::Progress;
use candor_graph::graph::Graph;

use crate::error::{Error, MethodError, Result};
use crate::explanation::Explanation;
use crate::false_alarms::FalseAlarms;
use crate::mask::stepwise::Stepwise;
use crate::model::Model;
use crate::parameters::{Kind, Parameter, Parameters};

/// Description of a method, for `candor methods` and for reports.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Name on the command line.
    pub name: &'static str,
    /// What it computes, in one line.
    pub summary: &'static str,
    /// Paper or origin.
    pub source: &'static str,
    /// Cost of a query with the defaults.
    pub cost: Cost,
    /// Whether maps can have negative values.
    pub signed: bool,
    /// Whether the map depends on the queried class.
    pub class_sensitive: bool,
    /// Its parameters, with their defaults.
    pub parameters: &'static [Parameter],
}

/// Passes of one image through the network that a query takes with a method's defaults.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Forward passes.
    pub forward: u64,
    /// Backward passes.
    pub backward: u64,
    /// What the two numbers depend on; may be empty.
    pub note: &'static str,
}

impl Cost {
    /// Passes in both directions.
    pub fn passes(self) -> u64 {
        self.forward + self.backward
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} forward", self.forward)?;
        if self.backward > 0 {
            write!(f, ", {} backward", self.backward)?;
        }
        if self.note.is_empty() { Ok(()) } else { write!(f, " ({})", self.note) }
    }
}

/// The caller's choices besides a method's own parameters.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Names of the levels (the last one is the layer of CAM methods); automatic if empty.
    pub levels: Vec<String>,
    /// λ from the model's sidecar, used where `lambda` is not set.
    pub calibrated_lambda: Option<f64>,
    /// How much evidence absent classes show, from the model's sidecar; the built-in rule if `None`.
    pub false_alarms: Option<FalseAlarms>,
    /// Seed of all random numbers; each photo starts a new stream.
    pub seed: u64,
}

/// A method: prepared once for a model, then run on images.
pub trait Definition: Send + Sync {
    /// Name, source, cost and parameters.
    fn description(&self) -> Description;

    /// Compiles what it needs of `model`. Replaces parameters whose default is `auto` by the values chosen.
    ///
    /// # Errors
    /// A parameter out of range, a level that does not exist, a node without a gradient rule.
    fn prepare(
        &self,
        model: &Model,
        parameters: &mut Parameters,
        choices: &Choices,
    ) -> Result<Box<dyn Compiled>>;

    /// Its exporter, if it can be exported as a graph.
    fn exporter(&self) -> Option<&dyn Export> {
        None
    }
}

/// A method that can be exported as a graph: see [`crate::export`].
pub trait Export {
    /// The graph, with the inputs image and `class` and the outputs `logits` and `map`.
    ///
    /// # Errors
    /// As [`Definition::prepare`], and a setting that cannot be exported.
    fn export(&self, model: &Model, parameters: &mut Parameters, choices: &Choices) -> Result<Graph>;

    /// The method as a search that its caller runs step by step, if it is one.
    ///
    /// # Errors
    /// As [`Export::export`].
    fn stepwise(
        &self,
        _model: &Model,
        _parameters: &mut Parameters,
        _choices: &Choices,
    ) -> Result<Option<Stepwise>> {
        Ok(None)
    }
}

/// A method prepared for one model.
pub trait Compiled: Send {
    /// Logits of an image (C·H·W preprocessed values).
    ///
    /// # Errors
    /// If the engine fails or a score is not finite.
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>>;

    /// Maps of several classes of the image last given to [`Compiled::scores`]. `steps` receives each step of work, [`Compiled::steps`]
    /// of them in total.
    ///
    /// # Errors
    /// As [`Compiled::scores`].
    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>>;

    /// [`Compiled::scores`] and [`Compiled::explain`] for several images: for each its scores and the maps of the classes that
    /// `classes` chooses from them. `steps` receives [`Compiled::steps`] steps per image.
    ///
    /// # Errors
    /// As [`Compiled::scores`], if one image fails.
    fn explain_all(
        &mut self,
        model: &Model,
        images: &[&[f32]],
        classes: &dyn Fn(&[f32]) -> Vec<usize>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<(Vec<f32>, Vec<Explanation>)>> {
        let one = |image: &&[f32]| {
            let scores = self.scores(model, image)?;
            let explanations = self.explain(model, &classes(&scores), progress)?;
            Ok((scores, explanations))
        };
        images.iter().map(one).collect()
    }

    /// Number of images per call of [`Compiled::explain_all`] when at least that many are queued: more at once are not faster.
    fn together(&self, _model: &Model) -> usize {
        1
    }

    /// Number of steps that one call of [`Compiled::explain`] with this many classes reports.
    fn steps(&self, _classes: usize) -> u64 {
        1
    }
}

/// Prepares a method for a model. Returns the compiled method and all its parameters, those of `set` over the defaults.
///
/// # Errors
/// As [`Definition::prepare`], and [`Error::Method`] for a setting that the method does not know.
pub fn prepare(
    model: &Model,
    method: &dyn Definition,
    set: &[(String, String)],
    choices: &Choices,
) -> Result<(Box<dyn Compiled>, Parameters)> {
    let description = method.description();
    let mut parameters = Parameters::new(description.name, description.parameters, set)?;
    let explainer = method.prepare(model, &mut parameters, choices)?;
    Ok((explainer, parameters))
}

/// Checks the settings of a method without a model: every name and every value, including those of a method that it wraps.
///
/// # Errors
/// [`Error::Method`] and [`Error::UnknownMethod`], as [`prepare`] gives them.
pub fn check(method: &dyn Definition, set: &[(String, String)]) -> Result<()> {
    let description = method.description();
    let p = Parameters::new(description.name, description.parameters, set)?;
    match description.parameters.iter().any(|p| matches!(p.kind, Kind::Method)) {
        true => check(wrapped(&p)?.as_ref(), p.inner()),
        false => Ok(()),
    }
}

/// The method that the parameter `method` of a wrapper names.
fn wrapped(p: &Parameters) -> Result<Box<dyn Definition>> {
    let method = find(p.word("method"))?;
    if method.description().name == p.method() {
        return Err(Error::method(p.method(), MethodError::WrapsItself));
    }
    Ok(method)
}

/// [`wrapped`], prepared; its parameters, set as `method.NAME`, are recorded under these names.
fn prepare_wrapped(model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
    let method = wrapped(p)?;
    let (explainer, inner) = prepare(model, method.as_ref(), p.inner(), choices)?;
    for (name, value) in inner.values() {
        p.record(&format!("method.{name}"), value.clone());
    }
    Ok(explainer)
}

/// All methods, the default first.
pub fn all() -> Vec<Box<dyn Definition>> {
    let mut all: Vec<Box<dyn Definition>> = vec![
        Box::new(reliable::Reliable),
        Box::new(gradient::Gradient),
        Box::new(gradient_times_input::GradientTimesInput),
        Box::new(relu_rules::Deconvnet),
        Box::new(relu_rules::GuidedBackprop),
        Box::new(smooth_grad::SmoothGrad),
        Box::new(integrated_gradients::IntegratedGradients),
        Box::new(expected_gradients::ExpectedGradients),
    ];
    all.extend(cam::FAMILY.map(|cam| Box::new(cam) as Box<dyn Definition>));
    let rest: Vec<Box<dyn Definition>> = vec![
        Box::new(score_cam::ScoreCam),
        Box::new(ablation_cam::AblationCam),
        Box::new(eigen_cam::EigenCam),
        Box::new(guided_grad_cam::GuidedGradCam),
        Box::new(full_grad::FullGrad),
        Box::new(lrp::Lrp),
        Box::new(excitation::Excitation { contrastive: false }),
        Box::new(excitation::Excitation { contrastive: true }),
        Box::new(deep_lift::DeepLift),
        Box::new(evidence_scaled::EvidenceScaled),
    ];
    all.extend(rest);
    all.extend(attention::BOTH.map(|method| Box::new(method) as Box<dyn Definition>));
    let rest: Vec<Box<dyn Definition>> = vec![
        Box::new(occlusion::Occlusion),
        Box::new(rise::Rise),
        Box::new(lime::Lime),
        Box::new(kernel_shap::KernelShap),
        Box::new(meaningful::MeaningfulPerturbation),
        Box::new(extremal::ExtremalPerturbation),
        Box::new(null_methods::Random),
        Box::new(null_methods::Edges),
        Box::new(null_methods::Centre),
    ];
    all.extend(rest);
    all
}

/// The current name of a method that had another name.
pub fn renamed(name: &str) -> Option<&'static str> {
    (name == "evident").then_some("evidence-scaled")
}

/// The method with that name; former names work, too.
///
/// # Errors
/// [`Error::UnknownMethod`] listing the known names.
pub fn find(name: &str) -> Result<Box<dyn Definition>> {
    let name = renamed(name).unwrap_or(name);
    let names: Vec<&'static str> = all().iter().map(|m| m.description().name).collect();
    let found = all().into_iter().find(|m| m.description().name == name);
    found.ok_or_else(|| Error::UnknownMethod { name: name.to_string(), known: names })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::one_line;

    fn checked(name: &str, set: &[(&str, &str)]) -> std::result::Result<(), String> {
        let set: Vec<_> = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        find(name).and_then(|method| check(method.as_ref(), &set)).map_err(|e| one_line(&e))
    }

    #[test]
    fn settings_are_checked_without_a_model_and_so_are_those_of_a_wrapped_method() {
        assert_eq!(checked("reliable", &[("shape", "full")]), Ok(()));
        let wrapped = [("method", "lrp"), ("method.composite", "epsilon")];
        assert_eq!(checked("evidence-scaled", &wrapped), Ok(()));
        let fails = |name: &str, set: &[(&str, &str)], part: &str| {
            let error = checked(name, set).unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        fails("reliabel", &[], "there is no method 'reliabel'; did you mean 'reliable'?");
        fails("magic", &[], "there are: reliable, gradient, gradient-times-input");
        fails("reliable", &[("shap", "full")], "did you mean 'shape'?");
        fails("reliable", &[("lambda", "-1")], "must be a number");
        fails("evidence-scaled", &[("method", "gradcam")], "did you mean 'grad-cam'?");
        fails("evidence-scaled", &[("method", "evidence-scaled")], "cannot wrap itself");
        fails(
            "evidence-scaled",
            &[("method", "lrp"), ("method.composit", "epsilon")],
            "did you mean 'composite'?",
        );
        fails("smoothgrad", &[("method", "evidence-scaled"), ("method.method", "none")], "no method 'none'");
    }
}
