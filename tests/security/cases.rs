//! The table of the cases, held together with the list of them and with the sources.

use std::collections::BTreeMap;
use std::path::Path;

/// Every case of the catalogue, by its class. Numbers that are not here were given up when the catalogue was made.
const CASES: [(char, &[u8]); 12] = [
    ('A', &[1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 20]),
    ('T', &[1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14]),
    ('S', &[1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14]),
    ('O', &[0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25, 27, 28, 29]),
    ('M', &[1, 2, 3, 4]),
    ('I', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 17]),
    ('K', &[1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 19]),
    ('X', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13]),
    ('W', &[1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13, 14]),
    ('F', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 20, 21]),
    ('D', &[1, 2, 3, 4, 5, 6, 7, 8]),
    ('L', &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
];

/// What a row says instead of a test while there is nothing to test yet.
const NOT_YET: [&str; 2] = ["(pages of the chat)", "(pages of a website)"];

/// The rows of the table: case and tests.
fn rows() -> Vec<(&'static str, &'static str)> {
    let lines = include_str!("CASES.md").lines().filter(|line| line.starts_with("| ")).skip(1);
    let cells = |line: &'static str| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{line}");
        (cells[0], cells[2])
    };
    lines.map(cells).collect()
}

#[test]
fn every_case_is_in_the_table_once_and_no_other() {
    let expected: Vec<String> = CASES
        .iter()
        .flat_map(|(class, numbers)| numbers.iter().map(move |n| format!("{class}{n:02}")))
        .collect();
    let found: Vec<&str> = rows().into_iter().map(|(case, _)| case).collect();
    assert_eq!(found, expected);
}

#[test]
fn each_test_of_the_table_is_in_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut sources: BTreeMap<&str, String> = BTreeMap::new();
    for (case, tests) in rows() {
        let named: Vec<&str> =
            tests.split('`').skip(1).step_by(2).filter(|name| name.contains("::")).collect();
        let excused = NOT_YET.iter().any(|reason| tests.starts_with(reason));
        assert!(excused || !named.is_empty(), "{case} has no test");
        for name in named {
            let (file, function) = name.rsplit_once("::").unwrap();
            let text = sources.entry(file).or_insert_with(|| {
                std::fs::read_to_string(root.join(file))
                    .unwrap_or_else(|error| panic!("{case}: {file}: {error}"))
            });
            let at =
                text.find(&format!("fn {function}(")).unwrap_or_else(|| panic!("{case}: there is no {name}"));
            let before = &text[text.floor_char_boundary(at.saturating_sub(120))..at];
            assert!(
                before.contains("#[test]") || before.contains("#[tokio::test"),
                "{case}: {name} is no test"
            );
        }
    }
}
