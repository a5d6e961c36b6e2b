//! Fits λ to a query: finds masks that are as sparse as possible and keep the evidence.

/// Fraction of the evidence that a mask must keep to be accepted. If none does, the mask that keeps most is returned.
pub(super) const LEAST: f64 = 0.9;
/// Each step multiplies λ by e^(GAIN·(share − aim)), with the exponent clamped to these bounds.
pub(super) const GAIN: f64 = 4.0;
pub(super) const EXPONENT: [f64; 2] = [-0.7, 0.1];
/// Factor of λ before another round.
pub(super) const RETRY: f32 = 0.25;
/// Maximum number of rounds after the first.
pub(super) const ROUNDS: usize = 3;

/// The state of one query's search for λ: the current λ, and the masks to return.
#[derive(Clone, Debug)]
pub(super) struct Keeping {
    /// The λ of the next step.
    pub lambda: f32,
    /// The target fraction of the evidence; 0 keeps λ constant.
    aim: f64,
    /// The sparsest masks so far that keep [`LEAST`] of the evidence, their size, and their λ.
    kept: Option<Seen>,
    /// The masks that keep most, with the fraction that they keep.
    most: Option<(f64, Seen)>,
}

/// Masks with their size, the λ of their step, and the logits that they leave.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    size: f64,
    pub lambda: f32,
    pub masks: Vec<Vec<f32>>,
    pub logits: Vec<f32>,
}

impl Keeping {
    /// A search that starts from a λ, with the target fraction of the evidence.
    pub fn new(lambda: f32, aim: f64) -> Self {
        Keeping { lambda, aim, kept: None, most: None }
    }

    /// Records masks and their logits, with the fraction of the evidence that they keep and with their size. λ is adapted, and sparse
    /// masks are accepted, only once masks had time to decrease from their start (`settled`).
    pub fn observe(&mut self, share: f64, size: f64, (masks, logits): (&[Vec<f32>], &[f32]), settled: bool) {
        if self.aim <= 0.0 {
            return;
        }
        let seen = || Seen { size, lambda: self.lambda, masks: masks.to_vec(), logits: logits.to_vec() };
        if settled && share >= LEAST && self.kept.as_ref().is_none_or(|kept| size < kept.size) {
            self.kept = Some(seen());
        }
        if self.most.as_ref().is_none_or(|(most, _)| share > *most) {
            self.most = Some((share, seen()));
        }
        if settled {
            let [low, high] = EXPONENT;
            self.lambda *= (GAIN * (share - self.aim)).clamp(low, high).exp() as f32;
        }
    }

    /// Whether no masks so far keep enough of the evidence.
    pub fn lost(&self) -> bool {
        self.aim > 0.0 && self.kept.is_none()
    }

    /// Decreases λ and returns the masks that keep most, from which another round starts.
    pub fn again(&mut self) -> Option<Vec<Vec<f32>>> {
        self.lambda *= RETRY;
        self.most.as_ref().map(|(_, seen)| seen.masks.clone())
    }

    /// The masks to return; `None` if λ was not fitted.
    pub fn found(self) -> Option<Seen> {
        self.kept.or(self.most.map(|(_, seen)| seen)).filter(|_| self.aim > 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Keeping;

    fn mask(v: f32) -> Vec<Vec<f32>> {
        vec![vec![v]]
    }

    #[test]
    fn the_sparsest_mask_that_keeps_the_evidence_is_found() {
        let mut k = Keeping::new(1.0, 0.95);
        k.observe(1.0, 9.0, (&mask(0.9), &[0.9]), false);
        assert!(k.lost() && k.lambda == 1.0, "gates are still on their way down");
        k.observe(1.0, 5.0, (&mask(0.5), &[0.5]), true);
        assert!(!k.lost() && k.lambda > 1.0, "nothing was lost");
        k.observe(0.92, 3.0, (&mask(0.3), &[0.3]), true);
        k.observe(0.4, 1.0, (&mask(0.1), &[0.1]), true);
        assert!(k.lambda < 1.0, "too much was lost");
        k.observe(0.97, 4.0, (&mask(0.4), &[0.4]), true);
        let found = k.found().unwrap();
        assert_eq!((found.masks, found.logits), (mask(0.3), vec![0.3]));
    }

    #[test]
    fn where_none_keeps_enough_the_search_goes_on_from_what_keeps_most() {
        let mut k = Keeping::new(1.0, 0.95);
        k.observe(0.6, 2.0, (&mask(0.2), &[0.2]), true);
        k.observe(0.3, 1.0, (&mask(0.1), &[0.1]), true);
        assert!(k.lost());
        let before = k.lambda;
        assert_eq!(k.again(), Some(mask(0.2)));
        assert!(k.lambda < 0.3 * before);
        assert_eq!(k.found().unwrap().masks, mask(0.2));
    }

    #[test]
    fn a_lambda_that_is_set_stays() {
        let mut k = Keeping::new(1.0, 0.0);
        k.observe(0.1, 1.0, (&mask(0.1), &[0.1]), true);
        assert!(k.lambda == 1.0 && !k.lost() && k.found().is_none());
    }
}
