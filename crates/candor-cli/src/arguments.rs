//! What the command line takes. Names, flags and JSON fields are a contract.

mod bench;
mod detect;
mod numbers;
mod one_of;
mod page;
mod shard;
mod table;

use std::path::PathBuf;

use candor::image::Preset;
use candor::parameters::key_value;
use clap::{Args, Parser, Subcommand, ValueEnum};

use numbers::{number, range, size, whole};
use one_of::{one_of, presets};

pub use bench::{
    AbsentKind, AdversarialArgs, Bench, BenchArgs, DatasetArgs, DwsolArgs, FaithfulnessArgs, GridArgs,
    ObjectsArgs, SpeedArgs,
};
pub use detect::{CorpusArgs, Detect, DetectArgs, EvalArgs, ScoreArgs, TrainArgs};
pub use page::PageArgs;
pub use shard::{MergeArgs, ShardArgs};
pub use table::{DetectorKind, TableArgs, TableFormat};

/// Explains image classifiers, and says so when there is nothing to see.
#[derive(Parser)]
#[command(
    name = "candor",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  candor demo                                                     # explains pictures inside it
  candor scenes photos --count 60 --model model.onnx              # its model as a file; photos
  candor explain model.onnx photos/000000.png                     # which parts show the answer?

The examples of the commands (`candor COMMAND --help`) use the files of the second line. Replace them with your own.

Exit codes, the same in every command:
  0  done
  1  failed: a file is missing, damaged or not writable, or the model or engine cannot do it
  2  wrong usage: the command line names a method, parameter, value, class, level, … that does not
     exist, or contradicts itself; reported before any long work begins
  3  some images of a batch failed, each named in the result; the others are done
  4  an alarm, where `candor detect score --fail-on-alarm` asks for it
  130  stopped by Ctrl-C"
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Show a model: input, classes, operators and their gradient rules, the levels that would be masked
    Inspect(InspectArgs),
    /// Find the preprocessing of an unknown model, and check what works with it
    Doctor(DoctorArgs),
    /// Explain photos: which parts show a class, and is it there at all?
    Explain(ExplainArgs),
    /// Learn a model's λ and rates of false alarms on a few photos, and write them to its sidecar
    Calibrate(CalibrateArgs),
    /// Check which methods stay silent about classes that are not there
    Check(CheckArgs),
    /// Benchmarks
    Bench(BenchArgs),
    /// Change photos a little so that the model answers something else
    Attack(AttackArgs),
    /// Screen inputs for adversarial changes, by where the answer's evidence is and how stable it is when the image is disturbed
    Detect(DetectArgs),
    /// Join the shards of a run into the result that one machine would have written
    Merge(MergeArgs),
    /// Print the tables of results as Markdown, CSV or HTML, or draw a figure of them
    Table(TableArgs),
    /// Write a method as an ONNX model: image and class in, logits and map out
    Export(ExportArgs),
    /// Write a page that explains photos in the browser
    Page(PageArgs),
    /// List the explanation methods with their sources, costs and parameters
    Methods(MethodsArgs),
    /// Explain the embedded pictures with the embedded model
    Demo(DemoArgs),
    /// Generate scenes of textured objects with class, box and pixel mask of each object
    Scenes(ScenesArgs),
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  candor completions bash > candor.bash && source candor.bash   # as in ~/.bashrc
  candor completions zsh > _candor")]
    Completions(CompletionsArgs),
    /// Write man pages, one a command
    Man(ManArgs),
}

/// Which model, and what its file does not say.
#[derive(Args, Clone)]
pub struct ModelArgs {
    /// ONNX file of an image classifier; a folder that holds one (optimum, transformers.js, timm); or hf://OWNER/NAME, from the local cache
    pub model: PathBuf,
    #[command(flatten)]
    pub opened: OpenArgs,
}

