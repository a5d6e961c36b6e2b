//! The files of a report, from an invented run.

#![allow(clippy::unwrap_used)]

mod report_fixture;

use std::collections::BTreeMap;
use std::path::Path;

use candor::explanation::{Kept, Verdict};
use candor_report::result::{ExplainResult, ExplainedImage};
use candor_report::{ReportError, ReportWriter, json};
use report_fixture::{Answer, explained, header, images, photo};

fn write(directory: &Path, images: Vec<ExplainedImage>, header: ExplainResult) -> ExplainResult {
    let mut writer = ReportWriter::create(directory).unwrap();
    for image in images {
        writer.add(image).unwrap();
    }
    writer.finish(header).unwrap()
}

/// Every file below a directory with its bytes, by its path with `/`; without Candor's own files.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name == candor_report::folder::STATE {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            found.insert(name, std::fs::read(&path).unwrap());
        }
    }
    found
}

fn page(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("report.html")).unwrap()
}

/// Values of an attribute, in order.
fn attributes<'a>(html: &'a str, name: &str) -> Vec<&'a str> {
    html.split(&format!(" {name}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn every_file_is_where_the_json_says_and_nothing_else_is() {
    let directory = tempfile::tempdir().unwrap();
    let result = write(directory.path(), images(), header());
    let found = files(directory.path());
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "ball-on-a-meadow-2/207_golden-retriever.map.png",
            "ball-on-a-meadow-2/207_golden-retriever.npz",
            "ball-on-a-meadow-2/207_golden-retriever.overlay.png",
            "ball-on-a-meadow/0_tench-tinca-tinca.map.png",
            "ball-on-a-meadow/0_tench-tinca-tinca.npz",
            "ball-on-a-meadow/0_tench-tinca-tinca.overlay.png",
            "ball-on-a-meadow/722_ping-pong-ball.map.png",
            "ball-on-a-meadow/722_ping-pong-ball.npz",
            "ball-on-a-meadow/722_ping-pong-ball.overlay.png",
            "ball-on-a-meadow/852_tennis-ball.map.png",
            "ball-on-a-meadow/852_tennis-ball.npz",
            "ball-on-a-meadow/852_tennis-ball.overlay.png",
            "ball-on-a-meadow/981_ballplayer-baseball-player.map.png",
            "ball-on-a-meadow/981_ballplayer-baseball-player.npz",
            "ball-on-a-meadow/981_ballplayer-baseball-player.overlay.png",
            "explain.json",
            "orange/950_orange.map.png",
            "orange/950_orange.npz",
            "orange/950_orange.overlay.png",
            "orange/957_pomegranate-punica-granatum-of-the-long-name.map.png",
            "orange/957_pomegranate-punica-granatum-of-the-long-name.npz",
            "orange/957_pomegranate-punica-granatum-of-the-long-name.overlay.png",
            "report.html",
        ]
    );
    assert_eq!(found["explain.json"], json::to_string(&result).unwrap().into_bytes());
    let page = page(directory.path()).replace("&#x2f;", "/");
    let links = attributes(&page, "href");
    for query in result.images.iter().flat_map(|image| &image.queries) {
        for file in [&query.map.overlay, &query.map.png, &query.map.npz] {
            let file = file.as_ref().unwrap();
            assert!(found.contains_key(file) && links.contains(&file.as_str()), "{file}");
        }
    }
}

#[test]
fn the_maps_of_an_image_share_one_scale_and_an_absent_class_has_no_colour() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), images(), header());
    let open =
        |name: &str| image::open(directory.path().join("ball-on-a-meadow").join(name)).unwrap().to_rgb8();
    let brightest =
        |name: &str| open(name).pixels().map(|p| p.0.map(u32::from).iter().sum::<u32>()).max().unwrap();
    let [top, second, absent] =
        ["852_tennis-ball", "722_ping-pong-ball", "0_tench-tinca-tinca"].map(|name| {
            let map = format!("{name}.map.png");
            brightest(&map)
        });
    assert!(top > 550 && second < 350 && absent < 10, "{top} {second} {absent}");
    assert!(open("0_tench-tinca-tinca.overlay.png").pixels().all(|p| p[0] == p[1] && p[1] == p[2]));
    assert!(open("852_tennis-ball.overlay.png").pixels().any(|p| p[0] > p[2].saturating_add(80)));

    let page = page(directory.path());
    assert!(page.contains(
        "share one scale: 0 to 0.860 in raw units, the maximum for “tennis ball”, the model’s answer."
    ));
    assert!(page.contains("share one scale: 0 to 0.640 in raw units"));
    assert!(page.contains("Values beyond it (up to 0.700) have the last colour."));
    assert!(
        page.contains("0 to 1.00 in raw units, a mask’s full range"),
        "an image whose answer was not asked for"
    );
    assert!(page.contains("alt=\"The photo in grey without any colour: the map for tench is empty.\""));
    let comment = "852_tennis-ball.overlay.png";
    let bytes = std::fs::read(directory.path().join("ball-on-a-meadow").join(comment)).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("share one scale: 0 to 0.860 in raw units"));
}

