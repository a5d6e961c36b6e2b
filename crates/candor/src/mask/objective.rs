//! The output distance D: what it means to keep the output. Each objective has its value and, as a graph, its
//! derivative with respect to the logits; a test compares them.

use candor_graph::builder::Expr;

use super::places::Place;
use crate::scores::{log_odds, softmax};

/// Excludes a class from a logsumexp.
pub const EXCLUDED: f32 = -1e9;

/// The output distance D(S(x; m), S(x); c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Objective {
    /// (o_c(S(x;m)) − t)² with the target t ([`Query::target`]), the log-odds o_c and the null n_c (new in Candor, the default). For a
    /// class whose target is the null (t = n_c), log-odds below n_c cost nothing, so that the empty mask is its exact optimum. For a
    /// class with evidence they do: if the cost were flat there, a mask that once fell below the null would never recover. If windows are
    /// evaluated, only a loss of log-odds costs ([`Query::losses_only`]): masks may remove rivals elsewhere.
    Evidence,
    /// (S_c(x;m) − S_c(x))²: closest to the source.
    Logit,
    /// (p_c(x;m) − p_c(x))² (an ablation).
    Probability,
    /// Mean over the classes of the squared change of their logits; takes no query (an ablation).
    AllLogits,
    /// Kullback–Leibler divergence of p(x;m) from p(x); takes no query (an ablation).
    Kl,
}

/// The inputs of the graph that describe a query, one row per query: N×1 for `floor` and `target`, N×K for the others.
pub struct QueryInputs<'b> {
    /// 1 for the queried class.
    pub one_hot: Expr<'b>,
    /// 0 for classes that compete with the query; a large negative number for the query itself and others left out.
    pub rivals: Expr<'b>,
    /// Logits of the unmasked image.
    pub reference: Expr<'b>,
    /// The null log-odds n_c, raised to chance if the settings say so.
    pub floor: Expr<'b>,
    /// The log-odds to keep.
    pub target: Expr<'b>,
    /// Whether only a loss of log-odds costs.
    pub losses_only: bool,
}

impl<'b> QueryInputs<'b> {
    /// All of them, in the order of a step's inputs.
    pub fn all(&self) -> [Expr<'b>; 5] {
        [self.one_hot, self.rivals, self.reference, self.floor, self.target]
    }
}

/// The numbers of one row of [`QueryInputs`].
#[derive(Clone, Debug)]
pub struct Query {
    /// The class.
    pub class: usize,
    /// Classes besides itself that do not compete with it.
    pub left_out: Vec<usize>,
    /// Whether classes do not exclude each other: o_c = S_c.
    pub multi_label: bool,
    /// Logits of the unmasked image.
    pub reference: Vec<f32>,
    /// The null log-odds n_c, raised to chance if the settings say so.
    pub floor: f64,
    /// The window that shows the class best, if windows were evaluated.
    pub place: Option<Place>,
    /// Whether only a loss of log-odds costs.
    pub losses_only: bool,
}

impl Query {
    /// Row of `rivals`.
    pub fn rivals(&self) -> Vec<f32> {
        let mut row = vec![0.0; self.reference.len()];
        for &class in self.left_out.iter().chain([&self.class]) {
            row[class] = EXCLUDED;
        }
        row
    }

    /// The log-odds o_c(S) = S_c − logsumexp of the rivals; S_c itself if classes do not exclude each other.
    pub fn log_odds(&self, logits: &[f32]) -> f64 {
        if self.multi_label || logits.len() == 1 {
            return f64::from(logits[self.class]);
        }
        log_odds(logits, self.class, &self.left_out)
    }

    /// The log-odds t that the mask is to keep: those of the photo or of the window that shows the class best, whichever is higher,
    /// and at least the null: max(o_c(S(x)), o_c(w_c), n_c).
    pub fn target(&self) -> f64 {
        let place = self.place.map_or(f64::NEG_INFINITY, |p| p.log_odds);
        self.log_odds(&self.reference).max(place).max(self.floor)
    }

    /// The evidence t − n_c: log-odds above the null, at least 0.
    pub fn evidence(&self) -> f64 {
        self.target() - self.floor
    }
}

