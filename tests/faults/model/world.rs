//! The chat itself, the people at its doors, and what they compare.

use priyo_tests::{Person, Socket, TestServer};
use serde_json::{Map, Value, json};

use super::Flaw;
use super::answers::{Reply, acknowledged, agree, reply};
use super::mirror::{Known, Mirror, message};
use super::rules::{File, Model, RANKS, Rank, Saying, Taken};
use super::steps::{CONVERSATIONS, PEOPLE, Step};
use crate::history::Door;

/// Sequences of steps that one cast lives through: their lists get longer with each.
const LIVES: u32 = 20;
const PDF: &[u8] = b"%PDF-1.4\n%%EOF\n";

/// A server, and those who use it.
pub(super) struct World {
    flaw: Flaw,
    server: TestServer,
    model: Model,
    players: Vec<Player>,
    ids: Vec<String>,
    casts: u32,
    lives: u32,
}

/// One of the people, with their client.
struct Player {
    person: Person,
    socket: Socket,
    mirror: Mirror,
}

impl World {
    pub(super) async fn new(flaw: Flaw) -> Self {
        let (server, model) = (TestServer::start().await, Model::new(flaw));
        Self { flaw, server, model, players: Vec::new(), ids: Vec::new(), casts: 0, lives: LIVES }
    }

    /// Takes the steps, and compares everything at the end. Panics where something differs.
    pub(super) async fn live_through(&mut self, steps: &[Step]) {
        if self.lives >= LIVES {
            self.cast().await;
        }
        // Whoever has seen something differ does not live on.
        let lives = std::mem::replace(&mut self.lives, LIVES);
        self.model = Model::new(self.flaw);
        self.players.iter_mut().for_each(|player| player.mirror.clear());
        self.begin().await;
        for step in steps {
            self.take(step).await;
        }
        for by in 0..PEOPLE {
            self.look(by).await;
        }
        self.end().await;
        self.lives = lives + 1;
    }

    /// New people.
    async fn cast(&mut self) {
        self.players.clear();
        for (place, rank) in RANKS.iter().enumerate() {
            let name = format!("{}-{}", ["alice", "bob", "carol", "dan", "root"][place], self.casts);
            let person = match rank {
                Rank::Customer => self.server.customer(&name).await,
                Rank::Agent => self.server.agent(&name).await,
                Rank::Admin => self.server.admin(&name).await,
            };
            let socket = self.server.socket(&person).await;
            let mirror = Mirror::new(self.flaw == Flaw::EventsAreMissed);
            self.players.push(Player { person, socket, mirror });
        }
        self.ids = self.players.iter().map(|player| player.person.id.clone()).collect();
        self.casts += 1;
        self.lives = 0;
    }

    /// A group that is listened to, so that the steps meet something.
    async fn begin(&mut self) {
        for by in 0..PEOPLE {
            self.hear(by).await;
            self.players[by].mirror.clear();
        }
        self.take(&Step::Create { by: 0, direct: false, with: vec![1, 2] }).await;
        for by in 0..3 {
            self.take(&Step::Join { by, at: 0 }).await;
        }
    }

    /// Frees the pairs that have a direct conversation, and stops listening.
    async fn end(&mut self) {
        for at in 0..self.model.conversations.len() {
            self.take(&Step::Close { by: PEOPLE - 1, at }).await;
        }
        for player in &mut self.players {
            for room in player.mirror.rooms() {
                player.socket.must("conversation:leave", room).await;
            }
        }
    }

