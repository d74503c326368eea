//! Frames that no client of ours would send: nobody else notices, and whoever sent one is answered or hung up on.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use priyo_tests::{Database, PATIENCE, Person, Polling, ServerProcess, Socket, Wire, open_files};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::chance::{Dice, is_long, rounds, seed};
use crate::measures::Times;
use crate::mutation::{Corpus, Frame};

/// Frames in one round, and how many send them at once.
const FRAMES: usize = 20_000;
const LANES: usize = 16;
/// One frame in so many comes by a poll, and one in so many before its sender has said who they are.
const POLLED: u64 = 12;
const STRANGE: u64 = 8;

/// How soon most are answered; who is not is looked after aside.
const SOON: Duration = Duration::from_millis(300);
/// How long a socket may be neither answered nor hung up on: parts of a packet may take ten seconds to come.
const STUCK: Duration = Duration::from_secs(15);
/// Numbers of acknowledgements that no frame asks for.
const OURS: u64 = 1 << 40;
/// As much as a frame may have, and a little more.
const ENOUGH: usize = 66 * 1024;

/// Who sends, and where.
#[derive(Debug, Clone)]
struct Sender {
    addr: SocketAddr,
    token: String,
    corpus: Corpus,
    /// How long a socket may be stuck.
    patience: Duration,
}

/// What became of those who sent.
#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    hung_up_on: usize,
    /// The frames after which nothing came any more, and no end either.
    stuck: Vec<Frame>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.hung_up_on += other.hung_up_on;
        self.stuck.extend(other.stuck);
    }

    fn frames(&self) -> usize {
        self.answered + self.hung_up_on + self.stuck.len()
    }
}

impl Sender {
    async fn of(addr: SocketAddr, person: &Person, patience: Duration) -> Self {
        let conversation = person.starts_group_with(&[]).await;
        let message = person.says(&conversation, "hello").await;
        let corpus = Corpus::of(&person.token, &conversation, message["id"].as_str().unwrap());
        Self { addr, token: person.token.clone(), corpus, patience }
    }

    /// Sends so many frames from some sockets at once.
    async fn bombard(&self, frames: usize, seed: u64) -> Tally {
        let mut lanes = JoinSet::new();
        for lane in 0..LANES {
            let (sender, dice) = (self.clone(), Dice::new(seed ^ (lane as u64) << 32));
            lanes.spawn(async move { sender.lane(frames / LANES, dice).await });
        }
        let mut tally = Tally::default();
        for of_lane in lanes.join_all().await {
            tally.add(of_lane);
        }
        tally
    }

    /// Sends one after the other, each on the socket that is still there, or on a new one.
    async fn lane(self, frames: usize, mut dice: Dice) -> Tally {
        let (mut tally, mut aside, mut kept) = (Tally::default(), JoinSet::new(), None);
        for number in 0..frames {
            let frame = self.corpus.frame(&mut dice);
            let (is_polled, is_strange) = (dice.between(0, POLLED) == 0, dice.between(0, STRANGE) == 0);
            let line = match kept.take().filter(|_| !is_polled && !is_strange) {
                Some(line) => line,
                None => self.line(is_polled, is_strange).await,
            };
            let mut sent = Sent { line, frame, probe: OURS + number as u64, connects: is_strange };
            match timeout(SOON, sent.is_answered(&self.token)).await {
                Ok(true) => {
                    tally.answered += 1;
                    kept = sent.line.kept().await;
                }
                Ok(false) => {
                    tally.hung_up_on += 1;
                    sent.line.kept().await;
                }
                Err(_not_yet) => drop(aside.spawn(sent.settle(self.clone()))),
            }
        }
        for late in aside.join_all().await {
            tally.add(late);
        }
        tally
    }

    /// A new way to the server, of somebody who may not have said who they are.
    async fn line(&self, is_polled: bool, is_strange: bool) -> Line {
        let wire = || Wire::http(&format!("http://{}", self.addr));
        match (is_polled, is_strange) {
            (true, true) => Line::Polling(Polling::open(wire()).await),
            (true, false) => Line::Polling(Polling::connect(wire(), &self.token).await),
            (false, true) => Line::Socket(Box::new(Socket::open(self.addr, None).await)),
            (false, false) => Line::Socket(Box::new(Socket::connect(self.addr, &self.token).await.unwrap())),
        }
    }
}

