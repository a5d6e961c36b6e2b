//! `candor table` on results that the other commands wrote for the embedded model and generated scenes.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

fn candor(dir: &Path, args: &[&str]) -> Output {
    Command::cargo_bin("candor").unwrap().args(args).current_dir(dir).output().unwrap()
}

/// The output of a command.
fn printed(dir: &Path, args: &[&str]) -> String {
    let done = candor(dir, args);
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

/// A folder with the embedded model as model.onnx, and scenes.
fn scenes(count: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("model.onnx"), candor_scenes::embedded::MODEL).unwrap();
    fs::write(dir.path().join("labels.txt"), candor_scenes::embedded::LABELS).unwrap();
    let size = ["--objects", "1-1", "--seed", "5", "--size", "112"];
    printed(dir.path(), &[&["scenes", "scenes", "--count", count], &size[..]].concat());
    dir
}

const MODEL: [&str; 7] =
    ["model.onnx", "scenes", "--preset", "inception", "--labels", "labels.txt", "--json"];

/// Rows of the Markdown table under the heading that ends with `title`: cells without surrounding blanks.
fn rows(markdown: &str, title: &str) -> Vec<Vec<String>> {
    let lines = markdown.lines().skip_while(|l| !(l.starts_with("### ") && l.ends_with(title)));
    let table = lines.skip(1).skip_while(|l| !l.starts_with('|')).take_while(|l| l.starts_with('|'));
    let cells = |l: &str| l.trim_matches('|').split(" | ").map(|c| c.trim().to_string()).collect();
    table.map(cells).collect()
}

#[test]
fn a_benchmark_has_its_means_intervals_and_marks() {
    let dir = scenes("12");
    let more = ["--methods", "grad-cam,random,attention-rollout", "--no-examples", "--out", "out"];
    let bench = [&["bench", "dwsol"], &MODEL[..], &more].concat();
    let result: Value = serde_json::from_str(&printed(dir.path(), &bench)).unwrap();
    let markdown = printed(dir.path(), &["table", "out/dwsol.json", "--settings"]);
    let table = &result["tables"][0];
    let rows = rows(&markdown, table["title"].as_str().unwrap());
    let columns = table["columns"].as_array().unwrap();
    assert_eq!((rows[0][0].as_str(), rows[0].last().unwrap().as_str()), ("method", "chosen"));
    assert_eq!(rows.len(), 2 + table["rows"].as_array().unwrap().len());
    for (shown, row) in rows[2..].iter().zip(table["rows"].as_array().unwrap()) {
        assert_eq!(shown.len(), columns.len() + 2);
        assert_eq!(shown[0], row["method"].as_str().unwrap());
        assert_eq!(shown.last().unwrap(), row["setting"].as_str().unwrap());
        for (text, cell) in shown[1..].iter().zip(row["cells"].as_array().unwrap()) {
            let mean = cell["mean"].as_f64().unwrap();
            assert_eq!(text.starts_with("**"), cell["among_best"].as_bool().unwrap(), "{text}: {cell}");
            let (first, ends) = text.split_once(" (").unwrap();
            let first: f64 = first.trim_matches('*').parse().unwrap();
            assert!((first - mean).abs() <= 5.0001e-4, "{text}: {cell}");
            let low = ends.split_once(" to ").unwrap().0.parse::<f64>().unwrap();
            assert!((low - cell["interval"][0].as_f64().unwrap()).abs() <= 5.0001e-4, "{text}: {cell}");
        }
    }
    assert!(markdown.contains(", 3 for tuning, rten ") && markdown.contains("seed 0.\n"), "{markdown}");
    assert!(markdown.contains("Not defined: attention-rollout ("), "{markdown}");
    assert!(!printed(dir.path(), &["table", "out/dwsol.json"]).contains("chosen"));

    let csv = printed(dir.path(), &["table", "out/dwsol.json", "--format", "csv"]);
    let head = "table,method,t-f,t-f low,t-f high,t-f best,";
    assert!(csv.starts_with(head), "{csv}");
    let mean = table["rows"][0]["cells"][0]["mean"].as_f64().unwrap();
    let second = csv.lines().nth(1).unwrap();
    assert!(second.contains(&format!(",grad-cam,{mean},")), "{second}: all digits of {mean}");
    // The figure is the same from the result and from its rows as CSV.
    let figure = printed(dir.path(), &["table", "out/dwsol.json", "--figure", "t-f"]);
    assert!(figure.starts_with("<svg ") && figure.matches("class=\"w\"").count() > 1, "{figure}");
    fs::write(dir.path().join("rows.csv"), csv).unwrap();
    assert_eq!(printed(dir.path(), &["table", "rows.csv", "--figure", "t-f"]), figure);
    let unknown = candor(dir.path(), &["table", "rows.csv", "--figure", "tf"]);
    assert_eq!(unknown.status.code(), Some(2));
    let error = String::from_utf8(unknown.stderr).unwrap();
    assert!(error.contains("did you mean 't-f'?"), "{error}");
    let html = printed(dir.path(), &["table", "out/dwsol.json", "--format", "html"]);
    assert!(html.starts_with("<h3>model: ") && html.contains("<b>grad-cam</b>"), "{html}");
    // Two files, one after the other; and a title that none of them has.
    let title = ["--title", table["title"].as_str().unwrap()];
    let twice = printed(dir.path(), &[&["table", "out/dwsol.json", "out/dwsol.json"], &title[..]].concat());
    assert_eq!(twice.matches("### model: ").count(), 2);
    assert_eq!(candor(dir.path(), &["table", "out/dwsol.json", "--title", "no such"]).status.code(), Some(2));
}

