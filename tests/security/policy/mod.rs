//! Who may do what: the policy file, what becomes of each of its cells, and the table that the README has of it.

mod matrix;
mod readme;

use toml_edit::{DocumentMut, Table};

/// The whole file.
#[derive(Debug)]
pub(crate) struct Policy {
    /// Requests and events that need no permission, as the other documents name them.
    unguarded: Vec<String>,
    /// The columns: key and title.
    actors: Vec<(String, String)>,
    actions: Vec<Action>,
}

/// One thing that somebody does, through either door or both.
#[derive(Debug)]
struct Action {
    what: String,
    /// A method and a path with places to fill.
    rest: Option<(String, String)>,
    body: Option<String>,
    uploads: bool,
    /// An event and its payload with places to fill.
    event: Option<(String, String)>,
    is_closed: bool,
    shows: Option<String>,
    /// For each actor what becomes of it.
    cells: Vec<Expected>,
}

/// What becomes of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    Yes,
    /// It is answered, and shows nothing.
    Hidden,
    /// It is refused with this code.
    Refused(String),
}

impl Policy {
    fn read() -> Self {
        let file: DocumentMut = include_str!("policy.toml").parse().unwrap();
        let tables = |name: &str| file[name].as_array_of_tables().unwrap().iter();
        let unguarded = file["unguarded"].as_array().unwrap().iter();
        let actors: Vec<(String, String)> = tables("actor")
            .map(|actor| (text(actor, "key").unwrap(), text(actor, "title").unwrap()))
            .collect();
        let actions = tables("action").map(|action| Action::read(action, &actors)).collect();
        Self { unguarded: unguarded.map(|name| name.as_str().unwrap().to_owned()).collect(), actors, actions }
    }
}

impl Action {
    #[track_caller]
    fn read(table: &Table, actors: &[(String, String)]) -> Self {
        const FIELDS: [&str; 8] = ["what", "rest", "body", "upload", "event", "payload", "given", "shows"];
        let what = text(table, "what").unwrap();
        for (name, _) in table {
            let known = FIELDS.contains(&name) || actors.iter().any(|(key, _)| key == name);
            assert!(known, "{what}: nobody knows what {name} is");
        }
        let cell =
            |key: &str| match text(table, key).unwrap_or_else(|| panic!("{what}: {key} is missing")).as_str()
            {
                "yes" => Expected::Yes,
                "hidden" => Expected::Hidden,
                code => Expected::Refused(code.to_owned()),
            };
        let rest = text(table, "rest").map(|rest| {
            let (method, path) = rest.split_once(' ').unwrap();
            (method.to_owned(), path.to_owned())
        });
        let event = text(table, "event").map(|event| (event, text(table, "payload").unwrap()));
        assert!(rest.is_some() || event.is_some(), "{what}: there is no way to do it");
        Self {
            rest,
            body: text(table, "body"),
            uploads: table.contains_key("upload"),
            event,
            is_closed: text(table, "given").is_some_and(|given| given == "closed"),
            shows: text(table, "shows"),
            cells: actors.iter().map(|(key, _)| cell(key)).collect(),
            what,
        }
    }
}

impl Expected {
    /// The HTTP status of a refusal.
    fn status(&self) -> Option<u16> {
        let Self::Refused(code) = self else { return None };
        Some(match code.as_str() {
            "validation_failed" => 400,
            "unauthenticated" => 401,
            "forbidden" => 403,
            "not_found" => 404,
            "conversation_closed" | "conflict" => 409,
            other => panic!("no cell is {other}"),
        })
    }
}

fn text(table: &Table, name: &str) -> Option<String> {
    table.get(name).map(|value| value.as_str().unwrap_or_else(|| panic!("{name} is no text")).to_owned())
}