/// How a model is opened: what its file does not say, and what runs it.
#[derive(Args, Clone)]
pub struct OpenArgs {
    /// How a pixel value v of 0..=255 becomes input; overrides the sidecar and the files beside the model [default: theirs, else imagenet].
    /// The whole photo is resized to the model's input size by a bilinear filter, whatever its aspect ratio, unless the sidecar says otherwise
    #[arg(long, value_name = "NAME", value_parser = presets())]
    pub preset: Option<Preset>,
    /// Names of the classes: a text file with one a line, or JSON
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Sidecar to use instead of the one beside the model (MODEL.candor.toml)
    #[arg(long, value_name = "FILE")]
    pub sidecar: Option<PathBuf>,
    /// Output to explain, if several could be the classes [default: the sidecar's, else the only one]
    #[arg(id = "model_output", long = "output", value_name = "NAME")]
    pub output: Option<String>,
    /// Height and width of the input, for a model that takes any size [default: the sidecar's]
    #[arg(long, value_name = "H,W", value_parser = size)]
    pub size: Option<[usize; 2]>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Args, Clone)]
pub struct EngineArgs {
    /// What executes the graphs; results name it
    #[arg(long, value_name = "NAME", default_value = "auto", value_parser = one_of::<EngineName>("engine"))]
    pub engine: EngineName,
    /// Where ONNX Runtime executes them; other than cpu needs a library built for it
    #[arg(long, value_name = "NAME", default_value = "cpu", value_parser = one_of::<DeviceName>("device"))]
    pub device: DeviceName,
    /// ONNX Runtime's library, or the folder that holds it [default: ORT_DYLIB_PATH, else an installed Python package]
    #[arg(long, value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
    /// Threads of the engine, at most one for each core; 0 is as many as there are cores
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub threads: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// What CANDOR_ENGINE names, else ONNX Runtime where its library is found, else RTen; a line says which and why
    Auto,
    /// RTen, pure Rust, inside the program
    Rten,
    /// ONNX Runtime, faster; uses the library of an installed `onnxruntime` Python package or one you name
    Onnxruntime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceName {
    Cpu,
    Cuda,
    Tensorrt,
    Coreml,
    Directml,
}

/// What may be replaced.
#[derive(Args, Clone, Copy)]
pub struct ForceArgs {
    /// Replace files that Candor did not write, or that were changed since; an input is never replaced
    #[arg(long)]
    pub force: bool,
}

/// A method, its parameters and its levels.
#[derive(Args, Clone)]
pub struct ChosenMethod {
    /// Explanation method (see `candor methods`)
    #[arg(long, value_name = "NAME", default_value = "reliable")]
    pub method: String,
    /// Parameter of the method, e.g. --set lambda=0.01 (see `candor methods`)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Values to mask instead of the automatic levels (see `candor inspect`); of CAM methods, the last is the layer
    #[arg(long, value_name = "V,V…", value_delimiter = ',')]
    pub levels: Vec<String>,
}

/// A method that is run here.
#[derive(Args, Clone)]
pub struct MethodArgs {
    #[command(flatten)]
    pub chosen: ChosenMethod,
    /// Seed of all randomness, recorded in the result
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
}

#[derive(Args)]
#[command(after_help = "Examples:
  candor inspect model.onnx
  candor inspect model.onnx --json | jq .levels")]
pub struct InspectArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "\
The first thing to run on a strange model. It tries the presets, both orders of the channels, dlib's numbers, and the whole photo as well as its middle. \
What decides is the first of these that there is, and the report names it: (1) --truth with several classes: the most right answers, then the \
likelihood, and (2) or (3) among those that are right alike; (2) BatchNormalization in the file: the least `divergence` of what it sees from the means and variances that it keeps of training; \
(3) biases into which it was folded: the highest `balance`, how far they cancel what the weights make of the photos, and, where answers are \
many, `score` with it; (4) the highest `score`: the entropy of the answers less the cross-entropy between each photo and its mirror image. \
All are in nats. (2) and (3) need no classes, but photos of one class or without colour cannot tell the order of the colours, and (4) needs different ones. Twenty \
photos of different classes tell more than five of one.

Examples:
  candor doctor model.onnx photos/00000?.png
  candor doctor model.onnx photos/00000?.png --labels photos/classes.txt --json > doctor.json")]
pub struct DoctorArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Photos, preferably of different classes
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// True classes: a CSV file with a photo's name and the number or name of its class in each line
    #[arg(long, value_name = "FILE.csv")]
    pub truth: Option<PathBuf>,
    /// Write the best preprocessing to the model's sidecar, if there is no sidecar yet
    #[arg(long)]
    pub write: bool,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "\
The map of a class says where the network finds it; 0 means nothing. All classes of one photo share one scale, so the map of \
a class that is not there is empty. The report (report.html) shows them side by side; the .npz files hold raw magnitudes.

Examples:
  candor explain model.onnx photos/000000.png                             # the model's answer
  candor explain model.onnx photos/000000.png --class top1 --class fish   # is there a fish, too?
  candor explain model.onnx photos/00000[0-3].png --class top1 --class lowest --out maps \\
    --json > maps.json
  candor explain model.onnx photos/000000.png --preset inception --labels photos/classes.txt
  candor explain model.onnx photos/000000.png --lambda-path               # at other λ, too
  candor explain model.onnx photos/000000.png --method grad-cam
  candor explain model.onnx photos/000000.png --methods reliable,grad-cam # side by side")]
pub struct ExplainArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Photos: JPEG, PNG, WebP, BMP, GIF (first frame), TIFF or, with the feature `dicom`, DICOM (FILE#3: third frame)
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// Class to explain: number, name, top1, top2, …, median or lowest; may be repeated [default: top1]
    #[arg(long = "class", value_name = "CLASS")]
    pub classes: Vec<String>,
    #[command(flatten)]
    pub method: MethodArgs,
    /// Several methods side by side on one page, instead of --method; --set METHOD.KEY=VALUE sets a parameter of one, --set KEY=VALUE of all that
    /// have it
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', conflicts_with = "method")]
    pub methods: Vec<String>,
    /// Learn the reliable mask at λ/4, λ/2, 2λ and 4λ, too, and warn if the map changes (takes five times as long)
    #[arg(long)]
    pub lambda_path: bool,
    /// Paint the maps of classes with weak evidence, too (they are in the NPZ files anyway)
    #[arg(long)]
    pub weak: bool,
    /// Show how far an object reaches, not its decisive part: the reliable mask's map grown over what has like features
    #[arg(long)]
    pub extent: bool,
    /// Closer looks of the reliable mask for a class that the photo does not show well enough: 1, or 0 for none [default: 1]
    #[arg(long, value_name = "N")]
    pub look: Option<u32>,
    /// Skip the specificity check (by default the lowest-scoring class is explained too, and you are warned if it highlights the same pixels)
    #[arg(long)]
    pub no_probe: bool,
    #[command(flatten)]
    pub shard: ShardArgs,
    /// Folder for pictures, arrays and the report
    #[arg(long, value_name = "DIR", default_value = "candor-out")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "\
λ weighs the masks' sparsity. Of seven values, the largest is chosen at which the median change of the evidence stays within \
the tolerance. `explain` reads it from the sidecar and starts from it. The same photos show how much evidence absent classes \
reach: all classes but the model's answer count as absent. From that `explain` says how many absent classes show as much as a given class, \
and gives its verdict at 1 % false alarms; without a calibration it uses a cautious built-in rule. --preset and --levels are written to the \
sidecar, too, because λ holds for them; an assumed preprocessing is not.

Example:
  candor calibrate model.onnx photos/00000[01].png")]
pub struct CalibrateArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// A few typical photos (5 to 20)
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// Largest median relative change of the evidence, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = number(0.0..=1.0), allow_negative_numbers = true)]
    pub tolerance: f64,
    /// Values to mask instead of the automatic levels
    #[arg(long, value_name = "V,V…", value_delimiter = ',')]
    pub levels: Vec<String>,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Each image is asked for its top-1 class, the second, the one of median rank, a random one and the lowest. If a method's \
maps of absent classes have as much mass as that of the answer, it explains the picture and not the answer. It writes check.html \
(the maps side by side), check.csv (every map's figures) and check.json. Without --methods all are checked; some of them take \
thousands of passes a map.

Examples:
  candor check model.onnx photos/00000[0-2].png --methods reliable,grad-cam,gradient
  candor check model.onnx photos/000000.png --methods reliable,gradient --out random-weights \\
    --set reliable.iterations=20 --randomization --smooth 2 --input-shift")]
pub struct CheckArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Photos; use twenty or more for reliable figures
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// Methods to check [default: all]
    #[arg(long, value_name = "A,B,…", value_delimiter = ',')]
    pub methods: Vec<String>,
    /// Parameter, of one method (METHOD.KEY=VALUE) or of all that have it (KEY=VALUE)
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Values to mask instead of the automatic levels; of CAM methods, the last is the layer
    #[arg(long, value_name = "V,V…", value_delimiter = ',')]
    pub levels: Vec<String>,
    /// Also shuffle the model's weights, from the last layer to all, and compare the maps
    #[arg(long)]
    pub randomization: bool,
    /// With --randomization, also compare maps averaged over N noisy copies of each photo
    #[arg(long, value_name = "N", default_value_t = 0, requires = "randomization", value_parser = whole(0..=10_000), allow_negative_numbers = true)]
    pub smooth: usize,
    /// Also compare the maps with those of the same model for photos whose values are shifted by a constant
    #[arg(long)]
    pub input_shift: bool,
    /// Seed of the random classes and of the methods, recorded in the result
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
    #[command(flatten)]
    pub shard: ShardArgs,
    /// Folder for the page and the tables
    #[arg(long, value_name = "DIR", default_value = "candor-check")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}

/// The model of the attack `transfer`.
#[derive(Args, Clone)]
pub struct SurrogateArgs {
    /// Model on which `transfer` makes the images; its own sidecar says how it is fed
    #[arg(long, value_name = "OTHER.onnx")]
    pub from: Option<PathBuf>,
    /// Preprocessing of that model; overrides its sidecar
    #[arg(long, value_name = "NAME", value_parser = presets(), hide_possible_values = true, requires = "from")]
    pub from_preset: Option<Preset>,
}

/// Photos with what is in them.
#[derive(Args, Clone)]
pub struct SourceArgs {
    /// The dataset
    pub dataset: PathBuf,
    /// Its format, if it cannot be recognised: csv, folders, voc, coco, cub, wsolevaluation, cifar
    #[arg(long, value_name = "NAME")]
    pub format: Option<String>,
    /// Folder with the photos, if they are not beside the list
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// The model's classes for each class of the dataset: JSON {"CLASS": [NUMBERS]}, or lines CLASS,NUMBERS; no number leaves a class out
    #[arg(long, value_name = "FILE")]
    pub class_map: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = "\
The attack changes each photo until the model no longer gives its answer. Pixels are measured in 0..=1 and stay in that range: --eps 8/255 \
is eight grey levels whatever the model's normalisation; for an L2 attack (pgd-l2, apgd with norm=l2) --eps is the length of the whole \
change. deepfool, cw and jsma look for a small change themselves and take no --eps.