#[test]
fn rows_are_those_that_are_named_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("a.csv"),
        "table,method,t-f\nm: All,lrp,0.5\nm: All,\"mask, fine\",0.25\nm: All,none,0.75\n",
    )
    .unwrap();
    fs::write(dir.path().join("b.csv"), "table,method,t-f\nm: All,edges,0.125\nm: Other,lrp,0.5\n").unwrap();
    let named = ["--row", "edges", "--row", "mask, fine", "--row", "none", "--title", "All"];
    let all = |more: &[&str]| printed(dir.path(), &[&["table", "a.csv", "b.csv"], &named[..], more].concat());
    assert_eq!(
        all(&["--format", "csv"]),
        "table,method,t-f\nm: All,\"mask, fine\",0.25\nm: All,none,0.75\nm: All,edges,0.125\n"
    );
    assert_eq!(rows(&all(&[]), "All")[2..], [["mask, fine", "0.250"], ["none", "0.750"]]);
    assert!(!all(&["--format", "html"]).contains("lrp"));
    // Of two files with one title, the figure has one panel.
    let figure = all(&["--figure", "t-f"]);
    let at = ["edges", "mask, fine", "none"].map(|name| figure.find(&format!(">{name}<")).unwrap());
    assert!(at.is_sorted() && !figure.contains("lrp"), "{figure}");
    let accented = |name| all(&["--figure", "t-f", "--accent", name]).matches("class=\"f\"").count();
    assert_eq!([accented("none"), accented("")], [1, 0]);
    let unknown = candor(dir.path(), &["table", "a.csv", "b.csv", "--row", "lrp", "--row", "mask"]);
    let error = String::from_utf8(unknown.stderr).unwrap();
    assert_eq!(unknown.status.code(), Some(2), "{error}");
    let words = "there is no row 'mask'; did you mean 'mask, fine'? There are: lrp, mask, fine, none, edges";
    assert!(error.contains(words), "{error}");
}

#[test]
fn a_sanity_check_is_sorted_by_the_random_class() {
    let dir = scenes("2");
    let photos = ["model.onnx", "scenes/000000.png", "scenes/000001.png", "--preset", "inception", "--json"];
    let more = ["--methods", "edges,reliable,gradient", "--set", "reliable.iterations=10", "--out", "out"];
    let result = printed(dir.path(), &[&["check"], &photos[..], &more].concat());
    let result: Value = serde_json::from_str(&result).unwrap();
    let markdown = printed(dir.path(), &["table", "out/check.json"]);
    let rows = rows(&markdown, "model");
    let head = ["method", "verdict", "top-2", "median rank", "random", "lowest", "SSIM, random", "AUROC"];
    assert_eq!(rows[0], head);
    let names: Vec<&str> = rows[2..].iter().map(|r| r[0].as_str()).collect();
    assert_eq!(names[0], "reliable", "{markdown}");
    let random = |name: &&str| {
        let method = result["methods"].as_array().unwrap().iter().find(|m| m["method"]["name"] == *name);
        method.unwrap()["queries"]["random"]["ratio"]["median"].as_f64().unwrap()
    };
    let medians: Vec<f64> = names.iter().map(random).collect();
    assert!(medians.len() == 3 && medians.is_sorted(), "{medians:?}");
    assert_eq!(rows[2][1], "passes?", "two photos");
    assert_eq!(rows[2][4], "0.000 (0.000 to 0.000), 0.000");
    assert!(!rows[3][2].contains('('), "of top-2 the median alone: {markdown}");
    assert!(markdown.contains("2 photos, rten "), "{markdown}");
}

