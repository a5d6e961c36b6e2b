//! The same mistake has the same exit code in every command, and is reported in one line before any work begins: 2 for errors on the
//! command line, 1 for files.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use candor_scenes::embedded;

/// A valid command in a folder of [`files`].
struct Sound {
    name: &'static str,
    args: &'static str,
    has: &'static [Has],
}

/// What kind of arguments a command takes, and can therefore be given wrongly.
#[derive(Clone, Copy, PartialEq)]
enum Has {
    Model,
    Photo,
    Dataset,
    /// One method, with `--set`.
    Method,
    /// Several methods, with `--set`.
    Methods,
    /// Several methods, each with its own settings.
    Settings,
    /// An attack, with `--set`.
    Attack,
    /// Several attacks, each with its own settings.
    Attacks,
    Levels,
    Out,
}
use Has::{Attack, Attacks, Dataset, Levels, Method, Methods, Model, Out, Photo, Settings};

const BENCH: &[Has] = &[Model, Dataset, Methods, Settings, Levels, Out];

const COMMANDS: [Sound; 16] = [
    Sound { name: "inspect", args: "inspect model.onnx", has: &[Model] },
    Sound {
        name: "explain",
        args: "explain model.onnx photo.png",
        has: &[Model, Photo, Method, Levels, Out],
    },
    Sound { name: "demo", args: "demo", has: &[Method, Levels, Out] },
    Sound { name: "calibrate", args: "calibrate model.onnx photo.png", has: &[Model, Photo, Levels] },
    Sound {
        name: "check",
        args: "check model.onnx photo.png --methods gradient",
        has: &[Model, Photo, Methods, Levels, Out],
    },
    Sound { name: "bench wsol", args: "bench wsol model.onnx photos --methods gradient", has: BENCH },
    Sound { name: "bench dwsol", args: "bench dwsol model.onnx photos --methods gradient", has: BENCH },
    Sound {
        name: "bench adversarial",
        args: "bench adversarial model.onnx photos --methods gradient",
        has: BENCH,
    },
    Sound { name: "bench objects", args: "bench objects model.onnx photos --methods gradient", has: BENCH },
    Sound { name: "bench grid", args: "bench grid model.onnx photos --methods gradient", has: BENCH },
    Sound {
        name: "bench faithfulness",
        args: "bench faithfulness model.onnx photos --methods gradient",
        has: BENCH,
    },
    Sound { name: "bench speed", args: "bench speed model.onnx", has: &[Model] },
    Sound {
        name: "attack",
        args: "attack model.onnx photo.png --attack fgsm --out out",
        has: &[Model, Photo, Attack],
    },
    Sound {
        name: "detect train",
        args: "detect train model.onnx photos",
        has: &[Model, Dataset, Attacks, Levels, Out],
    },
    Sound {
        name: "detect eval",
        args: "detect eval model.onnx photos",
        has: &[Model, Dataset, Attacks, Levels, Out],
    },
    Sound { name: "export", args: "export model.onnx -o out.onnx --method gradient", has: &[Model, Levels] },
];

/// A mistake: a change of the command, the exit code, and a part of the error.
struct Mistake {
    of: Has,
    /// `old=>new` replaces a part of the command; other text is appended.
    change: &'static str,
    code: i32,
    says: &'static str,
}

const fn usage(of: Has, change: &'static str, says: &'static str) -> Mistake {
    Mistake { of, change, code: 2, says }
}

const fn file(of: Has, change: &'static str, says: &'static str) -> Mistake {
    Mistake { of, change, code: 1, says }
}

