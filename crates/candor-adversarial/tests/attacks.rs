//! Properties of every attack, on the embedded model: budgets, success, seeds, independence of images, targets, passes.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use candor::progress::Unwatched;
use candor::scores::ranking;
use candor_adversarial::attacks::{self, ALL, Budget, Goal, Norms, answer};
use support::Lab;

/// Settings for few passes. Attacks that are not listed are tested with their defaults.
fn settings(name: &str) -> &'static [(&'static str, &'static str)] {
    match name {
        "pgd" => &[("steps", "10"), ("step", "0.2"), ("restarts", "2")],
        "pgd-l2" => &[("steps", "10"), ("step", "0.2")],
        "apgd" => &[("steps", "10")],
        "deepfool" => &[("candidates", "3"), ("steps", "10")],
        "cw" => &[("binary-search-steps", "2"), ("steps", "10"), ("step", "0.02"), ("initial-c", "1")],
        "jsma" => &[("gamma", "0.002"), ("shortlist", "64")],
        "square" => &[("queries", "40")],
        "transfer" => &[("method.steps", "5"), ("method.step", "0.3")],
        _ => &[],
    }
}

/// The settings of an attack with additional ones.
fn with<'s>(name: &str, further: &[(&'s str, &'s str)]) -> Vec<(&'s str, &'s str)> {
    let kept = settings(name).iter().filter(|(key, _)| further.iter().all(|(own, _)| own != key));
    kept.copied().chain(further.iter().copied()).collect()
}

#[test]
fn results_keep_their_budget_and_report_their_norms() {
    let mut lab = Lab::embedded();
    let images = lab.scenes(3);
    let goals = lab.away(&images);
    let variants: [(&str, &[(&str, &str)]); 2] =
        [("apgd", &[("norm", "l2"), ("eps", "0.5")]), ("transfer", &[("attack", "fgsm")])];
    let variants = variants.map(|(name, further)| (name, further.to_vec()));
    let all = ALL.iter().map(|d| (d.name, with(d.name, &[])));
    for (name, set) in all.chain(variants) {
        let mut attack = lab.prepare(name, &set);
        let budget = attack.budget();
        for (found, image) in lab.run(attack.as_mut(), &images, &goals, 0).iter().zip(&images) {
            let norms = Norms::between(&found.pixels, image);
            assert_eq!(found.norms, norms, "{name}");
            assert!(budget.holds(&norms), "{name}: {norms:?} is beyond {budget:?}");
            assert!(found.pixels.iter().all(|v| (0.0..=1.0).contains(v)), "{name}: a pixel outside 0..=1");
            assert_eq!(found.pixels.len(), image.len(), "{name}");
            assert!(norms.linf > 0.0 || !found.success, "{name}: success without a change");
            if name == "jsma" {
                assert!(norms.l0 <= (0.002 * image.len() as f64 / 2.0).ceil() as usize * 2, "{norms:?}");
            }
        }
    }
}

