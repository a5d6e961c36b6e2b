//! Data of figures that are counted from, or are differences of, the rows of another file.

use std::collections::BTreeMap;

use crate::pages::book;

type Row = BTreeMap<String, String>;

/// The rows of a file in the folder of the data, by the names of their columns.
fn rows(file: &str) -> Vec<Row> {
    let mut reader = csv::Reader::from_path(book().join("data").join(file)).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

fn number(row: &Row, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|e| panic!("{column}, {}: {e}", row[column]))
}

/// Rows of counts that are wrong: those named `to 1e-5` count the values above 1e-6 and up to 1e-5.
pub fn wrong_counts() -> Vec<String> {
    let counted = [
        ("models-by-error.csv", "Candor's gradient", "models.csv", "gradient"),
        ("models-by-error.csv", "PyTorch's own gradient in float32", "models.csv", "PyTorch f32"),
        (
            "sweep-by-difference.csv",
            "Largest difference of the five highest scores",
            "sweep.csv",
            "largest difference",
        ),
    ];
    let mut wrong = vec![];
    for (file, title, source, column) in counted {
        let values: Vec<f64> = rows(source).iter().map(|row| number(row, column)).collect();
        let mut all = 0.0;
        for row in rows(file).iter().filter(|row| row["table"] == title) {
            let power = row.values().find_map(|name| name.strip_prefix("to 1e")).unwrap();
            let bound = |power: i32| format!("1e{power}").parse::<f64>().unwrap();
            let power: i32 = power.parse().unwrap();
            let among = |v: f64| bound(power - 1) < v && v <= bound(power);
            let count = values.iter().filter(|v| among(**v)).count() as f64;
            all += count;
            if number(row, "files") != count {
                wrong.push(format!("{file}, {title}, to 1e{power}: {count}"));
            }
        }
        if all != values.len() as f64 {
            wrong.push(format!("{file}, {title}: {all} of {}", values.len()));
        }
    }
    wrong
}

/// Attacks whose largest difference of success over the models is not that of all rows.
pub fn wrong_differences() -> Vec<String> {
    let all = rows("attacks.csv");
    let difference = |row: &Row| (number(row, "success") - number(row, "success of the reference")).abs();
    let largest = |attack: &str| {
        let is_part = |row: &&Row| {
            let name = row["attack"].split_once(" (").unwrap().0;
            attack.split(", ").any(|a| a.to_lowercase().replace("c&w", "cw") == name)
        };
        all.iter().filter(is_part).map(difference).fold(f64::NAN, f64::max)
    };
    let stated = rows("attacks-difference.csv");
    let is_right =
        |row: &&Row| (number(row, "largest difference of success") - largest(&row["attack"])).abs() < 1e-9;
    stated.iter().filter(|row| !is_right(row)).map(|row| row["attack"].clone()).collect()
}
