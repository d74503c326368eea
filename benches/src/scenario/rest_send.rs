//! Messages over REST, one after the other on each connection.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

use serde_json::json;

use super::{Tasks, Window, finish};
use crate::Result;
use crate::account::{create_group, register};
use crate::http::{Client, number_after};
use crate::options::Options;
use crate::report::Row;

pub(super) async fn run(options: &Options) -> Result<Row> {
    let target = &options.base_url;
    let connections = options.connections.unwrap_or(32);
    let conversations = options.conversations.unwrap_or(8).max(1);
    eprintln!("rest-send: {connections} connections, {conversations} conversations");
    let users = register(options, conversations).await?;
    let mut client = Client::connect(target).await?;
    let mut rooms = Vec::new();
    for user in &users {
        // Alone in it: nobody listens here.
        let room = create_group(&mut client, std::slice::from_ref(user)).await?;
        rooms.push((room, Rc::new(RefCell::new(Vec::new()))));
    }
    let window = Window::new();
    let mut tasks = Tasks::new();
    for connection in 0..connections {
        let (room, numbers) = rooms[connection % conversations].clone();
        let token = users[connection % conversations].token.clone();
        let client = Client::connect(target).await?;
        tasks.spawn_local(post(client, token, room, connection, window.clone(), numbers));
    }
    let usage = window.measure(options, &mut tasks).await?;
    finish(&mut tasks).await?;
    let mut row = window.row("rest-send", "sends", usage);
    for (_, numbers) in rooms {
        let mut numbers = numbers.take();
        numbers.sort_unstable();
        if let Some(gap) = numbers.iter().zip(1..).find(|(seq, expected)| *seq != expected) {
            row.faults
                .push(format!("of the numbers of a conversation, {} stands where {} should", gap.0, gap.1));
        }
    }
    Ok(row)
}

async fn post(
    mut client: Client,
    token: String,
    room: String,
    lane: usize,
    window: Rc<Window>,
    numbers: Rc<RefCell<Vec<u64>>>,
) -> Result<()> {
    let mut sent = 0_u64;
    while !window.is_stopping() {
        sent += 1;
        let body = json!({
            "conversationId": room, "clientMessageId": format!("{lane}-{sent}"),
            "content": "the quick brown fox jumps over the lazy dog, and again......",
        });
        let began = Instant::now();
        let response = client.post("/api/messages", &token, body.to_string().as_bytes()).await?;
        if response.status != 201 {
            let text = String::from_utf8_lossy(response.body);
            return Err(format!("a send was answered {}: {text}", response.status).into());
        }
        window.done(began, Instant::now());
        let seq = number_after(response.body, b"\"seq\":").ok_or("a send was answered without seq")?;
        numbers.borrow_mut().push(seq);
    }
    Ok(())
}
