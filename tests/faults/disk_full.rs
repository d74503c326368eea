//! A disk without space: what was accepted is kept, what cannot be kept is not accepted, and when there is space
//! again all goes on.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use priyo_tests::{Database, Outgoing, PATIENCE, Person, ServerProcess, Socket};
use rusqlite::{Connection, ErrorCode};
use tokio::time::{Instant, sleep};

use crate::chance::{Dice, Evidence};
use crate::history::{Door, History};
use crate::own_mounts::{grow, in_own_mounts, mount};
use crate::recorded::{attempt, send};
use crate::workload::{Place, Scene};

/// The size of the disk, in megabytes, and what it is made later.
const SMALL: u32 = 8;
const LARGE: u32 = 16;
/// How much of it other things take at first, so that it is full soon.
const BALLAST: usize = 7 * 1024 * 1024;
/// How many messages are sent when there is space again: what they write to the log is more than that space.
const SENDS: usize = 2_000;
/// How soon messages must be taken again.
const AGAIN_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn a_full_disk_costs_nothing_that_was_accepted_and_no_restart() {
    in_own_mounts(async {
        let evidence = Evidence::new();
        let (database, disk) = (Database::file_in(&evidence.folder("data")), evidence.folder("disk"));
        let scene = Scene::set(&database).await;
        move_to_small_disk(&database, &disk);
        let history = Arc::new(History::new(&evidence.history()));
        let server = ServerProcess::start(&database).await;
        let place = Place::of(&server);

        // Everybody stops at the first refusal.
        let mut dice = evidence.dice();
        scene.begin(&place, &history, "filling", &mut dice).await.notice().await;
        let (accepted, refused) = (history.acknowledged(), history.unknown().len());
        assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");

        let mut somebody = Somebody::of(&scene, &place, &history).await;
        let deadline = Instant::now() + PATIENCE;
        let mut refusals = 0;
        while refusals < 20 {
            // What is left may do for a short message or two.
            refusals += u32::from(!somebody.sends(Door::Rest).await);
            refusals += u32::from(!somebody.sends(Door::Socket).await);
            somebody.reads().await;
            assert!(Instant::now() < deadline, "the disk does not get full");
        }

        grow(&disk, LARGE);
        let begin = Instant::now();
        while !somebody.sends(Door::Rest).await {
            assert!(
                begin.elapsed() < AGAIN_WITHIN,
                "still refused {:?} after there is space",
                begin.elapsed()
            );
            sleep(Duration::from_millis(5)).await;
        }
        let after = begin.elapsed();
        assert!(somebody.sends(Door::Socket).await, "its socket is still the same");
        scene.retry_unknown(&place, &history).await;
        all_send(&scene, &place, &history, &mut dice).await;
        let violations = scene.check(&place, &history, &database).await;
        assert!(violations.is_empty(), "{violations:#?}");
        println!("{accepted} messages accepted before {refused} were refused; taken again after {after:?}");

        // And so it is for the next server.
        assert!(server.terminate(PATIENCE).await.expect("the server stops in time").success());
        let server = ServerProcess::start(&database).await;
        assert_eq!(scene.check(&Place::of(&server), &history, &database).await, []);
    });
}

/// Everybody sends for a while, and nothing is refused.
async fn all_send(scene: &Scene, place: &Place, history: &Arc<History>, dice: &mut Dice) {
    let (before, deadline) = (history.acknowledged(), Instant::now() + PATIENCE * 3);
    let load = scene.begin(place, history, "again", dice).await;
    while history.acknowledged() < before + SENDS && history.unknown().is_empty() {
        assert!(Instant::now() < deadline, "{} sent", history.acknowledged() - before);
        sleep(Duration::from_millis(50)).await;
    }
    load.stop().await;
    assert!(history.unknown().is_empty(), "{:?}", history.unknown());
}

