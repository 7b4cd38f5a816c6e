//! A proxy in front that has signed people in, and names them in a header.

use crate::http::TrustedProxies;
use http::HeaderName;
use std::net::IpAddr;

/// Whose word on who calls is taken, and in which header. Its value is the person's address of e-mail.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub header: HeaderName,
    pub addresses: TrustedProxies,
}

impl Proxy {
    pub(super) fn is_trusted(&self, peer: IpAddr) -> bool {
        self.addresses.trusts(peer.to_canonical())
    }
}
