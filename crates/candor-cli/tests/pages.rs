//! The pages that commands write: each is self-contained, says how to reproduce it, and hides nothing.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use candor_scenes::embedded;

/// Where the documents are.
const DOCUMENTS: &str = "https://github.com/candor-xai/candor/blob/main/";

/// A folder with the embedded model, its labels, two photos and `count` scenes of one size.
struct Room(tempfile::TempDir);

impl Room {
    fn new(count: usize) -> Self {
        let room = Room(tempfile::tempdir().unwrap());
        fs::write(room.path("my model.onnx"), embedded::MODEL).unwrap();
        let sidecar = format!("preset = \"inception\"\nlambda = {}\n", embedded::LAMBDA);
        fs::write(room.path("my model.candor.toml"), sidecar).unwrap();
        fs::write(room.path("labels.txt"), embedded::LABELS).unwrap();
        for (scene, name) in embedded::DEMO_SCENES.iter().zip(["a.png", "b & c.png"]) {
            fs::write(room.path(name), scene.png).unwrap();
        }
        if count > 0 {
            let count = count.to_string();
            let objects = ["--objects", "1-1", "--seed", "500000", "--size", "112"];
            room.run(&[&["scenes", "scenes", "--count", &count][..], &objects].concat());
        }
        room
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("candor"));
        let done = command.args(arguments).current_dir(self.0.path()).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Runs a command that writes a page, and checks the properties of every page.
    fn page(&self, arguments: &[&str], page: &str) -> String {
        self.run(arguments);
        let path = self.path(page);
        let html = fs::read_to_string(&path).unwrap();
        let command = arguments
            .iter()
            .map(|a| if a.contains([' ', '&']) { format!("'{a}'") } else { (*a).to_string() });
        let command = format!("candor {}", command.collect::<Vec<_>>().join(" "));
        assert!(decoded(&html).contains(&format!("<code>{command}</code>")), "{page} lacks {command}");
        says_how_it_was_made(&html, page);
        stands_alone(&html, path.parent().unwrap());
        tables_sort_and_fit(&html, page);
        html
    }

    fn bench(&self, name: &str, more: &[&str]) -> String {
        let model = ["my model.onnx", "scenes", "--labels", "labels.txt", "--threads", "1", "--out", "bench"];
        self.page(&[&["bench", name][..], &model, more].concat(), &format!("bench/{name}.html"))
    }
}

fn decoded(html: &str) -> String {
    let entities =
        [("&#x2f;", "/"), ("&#x27;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&amp;", "&")];
    entities.iter().fold(html.to_string(), |text, (entity, letter)| text.replace(entity, letter))
}

/// Values of an attribute, in order.
fn attributes(html: &str, name: &str) -> Vec<String> {
    html.split(&format!(" {name}=\"")).skip(1).map(|rest| decoded(rest.split('"').next().unwrap())).collect()
}

fn says_how_it_was_made(html: &str, page: &str) {
    let fact = |name: &str| {
        let found =
            html.split_once(&format!("<dt>{name}</dt><dd>")).unwrap_or_else(|| panic!("{page} lacks {name}"));
        found.1.split("</dd>").next().unwrap().to_string()
    };
    assert_eq!(fact("Candor"), env!("CARGO_PKG_VERSION"));
    assert_eq!(fact("SHA-256").len(), 64);
    assert!(fact("Engine").starts_with("rten "), "{}", fact("Engine"));
    let date = fact("Date of the file");
    let form: String = date.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(form, "0000-00-00 00:00:00 UTC", "{date}");
    assert!(html.contains("<summary>All parameters</summary>"), "{page}");
}

/// Nothing is loaded, and every link is valid: into the page, to a file beside it, or to a document of the repository.
fn stands_alone(html: &str, folder: &Path) {
    assert!(attributes(html, "src").iter().all(|src| src.starts_with("data:image/")));
    // The photos under the maps are in the page.
    let outside = html.replace("url(data:image/jpeg;base64,", "");
    for foreign in ["<link", "@import", "url(", "srcset", "<iframe", "fetch(", "//cdn"] {
        assert!(!outside.contains(foreign), "{foreign}");
    }
    assert_eq!(html.matches("<img ").count(), attributes(html, "alt").len(), "a picture without a text");
    let ids = attributes(html, "id");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id twice: {ids:?}");
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut documents = 0;
    for link in attributes(html, "href") {
        if let Some(id) = link.strip_prefix('#') {
            assert!(ids.iter().any(|i| i == id), "{link}");
        } else if let Some(document) = link.strip_prefix(DOCUMENTS) {
            documents += 1;
            assert!(repository.join(document).is_file(), "{link}");
        } else {
            assert!(folder.join(&link).is_file(), "{link}");
        }
    }
    assert!(documents > 0, "no document is linked");
    let outside = decoded(html).replace(DOCUMENTS, "");
    assert!(!outside.contains("http:") && !outside.contains("https:"), "an address that is no document");
}