const MISTAKES: [Mistake; 40] = [
    usage(Model, "--engine ort", "did you mean 'onnxruntime'? There are: auto, rten, onnxruntime"),
    usage(Model, "--engine tensorflow", "there are: auto, rten, onnxruntime"),
    usage(Model, "--device gpu", "there is no such device; there are: cpu, cuda"),
    usage(Model, "--engine rten --device cuda", "need --engine onnxruntime"),
    usage(Model, "--preset imagnet", "did you mean 'imagenet'?"),
    usage(Model, "--lables x", "a similar argument exists: '--labels'"),
    file(Model, "model.onnx=>missing.onnx", "missing.onnx"),
    file(Model, "--labels missing.txt", "missing.txt"),
    file(Model, "--sidecar missing/missing.toml", "missing.toml"),
    file(Photo, "photo.png=>missing.png", "missing.png"),
    file(Photo, "photo.png=>photos", "photos"),
    file(Dataset, "photos=>nowhere", "nowhere"),
    file(Dataset, "--class-map missing.json", "missing.json"),
    usage(Dataset, "--format coc", "did you mean 'coco'?"),
    usage(Method, "--method gradcam", "did you mean 'grad-cam'?"),
    usage(Method, "--method magic", "there are: reliable, gradient"),
    usage(Method, "--set lamda=1", "did you mean 'lambda'?"),
    usage(Method, "--set lambda=-1", "must be a number"),
    usage(Method, "--set shape=ful", "did you mean 'full'?"),
    usage(Method, "--method evidence-scaled --set method=gradcam", "did you mean 'grad-cam'?"),
    usage(Methods, "--methods gradcam", "did you mean 'grad-cam'?"),
    usage(Methods, "--methods reliable --set lamda=1", "did you mean 'lambda'?"),
    usage(Methods, "--methods reliable --set reliable.shape=ful", "did you mean 'full'?"),
    usage(Methods, "--methods reliable --set lime.samples=9", "lime is not among the methods"),
    usage(Settings, "--methods reliable+shap=full", "did you mean 'shape'?"),
    usage(Settings, "--methods grad-cam,reliable+shape=ful", "did you mean 'full'?"),
    usage(Attack, "fgsm=>pdg", "did you mean 'pgd'?"),
    usage(Attack, "--set stpes=1", "has no parameter 'stpes'"),
    usage(Attacks, "--attacks fgsm,pdg", "did you mean 'pgd'?"),
    usage(Attacks, "--attacks fgsm,pgd+stpes=1", "did you mean 'steps'?"),
    usage(Levels, "--levels level41", "--levels: "),
    usage(Model, "--threads -1", "invalid value '-1' for '--threads <N>'"),
    usage(Model, "--threads many", "invalid value 'many'"),
    file(Dataset, "--images nowhere", "--images nowhere: there is no such folder"),
    usage(Method, "--method reliable --set rate=0.1 --set rate=0.2", "parameter 'rate' is given twice"),
    usage(Methods, "--methods gradient", "named twice"),
    usage(Settings, "--methods reliable+rate=0.1+rate=0.2", "parameter 'rate' is given twice"),
    usage(Attack, "--eps 8/255 --set eps=4/255", "parameter 'eps' is given twice"),
    usage(Attacks, "--attacks fgsm,fgsm", "the attack 'fgsm' is named twice"),
    file(Out, "--out photo.png/below", "photo.png"),
];

