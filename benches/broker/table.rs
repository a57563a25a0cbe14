//! A case for the eye: medians, how they compare with each bare queue, and the target.

use crate::harness::{Figure, Role, Row};

pub(crate) fn print(title: &str, target: Option<f64>, rows: &[Row]) {
    println!("\n{title}  [ns an item: median (minimum)]");
    let bases: Vec<(&str, f64)> = rows
        .iter()
        .filter(|row| row.role == Role::Peer)
        .filter_map(|row| Some((row.contender, value(row)?)))
        .collect();
    for row in rows {
        let figures = match &row.outcome {
            Ok(Figure::Time { median, min, .. }) => format!("{median:.1} ({min:.1})"),
            Ok(Figure::Bytes(bytes)) => format!("{bytes} bytes"),
            Err(_) => "failed".to_owned(),
        };
        let mut line = format!("  {:<36}{figures:>18}", row.contender);
        if let (true, Some(value)) = (row.role != Role::Peer, value(row)) {
            for (name, base) in &bases {
                line.push_str(&format!("   {:.2} x {name}", value / base));
            }
        }
        if let (Role::Ours, Some(target)) = (row.role, target) {
            line.push_str(&format!("   (target: {target} x at the most)"));
        }
        println!("{line}");
    }
}

fn value(row: &Row) -> Option<f64> {
    row.outcome.as_ref().ok().map(|figure| figure.value())
}
