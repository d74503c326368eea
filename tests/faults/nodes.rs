//! Two nodes on one storage that know nothing of each other: what one stores, the other is not told of.

use std::sync::Arc;
use std::time::Duration;

use priyo_core::Event;
use priyo_core::model::{Clock, ConversationId, UserId};
use priyo_tests::{Database, Gate, Mounted, PATIENCE, Person, Recorder, SharedStorage, Socket};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::{JoinSet, yield_now};
use tokio::time::Instant;

const SENDERS: usize = 64;
const LISTENERS: usize = 4;
const SENDS: usize = 10;
/// How soon a node notices what was ended at another one.
const SOON: Duration = Duration::from_secs(5);

/// Two nodes, and what each has told its transports.
struct Nodes {
    nodes: [Mounted; 2],
    ears: [Arc<Recorder>; 2],
    storage: SharedStorage,
}

impl Nodes {
    async fn start() -> Self {
        let database = Database::new();
        let storage = SharedStorage::new(database.beside_server().await);
        let ears = [(); 2].map(|()| Arc::<Recorder>::default());
        let one = Mounted::node(storage.clone(), &database, ears[0].clone()).await;
        let other = Mounted::node(storage.clone(), &database, ears[1].clone()).await;
        Self { nodes: [one, other], ears, storage }
    }

    /// Somebody at the first node.
    async fn person(&self, name: &str) -> Person {
        self.nodes[0].customer(name).await
    }

    /// The same person, whose requests go to this node.
    fn at(&self, node: usize, person: &Person) -> Person {
        Person { wire: self.nodes[node].wire.clone(), ..person.clone() }
    }

    /// A connection to this node that listens from the beginning.
    async fn listener(&self, node: usize, person: &Person, conversation: &str) -> Socket {
        let mut socket = self.nodes[node].socket(person).await;
        let joined =
            socket.must("conversation:join", json!({"conversationId": conversation, "after": 0})).await;
        assert_eq!(joined["lastSeq"], 0);
        socket
    }

    /// The numbers of the messages that the transports of this node were told of, in order.
    fn told(&self, node: usize) -> Vec<u64> {
        let seq =
            |event: &Event| if let Event::MessageNew(message) = event { Some(message.seq) } else { None };
        self.ears[node].take().iter().filter_map(|(_, event)| seq(event)).collect()
    }

    /// The same, as soon as the last of them is there: sockets hear of it first.
    async fn told_by_now(&self, node: usize, last: u64) -> Vec<u64> {
        let deadline = Instant::now() + PATIENCE;
        let mut told = self.told(node);
        while told.last().is_none_or(|seq| *seq < last) && Instant::now() < deadline {
            yield_now().await;
            told.extend(self.told(node));
        }
        told
    }

