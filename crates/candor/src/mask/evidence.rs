//! How much evidence there is for a class, in which window, and whether it counts as present: before any mask is learned.

use std::sync::Arc;

use super::learn::{Learned, Learner};
use super::look::{MARGINS, around, cut_out};
use super::objective::Query;
use super::places::{Place, losses_only};
use super::prepared::Prepared;
use super::step::Case;
use crate::error::Result;
use crate::false_alarms::{EVIDENCE, Ground};
use crate::model::Model;
use crate::passes::Passes;
use crate::scores::{all_log_odds, argmax};

/// Where a class is, and whether it counts as present.
#[derive(Clone, Debug)]
pub struct Found {
    /// The window that shows the class best.
    pub place: Place,
    /// What shows it best.
    pub ground: Ground,
    /// Fraction of absent classes that show at least as much evidence.
    pub p_value: f64,
    /// The closer look at that window, if the photo did not show enough.
    pub look: Option<Look>,
}

/// A part of the image, enlarged to the model's input.
#[derive(Clone, Debug)]
pub struct Look {
    /// The part, as fractions of the image: top, left, bottom, right.
    pub part: [f64; 4],
    /// The enlarged part at the cut before the masks, if masks are learned on it.
    pub(super) prepared: Option<Arc<Prepared>>,
    /// Log-odds of the class in the cut-out, above the null: mean over the part and over cut-outs with less and with more margin.
    pub evidence: f64,
}

/// A cut-out with its logits.
#[derive(Debug)]
struct Enlarged {
    image: Vec<f32>,
    logits: Vec<f32>,
}

/// A window's cut-outs, one per margin; the first is the part on which masks are learned.
struct Looked {
    part: [f64; 4],
    cuts: Vec<Arc<Enlarged>>,
}

impl Looked {
    /// Evidence for a query's class: the mean over the cut-outs of its log-odds above the null.
    fn evidence(&self, query: &Query, floor: f64) -> f64 {
        let above = self.cuts.iter().map(|cut| query.log_odds(&cut.logits) - floor);
        above.sum::<f64>() / self.cuts.len().max(1) as f64
    }
}

/// Whether a query is for the model's answer.
fn is_answer(prepared: &Prepared, l: &Learned) -> bool {
    l.query.class == argmax(&prepared.reference)
}

impl Look {
    /// The enlarged part at the cut before the masks, if masks are learned on it.
    pub fn prepared(&self) -> Option<&Prepared> {
        self.prepared.as_deref()
    }
}