    async fn take(&mut self, step: &Step) {
        let count = self.model.conversations.len().max(1);
        let at = |place: &usize| place % count;
        match step {
            Step::Create { by, direct, with } => self.create(*by, *direct, with).await,
            Step::Send { by, at: place, door, name, text } => {
                let saying = Saying { name: *name, content: format!("text {text}"), file: None };
                self.send(*by, at(place), *door, &saying).await;
            }
            Step::SendFile { by, at: place, door, name, file } => {
                let Some(file) = file.checked_rem(self.model.files.len()) else { return };
                let saying = Saying { name: *name, content: String::new(), file: Some(file) };
                self.send(*by, at(place), *door, &saying).await;
            }
            Step::Read { by, door, messages } => self.read(*by, *door, messages).await,
            Step::Join { by, at: place } => self.join(*by, at(place)).await,
            Step::LeaveRoom { by, at: place } => self.leave_room(*by, at(place)).await,
            Step::Leave { by, at: place } => {
                let (at, got) = (at(place), self.rest(*by, "POST", at(place), "/leave", None).await);
                agree(step, self.model.leave(*by, at), &got);
            }
            Step::Add { by, at: place, whom } => {
                let (at, body) = (at(place), json!({"userIds": [self.ids[*whom]]}));
                let got = self.rest(*by, "POST", at, "/participants", Some(body)).await;
                agree(step, self.model.add(*by, at, *whom), &got);
            }
            Step::Remove { by, at: place, whom } => {
                let (at, path) = (at(place), format!("/participants/{}", self.ids[*whom]));
                let got = self.rest(*by, "DELETE", at, &path, None).await;
                agree(step, self.model.remove(*by, at, *whom), &got);
            }
            Step::Close { by, at: place } => {
                let (at, got) = (at(place), self.rest(*by, "DELETE", at(place), "", None).await);
                agree(step, self.model.set_open(*by, at, false), &got);
            }
            Step::Reopen { by, at: place } => {
                let (at, got) = (at(place), self.rest(*by, "POST", at(place), "/reopen", None).await);
                agree(step, self.model.set_open(*by, at, true), &got);
            }
            Step::Upload { by } => self.upload(*by).await,
            Step::Fetch { by, file } => {
                let Some(file) = file.checked_rem(self.model.files.len()) else { return };
                let answer = self.players[*by].person.get(&self.model.files[file].url).await;
                let got = if answer.status == 200 { Ok(Value::Null) } else { reply(&answer) };
                agree(step, self.model.fetch(*by, file), &got);
            }
            Step::Refresh { by } => self.refresh(*by).await,
            Step::Reconnect { by } => self.reconnect(*by).await,
            Step::Look { by } => self.look(*by).await,
        }
    }

    /// A request about a conversation.
    async fn rest(&self, by: usize, method: &str, at: usize, path: &str, body: Option<Value>) -> Reply {
        let person = &self.players[by].person;
        let path = format!("/api/conversations/{}{path}", self.model.conversations[at].id);
        reply(&match (method, body) {
            ("DELETE", _) => person.delete(path).await,
            (_, Some(body)) => person.post(path, body).await,
            (_, None) => person.post_nothing(path).await,
        })
    }

    async fn create(&mut self, by: usize, direct: bool, with: &[usize]) {
        if self.model.conversations.len() == CONVERSATIONS {
            return;
        }
        let ids: Vec<&str> = with.iter().map(|person| self.ids[*person].as_str()).collect();
        let body = json!({"participantIds": ids, "type": if direct { "DIRECT" } else { "GROUP" }});
        let answer = self.players[by].person.post("/api/conversations", body).await;
        match (self.model.create(by, direct, with), reply(&answer)) {
            (Ok(members), Ok(made)) => {
                let id = made["conversation"]["id"].as_str().unwrap().to_owned();
                self.model.created(id, direct, members);
            }
            (Err((expected, other)), Err(code)) => {
                assert_eq!(code, expected);
                let other = other.map(|other| self.model.conversations[other].id.as_str());
                assert_eq!(answer.json()["conversationId"].as_str(), other);
            }
            (expected, got) => panic!("{expected:?} was to come, and {got:?} did"),
        }
    }