impl Objective {
    /// All objectives by name.
    pub const ALL: [(&'static str, Objective); 5] = [
        ("evidence", Objective::Evidence),
        ("logit", Objective::Logit),
        ("probability", Objective::Probability),
        ("all-logits", Objective::AllLogits),
        ("kl", Objective::Kl),
    ];

    /// D at the masked model's logits.
    pub fn value(self, query: &Query, logits: &[f32]) -> f64 {
        let c = query.class;
        match self {
            Objective::Evidence => {
                let (kept, target) = (query.log_odds(logits), query.target());
                let off = if query.losses_only { (kept - target).min(0.0) } else { kept - target };
                if target > query.floor || kept > query.floor { off.powi(2) } else { 0.0 }
            }
            Objective::Logit => f64::from(logits[c] - query.reference[c]).powi(2),
            Objective::Probability => {
                let p = |logits: &[f32]| match query.multi_label {
                    true => 1.0 / (1.0 + (-f64::from(logits[c])).exp()),
                    false => softmax(logits)[c],
                };
                (p(logits) - p(&query.reference)).powi(2)
            }
            Objective::AllLogits => {
                let squares = logits.iter().zip(&query.reference).map(|(a, b)| f64::from(a - b).powi(2));
                squares.sum::<f64>() / logits.len() as f64
            }
            Objective::Kl => {
                let (p, q) = (softmax(&query.reference), softmax(logits));
                p.iter().zip(&q).filter(|(p, _)| **p > 0.0).map(|(p, q)| p * (p / q.max(1e-300)).ln()).sum()
            }
        }
    }

    /// ∂D/∂S as a graph, N×K: the seed of the reverse sweep.
    pub fn seed<'b>(self, logits: Expr<'b>, q: &QueryInputs<'b>, multi_label: bool) -> Expr<'b> {
        let pick = |x: Expr<'b>| (x * q.one_hot).sum(&[1], true);
        match self {
            Objective::Evidence => {
                let log_odds = |s: Expr<'b>| log_odds_of(s, q.one_hot, q.rivals, multi_label);
                let kept = log_odds(logits);
                // For the whole photo, computed like the masked log-odds, so that all-ones masks have a distance of exactly 0, without
                // rounding error.
                let target = if q.losses_only { q.target } else { maximum(log_odds(q.reference), q.floor) };
                let counts = maximum((kept - q.floor).is_positive(), (target - q.floor).is_positive());
                let off = kept - target;
                let off = if q.losses_only { off.op("Min", &[off.builder().scalar(0.0)], &[]) } else { off };
                let slope = off * counts * 2.0;
                if multi_label {
                    return slope * q.one_hot;
                }
                slope * (q.one_hot - softmax_of(logits + q.rivals))
            }
            Objective::Logit => (pick(logits) - pick(q.reference)) * 2.0 * q.one_hot,
            Objective::Probability if multi_label => {
                let p = |logits: Expr<'b>| pick(logits).op("Sigmoid", &[], &[]);
                let (p, before) = (p(logits), p(q.reference));
                (p - before) * 2.0 * p * (1.0 - p) * q.one_hot
            }
            Objective::Probability => {
                let (p, before) = (softmax_of(logits), softmax_of(q.reference));
                (pick(p) - pick(before)) * 2.0 * pick(p) * (q.one_hot - p)
            }
            Objective::AllLogits => {
                let classes = logits.shape().ok().and_then(|s| s.get(1)?.fixed()).unwrap_or(1);
                (logits - q.reference) * (2.0 / classes as f32)
            }
            Objective::Kl => softmax_of(logits) - softmax_of(q.reference),
        }
    }
}

/// [`Query::log_odds`] as nodes, N×K → N×1.
pub fn log_odds_of<'b>(logits: Expr<'b>, one_hot: Expr<'b>, rivals: Expr<'b>, multi_label: bool) -> Expr<'b> {
    let score = (logits * one_hot).sum(&[1], true);
    if multi_label { score } else { score - log_sum_exp_of(logits + rivals) }
}