impl Learner {
    /// For each case the empty mask, with its query's reference, floor and window, and whether its class counts as present: the state
    /// before any mask is learned.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn empty(&mut self, model: &Model, cases: &[(&Prepared, usize)]) -> Result<Vec<Learned>> {
        let masks = self.step.masks(0.0);
        let (logits, passes) = self.empty_logits(cases)?;
        let empty =
            |((&(prepared, class), null_logits), passes): ((&(&Prepared, usize), Vec<f32>), Passes)| {
                let mut query = Query {
                    class,
                    left_out: self.left_out(prepared, class),
                    reference: prepared.reference.clone(),
                    losses_only: losses_only(&self.settings, self.classes),
                    ..self.blank()
                };
                let null_log_odds = query.log_odds(&null_logits);
                query.floor = self.raised(null_log_odds);
                Learned {
                    query,
                    null_log_odds,
                    kept_logits: null_logits.clone(),
                    null_logits,
                    masks: masks.clone(),
                    losses: vec![],
                    lambda: self.lambda,
                    found: None,
                    passes,
                }
            };
        let mut all: Vec<Learned> = cases.iter().zip(logits).zip(passes).map(empty).collect();
        let mut start = 0;
        while let Some(&(prepared, _)) = cases.get(start) {
            let of_image = cases[start..].iter().take_while(|(p, _)| std::ptr::eq(*p, prepared)).count();
            let learned = &mut all[start..start + of_image];
            self.find_places(prepared, learned)?;
            if self.settings.look {
                self.look_closer(model, prepared, learned)?;
            }
            start += of_image;
        }
        Ok(all)
    }

    /// Classes that do not compete with `class`.
    fn left_out(&self, prepared: &Prepared, class: usize) -> Vec<usize> {
        let top1 = argmax(&prepared.reference);
        if self.settings.leave_out_top1 && class != top1 { vec![top1] } else { vec![] }
    }

    /// Null log-odds, raised to chance if the settings say so.
    fn raised(&self, null_log_odds: f64) -> f64 {
        let chance = -((self.classes.saturating_sub(1)).max(1) as f64).ln();
        let at_chance = self.settings.floor_at_chance && self.exclusive;
        if at_chance { null_log_odds.max(chance) } else { null_log_odds }
    }

    /// Height and width of the coarsest level.
    fn grid(&self) -> [usize; 2] {
        self.levels.last().map_or([1, 1], |l| [l.shape[1], l.shape[2]])
    }

    /// The null log-odds of every class, raised to chance if the settings say so, from logits with every mask zero.
    fn floors(&self, null: &[f32]) -> Vec<f64> {
        let odds =
            if self.multi_label { null.iter().map(|&v| f64::from(v)).collect() } else { all_log_odds(null) };
        odds.into_iter().map(|n| self.raised(n)).collect()
    }

    /// Finds the window that shows each class best, if windows are evaluated.
    fn find_places(&mut self, prepared: &Prepared, all: &mut [Learned]) -> Result<()> {
        if !self.settings.places {
            return Ok(());
        }
        let found = match (self.places.take(), &prepared.places) {
            (Some(mut test), Some(places)) => {
                let classes: Vec<usize> = all.iter().map(|l| l.query.class).collect();
                let floors = self.floors(&all[0].null_logits);
                let found = test.places(places, &classes, &floors, &|class| self.left_out(prepared, class));
                all[0].passes += test.passes();
                self.places = Some(test);
                found
            }
            (test, _) => {
                self.places = test;
                let whole = |l: &Learned| {
                    Place::whole(self.grid(), l.query.log_odds(&l.query.reference), l.query.floor)
                };
                Ok(all.iter().map(whole).collect())
            }
        };
        for (l, place) in all.iter_mut().zip(found?) {
            let looks = self.settings.look && !is_answer(prepared, l);
            let (ground, p_value) = self.false_alarms.judge(&place, None, looks);
            l.query.place = Some(place);
            l.found = Some(Found { place, ground, p_value, look: None });
        }
        Ok(())
    }

    /// Takes a closer look at the window of each class that the photo does not show well enough. The model's answer is excluded: the
    /// photo itself decided it.
    fn look_closer(&mut self, model: &Model, prepared: &Prepared, all: &mut [Learned]) -> Result<()> {
        let unsure = |l: &Learned| {
            let found = l.found.as_ref().filter(|f| f.p_value > EVIDENCE && !is_answer(prepared, l))?;
            Some(found.place)
        };
        let places: Vec<(usize, Place)> =
            all.iter().enumerate().filter_map(|(q, l)| Some((q, unsure(l)?))).collect();
        let looks = self.looks(model, prepared, &places.iter().map(|(_, p)| *p).collect::<Vec<_>>())?;
        let mut first: Vec<*const Enlarged> = vec![];
        for ((q, place), looked) in places.into_iter().zip(looks) {
            let l = &mut all[q];
            for cut in &looked.cuts {
                if !first.contains(&Arc::as_ptr(cut)) {
                    first.push(Arc::as_ptr(cut));
                    l.passes += Prepared::PASSES;
                }
            }
            let evidence = looked.evidence(&l.query, l.query.floor);
            let (ground, p_value) = self.false_alarms.judge(&place, Some(evidence), true);
            let Looked { part, cuts } = looked;
            let mut prepared = None;
            if let Some(cut) = cuts.first().filter(|_| ground == Ground::CloserLook) {
                let mut made = self.prepare_part(model, &[&cut.image])?;
                made[0].reference.clone_from(&cut.logits);
                prepared = made.pop().map(Arc::new);
                l.query.reference.clone_from(&cut.logits);
                l.query.place = None;
            }
            let look = Some(Look { part, prepared, evidence });
            l.found = Some(Found { place, ground, p_value, look });
        }
        Ok(())
    }

    /// Enlarged cut-outs of an image around windows; equal cut-outs are computed once.
    fn looks(&mut self, model: &Model, prepared: &Prepared, places: &[Place]) -> Result<Vec<Looked>> {
        let parts = |p: &Place| MARGINS.map(|margin| around(&p.window, p.grid, margin));
        let mut each: Vec<[f64; 4]> = vec![];
        for part in places.iter().flat_map(parts) {
            if !each.contains(&part) {
                each.push(part);
            }
        }
        let Some(test) = &mut self.places else { return Ok(vec![]) };
        let mut looked: Vec<Arc<Enlarged>> = vec![];
        for &part in &each {
            let image = cut_out(&prepared.image, model.input_shape, part);
            let logits = test.answer(model, &image)?;
            looked.push(Arc::new(Enlarged { image, logits }));
        }
        let of = |part: &[f64; 4]| each.iter().position(|e| e == part).map(|i| looked[i].clone());
        let cuts =
            |parts: [[f64; 4]; 3]| Looked { part: parts[0], cuts: parts.iter().filter_map(of).collect() };
        Ok(places.iter().map(|place| cuts(parts(place))).collect())
    }

    /// The strength of the local evidence of each of `classes` ([`Place::strength`]), and the evidence on a closer look of each of
    /// `closer`, if the settings take closer looks. Both are empty if the settings evaluate the whole photo.
    ///
    /// # Errors
    /// If the engine fails.
    pub fn strengths(
        &mut self,
        model: &Model,
        prepared: &Prepared,
        (classes, closer): (&[usize], &[usize]),
    ) -> Result<[Vec<f64>; 2]> {
        let (null, _) = self.empty_logits(&[(prepared, 0)])?;
        let floors = self.floors(&null[0]);
        if !self.settings.places {
            return Ok([vec![], vec![]]);
        }
        let (all, found) = match (self.places.take(), &prepared.places) {
            (Some(mut test), Some(places)) => {
                let all = test.strengths(places, &floors);
                let closer = if self.settings.look { closer } else { &[] };
                let found = test.places(places, closer, &floors, &|_| vec![]);
                self.places = Some(test);
                (all, found?)
            }
            (test, _) => {
                self.places = test;
                let whole = |class: usize| {
                    let odds = Query { class, ..self.blank() }.log_odds(&prepared.reference);
                    Place::whole(self.grid(), odds, floors[class]).strength
                };
                ((0..self.classes).map(whole).collect(), vec![])
            }
        };
        let looks = self.looks(model, prepared, &found)?;
        let evidence = |(&class, looked): (&usize, &Looked)| {
            looked.evidence(&Query { class, ..self.blank() }, floors[class])
        };
        let closer = closer.iter().zip(&looks).map(evidence).collect();
        Ok([classes.iter().map(|&c| all[c]).collect(), closer])
    }

    /// For each case the logits with every mask zero, and its passes: one per image, however many classes are requested.
    fn empty_logits(&mut self, cases: &[(&Prepared, usize)]) -> Result<(Vec<Vec<f32>>, Vec<Passes>)> {
        let mut images: Vec<&Prepared> = vec![];
        let (mut of_case, mut passes) = (vec![], vec![]);
        let null = |prepared: &Prepared| prepared.places.as_ref().and_then(|places| places.null.clone());
        for &(prepared, _) in cases {
            let new = !images.last().is_some_and(|last| std::ptr::eq(*last, prepared));
            if new {
                images.push(prepared);
            }
            of_case.push(images.len() - 1);
            passes.push(Passes { forward: (new && null(prepared).is_none()).into(), backward: 0 });
        }
        let known: Option<Vec<Vec<f32>>> = images.iter().map(|prepared| null(prepared)).collect();
        if let Some(logits) = known {
            return Ok((of_case.into_iter().map(|i| logits[i].clone()).collect(), passes));
        }
        let (blank, zeros) = (self.blank(), self.step.masks(0.0));
        let blanks: Vec<Case<'_>> = images.iter().map(|prepared| Case { prepared, query: &blank }).collect();
        let logits = self.step.logits(&blanks, &vec![&zeros; images.len()])?;
        Ok((of_case.into_iter().map(|i| logits[i].clone()).collect(), passes))
    }
}
