//! Opening the listening sockets.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::ServeError;
use crate::config::{Config, Environment};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How often to look for a port that is free on every address.
const TRIES: usize = 16;

/// Opens the listening sockets that `config` asks for. An address that this machine does not have in IPv6 is left
/// out, as long as there is another. With port 0 all of them get the same free port.
///
/// # Errors
///
/// [`ServeError::Bind`] with the first address that cannot be had.
pub fn bind(config: &Config) -> Result<Vec<TcpListener>, ServeError> {
    let hosts = hosts(config);
    let mut result = bind_all(hosts, config.port);
    for _ in 1..TRIES {
        match &result {
            // Free on the first address, but not on the next.
            Err(ServeError::Bind { source, .. })
                if config.port == 0 && source.kind() == ErrorKind::AddrInUse =>
            {
                result = bind_all(hosts, 0);
            }
            _ => break,
        }
    }
    result
}

/// The addresses that `config` asks for, or else the environment's own.
pub(crate) fn hosts(config: &Config) -> &[IpAddr] {
    if config.hosts.is_empty() { default_hosts(config.environment) } else { &config.hosts }
}

fn default_hosts(environment: Environment) -> &'static [IpAddr] {
    const LOCAL: &[IpAddr] = &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    const EVERYWHERE: &[IpAddr] = &[IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
    match environment {
        Environment::Development => LOCAL,
        Environment::Production => EVERYWHERE,
    }
}

fn bind_all(hosts: &[IpAddr], mut port: u16) -> Result<Vec<TcpListener>, ServeError> {
    let mut listeners = Vec::new();
    let mut missing = None;
    for host in hosts {
        let address = SocketAddr::new(*host, port);
        match bind_one(address) {
            Ok(listener) => {
                port = listener.local_addr().map_err(ServeError::Listener)?.port();
                listeners.push(listener);
            }
            Err(source) if host.is_ipv6() && is_missing(&source) => {
                tracing::info!("this machine has no IPv6: not listening on {address}");
                missing = Some(ServeError::Bind { address, source });
            }
            Err(source) => return Err(ServeError::Bind { address, source }),
        }
    }
    match missing {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // IPv4 has a socket of its own.
        socket.set_only_v6(true)?;
    }
    // A restart must not wait for the connections of the process before.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn is_missing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let known = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL, Errno::PROTONOSUPPORT];
    error.raw_os_error().is_some_and(|code| known.iter().any(|errno| errno.raw_os_error() == code))
}