#[test]
fn an_answer_without_evidence_sets_no_scale() {
    let directory = tempfile::tempdir().unwrap();
    let mut image = images().swap_remove(0);
    image.queries[0].map.data.iter_mut().for_each(|v| *v *= 1e-4);
    image.result.queries[0].verdict = Verdict::NoEvidence;
    write(directory.path(), vec![image], header());
    assert!(page(directory.path()).contains("share one scale: 0 to 1.00 in raw units, a mask’s full range"));
}

#[test]
fn the_page_stands_alone() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), images(), header());
    let page = page(directory.path());
    // Nothing is loaded; only documents are linked.
    let outside = page.replace(
        "<a href=\"https:&#x2f;&#x2f;github.com&#x2f;candor-xai&#x2f;candor&#x2f;blob&#x2f;main&#x2f;book&#x2f;src",
        "",
    );
    assert_ne!(outside, page, "no document is linked");
    // The photos under the maps are in the page.
    let outside = outside.replace("url(data:image/jpeg;base64,", "");
    for foreign in ["http:", "https:", "//cdn", "<script", "<link", "@import", "url(", "srcset", "<iframe"] {
        assert!(!outside.contains(foreign), "{foreign}");
    }
    assert!(attributes(&page, "src").iter().all(|src| src.starts_with("data:image/")));
    assert_eq!(page.matches("<img ").count(), attributes(&page, "alt").len(), "a picture without a text");
    let ids = attributes(&page, "id");
    for link in attributes(&page, "href").iter().filter_map(|href| href.strip_prefix('#')) {
        assert!(ids.contains(&link), "#{link}");
    }
    for needed in
        ["mobilenetv2.onnx", "8f1e7c0a4bd53b7e", "photos&#x2f;broken.jpg", "not verified against the paper"]
    {
        let needed = needed.replace("not verified", "no number here is verified");
        assert!(page.contains(&needed), "{needed}");
    }
}

#[test]
fn maps_of_several_methods_have_scales_and_files_of_their_own() {
    let directory = tempfile::tempdir().unwrap();
    let mut other = images().swap_remove(0);
    other.queries.iter_mut().flat_map(|q| &mut q.map.data).for_each(|v| *v *= 100.0);
    let methods = [("reliable", images().swap_remove(0)), ("cam++", other)].map(|(n, i)| (n.to_string(), i));
    let image = ExplainedImage::of_methods(methods.into()).unwrap();
    let mut header = header();
    header.methods = vec![header.method.clone(); 2];
    let result = write(directory.path(), vec![image], header);
    let queries = &result.images[0].queries;
    let named: Vec<_> = queries.iter().map(|q| (q.rank, q.method.as_deref().unwrap())).collect();
    assert_eq!(named[..4], [(1, "reliable"), (1, "cam++"), (2, "reliable"), (2, "cam++")]);
    let file = |i: usize| queries[i].map.npz.as_deref().unwrap();
    assert_eq!(file(0), "ball-on-a-meadow/852_tennis-ball.reliable.npz");
    assert_eq!(file(1), "ball-on-a-meadow/852_tennis-ball.cam++.npz");
    let page = page(directory.path());
    for sentence in [
        "All maps of this image by reliable share one scale: 0 to 0.860 in raw units",
        "All maps of this image by cam++ share one scale: 0 to 86.0 in raw units",
        "each to 2 methods",
    ] {
        assert!(page.contains(sentence), "{sentence}");
    }
    // The first method's pictures are the same as in a run with it alone.
    let open = |file: String| std::fs::read(directory.path().join(file)).unwrap();
    let [together, other] = [file(0), file(1)].map(|f| open(f.replace(".npz", ".map.png")));
    let pixels = |bytes: &[u8]| image::load_from_memory(bytes).unwrap().to_rgb8();
    assert_eq!(pixels(&together), pixels(&other), "a scale of its own");
}

