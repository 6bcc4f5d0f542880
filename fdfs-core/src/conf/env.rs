//! What a config file may ask about the machine. The caller fills it in: nothing here looks at the machine.

use std::net::{IpAddr, Ipv4Addr};

/// Answers for `LOCAL_IP` and `LOCAL_HOST`. A file that asks for what is `None` is refused.
#[derive(Debug, Clone, Default)]
pub struct Env {
    /// Addresses of this machine's interfaces.
    pub local_ips: Option<Vec<IpAddr>>,
    /// Host name.
    pub host: Option<String>,
}

/// Address of one of the private networks that the existing daemons know (tracker 9.5).
pub(crate) fn is_private(ip: &IpAddr) -> bool {
    matches!(ip, IpAddr::V4(ip) if ip.is_private())
}

/// Class of an address: 0 outer, 1 to 3 the private networks (tracker 9.5).
pub fn address_class(ip: &IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) if !ip.is_private() => 0,
        IpAddr::V4(ip) => match Ipv4Addr::octets(ip) {
            [10, ..] => 1,
            [172, ..] => 2,
            _ => 3,
        },
        IpAddr::V6(_) => 0,
    }
}
