//! Every format of dataset, in small examples written here, and the shared data's own tables.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;

use candor::image::{Preprocessing, Preset};
use candor::labels::Labels;
use candor_eval::dataset::{ClassMap, Dataset, Format, open};
use image::RgbImage;

fn photo(path: &Path, width: u32, height: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, y as u8, 7])).save(path).unwrap();
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn preprocessing() -> Preprocessing {
    Preset::Raw.preprocessing(4, 4)
}

fn labels() -> Labels {
    Labels::new(["cat", "dog", "fish"].map(str::to_string).to_vec())
}

/// A sample's id, the boxes of each class, and the size of its photo.
type Listed = (String, Vec<Vec<[f64; 4]>>, (u32, u32));

/// Opens a dataset, and resolves its classes by labels.
fn listed(path: &Path, format: Option<Format>) -> Vec<Listed> {
    let mut dataset = open(path, format, None).unwrap();
    ClassMap::default().resolve(&mut dataset, &labels()).unwrap();
    let one = |s: &candor_eval::dataset::Sample| {
        let photo = s.photo(&preprocessing()).unwrap();
        ((0..3).map(|c| s.boxes(c, &photo)).collect(), photo.dimensions())
    };
    dataset.samples.iter().map(|s| (s.id.clone(), one(s).0, one(s).1)).collect()
}

/// A dog in the lower right quarter and a cat in the upper left one.
fn both(id: &str) -> Listed {
    (id.to_string(), vec![vec![[0.0, 0.0, 0.5, 0.5]], vec![[0.5, 0.5, 1.0, 1.0]], vec![]], (20, 10))
}

#[test]
fn a_table_holds_an_object_a_row() {
    let dir = tempfile::tempdir().unwrap();
    photo(&dir.path().join("a.png"), 20, 10);
    photo(&dir.path().join("images/b.png"), 20, 10);
    let table = dir.path().join("boxes.csv");
    write(
        &table,
        "file,class,x0,y0,x1,y1,width,height\n\
         a.png,cat,0,0,100,50,200,100\nb.png,cat,0,0,10,5,20,10\na.png,dog,100,50,200,100,200,100\nb.png,dog,10,5,20,10,20,10\n",
    );
    assert_eq!(listed(&table, None), [both("a.png"), both("b.png")]);
    write(&table, "file,class_index\na.png,2\n");
    let dataset = open(&table, None, None).unwrap();
    assert_eq!(dataset.samples[0].class(), Some(2));
    write(&table, "file,class,x0,y0,x1,y1\na.png,cat,0,0,ten,5\n");
    let error = open(&table, None, None).unwrap_err().to_string();
    assert!(error.contains("boxes.csv") && error.contains("line 2: 'ten' in column 'x1'"), "{error}");
    write(&table, "name,class\na.png,cat\n");
    assert!(open(&table, None, None).unwrap_err().to_string().contains("no column 'file'"));
}

#[test]
fn folders_are_classes() {
    let dir = tempfile::tempdir().unwrap();
    photo(&dir.path().join("fish/1.png"), 4, 4);
    photo(&dir.path().join("cat/2.jpg"), 4, 4);
    write(&dir.path().join("cat/notes.txt"), "not a photo");
    let dataset = open(dir.path(), None, None).unwrap();
    let ids: Vec<&str> = dataset.samples.iter().map(|s| s.id.as_str()).collect();
    assert_eq!(ids, ["cat/2.jpg", "fish/1.png"]);
    let empty = tempfile::tempdir().unwrap();
    assert!(open(empty.path(), None, None).unwrap_err().to_string().contains("a folder for each class"));
}

const XML: &str = "<annotation><filename>NAME</filename><size><width>20</width><height>10</height></size>\
    <object><name>cat</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>10</xmax><ymax>5</ymax></bndbox></object>\
    <object><name>dog</name><bndbox><xmin>11</xmin><ymin>6</ymin><xmax>20</xmax><ymax>10</ymax></bndbox></object></annotation>";

