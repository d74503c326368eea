//! Users and conversations to measure with, made over REST as any client would.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::Result;
use crate::http::Client;
use crate::options::Options;

/// A user who has signed in.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// Its e-mail.
    pub email: String,
    /// An access token, good for some minutes.
    pub token: String,
}

/// The password of every account made here.
pub const PASSWORD: &str = "correct horse battery staple";

/// Registrations at once.
const LANES: usize = 4;

/// Makes accounts, a few at once: the server hashes a password for each.
///
/// # Errors
///
/// When the server refuses.
pub async fn register(options: &Options, count: usize) -> Result<Vec<Account>> {
    if let Some(known) = read(options.accounts.as_deref(), count)? {
        return Ok(known);
    }
    let target = &options.base_url;
    // Names must be new, also on a server that was measured before.
    let run = RandomState::new().hash_one(count) % 1_000_000_000_000;
    let mut lanes = JoinSet::new();
    for lane in 0..LANES.min(count) {
        let mut client = Client::connect(target).await?;
        lanes.spawn_local(async move {
            let mut made = Vec::new();
            for number in (lane..count).step_by(LANES) {
                made.push(register_one(&mut client, &format!("load_{run}_{number}")).await?);
            }
            Ok::<_, crate::Fault>(made)
        });
    }
    let mut made = Vec::with_capacity(count);
    while let Some(some) = lanes.join_next().await {
        made.append(&mut some??);
    }
    if let Some(file) = &options.accounts {
        let rows = made.iter().map(|one: &Account| json!([one.id, one.email, one.token]));
        fs::write(file, Value::Array(rows.collect()).to_string())?;
    }
    Ok(made)
}

/// The accounts of an earlier run, if there are enough.
fn read(file: Option<&Path>, count: usize) -> Result<Option<Vec<Account>>> {
    let Some(file) = file.filter(|file| file.exists()) else { return Ok(None) };
    let rows: Vec<[String; 3]> = serde_json::from_str(&fs::read_to_string(file)?)?;
    let known = rows.into_iter().map(|[id, email, token]| Account { id, email, token });
    Ok(Some(known.take(count).collect::<Vec<_>>()).filter(|known| known.len() == count))
}

async fn register_one(client: &mut Client, name: &str) -> Result<Account> {
    let email = format!("{name}@load.example");
    let body = json!({"email": email, "username": name, "password": PASSWORD});
    let answer = client.json("POST", "/api/auth/register", "", &body).await?;
    let text =
        |value: &Value| value.as_str().map(str::to_owned).ok_or("a registration was not answered in full");
    Ok(Account { id: text(&answer["user"]["id"])?, email, token: text(&answer["tokens"]["accessToken"])? })
}

/// Makes a group; gives its id.
///
/// # Errors
///
/// When the server refuses.
pub async fn create_group(client: &mut Client, members: &[Account]) -> Result<String> {
    let owner = members.first().ok_or("a conversation needs members")?;
    let ids: Vec<&str> = members.iter().map(|member| member.id.as_str()).collect();
    let body = json!({"participantIds": ids, "type": "GROUP", "name": "load"});
    let answer = client.json("POST", "/api/conversations", &owner.token, &body).await?;
    let id = answer["conversation"]["id"].as_str().ok_or("a conversation was not answered in full")?;
    Ok(id.to_owned())
}
