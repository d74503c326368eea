//! A conversation that is carried over to another user while something in it is marked as read.

use std::sync::Arc;

use priyo_core::model::{Contact, ConversationId, UserId};
use priyo_core::storage::postgres::PostgresStorage;
use priyo_core::storage::{MessageStore, ReadOutcome, SupportRow, SupportStore, UserStore, VisitorRow};
use priyo_tests::Cluster;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tokio::time::timeout;

use crate::{ANSWERED, AT, administrate, message, server, user};

/// Holds the commit of a mark, after all of it but that is done, as long as somebody else has the lock.
const HOLD: &str = "
    CREATE FUNCTION priyo.hold() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON priyo.message_reads DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION priyo.hold()";

async fn visitor(storage: &PostgresStorage, token: Option<[u8; 32]>, identity: Option<&str>) -> UserId {
    let user = priyo_core::model::User { email: None, ..user("Visitor") };
    let identity = identity.map(str::to_owned);
    let row = VisitorRow { user, token, identity, contact: Contact::default() };
    storage.create_visitor(&row).await.unwrap().user.id
}

#[tokio::test]
async fn what_is_marked_while_it_is_carried_over_stays_marked_and_counted() {
    let Some(cluster) = Cluster::start().await else { return };
    let storage = server(&cluster).await;
    let (from, to) =
        (visitor(&storage, Some([1; 32]), None).await, visitor(&storage, None, Some("ann")).await);
    let agent = user("agent");
    assert!(storage.create_account(&agent, "hash").await.unwrap());
    let row = SupportRow { id: ConversationId::new(), visitor: from, greeting: None, at: AT };
    storage.open_support(&row).await.unwrap();
    storage.claim_support(row.id, agent.id, AT).await.unwrap();
    let said =
        [message(from, row.id, "one"), message(agent.id, row.id, "two"), message(agent.id, row.id, "three")];
    let unread = [said[1].id, said[2].id];
    for message in said {
        storage.append_messages(vec![message]).await.unwrap();
    }
    administrate(&cluster, HOLD).await;
    let mut holder = PgConnection::connect(cluster.url()).await.unwrap();
    holder.execute("SELECT pg_advisory_lock(1)").await.unwrap();

    let marking = Arc::clone(&storage);
    let marking = tokio::spawn(async move { marking.mark_read(from, &unread, None, AT).await });
    cluster.sees_wait("advisory").await;
    let carrying = Arc::clone(&storage);
    let carrying = tokio::spawn(async move { carrying.carry_support(from, to, AT).await });
    cluster.sees_wait("transactionid").await;
    holder.execute("SELECT pg_advisory_unlock(1)").await.unwrap();

    let marked = timeout(ANSWERED, marking).await.unwrap().unwrap().unwrap();
    assert!(matches!(&marked, ReadOutcome::Marked(marks) if marks.len() == 2), "{marked:?}");
    assert_eq!(timeout(ANSWERED, carrying).await.unwrap().unwrap().unwrap().map(|one| one.id), Some(row.id));
    let left: Vec<_> = storage.unread_counts(to).await.unwrap();
    assert!(left.iter().all(|(_, count)| *count == 0), "{left:?}");
}