    async fn send(&mut self, by: usize, at: usize, door: Door, saying: &Saying) {
        let conversation = &self.model.conversations[at];
        let mut body = json!({"conversationId": conversation.id, "content": saying.content});
        if let Some(name) = saying.name {
            body["clientMessageId"] = format!("name {name}").into();
        }
        if let Some(file) = saying.file {
            (body["type"], body["fileId"]) = ("FILE".into(), self.model.files[file].id.clone().into());
        }
        let player = &mut self.players[by];
        let got = match door {
            Door::Rest => {
                let answer = player.person.post("/api/messages", body.clone()).await;
                let got = reply(&answer);
                if let Ok(answered) = &got {
                    let status = if answered["duplicate"] == true { 200 } else { 201 };
                    assert_eq!(answer.status, status, "{body}");
                }
                got.map(|answer| (answer["data"].clone(), answer["duplicate"] == true))
            }
            Door::Socket => {
                let answer = acknowledged(player.socket.ask("message:send", body.clone()).await);
                answer.map(|answer| (answer["message"].clone(), answer["duplicate"] == true))
            }
        };
        let expected = self.model.send(by, at, saying);
        let messages = &mut self.model.conversations[at].messages;
        match (expected, got) {
            (Ok(Taken::New), Ok((sent, false))) => {
                messages.last_mut().unwrap().id = sent["id"].as_str().unwrap().to_owned();
                let known = self.model.messages(at, &self.ids);
                assert_eq!(message(&sent), *known.last().unwrap());
            }
            (Ok(Taken::Repeat(place)), Ok((sent, true))) => assert_eq!(sent["id"], messages[place].id),
            (Err(expected), Err(code)) => assert_eq!(code, expected, "{body}"),
            (expected, got) => panic!("{body}: {expected:?} was to come, and {got:?} did"),
        }
    }

    async fn read(&mut self, by: usize, door: Door, places: &[usize]) {
        let all: Vec<(usize, usize)> = self
            .model
            .conversations
            .iter()
            .enumerate()
            .flat_map(|(at, one)| (0..one.messages.len()).map(move |place| (at, place)))
            .collect();
        let messages: Vec<_> =
            places.iter().filter_map(|place| all.get(place.checked_rem(all.len())?)).copied().collect();
        let Some((first, _)) = messages.first().copied() else { return };
        let id = |(at, place): &(usize, usize)| self.model.conversations[*at].messages[*place].id.clone();
        let ids: Vec<String> = messages.iter().map(id).collect();
        let player = &mut self.players[by];
        let (within, got) = match door {
            Door::Rest => {
                (None, reply(&player.person.post("/api/messages/read", json!({"messageIds": ids})).await))
            }
            Door::Socket => {
                let body = json!({"messageIds": ids, "conversationId": self.model.conversations[first].id});
                (Some(first), acknowledged(player.socket.ask("message:read", body).await))
            }
        };
        agree(&(by, door, &messages), self.model.read(by, within, &messages), &got);
        if got.is_ok() && door == Door::Socket {
            self.hear(by).await;
            let room = self.model.conversations[first].id.clone();
            let own = self.model.messages(first, &self.ids);
            for (_, place) in messages.iter().filter(|(_, place)| own[*place]["sender"] != self.ids[by]) {
                let message = own[*place]["id"].as_str().unwrap();
                self.players[by].mirror.has_read(&room, message, &self.ids[by]);
            }
        }
    }

    /// Listens to a conversation, and looks at what it has so far: of reads that were made meanwhile nothing tells.
    async fn join(&mut self, by: usize, at: usize) {
        self.hear(by).await;
        let room = self.model.conversations[at].id.clone();
        let known = self.model.messages(at, &self.ids);
        let player = &mut self.players[by];
        let after =
            if player.mirror.is_in(&room) { player.mirror.messages(&room).len().min(known.len()) } else { 0 };
        let join = json!({"conversationId": room, "after": after});
        let got = acknowledged(player.socket.ask("conversation:join", join).await);
        agree(&(by, at, "joins"), self.model.listen(by, at), &got);
        if let Ok(answer) = got {
            let missed: Vec<Value> = answer["messages"].as_array().unwrap().iter().map(message).collect();
            assert_eq!((missed.as_slice(), &answer["lastSeq"]), (&known[after..], &json!(known.len())));
            let messages = history(&player.person, &room).await;
            player.mirror.entered(&room, messages);
        } else {
            player.mirror.left(&room);
        }
    }