fn softmax_of(x: Expr<'_>) -> Expr<'_> {
    x.op("Softmax", &[], &[("axis", candor_graph::graph::Attr::Int(1))])
}

pub(super) fn maximum<'b>(a: Expr<'b>, b: Expr<'b>) -> Expr<'b> {
    a.op("Max", &[b], &[])
}

/// N×K → N×1, shifted by the maximum.
fn log_sum_exp_of(x: Expr<'_>) -> Expr<'_> {
    let axes = x.builder().ints(&[1]);
    let max = x.op("ReduceMax", &[axes], &[]);
    max + (x - max).exp().sum(&[1], true).op("Log", &[], &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Engine, RTen};
    use crate::mask::windows::Window;
    use candor_graph::builder::Builder;
    use candor_graph::graph::Graph;
    use candor_graph::shape::Dim;
    use candor_graph::tensor::{DataType, Tensor};

    /// The seed at `logits`, from the graph.
    fn seed(objective: Objective, q: &Query, logits: &[f32]) -> Vec<f32> {
        let b = Builder::new(Graph::new(18));
        let row = |name: &str, n: usize| b.input(name, DataType::Float, &[Dim::Batch(1), Dim::Fixed(n)]);
        let k = logits.len();
        let s = row("logits", k);
        let inputs = QueryInputs {
            one_hot: row("one_hot", k),
            rivals: row("rivals", k),
            reference: row("r", k),
            floor: row("f", 1),
            target: row("t", 1),
            losses_only: q.losses_only,
        };
        let out = objective.seed(s, &inputs, q.multi_label).id();
        let mut graph = b.finish().unwrap();
        graph.outputs = vec![out];
        let one_hot = (0..k).map(|i| f32::from(u8::from(i == q.class))).collect();
        let [floor, target] = [q.floor, q.target()].map(|v| vec![v as f32]);
        let rows = [logits.to_vec(), one_hot, q.rivals(), q.reference.clone(), floor, target];
        let rows = rows.map(|v| Tensor::floats(&[1, v.len()], v).unwrap());
        let rows: Vec<&Tensor> = rows.iter().collect();
        RTen::new(1).compile(&graph).unwrap().run(&rows).unwrap().remove(0).into_floats().unwrap()
    }

    #[test]
    fn seeds_are_the_derivatives_of_the_values() {
        let reference = vec![2.0, -1.0, 0.5, 0.1];
        let logits = [1.2f32, -0.7, 1.0, 0.3];
        for (name, objective) in Objective::ALL {
            // With evidence and above the null, with evidence and below it, without evidence and above the null.
            for (class, floor) in [(0, -3.0), (0, 0.9), (1, -2.9), (1, -9.0)] {
                let place = |log_odds: f64| {
                    Some(Place {
                        window: Window::whole([1, 1]),
                        grid: [1, 1],
                        log_odds,
                        strength: 0.0,
                        of_photo: 0.0,
                    })
                };
                let of_photo = [(vec![], false, None), (vec![2], false, None), (vec![], true, None)];
                // Below the target of a window, and above it.
                let of_place = [(vec![], false, place(3.0)), (vec![], true, place(-9.0))];
                for (left_out, multi_label, place) in of_photo.into_iter().chain(of_place) {
                    let q = Query {
                        class,
                        left_out,
                        multi_label,
                        reference: reference.clone(),
                        floor,
                        losses_only: place.is_some(),
                        place,
                    };
                    let got = seed(objective, &q, &logits);
                    for i in 0..logits.len() {
                        let at = |h: f32| {
                            let mut moved = logits;
                            moved[i] += h;
                            objective.value(&q, &moved)
                        };
                        let want = (at(1e-3) - at(-1e-3)) / 2e-3;
                        let error = (f64::from(got[i]) - want).abs();
                        assert!(
                            error < 2e-3,
                            "{name}, class {class}, floor {floor}, logit {i}: {} not {want}",
                            got[i]
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn without_evidence_nothing_below_the_null_costs() {
        let q = Query {
            class: 1,
            left_out: vec![],
            multi_label: false,
            reference: vec![5.0, 0.0],
            floor: -0.5,
            place: None,
            losses_only: false,
        };
        assert_eq!(q.target(), -0.5);
        assert_eq!(Objective::Evidence.value(&q, &[9.0, 0.0]), 0.0);
        assert!(Objective::Evidence.value(&q, &[0.0, 0.0]) > 0.2);
    }
}