/// A way to the server.
enum Line {
    Socket(Box<Socket>),
    Polling(Polling),
}

impl Line {
    /// Sends a frame; says whether it was taken, as far as one is told.
    async fn takes(&mut self, frame: &Frame) -> bool {
        match (self, frame) {
            (Self::Socket(socket), Frame::Text(text)) => socket.try_send_text(text).await,
            (Self::Socket(socket), Frame::Binary(bytes)) => socket.try_send_binary(bytes).await,
            (Self::Socket(socket), Frame::Bare(bytes)) => socket.try_send_bare(bytes).await,
            (polling, Frame::Text(text)) => polling.says(text).await,
            (polling, Frame::Binary(bytes) | Frame::Bare(bytes)) => {
                polling.says(&String::from_utf8_lossy(bytes)).await
            }
        }
    }

    async fn says(&mut self, text: &str) -> bool {
        match self {
            Self::Socket(socket) => socket.try_send_text(text).await,
            Self::Polling(polling) => {
                let status = polling.send(text).await.status;
                assert!([200, 400, 413].contains(&status), "{status} to {text:?}");
                status == 200
            }
        }
    }

    /// Waits for the acknowledgement of this number; `false` when the end comes instead.
    async fn hears(&mut self, number: u64) -> bool {
        match self {
            Self::Socket(socket) => socket.try_ack(number).await.is_some(),
            Self::Polling(polling) => loop {
                match polling.try_next().await {
                    Some(packet) if packet.starts_with(&format!("43{number}[")) => return true,
                    Some(_) => {}
                    None => return false,
                }
            },
        }
    }

    /// The same for the next frame. A poll is for one only: it ends by a packet that says so.
    async fn kept(mut self) -> Option<Self> {
        match &mut self {
            Self::Socket(socket) => drop(socket.taken()),
            Self::Polling(polling) => {
                polling.send("1").await;
                return None;
            }
        }
        Some(self)
    }
}

/// A frame that was sent, and a question after it by which it is known that it was handled.
struct Sent {
    line: Line,
    frame: Frame,
    /// The number of the question.
    probe: u64,
    /// Whether the sender says between the two who they are.
    connects: bool,
}

impl Sent {
    /// Sends both, and waits until the question is answered; `false` when the server hangs up.
    async fn is_answered(&mut self, token: &str) -> bool {
        let is_taken = self.line.takes(&self.frame).await;
        is_taken && (!self.connects || self.says_who(token).await) && self.asks_and_hears().await
    }

    async fn says_who(&mut self, token: &str) -> bool {
        self.line.says(&format!("40{}", json!({ "token": token }))).await
    }

    async fn asks_and_hears(&mut self) -> bool {
        self.line.says(&format!("42{}[\"tests:nothing\"]", self.probe)).await
            && self.line.hears(self.probe).await
    }

    /// Waits longer, after it did what ends what the frame may have begun: who has left comes back, and of a frame
    /// that is not whole the rest comes.
    async fn settle(mut self, sender: Sender) -> Tally {
        let mut tally = Tally::default();
        let is_partial = matches!((&self.line, &self.frame), (Line::Socket(_), Frame::Bare(_)));
        let answered = async {
            if is_partial {
                let rest = Frame::Bare(vec![0; ENOUGH]);
                self.line.takes(&rest).await && self.line.hears(self.probe).await
            } else {
                self.says_who(&sender.token).await && self.asks_and_hears().await
            }
        };
        match timeout(sender.patience, answered).await {
            Ok(true) => tally.answered = 1,
            Ok(false) => tally.hung_up_on = 1,
            Err(_stuck) => tally.stuck.push(self.frame),
        }
        self.line.kept().await;
        tally
    }
}

/// Asks whether the server is healthy until it is told to stop; says how long the answers took.
async fn ask_for_health(wire: Wire, mut stop: watch::Receiver<bool>) -> Times {
    let mut times = Times::default();
    loop {
        let begin = Instant::now();
        wire.send("GET", "/health", &[], "".into()).await.expect(200);
        times.note(begin.elapsed());
        tokio::select! {
            () = sleep(Duration::from_millis(10)) => {}
            _ = stop.wait_for(|stop| *stop) => return times,
        }
    }
}

