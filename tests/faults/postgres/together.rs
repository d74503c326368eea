//! Two servers on one database, both busy, while people come and go and conversations are closed and opened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use priyo_tests::{Cluster, Database, PATIENCE, Person, ServerProcess, Socket, Told};
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Executor};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::answers::How;
use super::crowd::{Crowd, Notes, ask, attempt};
use super::{ANSWERED_WITHIN, connect, deadlocks, is_long};
use crate::chance::{Dice, Evidence, seed};
use crate::history::{Door, Record, Send};
use crate::stored::Stored;

const PEOPLE: usize = 64;
const CONVERSATIONS: usize = 6;
/// Every so many messages somebody reads what others have said.
const READS_EVERY: usize = 4;
/// Those who are taken out and brought in again, or leave and come back; the others stay.
const RESTLESS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_database_number_every_message_once_whatever_else_goes_on() {
    let Some(cluster) = Cluster::start().await else { return };
    let evidence = Evidence::of(seed());
    let mut dice = Dice::new(seed());
    let database = Database::on(&cluster);
    let (one, other) = tokio::join!(ServerProcess::start(&database), ServerProcess::start(&database));
    let crowd = Crowd::gather(&[&one, &other], PEOPLE, CONVERSATIONS).await;
    let agent = other.agent("agent").await;
    let notes = Notes::new(&evidence);
    let sends = if is_long() { 200 } else { 12 };

    let trouble = Trouble::begin(&crowd, &agent, &[&one, &other]).await;
    let views = talk(&crowd, &notes, sends, &mut dice).await;
    let changes = trouble.end().await;

    let violations = crowd.check(&notes, &database).await;
    assert!(violations.is_empty(), "{violations:#?}");
    assert_unread_is_exact(&database, &crowd.people[RESTLESS..]).await;
    let stored = Stored::read(&database).await.messages;
    for (place, view) in views {
        let (person, _) = &crowd.people[place];
        // They come back at the server that they were not at.
        let addr = if place.is_multiple_of(2) { other.addr } else { one.addr };
        let mut socket = Socket::connect(addr, &person.token).await.unwrap();
        for (conversation, mut seen) in view {
            catch_up(&mut socket, &conversation, &mut seen).await;
            let expected = stored.iter().filter(|row| row.conversation == conversation);
            assert!(
                expected.map(|row| (&row.seq, &row.id)).eq(seen.iter()),
                "{} misses something",
                person.name
            );
        }
    }
    let slowest = notes.answers.slowest();
    assert!(slowest <= ANSWERED_WITHIN, "somebody was answered after {slowest:?}");
    for server in [one, other] {
        assert!(server.terminate(PATIENCE).await.expect("the server stops in time").success());
    }
    // Whoever has ended has told of all that they came across.
    assert_eq!(deadlocks(&database).await, 0);
    println!("{} messages beside {changes} changes, answered within {slowest:?}", stored.len());
}

/// How long somebody may go on hearing what they may not hear any more.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn who_is_taken_out_or_logged_out_at_one_server_soon_hears_nothing_more_at_the_other() {
    let Some(cluster) = Cluster::start().await else { return };
    let database = Database::on(&cluster);
    let (one, other) = tokio::join!(ServerProcess::start(&database), ServerProcess::start(&database));
    let (alice, bob, carol, dave) = (
        one.customer("alice").await,
        one.customer("bob").await,
        one.customer("carol").await,
        other.customer("dave").await,
    );
    let conversation = alice.starts_group_with(&[&bob, &carol, &dave]).await;
    let mut sockets = Vec::new();
    for person in [&bob, &carol, &dave] {
        let mut socket = Socket::connect(other.addr, &person.token).await.unwrap();
        socket.must("conversation:join", conversation.as_str()).await;
        sockets.push(socket);
    }
    // The control: they hear what is said.
    dave.says(&conversation, "before").await;
    for socket in &mut sockets {
        assert_eq!(socket.next("message:new").await["content"], "before");
    }
    let [of_bob, of_carol, of_dave] = sockets.as_mut_slice() else { panic!() };

    alice.delete(format!("/api/conversations/{conversation}/participants/{}", bob.id)).await.expect(200);
    carol.post_nothing("/api/auth/logout").await.expect(200);
    let deadline = Instant::now() + ENDED_WITHIN;

    assert_eq!(of_bob.next_by("conversation:updated", deadline).await["gone"], true);
    assert!(of_carol.ends_by(deadline).await && of_carol.was_told_to_go());
    dave.says(&conversation, "secret").await;
    assert_eq!(of_dave.next("message:new").await["content"], "secret");
    assert_eq!(of_bob.heard_of("message:new").await, Vec::<Value>::new());
    assert!(of_carol.taken().iter().all(|(name, _)| name != "message:new"));
}

