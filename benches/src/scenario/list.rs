//! The list of conversations, as a client asks for it when it starts.

use std::rc::Rc;

use super::{fill, pages};
use crate::Result;
use crate::account::{create_group, register};
use crate::http::{Client, find};
use crate::options::Options;
use crate::report::Row;

/// Most conversations in one answer.
const PAGE: usize = 200;

pub(super) async fn run(options: &Options) -> Result<Row> {
    let count = options.conversations.unwrap_or(PAGE).clamp(1, PAGE);
    let messages = options.messages.unwrap_or(20);
    let users = register(options, 2).await?;
    let mut client = Client::connect(&options.base_url).await?;
    eprintln!("list: making {count} conversations");
    let mut rooms = Vec::new();
    for _ in 0..count {
        rooms.push(create_group(&mut client, &users).await?);
    }
    let [writer, reader] = &users[..] else { return Err("not two users".into()) };
    fill(options, &writer.token, &rooms, messages).await?;
    let path = Rc::new(move |_| (format!("/api/conversations?limit={count}"), count as u64));
    let check = move |mut body: &[u8], expected| {
        let (unread, mut found) = (format!("\"unreadCount\":{messages},"), 0);
        while let Some(at) = find(body, unread.as_bytes()) {
            found += 1;
            body = &body[at + unread.len()..];
        }
        if found == expected {
            Ok(())
        } else {
            Err(format!("of {expected} conversations, {found} have {messages} unread messages"))
        }
    };
    pages::read(options, "list", "lists", reader, path, check).await
}
