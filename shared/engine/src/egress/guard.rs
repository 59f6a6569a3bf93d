//! Deciding which addresses requests may reach (protection against SSRF).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;

use http::{Request, Uri};
use ipnet::{Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// The error for forbidden addresses.
pub(super) const REFUSED: &str = "the address is not on the public internet";

/// The addresses that requests may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPolicy {
    /// Public addresses over HTTPS.
    Public,
    /// Public addresses over HTTPS, and this machine over HTTP or HTTPS. Only for `cargo run` and `cargo lambda watch`.
    PublicAndLoopback,
    /// A port on this machine, regardless of the URL; the [`ORIGIN`] header carries the URL's origin. For tests with a
    /// fake provider.
    Rerouted(u16),
}

/// The header of rerouted requests with the original URL's origin: `scheme://host`, with the port if it has one.
pub const ORIGIN: &str = "x-larder-origin";

impl AddressPolicy {
    /// Checks whether a URL may be requested, as far as possible without resolving its name.
    ///
    /// # Errors
    /// The reason why it may not.
    pub fn allows_uri(self, uri: &Uri) -> Result<(), &'static str> {
        // Use the HTTP client's parser: it also recognizes hosts like 0x7f.1 as addresses.
        let url = Url::parse(&uri.to_string()).map_err(|_| "the URL is malformed")?;
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err("the URL has no host"),
        };
        if address.is_some_and(|address| !self.allows(address)) {
            return Err(REFUSED);
        }
        let is_local = match (address, url.host_str()) {
            (Some(address), _) => address.is_loopback(),
            (None, host) => host == Some("localhost"),
        };
        match url.scheme() {
            "https" => Ok(()),
            "http" if self == Self::PublicAndLoopback && is_local => Ok(()),
            "http" if matches!(self, Self::Rerouted(_)) => Ok(()),
            _ => Err("only https is allowed"),
        }
    }

    /// Resolves a name to its allowed addresses. The result is empty if all of them are forbidden.
    pub(super) async fn resolve(self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.checked(look_up(host.to_owned(), port)).await
    }

    async fn checked(self, found: LookingUp) -> io::Result<Vec<SocketAddr>> {
        Ok(found.await?.into_iter().filter(|address| self.allows(address.ip())).collect())
    }

    fn allows(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            Self::PublicAndLoopback => is_public(address) || address.is_loopback(),
            Self::Rerouted(_) => address.is_loopback(),
        }
    }

    /// Sends a request to this machine instead if this is [`Self::Rerouted`].
    pub(super) fn reroute(self, mut request: Request<Vec<u8>>) -> Request<Vec<u8>> {
        let Self::Rerouted(port) = self else { return request };
        let uri = request.uri();
        let origin =
            format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |it| it.as_str()));
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        if let (Ok(origin), Ok(uri)) = (origin.parse(), format!("http://127.0.0.1:{port}{path}").parse()) {
            request.headers_mut().insert(ORIGIN, origin);
            *request.uri_mut() = uri;
        }
        request
    }
}

type LookingUp = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Resolves a name with the system's resolver.
fn look_up(host: String, port: u16) -> LookingUp {
    Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
}

/// The system's resolver, without forbidden addresses. The client connects to exactly the addresses checked here.
pub(super) struct GuardedResolver {
    policy: AddressPolicy,
    look_up: fn(String, u16) -> LookingUp,
}

