//! A chat on a storage of one's own, which is in `memory`:
//! `cargo run --example custom_storage` says something and reads it back;
//! `cargo test --example custom_storage` holds the storage to the whole contract.

mod memory;

use memory::MemoryStorage;
use priyo_core::model::{
    ConversationKind, MessageRange, NewConversation, NewMessage, Origin, Registration, Role,
};
use priyo_core::{Accounts, Caller, ChatEngine};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The engine asks for nothing but the traits: this is the only line that knows which storage it is.
    let engine = ChatEngine::builder(MemoryStorage::new(), accounts()).build().await?;

    let (ada, grace) = (register(&engine, "ada").await?, register(&engine, "grace").await?);
    let kind = ConversationKind::Direct;
    let new = NewConversation { participant_ids: vec![grace.user_id], kind, name: None };
    let conversation = engine.create_conversation(&ada, new).await?.id;
    engine.send_message(&ada, NewMessage::text(conversation, "Does it work in memory, too?")).await?;

    println!("Unread: {:?}", engine.unread_counts(&grace).await?);
    for item in engine.messages(&grace, conversation, MessageRange::Page(1), None).await?.items {
        println!("{}. {}: {}", item.message.seq, item.message.sender.username, item.message.content);
    }
    engine.close().await;
    Ok(())
}

/// The secrets are worth nothing here, as what they protect ends with the process.
fn accounts() -> Accounts {
    Accounts::new("the secret of the access tokens here", "the secret of the refresh tokens here")
}

async fn register(engine: &ChatEngine, name: &str) -> priyo_core::Result<Caller> {
    let (email, username) = (format!("{name}@example.com"), name.to_owned());
    let new = Registration { email, username, password: "correct horse".into(), role: Role::Customer };
    let signed_in = engine.register(None, new, &Origin::default()).await?;
    engine.authenticate(&signed_in.tokens.access_token).await
}

#[cfg(test)]
mod tests {
    use priyo_core::storage_conformance;

    use super::MemoryStorage;

    /// Gives an empty, migrated storage and whatever must live as long as it does, such as a temporary folder.
    async fn open() -> (MemoryStorage, ()) {
        (MemoryStorage::new(), ())
    }

    // A test of each promise.
    storage_conformance!(open);
}