#[test]
fn the_page_says_how_to_get_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let model = directory.path().join("model.onnx");
    std::fs::write(&model, "").unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_941_933);
    std::fs::File::options().write(true).open(&model).unwrap().set_modified(time).unwrap();
    let mut header = header();
    header.model.path = model.display().to_string();
    let mut writer = ReportWriter::create(directory.path()).unwrap();
    writer.set_command("candor explain 'my model.onnx' <dog>.jpg".to_string());
    writer.finish(header.clone()).unwrap();
    let page = page(directory.path());
    for part in [
        "<code>candor explain &#x27;my model.onnx&#x27; &lt;dog&gt;.jpg</code>",
        "<dt>Date of the file</dt><dd>2026-11-29 08:45:33 UTC</dd>",
        &format!("<dt>Candor</dt><dd>{}</dd>", env!("CARGO_PKG_VERSION")),
        &format!("<dt>Engine</dt><dd>{} {}</dd>", header.engine.name, header.engine.version),
        "All parameters",
    ] {
        assert!(page.contains(part), "no {part}");
    }
}

#[test]
fn names_cannot_break_the_page() {
    let directory = tempfile::tempdir().unwrap();
    let class = (3, "<b>\"x\"&'y', <!-- images --><script>alert(1)</script>");
    let answers = [Answer { class, rank: 1, bump: Some((0.5, [0.5; 2], 0.3)) }];
    let path = "a \"quoted\" <img src=x onerror=alert(1)> & 'path'.jpg";
    let mut header = header();
    header.model.path = "<script>.onnx".into();
    header.failed[0].error = "<script>".into();
    let result =
        write(directory.path(), vec![explained(path, photo(64, 64, 0.1, [0.5; 2], 0.3), &answers)], header);
    let page = page(directory.path());
    for raw in ["<script", "<b>\"x\"", "<img src=x", "onerror=alert(1)>"] {
        assert!(!page.contains(raw), "{raw}");
    }
    assert!(page.contains("&lt;b&gt;&quot;x&quot;&amp;"));
    assert_eq!(page.matches("<section class=\"image\"").count(), 1);
    let overlay = result.images[0].queries[0].map.overlay.as_deref().unwrap();
    assert_eq!(
        overlay,
        "a-quoted-img-src-x-onerror-alert-1-path/3_b-x-y-images-script-alert-1-script.overlay.png"
    );
}

#[test]
fn equal_runs_give_equal_bytes_but_for_the_seconds() {
    let [first, second] = [2.31, 9.87].map(|seconds| {
        let directory = tempfile::tempdir().unwrap();
        let mut images = images();
        images.iter_mut().flat_map(|i| &mut i.result.queries).for_each(|query| query.cost.seconds = seconds);
        write(directory.path(), images, header());
        files(directory.path())
    });
    assert!(first.keys().eq(second.keys()));
    for (name, bytes) in &first {
        if ["explain.json", "report.html"].contains(&name.as_str()) {
            let [a, b] = [bytes, &second[name]].map(|bytes| String::from_utf8(bytes.clone()).unwrap());
            assert_ne!(a, b);
            assert_eq!(a.replace("2.31", "9.87"), b, "{name}");
        } else {
            assert_eq!(bytes, &second[name], "{name}");
        }
    }
}

#[test]
fn an_unwritable_directory_is_one_clear_error_before_any_work() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = ReportWriter::create(&path).unwrap_err();
        assert!(matches!(error, ReportError::Directory { .. }));
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("cannot write to the output directory {}: ", path.display())),
            "{text}"
        );
        assert!(!text.contains('\n'));
    }
}

