//! A bound on the memory of a process, kept by the kernel.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel shows the groups of either version, and the file that a group's bound is in.
const HIERARCHIES: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

/// A control group of which the processes may together have so much memory. It goes with it.
#[derive(Debug)]
pub struct Memory(PathBuf);

impl Memory {
    /// One of so many bytes, where groups may be made.
    pub fn of(bytes: u64) -> Option<Self> {
        HIERARCHIES.into_iter().find_map(|(root, bound)| {
            let group = Path::new(root).join(format!("priyo-tests-{}", std::process::id()));
            fs::create_dir(&group).ok()?;
            let made = Self(group);
            // Only the kernel puts one there: else it is a folder like others.
            let is_group = made.door().exists() && made.0.join(bound).exists();
            (is_group && fs::write(made.0.join(bound), bytes.to_string()).is_ok()).then_some(made)
        })
    }

    /// Where the number of a process is written that goes into it.
    pub(crate) fn door(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // It is refused while a process is in it.
        let _ = fs::remove_dir(&self.0);
    }
}
