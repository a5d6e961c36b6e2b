//! Guided Grad-CAM: guided backprop times Grad-CAM, pixel by pixel (Selvaraju et al. 2017).

use crate::progress::Progress;
use candor_graph::grad::policy;

use super::attribution::enlarged;
use super::attribution::{Attribution, CHANNELS, channels};
use super::backward::{Backward, Plan};
use super::cam::{grad_cam, layer, plan};
use super::relu_rules::require_relu;
use super::{Choices, Compiled, Cost, Definition, Description};
use crate::error::Result;
use crate::explanation::Explanation;
use crate::map::Map;
use crate::mask::Level;
use crate::model::Model;
use crate::parameters::{Parameter, Parameters};
use crate::passes::Passes;

const PARAMETERS: &[Parameter] = &[CHANNELS];

/// The method.
pub(super) struct GuidedGradCam;

impl Definition for GuidedGradCam {
    fn description(&self) -> Description {
        Description {
            name: "guided-grad-cam",
            summary: "guided backprop times Grad-CAM",
            source: "Selvaraju et al. 2017",
            cost: Cost { forward: 2, backward: 2, note: "" },
            signed: true,
            class_sensitive: true,
            parameters: PARAMETERS,
        }
    }

    fn prepare(&self, model: &Model, p: &mut Parameters, choices: &Choices) -> Result<Box<dyn Compiled>> {
        require_relu(model, p.method())?;
        let level = layer(model, p, choices)?;
        let guided = Plan { policy: policy::guided_backprop(), ..Plan::gradient(model, &[model.input]) };
        Ok(Box::new(GuidedGradCamExplainer {
            guided: Backward::compile(model, guided)?,
            cam: Backward::compile(model, plan(model, &level, grad_cam))?,
            level,
            channels: channels(p),
        }))
    }
}

struct GuidedGradCamExplainer {
    guided: Backward,
    cam: Backward,
    level: Level,
    channels: super::attribution::Channels,
}

impl Compiled for GuidedGradCamExplainer {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.guided.forward(model, &[image])?;
        self.cam.forward(model, &[image])
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        let guided = self.guided.sweep(model, classes)?;
        let cams = self.cam.sweep(model, classes)?;
        let passes = Passes { forward: 2, backward: 2 * classes.len() as u64 };
        let explain = |q: usize| {
            let [_, height, width] = self.level.shape;
            let cam = enlarged(Map { height, width, data: cams[q][0].clone() }, model);
            let values = guided[q][0].iter().zip(cam.data.iter().cycle()).map(|(g, c)| g * c).collect();
            let a = Attribution { values, shape: model.input_shape, channels: self.channels };
            Explanation { passes: passes.share(q, classes.len()), ..Explanation::of_attribution(a) }
        };
        let explanations = (0..classes.len()).map(explain).collect();
        progress.step()?;
        Ok(explanations)
    }
}
