//! What is read: pages of history, unread counts.

use std::rc::Rc;
use std::time::Instant;

use super::{Tasks, Window, fill, finish};
use crate::Result;
use crate::account::{Account, create_group, register};
use crate::http::{Client, Response, number_after, number_after_last};
use crate::options::Options;
use crate::report::Row;

/// Messages in a page.
const PAGE: u64 = 50;

pub(super) async fn history(options: &Options) -> Result<Row> {
    let (reader, room, messages) = conversation(options).await?;
    let path = Rc::new(move |turn: u64| {
        // A step that meets every place before it comes back to one.
        let before = PAGE + 1 + (turn * 7_919) % (messages - PAGE + 1);
        (format!("/api/messages/{room}?before={before}&limit={PAGE}"), before)
    });
    let check = |body: &[u8], before: u64| {
        let (first, last) = (number_after(body, b"\"seq\":"), number_after_last(body, b"\"seq\":"));
        if (first, last) == (Some(before - PAGE), Some(before - 1)) {
            Ok(())
        } else {
            Err(format!("the page before {before} goes from {first:?} to {last:?}"))
        }
    };
    read(options, "history", "pages", &reader, path, check).await
}

pub(super) async fn unread(options: &Options) -> Result<Row> {
    let (reader, _, messages) = conversation(options).await?;
    let check = move |body: &[u8], _| match number_after(body, b"\"unreadCount\":") {
        Some(count) if count == messages => Ok(()),
        count => Err(format!("{messages} messages are unread, the server says {count:?}")),
    };
    let path = |_| ("/api/messages/unread/count".to_owned(), 0);
    read(options, "unread", "counts", &reader, Rc::new(path), check).await
}

/// Someone who has read nothing of a conversation.
async fn conversation(options: &Options) -> Result<(Account, String, u64)> {
    let messages = options.messages.unwrap_or(10_000).max(100);
    let users = register(options, 2).await?;
    let mut client = Client::connect(&options.base_url).await?;
    let room = create_group(&mut client, &users).await?;
    let [writer, reader] = &users[..] else { return Err("not two users".into()) };
    fill(options, &writer.token, std::slice::from_ref(&room), messages).await?;
    Ok((reader.clone(), room, messages as u64))
}

/// Asks for one thing after the other on each connection. `path` gives what to ask for, and a number for `check`.
pub(super) async fn read(
    options: &Options,
    scenario: &'static str,
    what: &'static str,
    reader: &Account,
    path: Rc<impl Fn(u64) -> (String, u64) + 'static>,
    check: impl Fn(&[u8], u64) -> Result<(), String> + Copy + 'static,
) -> Result<Row> {
    let connections = options.connections.unwrap_or(16) as u64;
    eprintln!("{scenario}: {connections} connections");
    let window = Window::new();
    let mut tasks = Tasks::new();
    for lane in 0..connections {
        let mut client = Client::connect(&options.base_url).await?;
        let (window, path, token) = (window.clone(), path.clone(), reader.token.clone());
        tasks.spawn_local(async move {
            let mut turn = lane;
            while !window.is_stopping() {
                let (path, expected) = path(turn);
                turn += connections;
                let began = Instant::now();
                let Response { status, body } = client.get(&path, &token).await?;
                window.done(began, Instant::now());
                if status != 200 {
                    return Err(format!("{path} answered {status}").into());
                }
                check(body, expected)?;
            }
            Ok(())
        });
    }
    let usage = window.measure(options, &mut tasks).await?;
    finish(&mut tasks).await?;
    Ok(window.row(scenario, what, usage))
}