    /// Alice and Bob, and their conversation.
    async fn pair(&self) -> (Person, Person, String) {
        let (alice, bob) = (self.person("alice").await, self.person("bob").await);
        let conversation = alice.starts_conversation_with(&bob).await;
        (alice, bob, conversation)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_both_nodes_everyone_hears_every_message_once_and_in_order() {
    let nodes = Nodes::start().await;
    let (owner, senders, conversation) = crowd(&nodes).await;
    let all = (SENDERS * SENDS) as u64;
    // What one node stored last comes with the next message of the other.
    let last = [all + 3, all + 2];
    let mut listening = JoinSet::new();
    for node in [0, 1] {
        for person in &senders[..LISTENERS] {
            let socket = nodes.listener(node, person, &conversation).await;
            listening.spawn(follow(socket, conversation.clone(), true, last[node]));
        }
    }

    let talking = talk(&nodes, &senders, &conversation);
    let joining = async {
        let mut joining = JoinSet::new();
        for number in 0..20 {
            let node = number % 2;
            let socket = nodes.nodes[node].socket(&senders[20 + number]).await;
            joining.spawn(follow(socket, conversation.clone(), false, last[node]));
        }
        joining
    };
    let ((), joining) = tokio::join!(talking, joining);
    for node in [0, 1, 0] {
        nodes.at(node, &owner).says(&conversation, "the last word").await;
    }

    for (heard, last) in listening.join_all().await.into_iter().chain(joining.join_all().await) {
        assert_eq!(heard, (1..=last).collect::<Vec<_>>());
    }
    for node in [0, 1] {
        let told = nodes.told_by_now(node, last[node]).await;
        assert_eq!(told, (1..=last[node]).collect::<Vec<_>>(), "a host's own transport too");
    }
    assert_eq!(owner.history(&conversation).await.len() as u64, all + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_taken_out_while_their_node_looks_at_what_others_did_is_told_once() {
    let (database, looks) = (Database::new(), Arc::<Gate>::default());
    let behind = database.beside_server().await;
    let storage = SharedStorage::new(behind.clone()).holding("standings", looks.clone());
    let node = Mounted::node(storage, &database, Arc::default()).await;
    let (alice, bob, carol) =
        (node.customer("alice").await, node.customer("bob").await, node.customer("carol").await);
    let group = alice.starts_group_with(&[&bob, &carol]).await;
    let (mut at_bob, mut at_carol) = (node.socket(&bob).await, node.socket(&carol).await);
    for socket in [&mut at_bob, &mut at_carol] {
        socket.must("conversation:join", group.clone()).await;
    }
    // It knows who listens, and asks whether they still may.
    looks.reached().await;
    alice.delete(format!("/api/conversations/{group}/participants/{}", bob.id)).await.expect(200);
    let is_gone = |payload: &Value| payload["gone"] == true;
    assert!(is_gone(&at_bob.next("conversation:updated").await));
    looks.let_one_go();
    // It has done what it found, and looks again.
    looks.reached().await;
    let heard = at_bob.heard_of("conversation:updated").await;
    assert!(!heard.iter().any(is_gone), "{heard:?}");

    // The control: whom another node takes out is told by such a look.
    let (id, user) =
        (ConversationId::from_uuid(group.parse().unwrap()), UserId::from_uuid(carol.id.parse().unwrap()));
    behind.remove_participant(id, user, Clock::system().now()).await.unwrap();
    looks.let_one_go();
    while !is_gone(&at_carol.next("conversation:updated").await) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_becomes_a_customer_at_one_node_comes_back_as_that_at_the_other() {
    let nodes = Nodes::start().await;
    let (former, still) = (nodes.nodes[0].agent("former").await, nodes.nodes[0].agent("still").await);
    let admin = nodes.nodes[0].admin("admin").await;
    let mut at_former = nodes.nodes[1].socket(&former).await;
    let mut at_still = nodes.nodes[1].socket(&still).await;
    let change = json!({"role": "CUSTOMER"});
    admin.patch(format!("/api/users/{}", former.id), change).await.expect(200);
    let deadline = Instant::now() + SOON;
    while !at_former.was_told_to_go() && at_former.came_by(deadline).await.is_some() {}
    assert!(at_former.was_told_to_go(), "it goes on as an agent");
    // The control: nobody else has to come back.
    at_still.settle().await;
}

/// The control: where nobody listens, the transports of a node are told of what it stored itself, as it is stored. A
/// connection that went by that would have holes.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_node_stores_itself_is_not_everything() {
    let nodes = Nodes::start().await;
    let (_, senders, conversation) = crowd(&nodes).await;

    talk(&nodes, &senders, &conversation).await;

    let (one, other) = (nodes.told(0), nodes.told(1));
    for told in [&one, &other] {
        assert!(told.windows(2).any(|pair| pair[1] > pair[0] + 1), "there is no hole in {told:?}");
    }
    assert_eq!(one.len() + other.len(), SENDERS * SENDS, "each was told of by the node that stored it");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_messages_cannot_be_read_nobody_hears_past_a_hole() {
    let nodes = Nodes::start().await;
    let (alice, bob, conversation) = nodes.pair().await;
    let mut socket = nodes.listener(0, &bob, &conversation).await;
    nodes.storage.set_unreadable(true);
    nodes.at(1, &alice).says(&conversation, "1").await;
    nodes.at(0, &alice).says(&conversation, "2").await;
    nodes.at(1, &alice).says(&conversation, "3").await;
    nodes.at(0, &alice).says(&conversation, "4").await;
    assert_eq!(socket.heard_of("message:new").await, Vec::<Value>::new());

    nodes.storage.set_unreadable(false);

    for seq in 1..=4 {
        let message = socket.next("message:new").await;
        assert_eq!((&message["seq"], &message["content"]), (&json!(seq), &json!(seq.to_string())));
    }
    assert_eq!(socket.heard_of("message:new").await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_into_a_gap_hears_nothing_that_was_there_before() {
    let nodes = Nodes::start().await;
    let (alice, bob, conversation) = nodes.pair().await;
    let mut first = nodes.listener(0, &bob, &conversation).await;
    nodes.storage.set_unreadable(true);
    nodes.at(1, &alice).says(&conversation, "1").await;
    alice.says(&conversation, "2").await;

    // The others are not there yet.
    let mut second = nodes.nodes[0].socket(&bob).await;
    let joined = second.must("conversation:join", conversation.as_str()).await;
    assert_eq!(joined["lastSeq"], 2);
    nodes.storage.set_unreadable(false);

    for seq in [1, 2] {
        assert_eq!(first.next("message:new").await["seq"], seq);
    }
    alice.says(&conversation, "3").await;
    for socket in [&mut first, &mut second] {
        let heard = socket.heard_of("message:new").await;
        assert_eq!((heard.len(), &heard[0]["seq"]), (1, &json!(3)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_node_stored_counts_as_delivered_where_it_is_handed_over() {
    let nodes = Nodes::start().await;
    let (alice, bob, conversation) = nodes.pair().await;
    let mut at_alice = nodes.nodes[0].socket(&alice).await;
    let mut at_bob = nodes.listener(0, &bob, &conversation).await;
    let elsewhere = nodes.at(1, &alice).says(&conversation, "elsewhere").await;
    assert_eq!(at_alice.heard_of("message:delivered").await, Vec::<Value>::new(), "nobody here knows of it");

    alice.says(&conversation, "here").await;

    for seq in [1, 2] {
        assert_eq!(at_bob.next("message:new").await["seq"], seq);
        let delivered = at_alice.next("message:delivered").await;
        assert_eq!((&delivered["seq"], &delivered["deliveredTo"]), (&json!(seq), &json!([bob.id])));
        if seq == 1 {
            assert_eq!(delivered["messageId"], elsewhere["id"]);
        }
    }
    bob.history(&conversation).await;
    assert_eq!(at_alice.heard_of("message:delivered").await, Vec::<Value>::new(), "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_mark_or_a_repeat_tells_of_what_another_node_stored() {
    let nodes = Nodes::start().await;
    let (alice, bob, conversation) = nodes.pair().await;
    let mut socket = nodes.listener(0, &bob, &conversation).await;
    let first = nodes.at(1, &alice).says(&conversation, "1").await;
    bob.post("/api/messages/read", json!({"messageIds": [first["id"]]})).await.expect(200);
    assert_eq!(socket.next("message:new").await["seq"], 1);

    let message = json!({"conversationId": conversation, "content": "2", "clientMessageId": "c-2"});
    nodes.at(1, &alice).post("/api/messages", message.clone()).await.expect(201);
    alice.post("/api/messages", message).await.expect(200);
    assert_eq!(socket.next("message:new").await["seq"], 2);
}

/// The owner and the senders, and their conversation.
async fn crowd(nodes: &Nodes) -> (Person, Vec<Person>, String) {
    let owner = nodes.person("owner").await;
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        senders.push(nodes.person(&format!("sender-{number}")).await);
    }
    let conversation = owner.starts_group_with(&senders.iter().collect::<Vec<_>>()).await;
    (owner, senders, conversation)
}

/// All talk at once: half of them at each node, half of those over a socket.
async fn talk(nodes: &Nodes, senders: &[Person], conversation: &str) {
    let mut talking = JoinSet::new();
    let ready = Arc::new(Barrier::new(senders.len()));
    for (number, person) in senders.iter().enumerate() {
        let node = number % 2;
        let person = nodes.at(node, person);
        let mut socket = if number % 4 < 2 { Some(nodes.nodes[node].socket(&person).await) } else { None };
        let (conversation, ready) = (conversation.to_owned(), ready.clone());
        talking.spawn(async move {
            ready.wait().await;
            for number in 0..SENDS {
                let message = json!({"conversationId": conversation, "content": number.to_string()});
                match &mut socket {
                    Some(socket) => drop(socket.must("message:send", message).await),
                    None => drop(person.post("/api/messages", message).await.expect(201)),
                }
            }
        });
    }
    talking.join_all().await;
}

/// The numbers that come, in order, until `last`, and `last`. One that has not joined yet does so first, and has missed
/// everything.
async fn follow(mut socket: Socket, conversation: String, has_joined: bool, last: u64) -> (Vec<u64>, u64) {
    let seq = |message: &Value| message["seq"].as_u64().unwrap();
    let mut heard: Vec<u64> = Vec::new();
    let mut is_in = has_joined;
    while !is_in {
        let after = heard.last().copied().unwrap_or(0);
        let join = json!({"conversationId": conversation, "after": after});
        let answer = socket.must("conversation:join", join).await;
        assert_eq!(socket.kept("message:new"), 0, "no live message before its backlog");
        heard.extend(answer["messages"].as_array().unwrap().iter().map(seq));
        is_in = answer["hasMore"] == false;
    }
    let deadline = Instant::now() + PATIENCE * 3;
    while heard.last().copied().unwrap_or(0) < last {
        heard.push(seq(&socket.next_by("message:new", deadline).await));
    }
    heard.extend(socket.heard_of("message:new").await.iter().map(seq));
    (heard, last)
}
