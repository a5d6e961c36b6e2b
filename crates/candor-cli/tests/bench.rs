//! `candor bench` as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

fn speed(more: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model.onnx");
    fs::write(&model, candor_scenes::embedded::MODEL).unwrap();
    Command::cargo_bin("candor").unwrap().args(["bench", "speed"]).arg(model).args(more).output().unwrap()
}

#[test]
fn one_json_document_holds_every_figure() {
    let done = speed(&["--methods", "gradient,reliable", "--repeats", "1", "--threads", "1", "--json"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let found: Value = serde_json::from_slice(&done.stdout).unwrap();
    let positive = |v: &Value| assert!(v.as_f64().is_some_and(|v| v > 0.0), "{v} in {found}");
    positive(&found["load_seconds"]);
    positive(&found["peak_gflops"]);
    if cfg!(target_os = "linux") {
        positive(&found["peak_memory_bytes"]);
    }
    assert_eq!(found["engine"]["threads"], 1);
    let parts = found["parts"].as_array().unwrap();
    assert_eq!(
        parts.iter().map(|p| p["name"].as_str().unwrap()).collect::<Vec<_>>(),
        ["forward", "gradient", "mask iteration"]
    );
    for part in parts {
        for figure in ["gflop", "gflops", "share_of_peak"] {
            positive(&part[figure]);
        }
        positive(&part["seconds"]["median"]);
    }
    let methods = found["methods"].as_array().unwrap();
    assert_eq!(methods.len(), 2);
    assert_eq!((&methods[0]["forward"], &methods[0]["backward"]), (&1.into(), &1.into()));
    // Every step is taken, whatever the class, since the image is noise.
    assert_eq!(methods[1]["backward"], methods[1]["method"]["parameters"]["iterations"]);
}

#[test]
fn the_table_names_each_part_and_what_is_wrong_is_one_line() {
    let done = speed(&["--methods", "gradient", "--repeats", "1"]);
    let text = String::from_utf8(done.stdout).unwrap();
    for part in ["forward", "mask iteration", "of best", "gradient", "GFLOP/s"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    let done = speed(&["--methods", "no-such-method"]);
    let error = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(2), "{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    assert_eq!(speed(&["--repeats", "0"]).status.code(), Some(2));
}

/// A folder with the embedded model and `count` scenes with their boxes and masks.
fn scenes(count: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("model.onnx"), candor_scenes::embedded::MODEL).unwrap();
    fs::write(dir.path().join("labels.txt"), candor_scenes::embedded::LABELS).unwrap();
    let scenes = ["scenes", "scenes", "--count", count, "--seed", "500000", "--size", "112"];
    let made = Command::cargo_bin("candor").unwrap().args(scenes).current_dir(&dir).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    dir
}

fn bench(dir: &tempfile::TempDir, name: &str, out: &str, more: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("candor"));
    let model = ["model.onnx", "scenes", "--preset", "inception", "--labels", "labels.txt", "--threads", "1"];
    command.args(["bench", name]).args(model).args(["--out", out]).args(more).current_dir(dir);
    command
}

fn result(dir: &tempfile::TempDir, name: &str, more: &[&str]) -> Value {
    let more = [&["--json"], more].concat();
    let done = bench(dir, name, "out", &more).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for extension in ["json", "csv", "html"] {
        assert!(dir.path().join(format!("out/{name}.{extension}")).exists());
    }
    serde_json::from_slice(&done.stdout).unwrap()
}

/// A method's value in a table.
fn figure(result: &Value, table: usize, method: &str, name: &str) -> f64 {
    let table = &result["tables"][table];
    let column = table["columns"].as_array().unwrap().iter().position(|c| c["name"] == name).unwrap();
    let row = table["rows"].as_array().unwrap().iter().find(|r| r["method"] == method).unwrap();
    row["cells"][column]["mean"].as_f64().unwrap()
}

#[test]
fn localisation_of_scenes_tells_maps_from_noise_and_from_absent_classes() {
    let dir = scenes("24");
    let methods = ["--methods", "reliable,grad-cam,random", "--no-examples"];
    let wsol = result(&dir, "wsol", &methods);
    for (name, least) in [("pointing", 0.7), ("pxap", 0.3), ("box-value", 0.3)] {
        let [found, noise] = ["reliable", "random"].map(|m| figure(&wsol, 0, m, name));
        assert!(found > least && found > noise, "{name}: {found}, noise {noise}");
    }
    let dwsol = result(&dir, "dwsol", &methods);
    assert!(figure(&dwsol, 0, "reliable", "f") <= 0.1);
    assert!(figure(&dwsol, 0, "reliable", "t-f") > figure(&dwsol, 0, "random", "t-f"));
    // A smaller run uses the entries that it needs from the same journal.
    let fewer = result(&dir, "dwsol", &[&methods[..], &["--limit", "8", "--fewer", "random=3"]].concat());
    assert_eq!(fewer["dataset"]["items"], 8);
    // The centre is always measured, and does not depend on the class.
    assert_eq!(figure(&dwsol, 0, "centre", "absent-mass"), 1.0);
    let journal = fs::read_to_string(dir.path().join("out/localization.jsonl")).unwrap();
    let measured = journal.lines().count() - 1;
    assert_eq!(measured % 4, 0);
    assert!(measured / 4 <= 24 && measured / 4 > 16, "{measured}");
}

#[test]
fn grids_and_faithfulness_of_scenes_rank_a_map_above_noise() {
    let dir = scenes("40");
    let methods = ["--methods", "grad-cam,grad-cam++,random,reliable+iterations=5"];
    let grid = result(&dir, "grid", &[&["--grids", "4"][..], &methods].concat());
    for layout in 0..2 {
        let [found, noise] = ["grad-cam", "random"].map(|m| figure(&grid, layout, m, "own-share"));
        assert!(found > noise + 0.05, "{layout}: {found}, noise {noise}");
    }
    let parameters = &grid["methods"][3]["parameters"];
    assert_eq!(
        (&grid["methods"][3]["name"], &parameters["iterations"]),
        (&"reliable+iterations=5".into(), &5.into())
    );
    assert!((figure(&grid, 0, "random", "own-share") - 0.25).abs() < 0.02);
    let faithful = result(&dir, "faithfulness", &[&["--limit", "5", "--steps", "10"][..], &methods].concat());
    let better = [
        ("deletion", -1.0),
        ("deletion-blur", -1.0),
        ("deletion-infill", -1.0),
        ("insertion", 1.0),
        ("insertion-mean", 1.0),
        ("excess", 1.0),
    ];
    for (name, sign) in better {
        let [found, noise] = ["grad-cam", "random"].map(|m| sign * figure(&faithful, 0, m, name));
        assert!(found > noise, "{name}: {found}, noise {noise}");
    }
}

#[test]
fn adversarial_photos_are_made_once_and_ask_for_the_class_that_is_not_there() {
    let dir = scenes("24");
    let more = ["--methods", "reliable+iterations=10,grad-cam", "--no-examples"];
    let found = result(&dir, "adversarial", &more);
    let items = found["dataset"]["items"].as_u64().unwrap() as usize;
    let pictures = || fs::read_dir(dir.path().join("out/adversarial")).unwrap().map(|f| f.unwrap());
    assert_eq!(pictures().count(), items);
    assert!(items > 8, "{items}");
    // The centre does not depend on the class: it is as wrong about the target as it is right about the object.
    assert_eq!((figure(&found, 0, "centre", "t-f"), figure(&found, 0, "centre", "own-mass")), (0.0, 0.5));
    // The model answers the target for every photo.
    let journal = fs::read_to_string(dir.path().join("out/attacked.jsonl")).unwrap();
    for line in journal.lines().skip(1) {
        let measured = &serde_json::from_str::<Value>(line).unwrap()["outcome"]["measured"];
        assert_eq!(measured["top1"], measured["absent"], "{line}");
        assert_ne!(measured["class"], measured["absent"], "{line}");
    }
    let before: Vec<_> = pictures().map(|f| f.metadata().unwrap().modified().unwrap()).collect();
    assert_eq!(result(&dir, "adversarial", &more), found);
    assert_eq!(pictures().map(|f| f.metadata().unwrap().modified().unwrap()).collect::<Vec<_>>(), before);
    let aimless = bench(&dir, "adversarial", "out", &["--attack", "deepfool"]).output().unwrap();
    let error = String::from_utf8(aimless.stderr).unwrap();
    assert!(error.contains("cannot aim at a class") && error.trim_end().lines().count() == 1, "{error}");
}

#[test]
fn a_run_killed_ten_times_gives_the_bytes_of_one_that_was_not() {
    let dir = scenes("30");
    let more = ["--methods", "reliable,gradient", "--set", "reliable.iterations=20"];
    assert!(bench(&dir, "wsol", "whole", &more).output().unwrap().status.success());
    let journal = |out: &str| fs::read(dir.path().join(out).join("localization.jsonl")).unwrap_or_default();
    let whole = journal("whole");
    let mut interrupted = 0;
    for _ in 0..10 {
        let mut run = bench(&dir, "wsol", "killed", &more)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // As soon as it has added an entry, so that each kill is at another point.
        let before = journal("killed").len();
        while journal("killed").len() <= before && run.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        run.kill().unwrap();
        run.wait().unwrap();
        let cut = journal("killed");
        assert!(whole.starts_with(&cut));
        interrupted += usize::from(cut.len() < whole.len());
    }
    assert!(interrupted > 0, "every run ended before it was killed");
    assert!(bench(&dir, "wsol", "killed", &more).output().unwrap().status.success());
    for file in ["localization.jsonl", "wsol.json", "wsol.csv"] {
        let [a, b] = ["whole", "killed"].map(|out| fs::read(dir.path().join(out).join(file)).unwrap());
        assert!(a == b, "{file} differs");
    }
    // The page contains the command, which names the folder.
    let page = |out: &str| fs::read_to_string(dir.path().join(out).join("wsol.html")).unwrap();
    assert!(page("whole").replace("--out whole", "--out killed") == page("killed"), "wsol.html differs");
    let other = bench(&dir, "wsol", "killed", &[&more[..], &["--seed", "1"]].concat()).output().unwrap();
    let error = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(!other.status.success() && error.contains("started with another seed"), "{error}");
}

#[test]
fn a_dataset_that_cannot_be_used_is_one_clear_line() {
    let dir = scenes("2");
    let usage = |more: &[&str], words: &str| {
        let done = bench(&dir, "wsol", "out", more).output().unwrap();
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{error}");
        assert!(error.contains(words), "{error}");
    };
    usage(
        &["--tuning", "9"],
        "--tuning 9 leaves none of the 2 items to report; at most 1 can choose settings",
    );
    usage(&["--limit", "0"], "0 leaves nothing to do; give at least 1");
    usage(&["--fewer", "random=0"], "0 leaves nothing to do; give at least 1");
    let fewer = "--fewer rise=1: 'rise' is not among the methods measured: gradient, centre";
    usage(&["--methods", "gradient", "--fewer", "rise=1"], fewer);
    let format = bench(&dir, "wsol", "out", &["--format", "parquet"]).output().unwrap();
    assert_eq!(format.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&format.stderr).contains("there are: csv"));
    fs::create_dir(dir.path().join("photos")).unwrap();
    fs::create_dir(dir.path().join("photos/ball")).unwrap();
    fs::copy(dir.path().join("scenes/000000.png"), dir.path().join("photos/ball/a.png")).unwrap();
    fs::rename(dir.path().join("photos"), dir.path().join("scenes2")).unwrap();
    fs::remove_dir_all(dir.path().join("scenes")).unwrap();
    fs::rename(dir.path().join("scenes2"), dir.path().join("scenes")).unwrap();
    for name in ["wsol", "dwsol", "objects", "adversarial"] {
        let unboxed = bench(&dir, name, "out", &[]).output().unwrap();
        let error = String::from_utf8_lossy(&unboxed.stderr).into_owned();
        assert_eq!(unboxed.status.code(), Some(1), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
        assert!(
            error.contains("needs boxes") || error.contains("has boxes of two classes"),
            "{name}: {error}"
        );
    }
    let few = bench(&dir, "grid", "out", &[]).output().unwrap();
    let error = String::from_utf8_lossy(&few.stderr).into_owned();
    assert!(error.contains("grids need 9 classes"), "{error}");
}

#[test]
fn maps_of_several_objects_lie_on_their_own_and_absent_classes_can_be_harder() {
    let dir = scenes("40");
    let methods = ["--methods", "reliable,random,grad-cam", "--no-examples"];
    let objects = result(&dir, "objects", &methods);
    // Scenes with one object are not used.
    let items = objects["dataset"]["items"].as_u64().unwrap();
    assert!((10..40).contains(&items), "{items}");
    for name in ["pointing", "own-share-seen", "existence"] {
        let [found, noise] = ["reliable", "random"].map(|m| figure(&objects, 0, m, name));
        assert!(found > 0.8 && found > noise, "{name}: {found}, noise {noise}");
    }
    assert!((figure(&objects, 0, "random", "existence") - 0.5).abs() < 0.2);
    assert_eq!(figure(&objects, 0, "grad-cam", "empty"), 0.0);
    // Only classes that the model recognises alone: other classes, and therefore another journal.
    let alone = [&methods[..], &["--recognised", "1"]].concat();
    let other = bench(&dir, "objects", "out", &alone).output().unwrap();
    let error = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(error.contains("objects.jsonl: was started with another recognised"), "{error}");
    fs::remove_dir_all(dir.path().join("out")).unwrap();
    let recognised = result(&dir, "objects", &alone);
    let left = recognised["dataset"]["items"].as_u64().unwrap();
    assert!((1..=items).contains(&left), "{left} of {items}");
    assert!(figure(&recognised, 0, "reliable", "existence") > 0.8);
    // Each way of drawing absent classes has other classes, and therefore its own journal.
    result(&dir, "dwsol", &methods);
    let other =
        bench(&dir, "dwsol", "out", &[&methods[..], &["--absent", "near"]].concat()).output().unwrap();
    let error = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(error.contains("localization.jsonl: was started with another absent"), "{error}");
    let mut masses = vec![];
    for kind in ["near", "shuffled"] {
        fs::remove_dir_all(dir.path().join("out")).unwrap();
        let found = result(&dir, "dwsol", &[&methods[..], &["--absent", kind]].concat());
        masses.push(figure(&found, 0, "grad-cam", "absent-mass"));
        assert!(figure(&found, 0, "reliable", "f") <= 0.1, "{kind}");
    }
    assert!(masses.iter().all(|mass| (0.0..1.0).contains(mass)), "{masses:?}");
}

#[test]
fn grids_need_no_boxes() {
    let dir = scenes("60");
    // The list without boxes and masks: only the class of a scene.
    let list = fs::read_to_string(dir.path().join("scenes/scenes.csv")).unwrap();
    let mut lines = list.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| head.iter().position(|h| *h == name).unwrap();
    let [file, class] = ["file", "class_index"].map(column);
    let mut classes = String::from("file,class_index\n");
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        classes += &format!("{},{}\n", cells[file], cells[class]);
    }
    let boxed = result(&dir, "grid", &["--grids", "3", "--methods", "grad-cam,random"]);
    fs::write(dir.path().join("scenes/scenes.csv"), classes).unwrap();
    fs::remove_dir_all(dir.path().join("out")).unwrap();
    let found = result(&dir, "grid", &["--grids", "3", "--methods", "grad-cam,random"]);
    // Nothing is tuned, so every picture is reported.
    assert_eq!((&found["dataset"]["items"], &found["dataset"]["tuning"]), (&9.into(), &0.into()));
    let [map, noise] = ["grad-cam", "random"].map(|m| figure(&found, 0, m, "own-share"));
    assert!(map > noise, "{map}, noise {noise}");
    let cells = found["tables"][0]["rows"][0]["cells"].as_array().unwrap();
    let judged = |cells: &[Value]| cells.iter().map(|c| !c.is_null()).collect::<Vec<_>>();
    assert_eq!(judged(cells), [true, true, true, true, false, false, false]);
    assert_eq!(judged(boxed["tables"][0]["rows"][0]["cells"].as_array().unwrap()), [true; 7]);
}