/// Every sortable table has headings that are buttons and show how it is sorted, and is in a container that allows its width.
fn tables_sort_and_fit(html: &str, page: &str) {
    let tables: Vec<&str> = html.split("<table class=\"sortable\">").skip(1).collect();
    assert_eq!(html.matches("<div class=\"sheet scroll ").count(), tables.len(), "{page}");
    for table in tables {
        let head = table.split("</thead>").next().unwrap();
        let columns = head.matches("<th scope=\"col\"").count();
        assert!(columns > 1, "{head}");
        assert_eq!(head.matches(" aria-sort=\"none\"").count(), columns, "{head}");
        assert_eq!(head.matches("<button type=\"button\">").count(), columns, "{head}");
        // If columns do not fit, each cell shows its column's name.
        let body = table.split("</tbody>").next().unwrap();
        assert_eq!(body.matches("<td").count(), body.matches(" data-label=\"").count(), "{page}");
    }
}

#[test]
fn a_check_has_a_card_for_each_method() {
    let room = Room::new(0);
    let methods = "reliable,gradient,edges,attention-rollout";
    let arguments = ["check", "my model.onnx", "a.png", "b & c.png", "--methods", methods, "--out", "out"];
    let settings = ["--set", "reliable.iterations=10", "--randomization", "--input-shift"];
    let html = room.page(&[&arguments[..], &settings].concat(), "out/check.html");
    let cards: Vec<&str> = html.split("<article class=\"result ").skip(1).collect();
    assert_eq!(cards.len(), 3, "a card for each method that is defined");
    for (card, (name, verdict)) in
        cards.iter().zip([("reliable", "passes"), ("gradient", "fails"), ("edges", "fails")])
    {
        let card = card.split("</article>").next().unwrap();
        assert!(card.contains(&format!(">{name}</h3>")) && card.contains(verdict), "{name} {verdict}");
        let reason = card.split_once("<p class=\"reason\">").unwrap().1.split("</p>").next().unwrap();
        assert!(
            reason.ends_with('.') && !reason.trim_end_matches('.').contains(". "),
            "one sentence: {reason}"
        );
        // The photo and five maps are visible; the other photo and the numbers are folded.
        let (at_once, folded) = card.split_once("<details>").unwrap();
        assert_eq!(at_once.matches("<img ").count(), 6, "{name}");
        assert_eq!(folded.matches("<img ").count(), 6, "{name}");
        assert!(folded.contains("1 more photo<") && folded.contains("<summary>Numbers</summary>"), "{name}");
    }
    assert!(html.contains("attention-rollout</b>:"), "what is not defined is named");
    for title in
        ["All methods in one table", "What the gradient knows", "With shifted values", "With random weights"]
    {
        assert!(html.contains(title), "{title}");
    }
}

#[test]
fn an_explanation_says_how_to_get_it_again_and_has_no_script() {
    let room = Room::new(0);
    for methods in [["--method", "grad-cam"], ["--methods", "grad-cam++,reliable"]] {
        let asked = [&["explain", "my model.onnx", "b & c.png"][..], &methods].concat();
        let html = room.page(&asked, "candor-out/report.html");
        assert!(!html.contains("<script"));
    }
}

#[test]
fn examples_of_localisation_have_the_true_boxes_the_found_ones_and_the_name_of_their_figure() {
    let room = Room::new(20);
    let methods = ["--methods", "grad-cam,random"];
    for (name, figure) in [("wsol", "inside "), ("dwsol", "t-f "), ("adversarial", "t-f ")] {
        let html = room.bench(name, &methods);
        let examples: Vec<&str> = html.split("<div class=\"example\">").skip(1).collect();
        assert!(examples.len() >= 6, "{name}: {}", examples.len());
        for example in &examples {
            let caption = example.split("</p>").next().unwrap();
            assert!(caption.contains(&format!("</b>: {figure}")), "{name}: {caption}");
            assert!(example.contains("<rect class=\"truth\""), "{name}: {caption}");
        }
        assert!(examples.iter().any(|e| e.contains("<rect class=\"found\"") && e.contains("IoU ")), "{name}");
        if name != "wsol" {
            chart_is_whole(&html, &["grad-cam", "random", "centre"]);
        }
    }
}