#[test]
fn voc_counts_from_one_and_imagenet_names_no_extension() {
    let dir = tempfile::tempdir().unwrap();
    photo(&dir.path().join("JPEGImages/a.png"), 20, 10);
    write(&dir.path().join("Annotations/a.xml"), &XML.replace("NAME", "a.png"));
    assert_eq!(listed(dir.path(), None), [both("a.png")]);
    let flat = tempfile::tempdir().unwrap();
    photo(&flat.path().join("val_1.png"), 20, 10);
    write(&flat.path().join("val_1.xml"), &XML.replace("NAME", "val_1"));
    assert_eq!(listed(flat.path(), None), [both("val_1")]);
    write(&flat.path().join("val_1.xml"), "<annotation><object><name>cat</name></object></annotation>");
    let error = open(flat.path(), None, None).unwrap_err().to_string();
    assert!(error.contains("val_1.xml") && error.contains("no bndbox"), "{error}");
}

#[test]
fn coco_has_corners_and_sides() {
    let dir = tempfile::tempdir().unwrap();
    photo(&dir.path().join("images/a.png"), 20, 10);
    let path = dir.path().join("instances.json");
    write(
        &path,
        r#"{"images": [{"id": 5, "file_name": "a.png", "width": 20, "height": 10}],
            "categories": [{"id": 1, "name": "dog"}, {"id": 9, "name": "cat"}],
            "annotations": [{"image_id": 5, "category_id": 9, "bbox": [0, 0, 10, 5]},
                            {"image_id": 5, "category_id": 1, "bbox": [10, 5, 10, 5]}]}"#,
    );
    assert_eq!(listed(&path, None), [both("a.png")]);
}

#[test]
fn cub_takes_the_test_photos() {
    let dir = tempfile::tempdir().unwrap();
    photo(&dir.path().join("images/x/a.png"), 20, 10);
    for (file, text) in [
        ("images.txt", "1 x/a.png\n2 x/b.png\n"),
        ("image_class_labels.txt", "1 2\n2 1\n"),
        ("classes.txt", "1 cat\n2 dog\n"),
        ("bounding_boxes.txt", "1 10.0 5.0 10.0 5.0\n2 0 0 1 1\n"),
        ("train_test_split.txt", "1 0\n2 1\n"),
    ] {
        write(&dir.path().join(file), text);
    }
    let (id, boxes, size) = both("x/a.png");
    assert_eq!(listed(dir.path(), None), [(id, vec![vec![], boxes[1].clone(), vec![]], size)]);
}

#[test]
fn wsolevaluation_has_a_line_a_box() {
    let dir = tempfile::tempdir().unwrap();
    photo(&dir.path().join("a.png"), 20, 10);
    for (file, text) in [
        ("image_ids.txt", "a.png\n"),
        ("class_labels.txt", "a.png,1\n"),
        ("image_sizes.txt", "a.png,200,100\n"),
        ("localization.txt", "a.png,0,0,100,50\na.png,100,50,200,100\n"),
    ] {
        write(&dir.path().join(file), text);
    }
    let want = vec![vec![], vec![[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]], vec![]];
    assert_eq!(listed(dir.path(), None), [("a.png".to_string(), want, (20, 10))]);
}

#[test]
fn cifar_is_planes_behind_a_label() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.bin");
    let mut bytes = vec![2u8];
    bytes.extend((0..3072).map(|i| (i / 1024 * 100 + i % 7) as u8));
    bytes.push(0);
    bytes.extend([9u8; 3072]);
    fs::write(&path, &bytes).unwrap();
    let dataset = open(&path, None, None).unwrap();
    assert_eq!(dataset.samples.iter().map(|s| s.class()).collect::<Vec<_>>(), [Some(2), Some(0)]);
    assert_eq!(dataset.samples[0].photo(&preprocessing()).unwrap().get_pixel(3, 0).0, [3, 105, 200]);
    fs::write(&path, &bytes[..100]).unwrap();
    assert!(open(&path, None, None).unwrap_err().to_string().contains("3073"));
}

