//! `candor bench`.

use std::fmt;
use std::path::PathBuf;

use candor::parameters::key_value;
use clap::{Args, Subcommand, ValueEnum};

use super::numbers::{at_least_one, number, whole};
use super::{ForceArgs, ModelArgs, ShardArgs, SourceArgs};

#[derive(Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub bench: Bench,
}

#[derive(Subcommand)]
pub enum Bench {
    /// Localisation: boxes from maps, pointing game, mass inside the box
    Wsol(DatasetArgs),
    /// Disturbed localisation: is a class that is not there found, too?
    Dwsol(DwsolArgs),
    /// Disturbed localisation on attacked photos: is the model's wrong answer found, which is not there?
    Adversarial(AdversarialArgs),
    /// Pictures made of several: does each class's map stay in its own part?
    Grid(GridArgs),
    /// Photos of several objects: is each class's map on its own object, and are the classes found that are there?
    Objects(ObjectsArgs),
    /// Faithfulness: how the model's answer changes when the parts are removed that a map marks
    Faithfulness(FaithfulnessArgs),
    /// Measure how fast a model is explained on this machine
    Speed(SpeedArgs),
}

/// `bench dwsol`.
#[derive(Args)]
pub struct DwsolArgs {
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// The class that is not there
    #[arg(long, value_enum, default_value_t)]
    pub absent: AbsentKind,
}

/// `bench objects`.
#[derive(Args)]
pub struct ObjectsArgs {
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Only classes that the model recognises: among its first N answers when their largest box, with a tenth around it, is shown to it
    /// alone
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub recognised: Option<usize>,
}

/// How a class is drawn that is not in a photo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum AbsentKind {
    /// not among the model's first five
    #[default]
    Far,
    /// among the model's first fifty, but neither its answer nor a class whose scores go with those of a present one
    Near,
    /// the class of another photo of the dataset
    Shuffled,
}

impl fmt::Display for AbsentKind {
    /// Its name on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_possible_value().map_or(Ok(()), |value| f.write_str(value.get_name()))
    }
}

/// `bench adversarial`.
#[derive(Args)]
#[command(after_help = "\
Photos that the model classifies correctly are changed until it answers another class, drawn by the seed. Nothing of that class can be \
seen: a box for it on the object is an error, and the class that is there should still have one. The changed photos are kept in \
OUT/adversarial, in 8-bit levels, which the model is asked again.

Example:
  candor bench adversarial model.onnx photos --methods reliable,grad-cam --limit 6 --out bench")]
pub struct AdversarialArgs {
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// The attack, as NAME+KEY=VALUE+…; one that can aim at a class
    #[arg(long, value_name = "NAME", default_value = "pgd+early-stop=false")]
    pub attack: candor_adversarial::detector::AttackSpec,
}

/// `bench grid`.
#[derive(Args)]
#[command(after_help = "\
Photos that the model classifies correctly with a probability of at least 0.5 are put together: four or nine to a grid as large as the \
model's input, or one with another pasted into a corner. Each class in the picture is asked for, and one that is not in it. Where each \
class's map should be is known by construction, so the dataset needs no boxes. If it has some, a quarter of the pictures \
(--tuning) chooses the threshold of the boxes.

Example:
  candor bench grid model.onnx photos --methods reliable,grad-cam --grids 2 --out bench")]
pub struct GridArgs {
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Pictures of each of the three layouts
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = whole(1..=1_000_000), allow_negative_numbers = true)]
    pub grids: usize,
}

/// `bench faithfulness`.
#[derive(Args)]
#[command(after_help = "\
Of the map of the model's answer: deletion and insertion (Petsiuk et al. 2018) by the mean colour, the blurred photo and infill \
from what is left, ROAD (Rong et al. 2022), average drop and increase (Chattopadhay et al. 2018), sufficiency and necessity of \
regions of equal area, agreement by removal (the region against the same shape elsewhere), infidelity and max-sensitivity (Yeh \
et al. 2019), sparseness. The dataset's labels are not used. A photo takes about 130 forward passes and three explanations for \
each method.

Example:
  candor bench faithfulness model.onnx photos --methods reliable,grad-cam --limit 2 --out bench")]