/// Puts the database of a scene on a small disk, which other things take most of.
fn move_to_small_disk(database: &Database, disk: &Path) {
    mount(disk, SMALL);
    std::fs::write(disk.join("ballast"), vec![1; BALLAST]).unwrap();
    let (before, now) = (database.folder().join("priyo.db"), disk.join("priyo.db"));
    std::fs::copy(&before, &now).unwrap();
    std::fs::remove_file(&before).unwrap();
    // Its log and its lock go where it is; what the server says goes where there is space.
    symlink(now, before).unwrap();
}

/// Who goes on while others have given up: with what was refused, until it is accepted.
struct Somebody {
    person: Person,
    socket: Socket,
    conversation: String,
    history: Arc<History>,
    accepted: u32,
}

impl Somebody {
    async fn of(scene: &Scene, at: &Place, history: &Arc<History>) -> Self {
        let (person, conversation) = scene.somebody(at);
        let socket = Socket::connect(at.addr, &person.token).await.unwrap();
        Self { person, socket, conversation, history: history.clone(), accepted: 0 }
    }

    /// Sends the next thing; says whether it was accepted. It may be refused in one way only. As a client does, it
    /// begins with what it has no answer for: also from the time when everybody sent.
    async fn sends(&mut self, door: Door) -> bool {
        let mut open = self.history.unknown().into_iter().map(|(send, _)| send);
        let send = open.find(|send| send.sender == self.person.id).unwrap_or_else(|| {
            let name = format!("somebody-{}", self.accepted + 1);
            let message = Outgoing {
                conversation: self.conversation.clone(),
                content: name.clone(),
                client_message_id: Some(name),
            };
            send(&self.person.id, &message)
        });
        let is_accepted = attempt(&self.person, &mut self.socket, &self.history, &send, door).await;
        self.accepted += u32::from(is_accepted);
        is_accepted
    }

    /// Reads what there is to read.
    async fn reads(&self) {
        for path in ["/api/conversations", "/api/messages/unread/count", "/api/auth/me", "/health", "/ready"]
        {
            self.person.get(path).await.expect(200);
        }
        self.person.get(format!("/api/messages/{}", self.conversation)).await.expect(200);
    }
}

/// The control: a program that says yes when a row is in, and not when its transaction is committed.
#[test]
fn what_is_accepted_before_the_commit_is_lost_when_the_disk_is_full() {
    in_own_mounts(async {
        let evidence = Evidence::of(1);
        let disk = evidence.folder("disk");
        mount(&disk, SMALL);
        let mut db = Connection::open(disk.join("naive.db")).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE messages (content TEXT)").unwrap();
        let mut accepted = 0;
        loop {
            let transaction = db.transaction().unwrap();
            for _ in 0..100 {
                let inserted = transaction.execute("INSERT INTO messages VALUES (?1)", ["x".repeat(1_000)]);
                accepted += inserted.unwrap_or(0);
            }
            if transaction.commit().is_err() {
                break;
            }
        }
        let count = "SELECT count(*) FROM messages";
        let kept: usize = db.query_row(count, [], |row| row.get::<_, u32>(0)).unwrap().try_into().unwrap();
        assert!(kept < accepted, "all {accepted} are kept: the disk is not full");
        println!("{} of {accepted} accepted messages were lost", accepted - kept);
    });
}

/// The control of a log that makes way: without it the disk gets full of old states of a page or two.
#[test]
fn a_log_that_makes_no_way_fills_the_disk_by_itself() {
    in_own_mounts(async {
        let evidence = Evidence::of(1);
        let disk = evidence.folder("disk");
        mount(&disk, SMALL);
        let db = Connection::open(disk.join("naive.db")).unwrap();
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 4000").unwrap();
        db.execute_batch("CREATE TABLE counts (n INTEGER); INSERT INTO counts VALUES (0)").unwrap();
        let full = loop {
            if let Err(error) = db.execute("UPDATE counts SET n = n + 1", []) {
                break error;
            }
        };
        assert_eq!(full.sqlite_error_code(), Some(ErrorCode::DiskFull), "{full}");
        assert_eq!(db.query_row("PRAGMA page_count", [], |row| row.get::<_, u32>(0)), Ok(2));
    });
}
