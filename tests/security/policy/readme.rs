//! The table of the README.

use std::fmt::Write;
use std::path::Path;

use super::{Expected, Policy};

/// Set, this writes the table instead of comparing it.
const REWRITE: &str = "PRIYO_WRITE_README";

const BEGIN: &str = "<!-- made from tests/security/policy/policy.toml -->\n";
const END: &str = "<!-- until here -->\n";

impl Policy {
    /// The policy for people.
    fn table(&self) -> String {
        let titles: Vec<&str> = self.actors.iter().map(|(_, title)| &**title).collect();
        let mut table = format!("| | {} |\n|---|{}\n", titles.join(" | "), "---|".repeat(titles.len()));
        for action in &self.actions {
            let cell = |cell: &Expected| match cell.status() {
                Some(status) => status.to_string(),
                None if *cell == Expected::Hidden => "not shown".to_owned(),
                None => "yes".to_owned(),
            };
            let cells: Vec<String> = action.cells.iter().map(cell).collect();
            writeln!(table, "| {} | {} |", action.what, cells.join(" | ")).unwrap();
        }
        table
    }
}

#[test]
fn the_table_in_the_readme_is_the_policy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let begin = readme.find(BEGIN).expect("the README has a place for it") + BEGIN.len();
    let end = begin + readme[begin..].find(END).expect("the place has an end");
    let table = Policy::read().table();
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&path, [&readme[..begin], &table, &readme[end..]].concat()).unwrap();
        return;
    }
    assert_eq!(&readme[begin..end], table, "run this test once more with {REWRITE}=1");
}