  fgsm      one step along the sign of the gradient
  bim, pgd  many steps, projected back; pgd starts at random
  pgd-l2    the same in a Euclidean ball
  apgd      sets its own step length; the strongest of these
  deepfool  a short step over the nearest boundary
  cw        the shortest change that a slow optimisation finds
  jsma      a large change of few values
  square    random squares, no gradient
  transfer  made on another model (--from), tried on this one

A photo larger than the model's input is attacked at the input's size, after resizing (and cropping, where the sidecar says so): \
that image is what is written. NAME.npz holds its raw values; NAME.png holds it in 8-bit levels, and is written only if the \
model still gives the wrong answer for it (the perturbation may be lengthened for that; `factor` says by how much). A PNG read \
back by a model whose sidecar says `crop` is resized again and may lose its effect. The same seed gives the same bytes.

The book lists the parameters (--set) of each attack (Reference, Attacks); an unknown one lists those there are.

Examples:
  candor attack model.onnx photos/000000.png --attack pgd --eps 8/255 --out adversarial
  candor attack model.onnx photos/000000.png --attack pgd --target cat --set restarts=2 --out cat
  candor attack model.onnx photos/00000?.png --attack deepfool --out smallest --json > attack.json
  candor scenes more --count 1 --model other.onnx   # in place of another model of the same classes
  candor attack model.onnx photos/00000?.png --attack transfer --from other.onnx --eps 16/255 \\
    --out transferred

An attack that does not succeed is a result, not an error (exit code 0).")]
pub struct AttackArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Photos: JPEG, PNG, WebP, BMP, GIF (first frame), TIFF or, with the feature `dicom`, DICOM (FILE#3: third frame)
    #[arg(required = true)]
    pub images: Vec<PathBuf>,
    /// fgsm, bim, pgd, pgd-l2, apgd, deepfool, cw, jsma, square or transfer; each is described below
    #[arg(long, value_name = "NAME")]
    pub attack: String,
    /// Budget in the attack's norm, e.g. 8/255 or 0.5 [default: 8/255; for pgd-l2 0.5]
    #[arg(long, value_name = "EPS", allow_negative_numbers = true)]
    pub eps: Option<String>,
    /// Class that the model is to answer: number or name [default: any other than its answer]
    #[arg(long, value_name = "CLASS")]
    pub target: Option<String>,
    #[command(flatten)]
    pub surrogate: SurrogateArgs,
    /// Parameter of the attack, e.g. --set steps=100
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Seed of all randomness, recorded in the result
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
    /// Folder for images, arrays and attack.json
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "\
The file is an ordinary ONNX model of standard operators, which any runtime executes without Candor.
  inputs   image, float N×C×H×W, preprocessed as for the model; class, int64 N
  outputs  logits, N×K; map, N×1×H×W, the raw values that `candor explain` gives, of
           reliable with --set evidence=photo
If the model's file fixes the batch size, so does the exported one. The preprocessing, the method with every parameter and the model's hash \
are in the file's metadata (candor.preprocessing, candor.method, candor.model.sha256).

Methods that make one backward pass become a graph of about twice the model's size. `reliable` and `integrated-gradients` \
contain a Loop; `reliable` learns the masks of the class and those of the top-1 class, which set its scale. Methods that sample \
cannot be exported; the error lists those that can.

Examples:
  candor export model.onnx --method grad-cam -o model.grad-cam.onnx
  candor export model.onnx --method reliable --set iterations=30 -o model.reliable.onnx
  candor export model.onnx --method layer-cam --levels level14 -o model.layer-cam.onnx

In Python:
  import numpy, onnxruntime
  session = onnxruntime.InferenceSession('model.grad-cam.onnx')
  image, query = session.get_inputs()
  x = numpy.zeros([1, *image.shape[1:]], dtype='float32')   # put a preprocessed photo here
  logits, saliency = session.run(['logits', 'map'], {image.name: x, query.name: [2]})")]
pub struct ExportArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub chosen: ChosenMethod,
    /// File to write
    #[arg(long, short, value_name = "FILE.onnx")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    /// Print the inputs, outputs, method and parameters as one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Examples:
  candor methods
  candor methods --json | jq '.[].name'")]
pub struct MethodsArgs {
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Example:
  candor demo --method grad-cam --out demo")]
pub struct DemoArgs {
    /// Folder for pictures, arrays and the report
    #[arg(long, value_name = "DIR", default_value = "candor-out/demo")]
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub method: MethodArgs,
    /// Print the result as one JSON document
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
#[command(after_help = "\
Writes PNG pictures, indexed masks (pixel = object + 1) and scenes.csv with class and box of each object. The same seed \
gives the same bytes. Seeds below 1000000 were not used to train the embedded model. classes.txt has the names of the classes; \
--model writes the embedded model, which was trained on them, with a sidecar that holds its preprocessing and labels.

Examples:
  candor scenes pictures --count 100 --seed 500000
  candor scenes single --objects 1-1 --model scenes.onnx")]
pub struct ScenesArgs {
    /// Folder to write
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
    /// Number of scenes
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000_000), allow_negative_numbers = true)]
    pub count: u64,
    /// Seed of the first scene
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub seed: u64,
    /// Pixels a side
    #[arg(long, default_value_t = 224, allow_negative_numbers = true)]
    pub size: u32,
    /// Fewest and most objects, e.g. 1-4
    #[arg(long, value_name = "MIN-MAX", default_value = "1-4", value_parser = range)]
    pub objects: (usize, usize),
    /// Also write the embedded model, with its sidecar beside it
    #[arg(long, value_name = "FILE.onnx")]
    pub model: Option<PathBuf>,
}

#[derive(Args)]
pub struct CompletionsArgs {
    /// Shell
    pub shell: clap_complete::Shell,
}

#[derive(Args)]
#[command(after_help = "\
Example:
  candor man pages")]
pub struct ManArgs {
    /// Folder for the pages
    pub out: PathBuf,
    #[command(flatten)]
    pub force: ForceArgs,
}
