//! What people do.

use proptest::prelude::*;

use crate::history::Door;

/// Two customers, two agents and an administrator.
pub(super) const PEOPLE: usize = 5;
/// Conversations at most.
pub(super) const CONVERSATIONS: usize = 4;

/// One thing that one does. People are given by their places; conversations, messages and files by theirs, modulo how
/// many there are.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Create {
        by: usize,
        direct: bool,
        with: Vec<usize>,
    },
    Send {
        by: usize,
        at: usize,
        door: Door,
        name: Option<u8>,
        text: u8,
    },
    SendFile {
        by: usize,
        at: usize,
        door: Door,
        name: Option<u8>,
        file: usize,
    },
    Read {
        by: usize,
        door: Door,
        messages: Vec<usize>,
    },
    Join {
        by: usize,
        at: usize,
    },
    LeaveRoom {
        by: usize,
        at: usize,
    },
    Leave {
        by: usize,
        at: usize,
    },
    Add {
        by: usize,
        at: usize,
        whom: usize,
    },
    Remove {
        by: usize,
        at: usize,
        whom: usize,
    },
    Close {
        by: usize,
        at: usize,
    },
    Reopen {
        by: usize,
        at: usize,
    },
    Upload {
        by: usize,
    },
    Fetch {
        by: usize,
        file: usize,
    },
    Refresh {
        by: usize,
    },
    Reconnect {
        by: usize,
    },
    /// Looks at everything again, and compares.
    Look {
        by: usize,
    },
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = || 0..PEOPLE;
    let at = || 0..CONVERSATIONS;
    let door = || prop_oneof![Just(Door::Rest), Just(Door::Socket)];
    let place = || 0..1_000_usize;
    let name = || prop::option::of(0..3_u8);
    let steps = prop_oneof![
        2 => (who(), any::<bool>(), prop::collection::vec(who(), 1..4))
            .prop_map(|(by, direct, with)| Step::Create { by, direct, with }),
        10 => (who(), at(), door(), name(), 0..3_u8)
            .prop_map(|(by, at, door, name, text)| Step::Send { by, at, door, name, text }),
        3 => (who(), at(), door(), name(), place())
            .prop_map(|(by, at, door, name, file)| Step::SendFile { by, at, door, name, file }),
        8 => (who(), door(), prop::collection::vec(place(), 1..5))
            .prop_map(|(by, door, messages)| Step::Read { by, door, messages }),
        4 => (who(), at()).prop_map(|(by, at)| Step::Join { by, at }),
        1 => (who(), at()).prop_map(|(by, at)| Step::LeaveRoom { by, at }),
        2 => (who(), at()).prop_map(|(by, at)| Step::Leave { by, at }),
        3 => (who(), at(), who()).prop_map(|(by, at, whom)| Step::Add { by, at, whom }),
        2 => (who(), at(), who()).prop_map(|(by, at, whom)| Step::Remove { by, at, whom }),
        1 => (who(), at()).prop_map(|(by, at)| Step::Close { by, at }),
        1 => (who(), at()).prop_map(|(by, at)| Step::Reopen { by, at }),
        2 => who().prop_map(|by| Step::Upload { by }),
        2 => (who(), place()).prop_map(|(by, file)| Step::Fetch { by, file }),
        1 => who().prop_map(|by| Step::Refresh { by }),
        1 => who().prop_map(|by| Step::Reconnect { by }),
        1 => who().prop_map(|by| Step::Look { by }),
    ];
    prop::collection::vec(steps, 1..30)
}
