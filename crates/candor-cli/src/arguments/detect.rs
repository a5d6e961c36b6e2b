//! What `candor detect` takes.

use std::path::PathBuf;

use candor_adversarial::detector::training::Training;
use clap::{Args, Subcommand};

use super::numbers::{at_least_one, number, whole};
use super::{ForceArgs, ModelArgs, SourceArgs, SurrogateArgs};

/// `detect`.
#[derive(Args)]
#[command(after_help = "\
A detector is trained for one model, on clean photos and on adversarial versions of them. Its features are the masks that keep the \
evidence of the answer and of the runner-up, and how much their log-odds change when the image is mirrored, moved by a pixel, blurred, \
smoothed by a median, enlarged or reduced. Limits: an adaptive (white-box) attacker can evade it (see the book), and an \
attack unlike those it was trained on may pass.

Examples:
  candor detect train model.onnx photos --attacks fgsm+eps=8/255,pgd+eps=8/255 --limit 24 \\
    --epochs 5 --out detector
  candor detect score model.onnx detector photos/000001.png
  candor detect eval model.onnx photos --attacks fgsm+eps=8/255,pgd+eps=8/255 --limit 24 \\
    --epochs 5 --out study")]
pub struct DetectArgs {
    #[command(subcommand)]
    pub detect: Detect,
}

#[derive(Subcommand)]
pub enum Detect {
    /// Train a detector: attack photos, learn to distinguish them, calibrate the thresholds on clean ones
    Train(TrainArgs),
    /// Score photos with a detector
    Score(ScoreArgs),
    /// Measure how reliable a detector is: on seen and unseen attacks, and on clean photos under common corruptions
    Eval(EvalArgs),
}

/// Photos and attacks.
#[derive(Args)]
pub struct CorpusArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub source: SourceArgs,
    /// Photos to use at most, drawn at random from those that the model classifies correctly
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    pub limit: Option<usize>,
    /// Further clean photos to set the thresholds, in addition to a fifth of those of --limit
    #[arg(long, value_name = "N", default_value_t = 0, requires = "limit", allow_negative_numbers = true)]
    pub calibration: usize,
    /// Attacks, each NAME or NAME+KEY=VALUE+… (see `candor attack`)
    #[arg(
        long,
        value_name = "A,B,…",
        value_delimiter = ',',
        default_value = "fgsm+eps=4/255,fgsm+eps=8/255,bim+eps=4/255+early-stop=false,pgd+eps=1/255+early-stop=false,\
                         pgd+eps=2/255+early-stop=false,pgd+eps=4/255+early-stop=false,pgd+eps=8/255+early-stop=false,\
                         pgd-l2+eps=0.5+early-stop=false,deepfool,cw+binary-search-steps=4+steps=50+initial-c=0.1"
    )]
    pub attacks: Vec<String>,
    #[command(flatten)]
    pub surrogate: SurrogateArgs,
    /// Values to mask instead of the automatic levels
    #[arg(long, value_name = "V,V…", value_delimiter = ',')]
    pub levels: Vec<String>,
    /// Height and width of the grid to which the masks are resampled [default: 16 for inputs up to 64 pixels, else 28]
    #[arg(long, value_name = "N", value_parser = whole(1..=512), allow_negative_numbers = true)]
    pub grid: Option<usize>,
    /// Steps of mask learning [default: 10]
    #[arg(long, value_name = "N", value_parser = whole(1..=100_000), allow_negative_numbers = true)]
    pub iterations: Option<usize>,
    /// Learning rate of the masks [default: 0.1]
    #[arg(long, value_name = "RATE", value_parser = number(1e-6..=10.0_f32), allow_negative_numbers = true)]
    pub rate: Option<f32>,
    /// Adam's decay of the second moment [default: 0.999]
    #[arg(long, value_name = "β₂", value_parser = number(0.0..=0.999_999_f32), allow_negative_numbers = true)]
    pub beta2: Option<f32>,
    /// Passes of the network's training over the clean photos; up to four times as many where photos are few
    #[arg(long, value_name = "N", default_value_t = Training::default().epochs as u32, value_parser = clap::value_parser!(u32).range(1..=10_000), allow_negative_numbers = true)]
    pub epochs: u32,
    /// Seed of the split, of the attacks and of the training, recorded in the result
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
}

impl CorpusArgs {
    /// How networks are trained.
    pub fn training(&self) -> Training {
        Training { epochs: self.epochs as usize, seed: self.seed, ..Training::default() }
    }
}

/// `detect train`.
#[derive(Args)]
#[command(after_help = "\
Half of the photos train the network, as they are and after JPEG, noise or blur; a fifth sets the thresholds, the rest is left for \
`candor detect eval` with the same seed.
Adversarial images are kept under --out and made once: an interrupted run can be resumed, and attacks can be added. \
It writes detector.onnx (features → probability) and detector.json, its card.

Example:
  candor detect train model.onnx photos --attacks fgsm+eps=8/255,pgd+eps=8/255 --limit 24 \\
    --epochs 5 --out detector")]
pub struct TrainArgs {
    #[command(flatten)]
    pub corpus: CorpusArgs,
    /// Folder for the detector and for the adversarial images
    #[arg(long, value_name = "DIR", default_value = "candor-detector")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    /// Print the card as JSON
    #[arg(long)]
    pub json: bool,
}

/// `detect score`.
#[derive(Args)]
#[command(after_help = "\
Exit code 0 whether or not an alarm is raised; --fail-on-alarm exits with 4 if one is.

Example:
  candor detect score model.onnx detector photos/00000?.png --json > scores.json")]
pub struct ScoreArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Folder of a detector trained for this model
    pub detector: PathBuf,
    /// Photos
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// False alarms to accept: 0.01 or 0.05
    #[arg(long, value_name = "SHARE", default_value_t = 0.05, allow_negative_numbers = true)]
    pub false_alarms: f64,
    /// Exit with 4 if an image raises an alarm
    #[arg(long)]
    pub fail_on_alarm: bool,
    /// Folder for a page with the masks of each image, and score.json
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub force: ForceArgs,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `detect eval`.
#[derive(Args)]
#[command(after_help = "\
Trains detectors on all attacks, on each attack alone, and on all but one, and measures them on photos that none was trained on: area \
under the ROC curve with its interval, and detection at 1 % and 5 % false alarms. Also: the weakest budget that succeeds, and false \
alarms on photos after JPEG, noise and blur.
It writes detect.html, with clean and adversarial masks side by side, and detect.json.

Example:
  candor detect eval model.onnx photos --attacks fgsm+eps=8/255,pgd+eps=8/255 --limit 24 \\
    --epochs 5 --out study")]
pub struct EvalArgs {
    #[command(flatten)]
    pub corpus: CorpusArgs,
    /// Also measure published detectors on the same images
    #[arg(long)]
    pub baselines: bool,
    /// Also measure the detector with other features, and trained on one budget of each attack
    #[arg(long)]
    pub ablations: bool,
    /// Also attack N test images with an adaptive (white-box) attack, through the learning of the detector's masks
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub adaptive: usize,
    /// Folder for the page, the result and the adversarial images
    #[arg(long, value_name = "DIR", default_value = "candor-detector")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}
