//! A group of its own for each thing that is tried, so that what one may do does not decide what the next finds.

use priyo_tests::Person;
use serde_json::json;

use crate::oracle::Secret;
use crate::world::{PNG, World, id, named_group};

/// A group that AG1 made with C1 and C2, in which AG1 has said something and sent a file, and which C2 has left; and a
/// visitor of a website who has written something.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) group: String,
    /// AG1's message.
    message: String,
    /// The stored name of AG1's file.
    file: String,
    /// The visitor.
    visitor: Person,
    /// Their conversation, which nobody has claimed.
    support: String,
    /// What only those inside, and administrators, may receive.
    pub(crate) secrets: Vec<Secret>,
}

impl Stage {
    pub(crate) async fn set(world: &World) -> Self {
        let World { adm, ag1, c1, c2, .. } = world;
        let inside = [ag1, c1, adm];
        let [name, said, filed] = ["name", "said", "file"].map(|of| Secret::canary(of, &inside));
        let group = named_group(ag1, &[c1, c2], name.text()).await;
        let message = id(&ag1.says(&group, said.text()).await);
        let file =
            ag1.uploads(&format!("{}.png", filed.text()), PNG).await.expect(200).json()["file"].clone();
        let send = json!({"conversationId": group, "type": "IMAGE", "fileId": file["id"]});
        ag1.post("/api/messages", send).await.expect(201);
        c2.post_nothing(format!("/api/conversations/{group}/leave")).await.expect(200);
        let file = file["filename"].as_str().unwrap().to_owned();
        let (visitor, support) = visitor(world).await;
        Self { group, message, file, visitor, support, secrets: vec![name, said, filed] }
    }

    /// Closes the group.
    pub(crate) async fn close(&self, world: &World) {
        world.ag1.delete(format!("/api/conversations/{}", self.group)).await.expect(200);
    }

    /// Says something in it that nobody outside may hear.
    pub(crate) async fn goes_on(&self, world: &World) {
        world.ag1.says(&self.group, self.secrets[1].text()).await;
    }

    /// Puts what is here in the places of a template, and what the actor has.
    pub(crate) fn fill(&self, template: &str, world: &World, actor: Option<&Actor>) -> String {
        let unique = self.group.replace('-', "");
        let fresh = actor.map_or("none", |actor| &actor.person.name);
        let own_file = actor.map_or("none", |actor| &*actor.file);
        [
            ("{group}", &*self.group),
            ("{support}", &self.support),
            ("{message}", &self.message),
            ("{file}", &self.file),
            ("{own_file}", own_file),
            ("{own_session}", actor.map_or("none", |actor| &*actor.person.session)),
            ("{agent2}", &world.ag2.id),
            ("{customer1}", &world.c1.id),
            ("{unique}", &format!("{}-{fresh}", &unique[unique.len() - 12..])),
        ]
        .iter()
        .fold(template.to_owned(), |text, (place, value)| text.replace(place, value))
    }
}

/// Somebody on a device of their own, with a file to send.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    pub(crate) person: Person,
    file: String,
}

/// A visitor of a website, and the conversation that they have begun.
async fn visitor(world: &World) -> (Person, String) {
    let headers = [("content-type", "application/json")];
    let wire = &world.server.wire;
    let visited = wire.send("POST", "/api/widget/session", &headers, "{}".into()).await.expect(200).json();
    let mut visitor = Person::visiting(wire.clone(), &visited);
    visitor.session = id(&visitor.get("/api/auth/sessions").await.expect(200).json()["sessions"][0]);
    let made = visitor.post_nothing("/api/widget/conversation").await.expect(201).json();
    let support = id(&made["conversation"]);
    visitor.says(&support, "help").await;
    (visitor, support)
}

impl Actor {
    /// The visitor of a stage, who has one device only.
    pub(crate) async fn visiting(stage: &Stage) -> Self {
        let person = stage.visitor.clone();
        let file = id(&person.uploads("own.png", PNG).await.expect(200).json()["file"]);
        Self { person, file }
    }

    pub(crate) async fn new(world: &World, person: &Person) -> Self {
        let person = world.server.another_device(person).await;
        let file = id(&person.uploads("own.png", PNG).await.expect(200).json()["file"]);
        Self { person, file }
    }
}
