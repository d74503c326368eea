//! A power cut: what the disk was not told to keep is gone.
//!
//! A library between the program and the C library (`unsync.c`) keeps a second copy of the database, of only what
//! was synced. The program is killed and the next one goes on from that copy.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use priyo_tests::{Database, PATIENCE, ServerProcess, skipped};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::chance::{Dice, Evidence, rounds, seed};
use crate::checker::Violation;
use crate::history::History;
use crate::workload::{Place, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_in_a_power_cut() {
    let (first, rounds) = (seed(), rounds(3, 20));
    let mut survived = 0;
    for round in 0..rounds {
        // The seed that a round says is that of a first round.
        let evidence = Evidence::of(first.wrapping_add(round));
        let mut dice = evidence.dice();
        let Some(cut) = PowerCut::prepare(&evidence).await else { return };
        let server = ServerProcess::start_with(&Database::file_in(&cut.dir), &cut.variables()).await;
        let load = cut.scene.begin(&Place::of(&server), &cut.history, "full", &mut dice).await;
        sleep(Duration::from_millis(dice.between(100, 500))).await;
        server.kill_nine().await;
        load.notice().await;

        let violations = cut.recover().await;
        assert!(violations.is_empty(), "round {round}: {violations:#?}");
        assert!(cut.history.acknowledged() > 0);
        survived += cut.history.acknowledged();
    }
    println!("{survived} acknowledged messages survived {rounds} power cuts");
}

/// The control: the same cut, with a storage that does not wait for the disk.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_power_cut_costs_messages_when_commits_do_not_wait_for_the_disk() {
    let evidence = Evidence::of(1);
    let Some(cut) = PowerCut::prepare(&evidence).await else { return };
    let (mut server, place) = start_without_waiting_for_the_disk(&cut).await;
    let load = cut.scene.begin(&place, &cut.history, "normal", &mut Dice::new(1)).await;
    sleep(Duration::from_millis(300)).await;
    server.kill().await.unwrap();
    load.notice().await;

    let violations = cut.recover().await;
    let lost = violations.iter().filter(|one| matches!(one, Violation::Lost { .. })).count();
    assert!(lost > 0, "of {} none was lost: the cut does not cut", cut.history.acknowledged());
    println!("{lost} of {} acknowledged messages were lost", cut.history.acknowledged());
}

/// A database with a scene in it, its copy of what was synced, and the library that makes it.
struct PowerCut {
    dir: PathBuf,
    shadow: PathBuf,
    library: PathBuf,
    scene: Scene,
    history: Arc<History>,
}

impl PowerCut {
    /// `None` where there is no C compiler.
    async fn prepare(evidence: &Evidence) -> Option<Self> {
        let library = compile(&evidence.folder("library")).await?;
        let (dir, shadow) = (evidence.folder("data"), evidence.folder("shadow"));
        let scene = Scene::set(&Database::file_in(&dir)).await;
        // Nobody has it open: all of it is in the one file.
        assert!(!dir.join("priyo.db-wal").exists());
        std::fs::copy(dir.join("priyo.db"), shadow.join("priyo.db")).unwrap();
        let history = Arc::new(History::new(&evidence.history()));
        Some(Self { dir, shadow, library, scene, history })
    }

    fn variables(&self) -> [(&str, &str); 3] {
        [
            ("LD_PRELOAD", self.library.to_str().unwrap()),
            ("UNSYNC_DIR", self.dir.to_str().unwrap()),
            ("UNSYNC_SHADOW", self.shadow.to_str().unwrap()),
        ]
    }

    /// Starts the server on what is left, and looks for what is wrong with it.
    async fn recover(&self) -> Vec<Violation> {
        let left = Database::file_in(&self.shadow);
        let server = ServerProcess::start(&left).await;
        let place = Place::of(&server);
        self.scene.retry_unknown(&place, &self.history).await;
        self.scene.check(&place, &self.history, &left).await
    }
}

async fn compile(into: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/unsync.c");
    let library = into.join("unsync.so");
    let mut command = Command::new("cc");
    command.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]);
    match command.arg(&library).arg(source).args(["-ldl", "-lpthread"]).status().await {
        Ok(status) => assert!(status.success(), "unsync.c does not compile"),
        Err(error) => {
            skipped(&format!("no C compiler ({error})"));
            return None;
        }
    }
    Some(library)
}

/// Starts a server like the real one, whose settings do not offer this.
async fn start_without_waiting_for_the_disk(cut: &PowerCut) -> (Child, Place) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_unwaiting-server"));
    command.arg(cut.dir.join("priyo.db")).envs(cut.variables());
    let mut server = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.expect("it starts").unwrap().expect("it listens");
    let addr: SocketAddr = line.parse().unwrap();
    (server, Place::at(addr))
}
