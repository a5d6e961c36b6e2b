//! Chooses the absent class that is asked for: an easier or a harder form of disturbed localisation.

use super::photo;
use crate::dataset::Sample;
use crate::error::Result;
use candor::image::Preprocessing;
use candor::model::Model;
use candor::noise::{below, stream};
use candor::progress::Progress;

/// Maximum number of photos on which classes are compared.
const PHOTOS: usize = 2000;
/// Near classes are among this many of the model's top classes, without the answer and alike ones; at most half of all classes.
const NEAR: usize = 50;
/// Classes whose scores have at least this correlation over photos are alike: a photo of one may be taken for the other.
const ALIKE: f32 = 0.5;

/// How an absent class is drawn.
#[derive(Clone, Debug)]
pub enum Absent {
    /// After the model's top five (after the top tenth for models of fewer than fifty classes).
    Far,
    /// Among the model's top fifty, not counting its answer and classes alike to one that is present.
    Near(Likeness),
    /// The class of another photo, so that each class is absent as often as present.
    Shuffled(Vec<usize>),
}

impl Absent {
    /// The class of another one of these samples.
    pub fn shuffled(samples: &[&Sample]) -> Self {
        Absent::Shuffled(samples.iter().filter_map(|sample| sample.class()).collect())
    }

    /// Near classes, with likeness measured by the model's scores on these samples. `progress` receives each photo.
    ///
    /// # Errors
    /// If the engine fails. A photo that cannot be read is left out of the comparison.
    pub fn near(
        samples: &[&Sample],
        (model, preprocessing): (&Model, &Preprocessing),
        progress: &mut dyn Progress,
    ) -> Result<Self> {
        let mut forward = model.forward()?;
        let mut rows = vec![];
        for sample in samples.iter().take(PHOTOS) {
            if let Ok(photo) = photo(sample, preprocessing) {
                rows.push(model.scores(forward.as_mut(), &preprocessing.apply(&photo))?);
            }
            progress.step()?;
        }
        Ok(Absent::Near(Likeness::of(&rows)))
    }

    /// A class that is none of `there`. `ranking`: the model's classes by descending score. Apart from the ranking, it depends only on
    /// the seed and the item.
    pub fn class(&self, there: &[usize], ranking: &[usize], (seed, item): (u64, usize)) -> usize {
        let not_there = |classes: &[usize]| -> Vec<usize> {
            classes.iter().copied().filter(|c| !there.contains(c)).collect()
        };
        let free = match self {
            Absent::Far => not_there(&ranking[(ranking.len() / 10).clamp(1, 5)..]),
            Absent::Near(likeness) => {
                let alike = |class: usize| there.iter().any(|&t| likeness.between(t, class) >= ALIKE);
                let mut unlike = not_there(&ranking[1..]);
                unlike.retain(|&class| !alike(class));
                unlike.truncate(NEAR.min(ranking.len() / 2).max(1));
                unlike
            }
            Absent::Shuffled(classes) => not_there(classes),
        };
        match free.len() {
            0 => ranking[ranking.len() - 1],
            n => free[below(&mut stream(seed, item), n)],
        }
    }
}

/// How similar classes are to a model: the correlation of their scores over photos.
#[derive(Clone, Debug)]
pub struct Likeness {
    /// The scores of each class, normalised to mean 0 and norm 1.
    classes: Vec<Vec<f32>>,
}

impl Likeness {
    /// From the scores of photos, one row each.
    fn of(rows: &[Vec<f32>]) -> Self {
        let standard = |class: usize| {
            let mut scores: Vec<f32> = rows.iter().map(|row| row[class]).collect();
            let mean = scores.iter().sum::<f32>() / scores.len().max(1) as f32;
            scores.iter_mut().for_each(|v| *v -= mean);
            let norm = scores.iter().map(|v| v * v).sum::<f32>().sqrt();
            scores.iter_mut().for_each(|v| *v /= norm.max(f32::MIN_POSITIVE));
            scores
        };
        Likeness { classes: (0..rows.first().map_or(0, Vec::len)).map(standard).collect() }
    }

    /// The correlation of two classes' scores, −1..=1.
    fn between(&self, a: usize, b: usize) -> f32 {
        match (self.classes.get(a), self.classes.get(b)) {
            (Some(a), Some(b)) => a.iter().zip(b).map(|(a, b)| a * b).sum(),
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_far_class_is_none_of_the_photos_and_none_of_the_first_answers() {
        let ranking: Vec<usize> = (0..100).rev().collect();
        let mut drawn = std::collections::BTreeSet::new();
        for item in 0..200 {
            let class = Absent::Far.class(&[7, 8], &ranking, (3, item));
            assert!(![7, 8, 99, 98, 97, 96, 95].contains(&class));
            assert_eq!(class, Absent::Far.class(&[7, 8], &ranking, (3, item)));
            drawn.insert(class);
        }
        assert!(drawn.len() > 50);
        assert_eq!(Absent::Far.class(&[0], &[0, 1], (0, 0)), 1);
    }

    #[test]
    fn a_near_class_is_among_the_first_and_not_alike_to_what_is_there() {
        // Classes 2k and 2k + 1 have correlated scores; the others do not.
        let rows: Vec<Vec<f32>> = (0..60)
            .map(|photo| {
                (0..200).map(|c| if (c / 2) % 60 == photo { 5.0 + (c % 2) as f32 } else { 0.0 }).collect()
            })
            .collect();
        let likeness = Likeness::of(&rows);
        assert!(likeness.between(0, 1) > 0.99 && likeness.between(0, 2) < 0.1);
        let (near, ranking) = (Absent::Near(likeness), (0..200).collect::<Vec<_>>());
        let drawn: std::collections::BTreeSet<_> =
            (0..400).map(|item| near.class(&[4], &ranking, (1, item))).collect();
        assert!(!drawn.contains(&0), "the answer");
        assert!(!drawn.contains(&4) && !drawn.contains(&5), "there, and alike");
        assert!(drawn.contains(&1) && drawn.len() == NEAR && *drawn.last().unwrap() == NEAR + 2, "{drawn:?}");
    }

    #[test]
    fn a_shuffled_class_is_that_of_another_photo() {
        let shuffled = Absent::Shuffled(vec![3, 3, 3, 9, 5]);
        let count =
            |class: usize| (0..400).filter(|&item| shuffled.class(&[9], &[0, 1], (1, item)) == class).count();
        assert_eq!(count(9), 0);
        assert!(count(3) > 2 * count(5) && count(3) + count(5) == 400, "as often as it is there");
        assert_eq!(Absent::Shuffled(vec![2]).class(&[2], &[2, 0, 1], (0, 0)), 1);
    }
}