    async fn leave_room(&mut self, by: usize, at: usize) {
        self.hear(by).await;
        let room = self.model.conversations[at].id.clone();
        let player = &mut self.players[by];
        let got = acknowledged(player.socket.ask("conversation:leave", room.as_str()).await);
        // Leaving where one is not is fine, if one may be there.
        let expected = if player.mirror.is_in(&room) { Ok(()) } else { self.model.listen(by, at) };
        agree(&(by, at, "leaves the room"), expected, &got);
        player.mirror.left(&room);
    }

    async fn upload(&mut self, by: usize) {
        let answer = self.players[by].person.uploads("file.pdf", PDF).await.expect(200).json();
        let text = |name: &str| answer["file"][name].as_str().unwrap().split('?').next().unwrap().to_owned();
        self.model.files.push(File { owner: by, id: text("id"), url: text("url") });
    }

    async fn refresh(&mut self, by: usize) {
        let person = &mut self.players[by].person;
        let body = json!({"refreshToken": person.refresh_token});
        let answer = person.post("/api/auth/refresh", body).await.expect(200).json();
        let token = |name: &str| answer["tokens"][name].as_str().unwrap().to_owned();
        (person.token, person.refresh_token) = (token("accessToken"), token("refreshToken"));
    }

    async fn reconnect(&mut self, by: usize) {
        self.hear(by).await;
        let socket = self.server.socket(&self.players[by].person).await;
        std::mem::replace(&mut self.players[by].socket, socket).hang_up().await;
        // Only who has been answered is surely told of everything.
        self.hear(by).await;
        for room in self.players[by].mirror.rooms() {
            let at = self.model.conversations.iter().position(|one| one.id == room).unwrap();
            self.join(by, at).await;
        }
    }

    /// Takes the events that one was told of by now.
    async fn hear(&mut self, by: usize) {
        let Player { socket, mirror, .. } = &mut self.players[by];
        for (name, payload) in socket.heard().await {
            mirror.take(&name, &payload);
        }
    }

    /// What one sees who looks at everything is what the model knows, and what their client has kept up with.
    async fn look(&mut self, by: usize) {
        self.hear(by).await;
        let Player { person, mirror, .. } = &self.players[by];
        let seen = self.see(person).await;
        let expected = self.model.seen_by(by, &self.ids);
        assert_eq!(Value::Object(seen.clone()), Value::Object(expected), "what {} sees", person.name);

        assert_eq!(mirror.knows(), seen.len(), "{mirror:?} of {}", person.name);
        for (id, seen) in &seen {
            let known = mirror.known(id).unwrap_or_else(|| panic!("{} was not told of {id}", person.name));
            assert_eq!(*known, seen_as_known(seen), "what {} was told", person.name);
        }
        for room in mirror.rooms() {
            assert_eq!(
                mirror.messages(&room),
                history(person, &room).await,
                "what {} has heard",
                person.name
            );
        }
    }

    /// Everything that one may look at of this life.
    async fn see(&self, person: &Person) -> Map<String, Value> {
        let list = person.get("/api/conversations?scope=own&limit=200").await.expect(200).json();
        let counts = person.get("/api/messages/unread/count").await.expect(200).json();
        let mut seen = Map::new();
        for one in list["conversations"].as_array().unwrap() {
            let id = one["id"].as_str().unwrap();
            if !self.model.conversations.iter().any(|known| known.id == id) {
                continue;
            }
            let Known { kind, status, participants } = Known::of(one);
            let counted = counts["conversations"][id].as_u64().unwrap_or(0);
            assert_eq!(one["unreadCount"], counted, "the list and the count differ");
            let last = one["lastMessage"].get("id").cloned();
            let messages = history(person, id).await;
            let all = json!({"type": kind, "status": status, "participants": participants, "unread": counted,
                             "lastSeq": one["lastSeq"], "last": last, "messages": messages});
            seen.insert(id.to_owned(), all);
        }
        seen
    }
}

fn seen_as_known(seen: &Value) -> Known {
    Known {
        kind: seen["type"].clone(),
        status: seen["status"].clone(),
        participants: seen["participants"].as_array().unwrap().clone(),
    }
}

async fn history(person: &Person, conversation: &str) -> Vec<Value> {
    person.history(conversation).await.iter().map(message).collect()
}
