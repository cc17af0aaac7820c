//! Which addresses webhooks may be at: those of the public Internet, and what the settings allow.
//!
//! Every address that a name has is looked at when a connection is made, and the connection is made to
//! an address that was looked at. So a name that leads elsewhere a moment later leads nowhere.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Addresses of one name: most that are looked at. A name that has more is refused.
const ADDRESSES_MAX: usize = 64;

/// A network, for example 10.0.0.0/8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// An address in it.
    pub address: IpAddr,
    /// How many bits of the address are the network's.
    pub prefix: u8,
}

impl Network {
    const fn v4(a: u8, b: u8, c: u8, prefix: u8) -> Self {
        Self { address: IpAddr::V4(Ipv4Addr::new(a, b, c, 0)), prefix }
    }

    const fn v6(a: u16, b: u16, prefix: u8) -> Self {
        Self { address: IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0)), prefix }
    }

    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, other, width) = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (u128::from(own.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
            _ => return false,
        };
        let kept = width - u32::from(self.prefix).min(width);
        own.checked_shr(kept) == other.checked_shr(kept)
    }
}

/// IPv4 networks that are not of the public Internet, by IANA's registry of special-purpose addresses.
const SPECIAL_V4: [Network; 15] = [
    Network::v4(0, 0, 0, 8),
    Network::v4(10, 0, 0, 8),
    Network::v4(100, 64, 0, 10),
    Network::v4(127, 0, 0, 8),
    Network::v4(169, 254, 0, 16),
    Network::v4(172, 16, 0, 12),
    Network::v4(192, 0, 0, 24),
    Network::v4(192, 0, 2, 24),
    Network::v4(192, 88, 99, 24),
    Network::v4(192, 168, 0, 16),
    Network::v4(198, 18, 0, 15),
    Network::v4(198, 51, 100, 24),
    Network::v4(203, 0, 113, 24),
    Network::v4(224, 0, 0, 4),
    Network::v4(240, 0, 0, 4),
];
/// The only IPv6 network that is of the public Internet.
const GLOBAL_V6: Network = Network::v6(0x2000, 0, 3);
/// What is not, within it: protocol assignments with Teredo among them, and documentation.
const SPECIAL_V6: [Network; 3] =
    [Network::v6(0x2001, 0, 23), Network::v6(0x2001, 0xdb8, 32), Network::v6(0x3fff, 0, 20)];
/// 6to4: an IPv4 address stands in the second and third group.
const SIX_TO_FOUR: Network = Network::v6(0x2002, 0, 16);
/// NAT64: an IPv4 address stands in the last two groups.
const NAT64: Network = Network::v6(0x64, 0xff9b, 96);

/// Whether an address is of the public Internet, also where it is an IPv4 address in IPv6's clothes.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => !SPECIAL_V4.iter().any(|network| network.contains(address)),
        IpAddr::V6(v6) => {
            let embedded = if let Some(mapped) = v6.to_ipv4_mapped() {
                Some(mapped)
            } else if SIX_TO_FOUR.contains(address) {
                let [_, high, low, ..] = v6.segments();
                Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
            } else if NAT64.contains(address) {
                let [.., high, low] = v6.segments();
                Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
            } else {
                None
            };
            match embedded {
                Some(v4) => is_public(IpAddr::V4(v4)),
                None => {
                    GLOBAL_V6.contains(address)
                        && !SPECIAL_V6.iter().any(|network| network.contains(address))
                }
            }
        }
    }
}

/// An address may not be spoken to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefused {
    /// It is of this machine or of a network that is not public.
    #[error(
        "{0} is no address of the public Internet; the setting webhooks_allow_private can allow it"
    )]
    Private(IpAddr),
    /// Without encryption only networks that the settings name are spoken to.
    #[error(
        "{0} is in no network of the setting webhooks_allow_private, so it is spoken to by https alone"
    )]
    Unencrypted(IpAddr),
    /// The name has none, or more than are looked at.
    #[error("the name has {0} addresses, which is none or too many")]
    Count(usize),
}

/// Which addresses may be spoken to.
#[derive(Clone, Debug, Default)]
pub struct Allowed(Arc<[Network]>);

impl Allowed {
    /// Those of the public Internet, and of these networks.
    pub fn with(networks: Vec<Network>) -> Self {
        Self(networks.into())
    }

    /// Whether nothing but the public Internet may be spoken to.
    pub fn is_public_only(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address may be spoken to.
    ///
    /// # Errors
    /// [`AddressRefused`] says why not.
    pub fn check(&self, address: IpAddr, encrypted: bool) -> Result<(), AddressRefused> {
        let plain = address.to_canonical();
        let named = self.0.iter().any(|net| net.contains(address) || net.contains(plain));
        match (named, encrypted) {
            (true, _) => Ok(()),
            (false, true) if is_public(address) => Ok(()),
            (false, true) => Err(AddressRefused::Private(address)),
            (false, false) => Err(AddressRefused::Unencrypted(address)),
        }
    }
}

/// Resolves names for connections, and refuses those with an address that may not be spoken to.
pub(super) struct Resolver {
    pub allowed: Allowed,
    pub encrypted: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (allowed, encrypted) = (self.allowed.clone(), self.encrypted);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX + 1).collect();
            if !(1..=ADDRESSES_MAX).contains(&addresses.len()) {
                return Err(AddressRefused::Count(addresses.len()).into());
            }
            for address in &addresses {
                allowed.check(address.ip(), encrypted)?;
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// Whether an error was caused by an address that may not be spoken to.
pub(super) fn is_refused(error: &(dyn Error + 'static)) -> bool {
    /// Causes that are followed.
    const DEPTH_MAX: usize = 16;
    let mut cause = Some(error);
    for _ in 0..DEPTH_MAX {
        match cause {
            Some(error) if error.is::<AddressRefused>() => return true,
            Some(error) => cause = error.source(),
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_the_public_internet_is_public_in_whatever_clothes() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "3fff::1",
            "100::1",
            "5f00::1",
        ] {
            assert!(!is_public(ip(private)), "{private}");
            let refused = Allowed::default().check(ip(private), true);
            assert_eq!(refused, Err(AddressRefused::Private(ip(private))));
        }
        for public in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2002:101:101::1",
            "64:ff9b::101:101",
            "::ffff:1.1.1.1",
            "2001:4860:4860::8888",
        ] {
            assert!(is_public(ip(public)), "{public}");
            assert_eq!(Allowed::default().check(ip(public), true), Ok(()));
            let unencrypted = Allowed::default().check(ip(public), false);
            assert_eq!(unencrypted, Err(AddressRefused::Unencrypted(ip(public))));
        }
    }

    #[test]
    fn what_the_settings_name_is_allowed_and_nothing_beside_it() {
        let network = |text: &str, prefix| Network { address: ip(text), prefix };
        let allowed = Allowed::with(vec![network("10.1.0.0", 16), network("::1", 128)]);
        for (address, may) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("127.0.0.1", false),
            ("::1", true),
            ("::2", false),
        ] {
            assert_eq!(allowed.check(ip(address), true).is_ok(), may, "{address}");
            assert_eq!(allowed.check(ip(address), false).is_ok(), may, "{address}");
        }
        assert!(network("0.0.0.0", 0).contains(ip("9.9.9.9")));
        assert!(network("::", 0).contains(ip("fe80::1")));
        assert!(!network("::", 0).contains(ip("9.9.9.9")));
    }
}
