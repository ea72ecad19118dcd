//! Compares a table with a stored one.

/// Fails if a row was added or removed, or if a value differs: a number by more than `tolerance`,
/// as a share of the stored one. `rows` have a name for the message, and the values of the
/// `columns`.
pub(crate) fn check(path: &str, columns: &[&str], rows: &[(String, Vec<String>)], tolerance: f64) {
    let before: Vec<_> = csv::Reader::from_path(path)
        .expect("the snapshot")
        .into_records()
        .map(|record| record.expect("well-formed"))
        .collect();
    assert_eq!(before.len(), rows.len(), "rows were added or removed");
    for (before, (name, now)) in before.iter().zip(rows) {
        for ((column, before), now) in columns.iter().zip(before).zip(now) {
            let same = match (before.parse::<f64>(), now.parse::<f64>()) {
                (Ok(before), Ok(now)) => (now - before).abs() <= tolerance * before,
                _ => before == now,
            };
            assert!(same, "{name}: {column} was {before}, is {now}");
        }
    }
}