/// The control: two who wait for each other are counted.
#[tokio::test]
async fn a_deadlock_is_counted() {
    let Some(cluster) = Cluster::start().await else { return };
    let database = Database::on(&cluster);
    drop(ServerProcess::start(&database).await);
    assert_eq!(deadlocks(&database).await, 0);
    let (mut one, mut other) = (connect(&database).await, connect(&database).await);
    lock(&mut one, "BEGIN; LOCK TABLE messages").await.unwrap();
    lock(&mut other, "BEGIN; LOCK TABLE participants").await.unwrap();

    let (first, second) =
        tokio::join!(lock(&mut one, "LOCK TABLE participants"), lock(&mut other, "LOCK TABLE messages"));

    assert!(first.is_err() != second.is_err(), "{first:?} {second:?}");
    for connection in [one, other] {
        sqlx::Connection::close(connection).await.unwrap();
    }
    let deadline = Instant::now() + PATIENCE;
    while deadlocks(&database).await == 0 {
        assert!(Instant::now() < deadline, "it is not counted");
        tokio::task::yield_now().await;
    }
}

async fn lock(connection: &mut PgConnection, sql: &str) -> sqlx::Result<()> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))).await.map(drop)
}

/// What somebody has of each conversation: number and message.
type View = BTreeMap<String, BTreeMap<u64, String>>;

/// Everybody sends so many messages, by both doors; gives what those who stayed have of it.
async fn talk(crowd: &Crowd, notes: &Notes, sends: usize, dice: &mut Dice) -> Vec<(usize, View)> {
    let ready = Arc::new(Barrier::new(PEOPLE));
    let mut talking = JoinSet::new();
    for (place, (person, addr)) in crowd.people.iter().enumerate() {
        let (person, addr, conversations) = (person.clone(), *addr, crowd.conversations.clone());
        let (notes, dice, ready) = (notes.clone(), Dice::new(dice.next()), ready.clone());
        talking.spawn(async move {
            let mut socket = Socket::connect(addr, &person.token).await.unwrap();
            let (mut view, mut heard) = (View::new(), Vec::new());
            for conversation in &conversations {
                // One of the restless may be out just now.
                socket.ask("conversation:join", conversation.as_str()).await;
                view.insert(conversation.clone(), BTreeMap::new());
            }
            ready.wait().await;
            let mut speaker = Speaker { person, conversations, notes, dice };
            for number in 0..sends {
                speaker.speak(&mut socket, number).await;
                if number % READS_EVERY == READS_EVERY - 1 {
                    speaker.read(&mut socket).await;
                }
                for (name, payload) in socket.taken() {
                    if name == "message:new" {
                        let told = Told::of(&payload);
                        view.get_mut(&told.conversation).unwrap().insert(told.seq, told.id.clone());
                        heard.push(told);
                    }
                }
            }
            (place, view, heard)
        });
    }
    let mut views = Vec::new();
    // Only when the last one is answered: writing all that down would keep others from taking note of an answer.
    for (place, view, heard) in talking.join_all().await {
        for told in heard {
            notes.history.add(Record::Heard { receiver: crowd.people[place].0.id.clone(), told });
        }
        if place >= RESTLESS {
            views.push((place, view));
        }
    }
    views
}

struct Speaker {
    person: Person,
    conversations: Vec<String>,
    notes: Notes,
    dice: Dice,
}

impl Speaker {
    fn pick(&mut self) -> String {
        let place = self.dice.between(0, self.conversations.len() as u64);
        self.conversations[usize::try_from(place).unwrap()].clone()
    }

    fn door(&mut self) -> Door {
        if self.dice.next().is_multiple_of(2) { Door::Rest } else { Door::Socket }
    }

    async fn speak(&mut self, socket: &mut Socket, number: usize) {
        let client_message_id = format!("{}-{number}", self.person.name);
        let (sender, conversation) = (self.person.id.clone(), self.pick());
        let send = Send { sender, conversation, content: client_message_id.clone(), client_message_id };
        let door = self.door();
        let how = attempt(&self.person, socket, &self.notes, &Arc::new(send), door).await;
        // Whoever talks over REST for a while must not look like one who has stopped reading.
        socket.settle().await;
        let is_told_why = |code: &String| matches!(code.as_str(), "conversation_closed" | "not_found");
        assert!(how == How::Done || matches!(&how, How::Refused(code) if is_told_why(code)), "{how:?}");
    }

    /// Marks the newest messages of a conversation as read.
    async fn read(&mut self, socket: &mut Socket) {
        let (conversation, door) = (self.pick(), self.door());
        let page =
            ask(&self.person, "GET", &format!("/api/messages/{conversation}?limit=20"), None).await.unwrap();
        if page.status == 404 {
            return;
        }
        let page = page.expect(200).json();
        let ids: Vec<&Value> =
            page["messages"].as_array().unwrap().iter().map(|message| &message["id"]).collect();
        if ids.is_empty() {
            return;
        }
        let how = match door {
            Door::Rest => {
                let body = json!({ "messageIds": ids });
                How::of_answer(&ask(&self.person, "POST", "/api/messages/read", Some(&body)).await)
            }
            Door::Socket => {
                let event = json!({"messageIds": ids, "conversationId": conversation});
                How::of_ack(Some(&socket.ask("message:read", event).await))
            }
        };
        assert!(matches!(how, How::Done | How::Refused(_)), "{how:?}");
    }
}