#[test]
fn a_bad_image_writes_nothing_and_the_next_one_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = ReportWriter::create(directory.path()).unwrap();
    let [mut bad, mut short, good] = [0, 1, 2].map(|i| images().swap_remove(i));
    bad.queries[1].map.data[7] = f32::NAN;
    let error = writer.add(bad).unwrap_err().to_string();
    assert_eq!(error, "photos/ball on a meadow.jpg: the map for ping-pong ball holds NaN or infinity");
    short.queries[0].levels[1].data.pop();
    let error = writer.add(short).unwrap_err().to_string();
    assert!(
        error.ends_with("the mask at features.6.relu for orange has a size other than its shape, or none")
    );
    assert_eq!(files(directory.path()).len(), 0);

    writer.add(good).unwrap();
    let result = writer.finish(header()).unwrap();
    assert_eq!(result.images.len(), 1);
    assert_eq!(files(directory.path()).len(), 5);
}

#[test]
fn a_run_without_images_still_has_a_page() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), Vec::new(), header());
    assert!(page(directory.path()).contains("No image could be explained."));
}

#[test]
fn methods_without_masks_and_with_signs_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let mut image = images().swap_remove(1);
    for (result, arrays) in image.result.queries.iter_mut().zip(&mut image.queries) {
        arrays.map.data.iter_mut().enumerate().for_each(|(i, v)| *v *= if i % 224 < 80 { -1.0 } else { 1.0 });
        arrays.levels.clear();
        result.levels.clear();
        (result.kept, result.null_log_odds, result.verdict) = (None, None, Verdict::NotJudged);
        result.map = candor_report::result::MapInfo::of(&arrays.map);
    }
    write(directory.path(), vec![image], header());
    let page = page(directory.path());
    assert!(!page.contains("Evidence per class"));
    assert!(page.contains("<b>Not judged.</b> The method has no null") && !page.contains("evidence for <b>"));
    assert!(page.contains("Orange speaks for the class, purple against it."));
    assert!(page.contains("share one scale: −0.6"));
}

#[test]
fn what_is_not_judged_gets_no_tick_and_a_lost_class_no_share() {
    let directory = tempfile::tempdir().unwrap();
    let mut image = images().swap_remove(0);
    image.result.queries.truncate(2);
    image.queries.truncate(2);
    // Very little evidence in the photo, and a mask that ended far below the null.
    let lost = &mut image.result.queries[1];
    (lost.log_odds, lost.null_log_odds, lost.verdict) = (-6.84, Some(-6.9), Verdict::NotJudged);
    lost.evidence = Some(0.06);
    lost.kept = lost.kept.map(|kept| Kept { log_odds: -10.39, ..kept });
    write(directory.path(), vec![image], header());
    let page = page(directory.path());
    assert!(page.contains("evidence for <b>1</b> and none for <b>0</b>; <b>1</b> not judged"), "the lead");
    assert!(page.contains("The mask lost the class"));
    assert!(page.contains("<td class=\"n\">0.0600</td><td class=\"n\">none</td>"));
    assert_eq!(page.matches("class=\"verdict yes\"").count(), page.matches("class=\"verdict open\"").count());
}

#[test]
fn the_photo_is_shown_as_the_model_sees_it_and_what_was_done_is_said() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), images(), header());
    let page = page(directory.path());
    assert!(page.contains("width=\"224\" height=\"224\" alt=\"orange.png, as the model sees it\""));
    assert_eq!(
        page.matches("squashed from 640 × 420 to 224 × 224 pixels, which changes its aspect").count(),
        1
    );
}

#[test]
fn fifty_photos_stay_below_fifteen_megabytes() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = ReportWriter::create(directory.path()).unwrap();
    for i in 0..5 {
        let mut image = images().swap_remove(0);
        // Noise in every pixel is the worst case for JPEG; photos take about half.
        image.photo = photo(640, 640, i as f32 / 5.0, [0.5; 2], 0.3);
        writer.add(image).unwrap();
    }
    writer.finish(header()).unwrap();
    let size = std::fs::metadata(directory.path().join("report.html")).unwrap().len();
    assert!(size < 1_500_000, "{size} bytes for five photos");
}

/// For manual inspection: `cargo test -p candor-report --test report write_sample -- --ignored --nocapture`, then open the page it names.
#[test]
#[ignore = "writes a sample report to look at"]
fn write_sample() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sample-report");
    write(&directory, images(), header());
    println!("{}", directory.join("report.html").display());
}
