//! How many connections and sockets there may be.

use priyo_core::Limits;

use super::values::{self, Reader};
use crate::listen::Listen;

/// How many connections and sockets there may be. `None` is no cap: that is what `RATE_LIMITS=off` means for each that
/// is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caps {
    /// `CONNECTIONS`: in all.
    pub connections: Option<usize>,
    /// `CONNECTIONS_PER_ADDRESS`.
    pub connections_per_address: Option<usize>,
    /// `SOCKETS_PER_USER`.
    pub sockets_per_user: Option<usize>,
    /// `SOCKETS_PER_ADDRESS`.
    pub sockets_per_address: Option<usize>,
    /// `UNKNOWN_SOCKETS`: that have not said who they are, in all.
    pub unknown_sockets: Option<usize>,
    /// `UNKNOWN_SOCKETS_PER_ADDRESS`.
    pub unknown_sockets_per_address: Option<usize>,
    /// `ROOMS_PER_SOCKET`: conversations that one socket listens to. Not one of connections, so never off.
    pub rooms_per_socket: usize,
}

impl Caps {
    pub(super) fn read(read: &mut Reader<'_>, rate_limits: bool) -> Self {
        let (limits, listen) = (Limits::default(), Listen::default());
        let mut cap = |name, default: Option<usize>| {
            read.value(name, default.filter(|_| rate_limits), |text| values::count(text).map(Some))
        };
        Self {
            connections: cap("CONNECTIONS", listen.total),
            connections_per_address: cap("CONNECTIONS_PER_ADDRESS", listen.per_address),
            sockets_per_user: cap("SOCKETS_PER_USER", Some(limits.sockets_per_user)),
            sockets_per_address: cap("SOCKETS_PER_ADDRESS", Some(limits.sockets_per_address)),
            unknown_sockets: cap("UNKNOWN_SOCKETS", Some(limits.unknown_sockets)),
            unknown_sockets_per_address: cap(
                "UNKNOWN_SOCKETS_PER_ADDRESS",
                Some(limits.unknown_sockets_per_address),
            ),
            rooms_per_socket: read.value("ROOMS_PER_SOCKET", limits.rooms_per_socket, values::count),
        }
    }

    /// Sets those that the engine holds.
    pub(crate) fn set_in(&self, limits: &mut Limits) {
        let bound = |cap: Option<usize>| cap.unwrap_or(usize::MAX);
        limits.sockets_per_user = bound(self.sockets_per_user);
        limits.sockets_per_address = bound(self.sockets_per_address);
        limits.unknown_sockets = bound(self.unknown_sockets);
        limits.unknown_sockets_per_address = bound(self.unknown_sockets_per_address);
        limits.rooms_per_socket = self.rooms_per_socket;
    }
}