/// Those who change the conversations meanwhile, at both servers.
struct Trouble {
    stop: Arc<AtomicBool>,
    making: JoinSet<usize>,
}

impl Trouble {
    async fn begin(crowd: &Crowd, agent: &Person, servers: &[&ServerProcess]) -> Self {
        let owner = &crowd.people[0].0;
        let (stop, mut making) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        for conversation in &crowd.conversations {
            let path = format!("/api/conversations/{conversation}");
            owner.post(format!("{path}/participants"), json!({"userIds": [agent.id]})).await.expect(200);
            for server in servers {
                let at = |person: &Person| Person { wire: server.wire.clone(), ..person.clone() };
                let restless = crowd.people[1..RESTLESS].iter().map(|(person, _)| at(person)).collect();
                let changes = Changes { owner: at(owner), agent: at(agent), restless, path: path.clone() };
                making.spawn(changes.make(stop.clone()));
            }
        }
        Self { stop, making }
    }

    /// Waits until nobody changes anything any more; how many changes there were.
    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.making.join_all().await.into_iter().sum()
    }
}

/// The changes of one conversation through one server.
struct Changes {
    owner: Person,
    agent: Person,
    restless: Vec<Person>,
    path: String,
}

impl Changes {
    async fn make(self, stop: Arc<AtomicBool>) -> usize {
        let path = &self.path;
        let mut changes = 0;
        while !stop.load(Ordering::Relaxed) {
            let (goes, leaves) = (&self.restless[changes % 11], &self.restless[(changes + 5) % 11]);
            let back = json!({"userIds": [goes.id, leaves.id]});
            self.change(&self.owner, "DELETE", &format!("{path}/participants/{}", goes.id), None).await;
            self.change(leaves, "POST", &format!("{path}/leave"), None).await;
            self.change(&self.agent, "DELETE", path, None).await;
            self.change(&self.agent, "POST", &format!("{path}/reopen"), None).await;
            self.change(&self.owner, "POST", &format!("{path}/participants"), Some(&back)).await;
            changes += 5;
        }
        changes
    }

    /// Somebody else may have done it already.
    async fn change(&self, by: &Person, method: &str, path: &str, body: Option<&Value>) {
        let answer = ask(by, method, path, body).await.unwrap();
        assert!(matches!(answer.status, 200 | 404), "{method} {path}: {} {}", answer.status, answer.text());
    }
}

/// Asks for what was missed, from the first hole on.
async fn catch_up(socket: &mut Socket, conversation: &str, seen: &mut BTreeMap<u64, String>) {
    let mut after = (1..).zip(seen.keys()).take_while(|(expected, seq)| expected == *seq).count() as u64;
    loop {
        let join = json!({"conversationId": conversation, "after": after});
        let answer = socket.must("conversation:join", join).await;
        for message in answer["messages"].as_array().unwrap() {
            after = message["seq"].as_u64().unwrap();
            let id = message["id"].as_str().unwrap().to_owned();
            let known = seen.insert(after, id.clone());
            assert!(known.is_none_or(|known| known == id), "two messages have the number {after}");
        }
        if answer["hasMore"] == false {
            return;
        }
    }
}

/// What cannot be unread must be what was read or said, exactly, for those who were there all the time; and the sums
/// must be right for all.
async fn assert_unread_is_exact(database: &Database, stayed: &[(Person, std::net::SocketAddr)]) {
    let stayed: Vec<String> = stayed.iter().map(|(person, _)| format!("'{}'", person.id)).collect();
    let of = "conversation_id = p.conversation_id AND user_id = p.user_id";
    for (what, sql) in [
        (
            "a sum is wrong",
            format!(
                "SELECT p.* FROM participants p
                 WHERE covered_len <> (SELECT coalesce(sum(last_seq - first_seq + 1), 0) FROM covered WHERE {of})"
            ),
        ),
        (
            "two intervals meet",
            "SELECT a.* FROM covered a JOIN covered b USING (conversation_id, user_id)
             WHERE b.first_seq > a.first_seq AND b.first_seq <= a.last_seq + 1"
                .to_owned(),
        ),
        (
            "somebody has read more or less than is counted",
            format!(
                "SELECT p.* FROM participants p WHERE user_id IN ({})
                 AND covered_len <> (SELECT count(*) FROM message_reads WHERE {of})
                    + (SELECT count(*) FROM messages
                        WHERE conversation_id = p.conversation_id AND sender_id = p.user_id)",
                stayed.join(", ")
            ),
        ),
        (
            "what was said or read is not covered",
            "SELECT r.* FROM (SELECT conversation_id, seq, user_id FROM message_reads
                UNION ALL SELECT conversation_id, seq, sender_id FROM messages) r
             WHERE NOT EXISTS (SELECT FROM covered c WHERE c.conversation_id = r.conversation_id
                AND c.user_id = r.user_id AND r.seq BETWEEN c.first_seq AND c.last_seq)"
                .to_owned(),
        ),
    ] {
        assert_eq!(database.query(&sql).await, Vec::<Value>::new(), "{what}");
    }
}
