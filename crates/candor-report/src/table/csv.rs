//! CSV (RFC 4180), for other programs: numbers with all digits, each value of a cell in its own column.

use super::{Cell, Mark, Number, Table};

/// Tables one below the other. A column of numbers is followed by columns for the ends of the interval (`NAME low`, `NAME high`), the
/// 95th percentile (`NAME p95`) and the marks (`NAME best`, `NAME too few`), if any of its cells has them. The first column is the
/// table's title. Tables with equal columns share one header; others follow after an empty line.
pub fn csv(tables: &[Table]) -> String {
    let (mut text, mut before) = (String::new(), None);
    for table in tables {
        let further: Vec<Vec<Further>> = (0..table.columns.len()).map(|c| further(table, c)).collect();
        let head = head(table, &further);
        if before.as_ref() != Some(&head) {
            text += if before.is_some() { "\n" } else { "" };
            text += &line(&head);
            before = Some(head);
        }
        for row in &table.rows {
            let cells = row.iter().zip(&further).flat_map(|(cell, further)| {
                std::iter::once(value(cell)).chain(further.iter().map(|f| f.of(cell)))
            });
            text += &line(&std::iter::once(table.title.clone()).chain(cells).collect::<Vec<_>>());
        }
    }
    text
}

/// Additional values of a number.
#[derive(Clone, Copy)]
struct Further {
    name: &'static str,
    read: fn(&Number) -> Option<String>,
}

const FURTHER: [Further; 5] = [
    Further { name: "low", read: |n| n.interval.map(|i| i[0].to_string()) },
    Further { name: "high", read: |n| n.interval.map(|i| i[1].to_string()) },
    Further { name: "p95", read: |n| n.p95.map(|p| p.to_string()) },
    Further { name: "best", read: |n| (n.mark == Mark::Best).then(|| "true".to_string()) },
    Further { name: "too few", read: |n| (n.mark == Mark::Few).then(|| "true".to_string()) },
];

impl Further {
    fn of(self, cell: &Cell) -> String {
        match cell {
            Cell::Number(n) => (self.read)(n).unwrap_or_default(),
            _ => String::new(),
        }
    }
}

/// The additional values that occur in a column.
fn further(table: &Table, column: usize) -> Vec<Further> {
    let has = |f: &Further| table.rows.iter().any(|row| !f.of(&row[column]).is_empty());
    FURTHER.into_iter().filter(has).collect()
}

fn head(table: &Table, further: &[Vec<Further>]) -> Vec<String> {
    let mut head = vec!["table".to_string()];
    for (column, further) in table.columns.iter().zip(further) {
        head.push(column.name.clone());
        head.extend(further.iter().map(|f| format!("{} {}", column.name, f.name)));
    }
    head
}

fn value(cell: &Cell) -> String {
    match cell {
        Cell::Missing => String::new(),
        Cell::Text(text) | Cell::Code(text) => text.clone(),
        Cell::Number(n) => n.value.to_string(),
    }
}

fn line(fields: &[String]) -> String {
    let quoted = |f: &String| {
        let special = f.contains([',', '"', '\n', '\r']);
        if special { format!("\"{}\"", f.replace('"', "\"\"")) } else { f.clone() }
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::csv;

    #[test]
    fn every_figure_has_a_column_and_equal_tables_share_a_head() {
        let head =
            "table,method,hits,hits low,hits high,hits best,ratio,ratio low,ratio high,ratio p95,setting\n";
        let rows =
            "All,lrp,0.5741,0.5,0.6,true,0,0,1,46.12,\"a, \"\"b\"\" | <c>\"\nAll,κατά,0.125,,,,,,,,x=1\n";
        let shorter = example().without("ratio").without("setting");
        let shorter_text = "table,method,hits,hits low,hits high,hits best\nAll,lrp,0.5741,0.5,0.6,true\nAll,κατά,0.125,,,\n";
        assert_eq!(csv(&[example(), example(), shorter]), format!("{head}{rows}{rows}\n{shorter_text}"));
        assert_eq!(csv(&[]), "");
    }
}
