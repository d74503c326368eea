//! Signals to processes.

use tokio::process::Command;

/// Sends a signal, such as `TERM`.
pub async fn signal(name: &str, pid: u32) {
    // The shell's own `kill`, so that no other program is needed.
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status().await.unwrap();
    assert!(sent.success());
}
