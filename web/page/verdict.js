// Computed from scores, and how a class is judged by what absent classes show: crates/candor/src/scores.rs, false_alarms.rs, explanation.rs.

export const argmax = (scores) => scores.reduce((best, v, i) => (v > scores[best] ? i : best), 0);

/** The classes by descending score; of equal ones the smaller number first. */
export const ranking = (scores) => Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a] || a - b);

/** S_c − ln Σ exp S_k over the other classes k except those left out; S_c if classes do not exclude each other. */
export function logOdds(logits, cls, leftOut, multiLabel) {
  if (multiLabel || logits.length === 1) return logits[cls];
  const competes = (k) => k !== cls && !leftOut.includes(k);
  let [max, sum] = [-Infinity, 0];
  logits.forEach((v, k) => competes(k) && (max = Math.max(max, v)));
  if (max === -Infinity) return Infinity;
  logits.forEach((v, k) => competes(k) && (sum += Math.exp(v - max)));
  return logits[cls] - (max + Math.log(sum));
}

/** [logOdds] of every class against all others, in time proportional to the number of classes. */
export function allLogOdds(logits, multiLabel) {
  if (multiLabel) return Array.from(logits);
  const best = argmax(logits);
  const powers = Array.from(logits, (v) => Math.exp(v - logits[best]));
  const total = powers.reduce((a, b) => a + b, 0);
  const all = powers.map((p, k) => logits[k] - logits[best] - Math.log(total - p));
  all[best] = logOdds(logits, best, [], false);
  return all;
}

/** Fraction of absent classes that reach a strength. */
export function rate({ classes, thresholds: t }, strength) {
  if (!t.length || strength < t[0][1]) return 1;
  const [last, highest] = t.at(-1);
  const least = classes > 0 ? 1 / (classes + 1) : 0.1 * last;
  const above = t.findIndex(([, at]) => at > strength);
  if (above < 0 && t.length < 2) return last;
  const [[r0, s0], [r1, s1]] = above < 0 ? [t.at(-2), [last, highest]] : [t[above - 1], t[above]];
  const way = s1 > s0 ? (strength - s0) / (s1 - s0) : 1;
  return Math.max(Math.exp(Math.log(r0) + way * (Math.log(r1) - Math.log(r0))), Math.min(least, last));
}

/** For each of several p-values, whether it is rejected at a false discovery rate (Benjamini & Hochberg 1995). */
export function discoveries(p, q) {
  const sorted = [...p].sort((a, b) => a - b);
  const passes = sorted.filter((v, i) => v <= (q * (i + 1)) / sorted.length);
  return p.map((v) => passes.length > 0 && v <= passes.at(-1));
}

/**
 * The verdict `evidence`, `weak`, `no-evidence` or `not-judged` on a result of [Search.explain]. `stands`: whether it is a discovery among all
 * requested classes.
 */
export function verdict(found, plan, stands) {
  const p = found.judged?.p_value ?? 0;
  if (found.evidence <= plan.least_evidence || p > plan.weak) return "no-evidence";
  // An empty map would be a wrong answer for a class that is present.
  if (mass(found.map) <= plan.least_mass) return found.judged && p <= plan.evidence && stands ? "not-judged" : "no-evidence";
  if (found.evidence > 0 && found.kept.log_odds - found.null_log_odds <= 0) return "not-judged";
  return found.judged && !(p <= plan.evidence && stands) ? "weak" : "evidence";
}

/** Mean over the pixels of a map's positive part. */
export const mass = ({ data }) => data.reduce((sum, v) => sum + Math.max(v, 0), 0) / data.length;

