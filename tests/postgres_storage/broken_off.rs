//! Connections that are cut while a commit is under way.

use std::sync::Arc;

use priyo_core::model::MessageId;
use priyo_core::storage::postgres::PostgresStorage;
use priyo_core::storage::{Appended, ConversationStore, MessageStore, NewMessageRow, StorageError};
use priyo_tests::Cluster;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor};
use tokio::time::timeout;

use crate::{ANSWERED, administrate, ask, conversation, message, server};

/// Holds the commit of a message, before anything of it is done, as long as somebody else has the lock.
const HOLD: &str = "
    CREATE FUNCTION priyo.hold() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON priyo.messages DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION priyo.hold()";

/// Where a commit is when its connection is cut.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Nothing of it is done.
    Before,
    /// It is done, and nobody is told.
    After,
}

#[tokio::test]
async fn what_is_broken_off_is_stored_once_or_not_at_all() {
    let Some(cluster) = Cluster::start().await else { return };
    let storage = server(&cluster).await;
    let (alice, conversation) = conversation(&storage).await;
    administrate(&cluster, HOLD).await;

    for (moment, stored) in [(Moment::Before, 0), (Moment::After, 1)] {
        let named = message(alice, conversation, &format!("named {moment:?}"));
        cut(&cluster, &storage, &named, moment).await;
        assert_eq!(count(&cluster, &named).await, stored, "{moment:?}");
        // Whoever sends it again under its name learns which it was.
        let again = storage.append_messages(vec![named.clone()]).await.unwrap();
        assert_eq!(matches!(again[0], Appended::Duplicate(_)), stored == 1, "{moment:?}: {again:?}");
        assert_eq!(count(&cluster, &named).await, 1, "{moment:?}");

        // The control: what has no name is stored once more.
        let named = message(alice, conversation, &format!("nameless {moment:?}"));
        let nameless = NewMessageRow { client_message_id: None, ..named };
        cut(&cluster, &storage, &nameless, moment).await;
        let again = NewMessageRow { id: MessageId::new(), ..nameless.clone() };
        storage.append_messages(vec![again]).await.unwrap();
        assert_eq!(count(&cluster, &nameless).await, stored + 1, "{moment:?}");
    }
    assert_eq!(ask(&cluster, "SELECT max(seq) - count(*) FROM priyo.messages").await, 0, "there is a hole");
}

/// The same under load, where the cut comes when it comes.
#[tokio::test]
async fn what_many_send_while_connections_are_cut_is_stored_once() {
    let Some(cluster) = Cluster::start().await else { return };
    let storage = server(&cluster).await;
    let (alice, conversation) = conversation(&storage).await;
    let senders = (0..4).map(|sender| {
        let storage = Arc::clone(&storage);
        tokio::spawn(async move {
            for i in 0..150 {
                let row = message(alice, conversation, &format!("{sender}-{i}"));
                // Until it is known to be stored.
                while let Err(error) = storage.append_messages(vec![row.clone()]).await {
                    assert!(matches!(error, StorageError::Unavailable(_)), "{error:?}");
                }
            }
        })
    });
    let senders: Vec<_> = senders.collect();

    for stored in [50, 150, 250] {
        while storage.standing(conversation, alice).await.map_or(0, |s| s.unwrap().last_seq) < stored {}
        cluster.kill_one_nine().await;
        cluster.accepts().await;
    }

    for sender in senders {
        sender.await.unwrap();
    }
    const NAMES: &str = "SELECT count(DISTINCT client_message_id) FROM priyo.messages";
    assert_eq!(ask(&cluster, NAMES).await, 600);
    assert_eq!(ask(&cluster, "SELECT max(seq) FROM priyo.messages").await, 600);
    assert_eq!(ask(&cluster, "SELECT count(*) FROM priyo.messages").await, 600);
}

/// Sends a message, holds its commit at this moment, and kills who serves the connection. The sender must be told that
/// nobody knows what became of it.
async fn cut(cluster: &Cluster, storage: &Arc<PostgresStorage>, row: &NewMessageRow, moment: Moment) {
    let mut holder = PgConnection::connect(cluster.url()).await.unwrap();
    let event = match moment {
        Moment::Before => {
            holder.execute("SELECT pg_advisory_lock(1)").await.unwrap();
            "advisory"
        }
        Moment::After => {
            cluster.waits_for_standby(true).await;
            "SyncRep"
        }
    };
    let (storage, row) = (Arc::clone(storage), row.clone());
    let sending = tokio::spawn(async move { storage.append_messages(vec![row]).await });
    cluster.sees_wait(event).await;
    // The only one that is at work.
    cluster.kill_one_nine().await;
    let sent = timeout(ANSWERED, sending).await.expect("an answer in time").unwrap();
    assert!(matches!(sent, Err(StorageError::Unavailable(_))), "{moment:?}: {sent:?}");
    cluster.accepts().await;
    cluster.waits_for_standby(false).await;
}

/// How often it is stored.
async fn count(cluster: &Cluster, row: &NewMessageRow) -> i64 {
    let mut connection = PgConnection::connect(cluster.url()).await.unwrap();
    let counted = sqlx::query_scalar("SELECT count(*) FROM priyo.messages WHERE content = $1");
    counted.bind(&row.content).fetch_one(&mut connection).await.unwrap()
}