/// Mistakes that are specific to one command.
const OWN: [(&str, i32, &str); 32] = [
    ("explian model.onnx photo.png", 2, "a similar subcommand exists: 'explain'"),
    ("bench wsl model.onnx photos", 2, "a similar subcommand exists"),
    ("explain model.onnx", 2, "<IMAGES>"),
    ("explain model.onnx photo.png --class fsh", 2, "did you mean 2 (fish)"),
    ("explain model.onnx photo.png --class top0", 2, "top1, the model's answer, to top12"),
    ("explain model.onnx photo.png --class 12", 2, "class 12 is out of range"),
    ("explain model.onnx photo.png --class zebra", 2, "there are: 0 (ball), 1 (cat)"),
    ("explain model.onnx photo.png --method grad-cam --lambda-path", 2, "has no parameter 'lambda-path'"),
    ("attack model.onnx photo.png --attack fgsm --out out --target fsh", 2, "did you mean 2 (fish)"),
    ("attack model.onnx photo.png --attack deepfool --out out --target fish", 2, "cannot aim at a class"),
    ("attack model.onnx photo.png --attack transfer --out out", 2, "--from OTHER.onnx"),
    ("attack model.onnx photo.png --attack fgsm --out out --from model.onnx", 2, "--from is for"),
    (
        "attack model.onnx photo.png --attack transfer --from model.onnx --set attack=pdg --out out",
        2,
        "'pgd'",
    ),
    ("bench adversarial model.onnx photos --attack pdg", 2, "did you mean 'pgd'?"),
    ("bench adversarial model.onnx photos --attack pgd+stpes=1", 2, "did you mean 'steps'?"),
    ("bench adversarial model.onnx photos --attack deepfool", 2, "cannot aim at a class"),
    ("bench dwsol model.onnx photos --absent close", 2, "invalid value 'close'"),
    ("bench faithfulness model.onnx photos --area 2", 2, "from 0.001 to 0.999"),
    ("bench speed model.onnx --methods gradcam", 2, "did you mean 'grad-cam'?"),
    ("calibrate model.onnx photo.png --tolerance 2", 2, "from 0 to 1"),
    ("export model.onnx -o out.onnx --method rise", 2, "cannot be exported"),
    ("export model.onnx -o out.onnx --method grad-cam --set scor=1", 2, "has no parameter 'scor'"),
    ("detect score model.onnx missing photo.png", 1, "missing"),
    ("scenes more --count 18446744073709551615", 2, "is not in 1..=1000000"),
    ("scenes more --count 0", 2, "is not in 1..=1000000"),
    ("explain model.onnx photo.png --seed -1", 2, "invalid value '-1' for '--seed <N>'"),
    ("check model.onnx photo.png --randomization --smooth 99999999999", 2, "from 0 to 10000"),
    ("attack model.onnx photo.png --attack jsma --set theta=0 --out out", 2, "'theta' must not be 0"),
    ("attack model.onnx photo.png --attack fgsm --eps -1 --out out", 2, "must be a number from 0 to 1"),
    (
        "bench wsol model.onnx photos --methods grad-cam --fewer grad-cam=1 --fewer grad-cam=2",
        2,
        "given twice",
    ),
    ("explain model.onnx photo.png --hurry", 2, "unexpected argument '--hurry' found; see --help"),
    ("table missing.json", 1, "missing.json"),
];

/// The embedded model, a photo and a few more with their classes.
fn files(dir: &Path) {
    fs::write(dir.join("photo.png"), embedded::DEMO_SCENES[0].png).unwrap();
    let scenes = ["scenes", "photos", "--count", "3", "--size", "48", "--model", "model.onnx"];
    Command::cargo_bin("candor").unwrap().args(scenes).current_dir(dir).assert().success();
}

/// Number of files in a folder and its subfolders.
fn count(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path());
    entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
}

/// Runs the command and expects that exit code, one line that contains `says`, and no additional files.
fn fails(dir: &Path, command: &str, code: i32, says: &str) {
    let before = count(dir);
    let args = command.split(' ').filter(|a| !a.is_empty());
    let done = Command::cargo_bin("candor").unwrap().args(args).current_dir(dir).output().unwrap();
    let error = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(code), "{command}: {error}");
    let lines: Vec<&str> = error.lines().filter(|l| !l.starts_with("candor: note: ")).collect();
    assert_eq!(lines.len(), 1, "{command}: one line: {error}");
    assert!(
        lines[0].starts_with("candor: error: ") && lines[0].contains(says),
        "{command}: '{says}' is not in: {error}"
    );
    assert_eq!(count(dir), before, "{command} left something behind");
}

#[test]
fn a_mistake_has_one_exit_code_in_all_commands() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    for mistake in &MISTAKES {
        for sound in COMMANDS.iter().filter(|c| c.has.contains(&mistake.of)) {
            let command = match mistake.change.split_once("=>") {
                Some((old, new)) => sound.args.replacen(old, new, 1),
                None => format!("{} {}", sound.args, mistake.change),
            };
            assert_ne!(command, sound.args, "{}", sound.name);
            fails(dir.path(), &command, mistake.code, mistake.says);
        }
    }
}

#[test]
fn mistakes_of_one_command_alone() {
    let dir = tempfile::tempdir().unwrap();
    files(dir.path());
    for (command, code, says) in OWN {
        fails(dir.path(), command, code, says);
    }
}
