//! The people and conversations of every case, on a real server.

use priyo_tests::{Database, Person, ServerProcess};
use serde_json::{Value, json};

use crate::oracle::{Oracle, Secret, Watch};

/// A whole PNG of one pixel.
pub(crate) const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0,
    1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 13, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0xf8,
    0xcf, 0xc0, 0xf0, 0x1f, 0, 5, 0, 1, 0xff, 0x89, 0x99, 0x3d, 0x1d, 0, 0, 0, 0, b'I', b'E', b'N', b'D',
    0xae, 0x42, 0x60, 0x82,
];

/// An id that names nothing.
pub(crate) const NOTHING: &str = "0199a000-0000-7000-8000-000000000000";

/// Two agents, an administrator and three customers. C1 and C2 have a direct conversation and are in a group with
/// AG1, and in another that AG1 has closed; C3 and AG2 are in none. Whatever is private holds a canary.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) server: ServerProcess,
    pub(crate) adm: Person,
    pub(crate) ag1: Person,
    pub(crate) ag2: Person,
    pub(crate) c1: Person,
    pub(crate) c2: Person,
    pub(crate) c3: Person,
    /// The direct conversation of C1 and C2.
    pub(crate) d12: String,
    /// A message of C1 in it.
    pub(crate) d12_message: String,
    /// The upload that C1 sent there: as the answer to the upload has it.
    pub(crate) file: Value,
    /// The group that C1 made, with C2 and AG1.
    pub(crate) group: String,
    /// The group that is closed.
    pub(crate) closed: String,
    secrets: Vec<Secret>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With other values for some settings.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let settings = [&[("SELF_SERVICE_ROLES", "off")], settings].concat();
        let server = ServerProcess::start_with(&Database::new(), &settings).await;
        let (adm, ag1, ag2) =
            (server.admin("adm").await, server.agent("agent1").await, server.agent("agent2").await);
        let (c1, c2, c3) = (
            server.customer("customer1").await,
            server.customer("customer2").await,
            server.customer("customer3").await,
        );
        let mut secrets = Vec::new();
        for person in [&adm, &ag1, &ag2, &c1, &c2, &c3] {
            // An administrator may look up anybody's address.
            secrets.push(Secret::new(format!("{}@example.com", person.name), &[person, &adm]));
            for own in [&person.token, &person.refresh_token, &person.session] {
                secrets.push(Secret::new(own, &[person]));
            }
        }
        for insides in [priyo_tests::ACCESS_SECRET, priyo_tests::REFRESH_SECRET] {
            secrets.push(Secret::new(insides, &[]));
        }
        secrets.push(Secret::new(server.database().folder().display().to_string(), &[]));

        let direct = Secret::canary("d12", &[&c1, &c2, &adm]);
        let grouped = Secret::canary("group", &[&c1, &c2, &ag1, &adm]);
        let shut = Secret::canary("closed", &[&c1, &c2, &ag1, &adm]);
        let named = Secret::canary("name", &[&c1, &c2, &ag1, &adm]);
        let filed = Secret::canary("file", &[&c1, &c2, &adm]);

        let d12 = c1.starts_conversation_with(&c2).await;
        let d12_message = id(&c1.says(&d12, direct.text()).await);
        let named_file = format!("{}.txt", filed.text());
        let file = c1.uploads(&named_file, filed.text().as_bytes()).await.expect(200).json()["file"].clone();
        let send = json!({"conversationId": d12, "type": "FILE", "fileId": file["id"]});
        c1.post("/api/messages", send).await.expect(201);
        let group = named_group(&c1, &[&c2, &ag1], named.text()).await;
        c1.says(&group, grouped.text()).await;
        let closed = named_group(&c1, &[&c2, &ag1], named.text()).await;
        c1.says(&closed, shut.text()).await;
        ag1.delete(format!("/api/conversations/{closed}")).await.expect(200);
        secrets.extend([direct, grouped, shut, named, filed]);
        Self { server, adm, ag1, ag2, c1, c2, c3, d12, d12_message, file, group, closed, secrets }
    }

    /// Watches what somebody receives from now on.
    pub(crate) async fn watch(&self, person: &Person) -> Watch<'_> {
        Watch::begin(self, Oracle::new(&self.secrets, Some(person)), Some(person)).await
    }

    /// Watches what nobody in particular receives.
    pub(crate) async fn watch_stranger(&self) -> Watch<'_> {
        Watch::begin(self, Oracle::new(&self.secrets, None), None).await
    }

    /// Watches one person for what another may not receive: whether the watch sees anything at all.
    pub(crate) async fn watch_as(&self, person: &Person, as_if: &Person) -> Watch<'_> {
        Watch::begin(self, Oracle::new(&self.secrets, Some(as_if)), Some(person)).await
    }

    /// What somebody must not receive, with more that is private.
    pub(crate) fn oracle(&self, more: &[Secret], person: Option<&Person>) -> Oracle {
        Oracle::new(self.secrets.iter().chain(more), person)
    }

    /// Something more that is private.
    pub(crate) fn add_secret(&mut self, secret: Secret) {
        self.secrets.push(secret);
    }

    /// The path that the upload is at.
    pub(crate) fn file_path(&self) -> String {
        format!("/uploads/{}", self.file["filename"].as_str().unwrap())
    }

    /// Fails unless the server runs, answers and has not panicked.
    pub(crate) async fn assert_well(&self) {
        let health = self.server.wire.send("GET", "/health", &[], "".into()).await;
        assert_eq!(health.status, 200, "{}", health.text());
        let log = self.server.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// The id of a message.
pub(crate) fn id(of: &Value) -> String {
    of["id"].as_str().unwrap_or_else(|| panic!("no id: {of}")).to_owned()
}

/// Begins a group of this name; gives its id.
pub(crate) async fn named_group(by: &Person, others: &[&Person], name: &str) -> String {
    let ids: Vec<&str> = others.iter().map(|one| one.id.as_str()).collect();
    let body = json!({"participantIds": ids, "type": "GROUP", "name": name});
    id(&by.post("/api/conversations", body).await.expect(201).json()["conversation"])
}