#[test]
fn photos_are_taken_through_the_window_and_not_rounded() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("cat")).unwrap();
    let deep = image::ImageBuffer::from_fn(4, 4, |x, y| image::Luma([500 + (x + 4 * y) as u16]));
    deep.save(dir.path().join("cat/1.png")).unwrap();
    let dataset = open(dir.path(), None, None).unwrap();
    let windowed = Preprocessing { window: Some([507.5, 15.0]), ..preprocessing() };
    let photo = dataset.samples[0].photo(&windowed).unwrap();
    let input = windowed.apply(&photo);
    assert!((input[1] - 17.0).abs() < 1e-4 && (input[15] - 255.0).abs() < 1e-4, "{input:?}");
    let narrow = Preprocessing { window: Some([508.0, 160.0]), ..preprocessing() };
    let photo = dataset.samples[0].photo(&narrow).unwrap();
    assert!(narrow.apply(&photo).iter().any(|v| v.fract() != 0.0));
    let plain = preprocessing().apply(&dataset.samples[0].photo(&preprocessing()).unwrap());
    assert!(plain.iter().all(|v| v.fract() == 0.0), "{plain:?}");
}

#[test]
fn classes_are_mapped_by_file_or_by_label() {
    let dir = tempfile::tempdir().unwrap();
    photo(&dir.path().join("bird/1.png"), 4, 4);
    let resolved = |map: &ClassMap| -> Result<Dataset, String> {
        let mut dataset = open(dir.path(), None, None).unwrap();
        map.resolve(&mut dataset, &labels()).map(|()| dataset).map_err(|e| e.to_string())
    };
    let error = resolved(&ClassMap::default()).unwrap_err();
    assert!(error.contains("'bird'") && error.contains("--class-map"), "{error}");
    let file = dir.path().join("map.json");
    assert!(error.contains("{\"bird\": []} leaves it out"), "{error}");
    for (text, want) in [
        ("{\"bird\": [2, 0]}", vec![2, 0]),
        ("{\"bird\": 1}", vec![1]),
        ("bird,2 1\n", vec![2, 1]),
        ("{\"bird\": []}", vec![]),
        ("bird,\n", vec![]),
    ] {
        write(&file, text);
        let dataset = resolved(&ClassMap::load(&file).unwrap()).unwrap();
        assert_eq!(dataset.samples[0].objects[0].classes, want);
    }
    write(&file, "{\"bird\": \"no\"}");
    let error = ClassMap::load(&file).unwrap_err().to_string();
    assert!(error.contains("a list of numbers; [] leaves the class out"), "{error}");
    write(&file, "bird,7\n");
    let error = resolved(&ClassMap::load(&file).unwrap()).unwrap_err();
    assert!(error.contains("is the model's class 7, but the model has 0 to 2"), "{error}");
}

#[test]
#[ignore = "needs real models and photos: CANDOR_DATA"]
fn the_tables_of_the_shared_data_are_read() {
    let data = candor_testing::data_dir();
    let val = open(&data.join("imagenet/val_boxes.csv"), None, None).unwrap();
    assert_eq!(val.samples.len(), 800);
    let photo = val.samples[0].photo(&preprocessing()).unwrap();
    let found = val.samples[0].boxes(260, &photo);
    assert!((found[0][0] - 51.81 / 227.0).abs() < 1e-9, "{found:?}");
    let coco = open(&data.join("coco/boxes.csv"), None, None).unwrap();
    assert!(coco.samples.iter().all(|s| s.photo(&preprocessing()).is_ok()));
    assert_eq!(coco.samples[0].objects[0].classes, [659, 809]);
}