impl GuardedResolver {
    pub(super) fn new(policy: AddressPolicy) -> Self {
        Self { policy, look_up }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { policy, look_up } = *self;
        Box::pin(async move {
            let allowed = policy.checked(look_up(name.as_str().to_owned(), 0)).await?;
            if allowed.is_empty() {
                return Err(REFUSED.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// IPv4 addresses that are not on the public internet, according to IANA's
/// [special-purpose registry](https://www.iana.org/assignments/iana-ipv4-special-registry) (RFC 6890) and the
/// [address space](https://www.iana.org/assignments/ipv4-address-space) above unicast.
const SPECIAL_V4: [Ipv4Net; 15] = [
    v4([0, 0, 0, 0], 8),       // "this network", RFC 791
    v4([10, 0, 0, 0], 8),      // private use, RFC 1918
    v4([100, 64, 0, 0], 10),   // shared address space (CGN), RFC 6598
    v4([127, 0, 0, 0], 8),     // loopback, RFC 1122
    v4([169, 254, 0, 0], 16),  // link-local, RFC 3927; cloud metadata
    v4([172, 16, 0, 0], 12),   // private use, RFC 1918
    v4([192, 0, 0, 0], 24),    // protocol assignments, RFC 6890
    v4([192, 0, 2, 0], 24),    // documentation, RFC 5737
    v4([192, 88, 99, 0], 24),  // 6to4 relays, RFC 7526
    v4([192, 168, 0, 0], 16),  // private use, RFC 1918
    v4([198, 18, 0, 0], 15),   // benchmarking, RFC 2544
    v4([198, 51, 100, 0], 24), // documentation, RFC 5737
    v4([203, 0, 113, 0], 24),  // documentation, RFC 5737
    v4([224, 0, 0, 0], 4),     // multicast, RFC 5771
    v4([240, 0, 0, 0], 4),     // reserved, RFC 1112, and broadcast, RFC 919
];
/// The only [IPv6 block](https://www.iana.org/assignments/ipv6-address-space) with public addresses.
const GLOBAL_UNICAST_V6: Ipv6Net = v6([0x2000, 0], 3);
/// The parts of that block that are not public, according to IANA's
/// [special-purpose registry](https://www.iana.org/assignments/iana-ipv6-special-registry).
const SPECIAL_V6: [Ipv6Net; 3] = [
    v6([0x2001, 0], 23),     // protocol assignments, including Teredo, RFC 2928
    v6([0x2001, 0xdb8], 32), // documentation, RFC 3849
    v6([0x3fff, 0], 16),     // documentation, RFC 9637, and its surroundings
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6([a, b]: [u16; 2], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0), prefix)
}

/// Returns whether an address is on the public internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !SPECIAL_V4.iter().any(|net| net.contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_public_v4(inner);
    }
    GLOBAL_UNICAST_V6.contains(&address) && !SPECIAL_V6.iter().any(|net| net.contains(&address))
}

/// Returns the IPv4 address inside a v4-mapped, v4-compatible, NAT64 or 6to4 address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(join(g, h)),
        (0x64, 0xff9b, 1, ..) => Some(Ipv4Addr::UNSPECIFIED), // local-use NAT64: never public, wherever it leads
        (0x2002, ..) => Some(join(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn allowed(policy: AddressPolicy, uri: &str) -> bool {
        policy.allows_uri(&uri.parse().expect("a URI")).is_ok()
    }

    #[tokio::test]
    async fn the_client_connects_only_to_checked_addresses() {
        static LOOKED_UP: AtomicUsize = AtomicUsize::new(0);
        // A name whose second lookup returns a private address (DNS rebinding).
        fn rebinding(_: String, port: u16) -> LookingUp {
            let address = if LOOKED_UP.fetch_add(1, Ordering::Relaxed) == 0 { [8, 8, 8, 8] } else { [127, 0, 0, 1] };
            Box::pin(async move { Ok(vec![SocketAddr::from((address, port))]) })
        }
        let resolver = GuardedResolver { policy: AddressPolicy::Public, look_up: rebinding };
        let resolved = resolver.resolve("app.example".parse().expect("a name")).await.expect("an address");
        assert_eq!(resolved.collect::<Vec<_>>(), [SocketAddr::from(([8, 8, 8, 8], 0))]);
        assert!(resolver.resolve("app.example".parse().expect("a name")).await.is_err());
    }

    #[test]
    fn private_and_special_addresses_are_forbidden_in_any_notation() {
        for host in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "198.18.0.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fc00::1]",
            "[fd00:ec2::254]",
            "[ff02::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a9fe:a9fe]",
            "[64:ff9b::169.254.169.254]",
            "[64:ff9b:1::1]",
            "[2002:7f00:1::]",
            "[2001:db8::1]",
            "[::127.0.0.1]",
            "[2001::1]",
        ] {
            assert!(!allowed(AddressPolicy::Public, &format!("https://{host}/")), "{host}");
        }
        for host in ["8.8.8.8", "example.com", "[2606:4700::1111]", "[64:ff9b::8.8.8.8]", "172.32.0.1", "100.128.0.1"] {
            assert!(allowed(AddressPolicy::Public, &format!("https://{host}/")), "{host}");
        }
    }

    #[test]
    fn neighbors_of_special_ranges_are_public() {
        for (special, public) in [
            ("0.255.255.255", "1.0.0.0"),
            ("10.0.0.0", "9.255.255.255"),
            ("10.255.255.255", "11.0.0.0"),
            ("100.64.0.0", "100.63.255.255"),
            ("100.127.255.255", "100.128.0.0"),
            ("127.255.255.255", "128.0.0.0"),
            ("169.254.0.0", "169.253.255.255"),
            ("169.254.255.255", "169.255.0.0"),
            ("172.16.0.0", "172.15.255.255"),
            ("172.31.255.255", "172.32.0.0"),
            ("192.0.0.0", "191.255.255.255"),
            ("192.0.0.255", "192.0.1.0"),
            ("192.0.2.255", "192.0.3.0"),
            ("192.88.99.0", "192.88.98.255"),
            ("192.88.99.255", "192.88.100.0"),
            ("192.168.0.0", "192.167.255.255"),
            ("192.168.255.255", "192.169.0.0"),
            ("198.18.0.0", "198.17.255.255"),
            ("198.19.255.255", "198.20.0.0"),
            ("198.51.100.0", "198.51.99.255"),
            ("198.51.100.255", "198.51.101.0"),
            ("203.0.113.0", "203.0.112.255"),
            ("203.0.113.255", "203.0.114.0"),
            ("224.0.0.0", "223.255.255.255"),
            ("[1fff:ffff::]", "[2000::]"),
            ("[2001:1ff::]", "[2001:200::]"),
            ("[2001:db8:ffff::]", "[2001:db9::]"),
            ("[3fff::]", "[3ffe:ffff::]"),
        ] {
            assert!(!allowed(AddressPolicy::Public, &format!("https://{special}/")), "{special}");
            assert!(allowed(AddressPolicy::Public, &format!("https://{public}/")), "{public}");
        }
    }

    #[test]
    fn http_is_allowed_only_to_this_machine_in_local_mode() {
        assert!(!allowed(AddressPolicy::Public, "http://example.com/"));
        assert!(!allowed(AddressPolicy::Public, "http://127.0.0.1/"));
        assert!(!allowed(AddressPolicy::PublicAndLoopback, "http://example.com/"));
        assert!(!allowed(AddressPolicy::PublicAndLoopback, "http://192.168.1.1/"));
        for host in ["127.0.0.1:9000", "[::1]:9000", "localhost:9000"] {
            assert!(allowed(AddressPolicy::PublicAndLoopback, &format!("http://{host}/")), "{host}");
        }
    }

    #[test]
    fn rerouted_requests_go_to_this_machine_with_an_origin_header() {
        let request = Request::get("https://api.example.com:8443/v1/me?a=b").body(Vec::new()).expect("a request");
        let request = AddressPolicy::Rerouted(9000).reroute(request);
        assert_eq!(request.uri(), "http://127.0.0.1:9000/v1/me?a=b");
        assert_eq!(request.headers()[ORIGIN], "https://api.example.com:8443");
        assert!(allowed(AddressPolicy::Rerouted(9000), "https://api.example.com/"));
        assert!(!allowed(AddressPolicy::Rerouted(9000), "https://8.8.8.8/"));
    }

    #[tokio::test]
    async fn names_that_resolve_to_this_machine_are_forbidden() {
        let name: Name = "localhost".parse().expect("a name");
        assert!(GuardedResolver::new(AddressPolicy::Public).resolve(name).await.is_err());
        let name: Name = "localhost".parse().expect("a name");
        assert!(GuardedResolver::new(AddressPolicy::PublicAndLoopback).resolve(name).await.is_ok());
    }
}