pub struct FaithfulnessArgs {
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Steps of deletion and insertion
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = whole(1..=10_000), allow_negative_numbers = true)]
    pub steps: usize,
    /// Area of a region, as a share of the photo
    #[arg(long, value_name = "SHARE", default_value_t = 0.2, value_parser = number(0.001..=0.999), allow_negative_numbers = true)]
    pub area: f64,
}

/// A benchmark on a dataset.
#[derive(Args, Clone)]
#[command(after_help = "\
DATASET is a CSV table (file, class_index or class_name, x0,y0,x1,y1), a folder with a folder for each class, ImageNet or VOC \
XML boxes, COCO JSON, CUB-200-2011, the metadata of wsolevaluation, CIFAR's binary files, or what `candor scenes` writes.

Each map's figures are appended to a journal in --out as they come. A run that was stopped goes on where it was when it is \
started again with the same arguments. Settings (threshold, smoothing) are chosen for each method on the first --tuning samples \
and frozen; figures are of the others. `wsol` and `dwsol` measure the same maps: the second of them takes no time in the same \
--out. It writes NAME.html, NAME.json, and NAME.csv with the figures of each sample.

Examples:
  candor bench wsol model.onnx photos --methods reliable,grad-cam --limit 6 --out bench
  candor bench dwsol model.onnx photos --methods reliable,grad-cam --limit 6 --out bench
  candor bench wsol model.onnx photos/scenes.csv --images photos --limit 6 --out fewer \\
    --methods reliable,smoothgrad,grad-cam --fewer smoothgrad=2
  candor bench wsol model.onnx photos --limit 4 --out settings \\
    --methods reliable,reliable+shape=full,reliable+shape=full+iterations=30 --no-examples")]
pub struct DatasetArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub source: SourceArgs,
    /// Only the first samples
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub limit: Option<usize>,
    /// Samples on which settings are chosen [default: the first quarter]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub tuning: Option<usize>,
    /// Methods, each NAME or NAME+KEY=VALUE+…; the others are compared with the first [default: those of at most 200 passes a map]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub methods: Vec<String>,
    /// Measure an expensive method on fewer samples, spread evenly
    #[arg(long, value_name = "METHOD=N", value_parser = method_count)]
    pub fewer: Vec<(String, usize)>,
    /// Parameter, of one method (METHOD.KEY=VALUE) or of all that have it (KEY=VALUE)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Values to mask instead of the automatic levels; of CAM methods, the last is the layer
    #[arg(long, value_name = "V,V…", value_delimiter = ',')]
    pub levels: Vec<String>,
    /// Seed of absent classes and of the methods, recorded in the result
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
    /// Leave out the best and worst examples, which have to be explained again
    #[arg(long)]
    pub no_examples: bool,
    #[command(flatten)]
    pub shard: ShardArgs,
    /// Folder for the journal, the page and the tables
    #[arg(long, value_name = "DIR", default_value = "candor-bench")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "\
It measures single passes (forward; with the gradient of one logit with respect to the image; one step of the reliable \
mask) and one explanation by each method, all for one image and one class. GFLOP counts the multiplications and additions of \
convolutions and matrix products. `of best` is the rate as a share of the highest that the same engine reaches in the same run, on the product of \
two 2048×2048 matrices or on one of these passes. Figures are medians. Other work on the machine changes them.

Examples:
  candor bench speed model.onnx --methods reliable,grad-cam
  candor bench speed model.onnx --methods gradient --threads 1 --repeats 30 --json > speed.json
  candor bench speed model.onnx --methods gradient --engine onnxruntime")]
pub struct SpeedArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Methods to measure [default: all; some take thousands of passes]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub methods: Vec<String>,
    /// Most runs of each part; a part is not repeated once it has taken ten seconds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000), allow_negative_numbers = true)]
    pub repeats: u32,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}

/// The name of a method may hold a =.
fn method_count(text: &str) -> Result<(String, usize), String> {
    let (name, count) = text.rsplit_once('=').ok_or_else(|| format!("'{text}' is not METHOD=N"))?;
    Ok((name.to_string(), at_least_one(count)?))
}
