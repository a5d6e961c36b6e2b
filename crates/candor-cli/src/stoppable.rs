//! Methods that Ctrl-C ends within a map, whoever asks for it: a benchmark or a check is told of whole maps only.

use std::ops::ControlFlow;

use candor::explanation::Explanation;
use candor::methods::{Choices, Compiled, Definition, Description, Export};
use candor::model::Model;
use candor::parameters::Parameters;
use candor::{Progress, Result};

use crate::interrupt;

/// The method, ended by Ctrl-C.
pub fn stoppable(method: Box<dyn Definition>) -> Box<dyn Definition> {
    Box::new(Stoppable(method))
}

struct Stoppable<T>(T);

impl Definition for Stoppable<Box<dyn Definition>> {
    fn description(&self) -> Description {
        self.0.description()
    }

    fn prepare(
        &self,
        model: &Model,
        parameters: &mut Parameters,
        choices: &Choices,
    ) -> Result<Box<dyn Compiled>> {
        Ok(Box::new(Stoppable(self.0.prepare(model, parameters, choices)?)))
    }

    fn exporter(&self) -> Option<&dyn Export> {
        self.0.exporter()
    }
}

impl Compiled for Stoppable<Box<dyn Compiled>> {
    fn scores(&mut self, model: &Model, image: &[f32]) -> Result<Vec<f32>> {
        self.0.scores(model, image)
    }

    fn explain(
        &mut self,
        model: &Model,
        classes: &[usize],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Explanation>> {
        self.0.explain(model, classes, &mut Asking(progress))
    }

    fn explain_all(
        &mut self,
        model: &Model,
        images: &[&[f32]],
        classes: &dyn Fn(&[f32]) -> Vec<usize>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<(Vec<f32>, Vec<Explanation>)>> {
        self.0.explain_all(model, images, classes, &mut Asking(progress))
    }

    fn together(&self, model: &Model) -> usize {
        self.0.together(model)
    }

    fn steps(&self, classes: usize) -> u64 {
        self.0.steps(classes)
    }
}

/// Progress that ends with Ctrl-C, too.
struct Asking<'p>(&'p mut dyn Progress);

impl Progress for Asking<'_> {
    fn advance(&mut self, steps: u64) -> ControlFlow<()> {
        self.0.advance(steps)?;
        if interrupt::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn stage(&mut self, name: &str) {
        self.0.stage(name);
    }
}
