//! The rows of one representation that a study needs: for clean and adversarial images, and for clean images with corruptions.

use candor::progress::Progress;
use std::path::Path;

use image::RgbImage;

use super::cache::rows;
use super::corruptions::{self, Corruption};
use super::{ALL, Study};
use crate::detector::corpus::Split;
use crate::detector::representations::Representation;
use crate::detector::training::Examples;
use crate::error::Result;
use candor::noise::Noise;

/// Rows of one representation.
pub(super) struct Rows {
    /// For each clean image; empty for those of splits that were not requested.
    pub clean: Vec<Vec<f32>>,
    /// For each attack and each clean image.
    pub adversarial: Vec<Vec<Option<Vec<f32>>>>,
    /// The training images with one random corruption each.
    pub corrupted_train: Vec<Vec<f32>>,
    /// The test images for each of [`corruptions::MEASURED`]; empty if not requested.
    pub corrupted_test: Vec<Vec<Vec<f32>>>,
}

impl Study<'_> {
    /// The rows of all splits, and of test images with each measured corruption.
    pub(super) fn all_rows(
        &self,
        representation: &mut dyn Representation,
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Rows> {
        let mut all = self.training_rows(representation, &ALL, folder, progress)?;
        all.corrupted_test = self.corrupted_test(representation, &all.clean, folder, progress)?;
        Ok(all)
    }

    /// The rows of clean images of some splits, of all adversarial images, and of corrupted training images.
    pub(super) fn training_rows(
        &self,
        representation: &mut dyn Representation,
        splits: &[Split],
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Rows> {
        let mut of = |pictures: &[&RgbImage]| rows(representation, self.model, pictures, folder, progress);
        let mut clean = vec![vec![]; self.corpus.clean.len()];
        for split in splits {
            let numbers = self.corpus.of(*split);
            let pictures: Vec<&RgbImage> = numbers.iter().map(|&i| &self.corpus.clean[i].picture).collect();
            numbers.iter().zip(of(&pictures)?).for_each(|(&i, row)| clean[i] = row);
        }
        let mut adversarial = vec![];
        for attack in &self.corpus.attacks {
            let pictures: Vec<&RgbImage> = attack.pictures.iter().flatten().collect();
            let mut found = of(&pictures)?.into_iter();
            adversarial.push(attack.pictures.iter().map(|p| p.as_ref().and_then(|_| found.next())).collect());
        }
        let corrupted = self.corpus.of(Split::Train).into_iter().map(|i| {
            let mut noise = Noise::of_item(self.training.seed, i);
            Corruption::random(&mut noise).apply(&self.corpus.clean[i].picture, &mut noise)
        });
        let corrupted = corrupted.collect::<Result<Vec<_>>>()?;
        let corrupted_train = of(&corrupted.iter().collect::<Vec<_>>())?;
        Ok(Rows { clean, adversarial, corrupted_train, corrupted_test: vec![] })
    }

    /// For each measured corruption, the rows of the test images. `clean`: the rows of all images without corruption.
    fn corrupted_test(
        &self,
        representation: &mut dyn Representation,
        clean: &[Vec<f32>],
        folder: &Path,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Vec<Vec<f32>>>> {
        let test = self.corpus.of(Split::Test);
        let mut all = vec![];
        for (_, corruption) in corruptions::MEASURED {
            if corruption == Corruption::Unchanged {
                all.push(test.iter().map(|&i| clean[i].clone()).collect());
                continue;
            }
            let pictures = test
                .iter()
                .map(|&i| corruption.apply(&self.corpus.clean[i].picture, &mut Noise::of_item(0, i)))
                .collect::<Result<Vec<_>>>()?;
            let pictures: Vec<&RgbImage> = pictures.iter().collect();
            all.push(rows(representation, self.model, &pictures, folder, progress)?);
        }
        Ok(all)
    }

    /// Training rows: clean images, with and without corruption, and the adversarial images of some attacks.
    pub(super) fn examples<'t>(&self, rows: &'t Rows, attacks: &[usize]) -> Examples<'t> {
        let train = self.corpus.of(Split::Train);
        let list = |&a: &usize| train.iter().filter_map(|&i| rows.adversarial[a][i].as_deref()).collect();
        let clean = train.iter().map(|&i| &rows.clean[i]).chain(&rows.corrupted_train);
        Examples {
            clean: clean.map(Vec::as_slice).collect(),
            adversarial: attacks.iter().map(list).collect(),
        }
    }

    /// Whether any of some attacks succeeds on a training image.
    pub(super) fn succeeds(&self, rows: &Rows, attacks: &[usize]) -> bool {
        self.examples(rows, attacks).adversarial.iter().any(|list| !list.is_empty())
    }

    /// Rows of the clean images of a split.
    pub(super) fn clean_rows<'t>(&self, rows: &'t Rows, split: Split) -> Vec<&'t [f32]> {
        self.corpus.of(split).into_iter().map(|i| rows.clean[i].as_slice()).collect()
    }

    /// Rows of the test images, each with the first of some attacks that succeeds on it.
    pub(super) fn test_rows<'t>(&self, rows: &'t Rows, attacks: &[usize]) -> Vec<&'t [f32]> {
        let first = |i: usize| attacks.iter().find_map(|&a| rows.adversarial[a][i].as_deref());
        self.corpus.of(Split::Test).into_iter().filter_map(first).collect()
    }
}