/// `success` is compared with the logits of the returned pixels, computed by another session from the model's own input.
#[test]
fn success_is_what_the_model_answers_to_the_returned_pixels() {
    let mut lab = Lab::embedded();
    let images = lab.scenes(2);
    let away = lab.away(&images);
    let mut outcomes = [false; 2];
    for d in ALL {
        let second = |goal: &Goal, logits: &Vec<f32>| Goal { target: Some(ranking(logits)[1]), ..*goal };
        let aimed: Vec<Goal> = away.iter().zip(&lab.logits(&images)).map(|(g, l)| second(g, l)).collect();
        for goals in [&away, &aimed] {
            if goals[0].target.is_some() && !d.targeted {
                continue;
            }
            let found = lab.attack(d.name, settings(d.name), &images, goals);
            let pixels: Vec<Vec<f32>> = found.iter().map(|f| f.pixels.clone()).collect();
            for ((found, goal), logits) in found.iter().zip(goals).zip(lab.logits(&pixels)) {
                let answer = answer(&logits);
                let want = goal.target.map_or(answer != goal.label, |target| answer == target);
                assert_eq!((found.answer, found.success), (answer, want), "{}: {goal:?}", d.name);
                for (a, b) in found.logits.iter().zip(&logits) {
                    assert!((a - b).abs() < 1e-3, "{}: logit {a}, by the model {b}", d.name);
                }
                outcomes[usize::from(want)] = true;
            }
        }
    }
    assert_eq!(outcomes, [true; 2], "both outcomes are tested");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_other_ones() {
    let mut lab = Lab::embedded();
    let images = lab.scenes(2);
    let goals = lab.away(&images);
    for d in ALL {
        let mut of_seed = |seed: u64| {
            let mut attack = lab.prepare(d.name, settings(d.name));
            lab.run(attack.as_mut(), &images, &goals, seed)
        };
        let (first, again, other) = (of_seed(7), of_seed(7), of_seed(8));
        assert!(first == again, "{}: the same seed", d.name);
        // PGD starts at random by default, alone or inside transfer; APGD always does; square draws its squares.
        let random = ["pgd", "pgd-l2", "apgd", "square", "transfer"].contains(&d.name);
        assert_eq!(first != other, random, "{}: another seed", d.name);
    }
}

/// In batches of the same size: with another batch size an engine may round differently.
#[test]
fn the_result_of_an_image_does_not_depend_on_the_images_beside_it() {
    let mut lab = Lab::embedded();
    let images = lab.scenes(5);
    let goals = lab.away(&images);
    for d in ALL {
        let mut attack = lab.prepare(d.name, settings(d.name));
        let mut of = |rows: [usize; 3]| {
            let images = rows.map(|i| images[i].clone());
            lab.run(attack.as_mut(), &images, &rows.map(|i| goals[i]), 3)
        };
        let (a, b) = (of([0, 1, 2]), of([4, 1, 3]));
        assert!(a[1] == b[1], "{}", d.name);
        assert!(a[0].pixels != b[0].pixels, "{}: other images", d.name);
    }
}

#[test]
fn a_targeted_attack_reaches_its_target() {
    let mut lab = Lab::embedded();
    let images = lab.scenes(6);
    let logits = lab.logits(&images);
    let aim = |logits: &Vec<f32>| Goal { label: ranking(logits)[0], target: Some(ranking(logits)[1]) };
    let goals: Vec<Goal> = logits.iter().map(aim).collect();
    for d in ALL.iter().filter(|d| d.targeted) {
        let found = lab.attack(d.name, settings(d.name), &images, &goals);
        let reached = found.iter().zip(&goals).filter(|(f, g)| Some(f.answer) == g.target).count();
        assert!(reached > 0, "{}", d.name);
        assert_eq!(reached, found.iter().filter(|f| f.success).count(), "{}", d.name);
    }
    for d in ALL.iter().filter(|d| !d.targeted) {
        let mut attack = lab.prepare(d.name, settings(d.name));
        let refused = attacks::run_chunk(
            attack.as_mut(),
            &mut lab.target_model,
            &images,
            &goals,
            (0, 0),
            &mut Unwatched,
        );
        assert!(refused.unwrap_err().to_string().contains("cannot aim"), "{}", d.name);
    }
}

#[test]
fn a_zero_budget_changes_nothing() {
    let mut lab = Lab::embedded();
    let images = lab.scenes(2);
    let goals = lab.away(&images);
    let mut tested = vec![];
    for d in ALL {
        let bounded = ["eps", "gamma"].into_iter().find(|key| d.parameters.iter().any(|p| p.name == *key));
        let Some(key) = bounded.or((d.name == "transfer").then_some("method.eps")) else { continue };
        for found in lab.attack(d.name, &with(d.name, &[(key, "0")]), &images, &goals) {
            assert_eq!(found.norms, Norms::default(), "{}", d.name);
            assert!(!found.success, "{}", d.name);
        }
        tested.push(d.name);
    }
    // DeepFool and C&W have no budget: they minimise the perturbation.
    let free = ALL.iter().filter(|d| !tested.contains(&d.name)).map(|d| d.name);
    assert_eq!(free.collect::<Vec<_>>(), ["deepfool", "cw"]);
}

#[test]
fn an_image_that_reaches_the_goal_already_is_left_as_it_is() {
    let mut lab = Lab::embedded();
    let images = lab.scenes(2);
    let other = |goal: Goal| Goal::away(usize::from(goal.label == 0));
    let goals: Vec<Goal> = lab.away(&images).into_iter().map(other).collect();
    for name in ["bim", "deepfool", "jsma"] {
        for found in lab.attack(name, settings(name), &images, &goals) {
            assert!(found.success, "{name}");
            assert_eq!(found.norms, Norms::default(), "{name}");
        }
    }
}

#[test]
fn passes_are_counted_image_by_image() {
    let mut lab = Lab::embedded();
    let images = lab.scenes(2);
    let goals = lab.away(&images);
    let mut passes = |name: &str, set: &[(&str, &str)]| -> Vec<(u64, u64)> {
        let found = lab.attack(name, set, &images, &goals);
        found.iter().map(|f| (f.passes.forward, f.passes.backward)).collect()
    };
    assert_eq!(passes("fgsm", &[]), [(1, 1); 2]);
    assert_eq!(passes("bim", &[("steps", "4"), ("early-stop", "false")]), [(4, 4); 2]);
    assert_eq!(passes("apgd", &[("steps", "4"), ("early-stop", "false")]), [(5, 5); 2]);
    assert!(passes("square", &[("queries", "6")]).iter().all(|&(f, b)| (1..=6).contains(&f) && b == 0));
    // The attack does not run the attacked model: all passes are the surrogate's.
    assert_eq!(passes("transfer", &[("method.steps", "3")]), [(0, 0); 2]);
}

#[test]
fn a_stronger_budget_is_stated_as_it_was_set() {
    let lab = Lab::embedded();
    let budget = |name: &str, set: &[(&str, &str)]| lab.prepare(name, set).budget();
    assert_eq!(budget("pgd", &[("eps", "4/255")]), Budget::Linf(4.0 / 255.0));
    assert_eq!(budget("pgd-l2", &[("eps", "0.25")]), Budget::L2(0.25));
    assert_eq!(budget("apgd", &[("norm", "l2"), ("eps", "0.25")]), Budget::L2(0.25));
    assert_eq!(budget("transfer", &[("attack", "bim"), ("method.eps", "1/255")]), Budget::Linf(1.0 / 255.0));
    assert_eq!(budget("cw", &[]), Budget::Free);
}
