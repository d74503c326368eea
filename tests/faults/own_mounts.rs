//! Tests that mount file systems: each runs once more in a mount namespace of its own, so that nobody else sees what
//! it mounts, and all of it is gone with it.

use std::path::Path;
use std::process::{Command, Stdio};

use priyo_tests::skipped;
use tempfile::TempDir;

/// Set for the run in the namespace.
const WITHIN: &str = "PRIYO_OWN_MOUNTS";

/// Runs a test where it may mount; skips it where nobody may.
pub(crate) fn in_own_mounts(test: impl Future<Output = ()>) {
    if std::env::var_os(WITHIN).is_some() {
        tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(test);
        return;
    }
    let Some(mut command) = within() else { return skipped("file systems cannot be mounted here") };
    let current = std::thread::current();
    let name = current.name().expect("a test runs in a thread of its name");
    command.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    let status = command.env(WITHIN, "1").status().unwrap();
    assert!(status.success(), "{status}");
}

/// What begins a command in a mount namespace of its own: as root, or as one who may be root among themselves.
fn within() -> Option<Command> {
    let dir = TempDir::new().unwrap();
    ["-m", "-rm"].into_iter().find_map(|flags| {
        let mut trial = Command::new("unshare");
        trial.args([flags, "mount", "-t", "tmpfs", "tmpfs"]).arg(dir.path());
        let tried = trial.stdout(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success()).then(|| {
            let mut command = Command::new("unshare");
            command.arg(flags);
            command
        })
    })
}

/// A disk of so many megabytes at `at`, all of it in memory.
pub(crate) fn mount(at: &Path, megabytes: u32) {
    run_mount(&["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"], at);
}

/// Makes such a disk larger.
pub(crate) fn grow(at: &Path, megabytes: u32) {
    run_mount(&["-o", &format!("remount,size={megabytes}m")], at);
}

fn run_mount(arguments: &[&str], at: &Path) {
    assert!(Command::new("mount").args(arguments).arg(at).status().unwrap().success());
}
