//! Visitors and those who answer them, at two servers on one database.

use std::collections::BTreeSet;

use priyo_tests::{Cluster, Database, Person, ServerProcess, Wire};
use tokio::task::JoinSet;

/// How many there are at each server.
const AGENTS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn of_agents_at_two_servers_who_claim_at_once_one_gets_it() {
    let Some(cluster) = Cluster::start().await else { return };
    let database = Database::on(&cluster);
    let (one, other) = tokio::join!(ServerProcess::start(&database), ServerProcess::start(&database));
    let vera = visitor(&one.wire).await;

    // She asks for it at both, with two tabs that know nothing of each other.
    let mut asked = JoinSet::new();
    for n in 0..20 {
        let wire = if n % 2 == 0 { one.another_wire() } else { other.another_wire() };
        let vera = Person { wire, ..vera.clone() };
        asked.spawn(async move { vera.post_nothing("/api/widget/conversation").await });
    }
    let answers = asked.join_all().await;
    let ids: BTreeSet<String> = answers
        .iter()
        .map(|answer| answer.json()["conversation"]["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let conversation = ids.first().unwrap();

    let mut claims = JoinSet::new();
    for n in 0..AGENTS {
        for server in [&one, &other] {
            let agent = server.agent(&format!("agent{n}-{}", server.addr.port())).await;
            let path = format!("/api/inbox/{conversation}/claim");
            claims.spawn(async move { (agent.id.clone(), agent.post_nothing(path).await) });
        }
    }
    let answers = claims.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|(_, answer)| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 2 * AGENTS - 1));
    for (_, answer) in lost {
        assert_eq!(answer.refusal(), (409, "already_claimed".to_owned()));
        assert_eq!(answer.json()["assignee"]["id"], won[0].0);
    }
}

async fn visitor(wire: &Wire) -> Person {
    let headers = [("content-type", "application/json")];
    let visited = wire.send("POST", "/api/widget/session", &headers, "{}".into()).await.expect(200);
    Person::visiting(wire.clone(), &visited.json())
}