#[test]
fn pictures_of_several_have_boxes_and_curves_have_their_names_at_their_ends() {
    let room = Room::new(40);
    let methods = ["--methods", "grad-cam,random"];
    let grid = room.bench("grid", &[&["--grids", "4"][..], &methods].concat());
    assert!(grid.contains("<rect class=\"truth\"") && grid.contains("own-share "));
    let faithful = room.bench("faithfulness", &[&["--limit", "4", "--steps", "4"][..], &methods].concat());
    assert!(!faithful.contains("<rect class=\"truth\""), "nothing is known of boxes");
    chart_is_whole(&faithful, &["grad-cam", "random", "centre"]);
}

/// The first chart has a curve and a name for each method, ticks on both axes, and only colours of the style sheet.
fn chart_is_whole(html: &str, methods: &[&str]) {
    let chart = html.split_once("<figure class=\"chart\"").unwrap().1.split("</figure>").next().unwrap();
    assert_eq!(chart.matches("<polyline ").count(), methods.len());
    for method in methods {
        assert!(
            chart.contains(&format!("px\" title=\"{method}\">{method}</span></li>")),
            "{method}: {chart}"
        );
    }
    for axis in ["ticks-x", "ticks-y"] {
        let ticks =
            chart.split_once(&format!("<div class=\"{axis}\"")).unwrap().1.split("</div>").next().unwrap();
        assert!(ticks.matches("<span").count() >= 3, "{axis}: {ticks}");
    }
    assert!(!chart.contains("stroke=\""), "a colour beside the style sheet's");
}

#[test]
fn detection_has_charts_with_intervals_and_an_alarm_has_its_colour() {
    let room = Room::new(20);
    let corpus = [
        "--attacks",
        "fgsm+eps=8/255,pgd+eps=8/255+steps=5",
        "--iterations",
        "2",
        "--grid",
        "8",
        "--epochs",
        "3",
    ];
    let of =
        |what| [&["detect", what, "my model.onnx", "scenes", "--labels", "labels.txt"][..], &corpus].concat();
    let study = room.page(&[&of("eval")[..], &["--out", "study"]].concat(), "study/detect.html");
    let chart = study.split_once("<figure class=\"chart\"").unwrap().1.split("</figure>").next().unwrap();
    assert!(chart.contains("class=\"whisker\"") && chart.contains("class=\"reference\""), "{chart}");
    assert!(chart.contains(">fgsm 8<") && chart.contains("trained on all attacks"), "{chart}");
    for part in [
        "How to read this",
        "AUROC, attacks of other names",
        "Detected at 1 % false alarms",
        "False alarms of the mask",
    ] {
        assert!(study.contains(part), "{part}");
    }
    let table = study
        .split_once("<h2>AUROC, trained on all attacks</h2>")
        .unwrap()
        .1
        .split("</table>")
        .next()
        .unwrap();
    assert!(table.contains("<small>") && table.contains(" to\u{a0}"), "an AUROC has its interval: {table}");

    room.run(&[&of("train")[..], &["--out", "detector"]].concat());
    let arguments = ["detect", "score", "my model.onnx", "detector", "a.png", "b & c.png", "--out", "score"];
    let score = room.page(&arguments, "score/score.html");
    let result: serde_json::Value =
        serde_json::from_slice(&fs::read(room.path("score/score.json")).unwrap()).unwrap();
    let cards: Vec<&str> = score.split("<article class=\"result ").skip(1).collect();
    let images = result["images"].as_array().unwrap();
    assert_eq!(cards.len(), images.len());
    let mut images: Vec<_> = images.iter().collect();
    images.sort_by_key(|image| image["alarm"] != true);
    for (card, image) in cards.iter().zip(images) {
        let alarm = image["alarm"].as_bool().unwrap();
        assert!(card.starts_with(if alarm { "alarm\"" } else { "pass\"" }), "{image}");
        assert_eq!(card.contains("<span class=\"verdict alarm\">▲ alarm</span>"), alarm, "{image}");
    }
    assert!(score.contains(".verdict.alarm"), "the style sheet colours it");
}
