//! What a process uses, as the kernel counts it.

use std::collections::HashSet;
use std::fs::{self, DirEntry};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Resident memory of a process, in bytes.
pub fn resident_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// How many descriptors a process has open.
pub fn open_files(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// How many descriptors a process has open without its Unix sockets, through which the database servers of the tests
/// are reached: a pool of connections to one is no client's.
pub fn open_files_of_clients(pid: u32) -> usize {
    let unix = fs::read_to_string("/proc/net/unix").unwrap();
    let unix: HashSet<&str> = unix.lines().filter_map(|line| line.split_whitespace().nth(6)).collect();
    let is_unix = |file: &DirEntry| {
        let target = fs::read_link(file.path()).unwrap_or_default();
        let inode = target.to_str().and_then(|name| name.strip_prefix("socket:[")?.strip_suffix(']'));
        inode.is_some_and(|inode| unix.contains(inode))
    };
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    files.filter(|file| !is_unix(file.as_ref().unwrap())).count()
}

/// Lets this process open as many files as it may at all; says whether that is at least `wanted`.
pub fn may_open(wanted: u64) -> bool {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    maximum.is_none_or(|maximum| maximum >= wanted)
}