/// What a server has written of panics.
fn panics(log: &Path) -> Vec<String> {
    let log = std::fs::read_to_string(log).unwrap();
    log.lines().filter(|line| line.contains("panicked")).map(str::to_owned).collect()
}

/// Waits until the server counts these sockets and no others.
async fn are_gone_but(server: &ServerProcess, connected: f64) {
    let begin = Instant::now();
    loop {
        let sockets =
            [server.measured("priyo_sockets").await, server.measured("priyo_sockets_unknown").await];
        if sockets == [connected, 0.0] {
            return;
        }
        assert!(begin.elapsed() < STUCK, "{sockets:?} are still there");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_frame_panics_the_server_or_leaves_a_socket_stuck_or_is_felt_by_others() {
    let database = Database::new();
    let server = ServerProcess::start(&database).await;
    let [mallory, alice, bob] = ["mallory", "alice", "bob"].map(|name| server.customer(name));
    let (mallory, alice, bob) = tokio::join!(mallory, alice, bob);
    let group = alice.starts_group_with(&[&bob]).await;
    let mut at_bob = server.socket(&bob).await;
    at_bob.must("conversation:join", group.as_str()).await;
    let sender = Sender::of(server.addr, &mallory, STUCK).await;
    let files = open_files(server.pid());
    let (stop, stopped) = watch::channel(false);
    let health = tokio::spawn(ask_for_health(server.wire.clone(), stopped));

    let seed = seed();
    for round in 0..rounds(1, 10) {
        let begin = Instant::now();
        println!("PRIYO_SEED={}", seed.wrapping_add(round));
        let tally = sender.bombard(FRAMES, seed.wrapping_add(round)).await;
        let (answered, hung_up_on) = (tally.answered, tally.hung_up_on);
        println!("{answered} were answered, {hung_up_on} hung up on, in {:.1?}", begin.elapsed());
        assert_eq!(tally.frames(), FRAMES);
        assert!(tally.stuck.is_empty(), "{:?}", tally.stuck);
        // Else it would prove little.
        assert!(answered > FRAMES / 10 && hung_up_on > FRAMES / 50);
        alice.says(&group, &format!("{round}")).await;
        assert_eq!(at_bob.next("message:new").await["content"], format!("{round}"));
    }

    stop.send(true).unwrap();
    println!("health: {}", health.await.unwrap());
    are_gone_but(&server, 1.0).await;
    assert!(
        open_files(server.pid()) <= files + 10,
        "{} descriptors, {files} before",
        open_files(server.pid())
    );
    assert_eq!(server.measured("priyo_refusals_total{code=\"internal\"}").await, 0.0);
    assert_eq!(panics(&database.folder().join("log")), Vec::<String>::new());
    let status = server.terminate(PATIENCE).await.expect("it stops in time");
    assert!(status.success(), "{status}");
}

/// The control: handlers as one writes them for socketioxide, which take every payload for a good one and let an event
/// that they do not know fall.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_plain_handlers_would_panic_and_leave_sockets_stuck() {
    let folder = tempfile::TempDir::new().unwrap();
    let database = Database::file_in(folder.path());
    let server = ServerProcess::start(&database).await;
    let mallory = server.customer("mallory").await;
    let mut sender = Sender::of(server.addr, &mallory, Duration::from_secs(1)).await;
    server.terminate(PATIENCE).await.expect("it stops in time");

    let log = folder.path().join("naive");
    let mut command = Command::new(env!("CARGO_BIN_EXE_naive-server"));
    command.arg(folder.path().join("priyo.db")).kill_on_drop(true);
    let errors = std::fs::File::create(&log).unwrap();
    let mut naive = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
    let mut lines = BufReader::new(naive.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.expect("it starts").unwrap().expect("it listens");
    sender.addr = line.parse().unwrap();

    let frames = if is_long() { 40 * LANES } else { 10 * LANES };
    let tally = sender.bombard(frames, seed()).await;
    let panics = panics(&log).len();
    println!("{panics} panics, {} of {frames} stuck", tally.stuck.len());
    assert!(panics > 0 && !tally.stuck.is_empty());
}
