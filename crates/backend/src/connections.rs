//! How many connections there are at once: of all, and of one network. Each may hold a head that is not whole yet, which
//! no bucket has counted.
//!
//! One too many is closed at once: a place that was waited for would be one more thing to fill.

use crate::limits::Limits;
use crate::rates::network;
use crate::turns::Turns;
use std::io;
use std::net::IpAddr;
use tokio::sync::OwnedSemaphorePermit;

#[derive(Debug)]
pub struct Connections {
    /// All have the same key.
    all: Turns<()>,
    /// None: all come from the proxy.
    networks: Option<Turns<IpAddr>>,
}

/// Kept as long as the connection.
#[derive(Debug)]
pub struct Open {
    _own: Option<OwnedSemaphorePermit>,
    _all: OwnedSemaphorePermit,
}

impl Connections {
    pub fn new(limits: &Limits, behind_proxy: bool) -> Connections {
        Connections {
            all: Turns::new(limits.connections),
            networks: (!behind_proxy).then(|| Turns::new(limits.network_connections)),
        }
    }

    pub fn open(&self, peer: IpAddr) -> io::Result<Open> {
        let missing = || io::Error::other("there are too many connections");
        let networks = self.networks.as_ref();
        let own = networks.map(|all| all.free_turn(&network(peer)).ok_or_else(missing)).transpose()?;
        Ok(Open { _own: own, _all: self.all.free_turn(&()).ok_or_else(missing)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_them_all_and_all_together_no_more_than_there_are() {
        let limits = Limits { connections: 5, network_connections: 2, ..Limits::default() };
        let connections = Connections::new(&limits, false);
        let open = |peer: &str| connections.open(peer.parse().unwrap());
        let first = [open("192.0.2.1").unwrap(), open("192.0.2.1").unwrap()];
        assert!(open("192.0.2.1").is_err());
        let others = [open("2001:db8::1").unwrap(), open("2001:db8::2").unwrap(), open("192.0.2.2").unwrap()];
        assert!(open("192.0.2.3").is_err(), "all are taken");
        drop(first);
        open("192.0.2.1").unwrap();
        drop(others);
        // a proxy is one address
        let connections = Connections::new(&limits, true);
        let proxied: Vec<_> = (0..6).map(|_| connections.open("127.0.0.1".parse().unwrap())).collect();
        assert_eq!(proxied.iter().filter(|open| open.is_ok()).count(), 5);
    }
}