#[test]
fn a_study_of_detectors_has_all_its_tables() {
    let dir = scenes("20");
    let quick = ["--iterations", "2", "--grid", "8", "--epochs", "3", "--out", "out", "--baselines"];
    let attacks = ["--attacks", "fgsm+eps=8/255,pgd+eps=4/255+steps=5,pgd+eps=8/255+steps=5"];
    let eval = [&["detect", "eval"], &MODEL[..], &quick, &attacks, &["--adaptive", "1"]].concat();
    let result: Value = serde_json::from_str(&printed(dir.path(), &eval)).unwrap();
    let markdown = printed(dir.path(), &["table", "out/detect.json"]);
    assert_eq!(markdown.matches("### ").count(), 11, "{markdown}");
    let seen = rows(&markdown, "AUROC, trained on all attacks");
    assert_eq!(seen[0][..5], ["detector", "fgsm 8", "pgd 4", "pgd 8", "mean"]);
    assert_eq!(seen[0][5..], ["adaptive attacker, 2", "adaptive attacker, 8"]);
    let ours = &result["detectors"][0];
    let areas: Vec<f64> =
        ours["seen"].as_array().unwrap().iter().filter_map(|f| f["auroc"].as_f64()).collect();
    let mean = areas.iter().sum::<f64>() / areas.len() as f64;
    assert_eq!((seen[2][0].as_str(), &seen[2][4]), ("hierarchical masks", &format!("**{mean:.3}**")));
    assert_eq!(seen[3][5], "–", "the adaptive attack is made on ours alone: {markdown}");
    assert_eq!(rows(&markdown, "Attacks")[3][1], "`pgd+eps=4/255+steps=5`");
    assert_eq!(rows(&markdown, "By an adaptive (white-box) attacker").len(), 4);
    let few = printed(dir.path(), &["table", "out/detect.json", "--kinds", "ours"]);
    assert_eq!(rows(&few, "AUROC, trained on all attacks").len(), 3);
}

#[test]
fn speeds_have_a_row_a_pass_and_a_row_a_method() {
    let dir = scenes("1");
    let more = ["--methods", "gradient", "--repeats", "1", "--json"];
    let result = printed(dir.path(), &[&["bench", "speed", "model.onnx"], &more[..]].concat());
    fs::write(dir.path().join("speed.json"), result).unwrap();
    let markdown = printed(dir.path(), &["table", "speed.json"]);
    let passes = rows(&markdown, "one pass");
    assert_eq!(passes[0][..3], ["pass", "median", "fastest"]);
    let names: Vec<&str> = passes[2..].iter().map(|r| r[0].as_str()).collect();
    assert_eq!(names, ["forward", "gradient", "mask iteration"]);
    assert_eq!(rows(&markdown, "one explanation")[2][5..7], ["1", "1"]);
}

#[test]
fn what_is_no_result_is_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("other.json"), "{\"images\": []}").unwrap();
    fs::write(dir.path().join("broken.json"), "{").unwrap();
    fs::write(dir.path().join("list.csv"), "file,class\na.png,cat\n").unwrap();
    fs::write(dir.path().join("half.json"), "{\"benchmark\": \"wsol\", \"tables\": []}").unwrap();
    for (file, words) in [
        ("other.json", "not a result of `candor bench`"),
        ("broken.json", "not JSON"),
        ("half.json", "missing field"),
        ("none.json", "No such file"),
        ("list.csv", "not a result as JSON"),
    ] {
        let done = candor(dir.path(), &["table", file]);
        let error = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{error}");
        assert!(error.contains(file) && error.contains(words), "{error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    }
    assert_eq!(candor(dir.path(), &["table"]).status.code(), Some(2));
    assert_eq!(candor(dir.path(), &["table", "other.json", "--format", "pdf"]).status.code(), Some(2));
}
