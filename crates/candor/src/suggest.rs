//! Suggests the name that a mistyped name may have meant.

/// Minimum similarity, 0..=1, for a suggestion.
const LEAST: f64 = 0.6;

/// The known name most similar to `given`: equal except for hyphens and case (`gradcam`), an abbreviation (`ig`, `ort`), a part (`shap`),
/// or with a few different letters (`lamda`). `None` if there is none.
pub fn nearest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let scored = known.into_iter().map(|name| (likeness(given, name), name));
    let best = |a: (f64, &'k str), b: (f64, &'k str)| if b.0 > a.0 { b } else { a };
    scored.reduce(best).filter(|(score, _)| *score >= LEAST).map(|(_, name)| name)
}

/// `; did you mean 'grad-cam'?`, or nothing if no known name is similar to `given`.
pub fn did_you_mean<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(given, known).map_or_else(String::new, |name| format!("; did you mean '{name}'?"))
}

/// The part of an error about an unknown name: `; did you mean 'full'? There are: spatial, full`, or only the list.
pub fn among(given: &str, known: &[&str]) -> String {
    let all = match known {
        [] => "none".to_string(),
        known => known.join(", "),
    };
    match nearest(given, known.iter().copied()) {
        Some(name) => format!("; did you mean '{name}'? There are: {all}"),
        None => format!("; there are: {all}"),
    }
}

/// Similarity of two names, 0..=1.
fn likeness(given: &str, name: &str) -> f64 {
    let (short, long) = (squashed(given), squashed(name));
    if short.is_empty() || long.is_empty() {
        return 0.0;
    }
    let letters = strsim::normalized_damerau_levenshtein(&short, &long);
    // Two equal letters of three are no similarity: a GPU is not a CPU.
    let letters = if short.chars().count() < 4 && !same_letters(&short, &long) { 0.0 } else { letters };
    let initials: String = name.split(['-', '_', ' ']).filter_map(|part| part.chars().next()).collect();
    // Among names that are similar in the same way, the one with fewer other letters wins.
    let kind = if short == long {
        1.0
    } else if short.len() > 1 && short == initials.to_lowercase() {
        0.9
    } else if short.len() > 2 && long.contains(&short) {
        0.8
    } else if (short.len() > 1 && abbreviates(&short, &long)) || (long.len() > 2 && short.contains(&long)) {
        0.7
    } else {
        return letters;
    };
    letters.max(kind + 0.05 * letters)
}

fn same_letters(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(a) == sorted(b)
}

/// Lower case, without the separators between the words of a name.
fn squashed(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

/// Whether `short` is the first letter of `long` and some of those that follow, in order.
fn abbreviates(short: &str, long: &str) -> bool {
    let mut left = long.chars();
    short.chars().next() == long.chars().next() && short.chars().all(|c| left.any(|l| l == c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_recognised_by_what_people_type_instead() {
        let methods: Vec<&str> = crate::methods::all().iter().map(|m| m.description().name).collect();
        for (given, meant) in [
            ("gradcam", "grad-cam"),
            ("Grad-CAM", "grad-cam"),
            ("grad_cam", "grad-cam"),
            ("gradcam++", "grad-cam++"),
            ("grad-cma", "grad-cam"),
            ("ig", "integrated-gradients"),
            ("integrated-gradient", "integrated-gradients"),
            ("smooth-grad", "smoothgrad"),
            ("shap", "kernel-shap"),
            ("relaible", "reliable"),
            ("gradients", "gradient"),
        ] {
            assert_eq!(nearest(given, methods.iter().copied()), Some(meant), "{given}");
        }
        for (given, known, meant) in [
            ("ort", &["rten", "onnxruntime"][..], Some("onnxruntime")),
            ("onnx", &["rten", "onnxruntime"], Some("onnxruntime")),
            ("onnxruntime-gpu", &["rten", "onnxruntime"], Some("onnxruntime")),
            ("rtne", &["rten", "onnxruntime"], Some("rten")),
            ("lamda", &["lambda", "levels"], Some("lambda")),
            ("pdg", &["fgsm", "bim", "pgd", "pgd-l2"], Some("pgd")),
            ("tensorflow", &["rten", "onnxruntime"], None),
            ("gpu", &["cpu", "cuda"], None),
            ("magic", &["rise", "lime", "gradient", "reliable"], None),
            ("", &["rise"], None),
            ("x", &["x"], Some("x")),
        ] {
            assert_eq!(nearest(given, known.iter().copied()), meant, "{given}");
        }
        assert_eq!(did_you_mean("ful", ["spatial", "full"]), "; did you mean 'full'?");
        assert_eq!(did_you_mean("magic", ["spatial", "full"]), "");
        assert_eq!(among("ful", &["spatial", "full"]), "; did you mean 'full'? There are: spatial, full");
        assert_eq!(among("magic", &[]), "; there are: none");
    }
}
