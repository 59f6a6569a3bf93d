//! Which addresses may be reached (SSRF).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;

use http::{Request, Uri};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// What a refused address is reported as.
pub(super) const REFUSED: &str = "the address is private or otherwise not on the public internet";

/// How far requests may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses over https.
    Public,
    /// Those, and this machine itself over http or https. For `cargo run` and `cargo lambda watch` alone.
    PublicAndLoopback,
    /// A port of this machine, whatever the URL says, which is told the origin that was meant in the header
    /// [`ORIGIN`]. For tests with a provider that is not there.
    Rerouted(u16),
}

/// The header that a rerouted request carries: `scheme://host` of its URL, with the port if it has one.
pub const ORIGIN: &str = "x-larder-origin";

impl Reach {
    /// Whether a URL may be asked for, as far as can be told without resolving its name.
    ///
    /// # Errors
    /// The reason why not.
    pub fn allows_uri(self, uri: &Uri) -> Result<(), &'static str> {
        // The same parser as the client's: it also reads hosts such as 0x7f.1 as the addresses that they are.
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

    /// The addresses of a name that may be reached: none, if all that it has are forbidden.
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

    /// Sends a request elsewhere, if that is what is wanted.
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

/// Asks the system.
fn look_up(host: String, port: u16) -> LookingUp {
    Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
}

/// The system's resolver, but for what may not be reached. The client connects to the very addresses checked here.
pub(super) struct GuardedResolver {
    reach: Reach,
    look_up: fn(String, u16) -> LookingUp,
}

impl GuardedResolver {
    pub(super) fn new(reach: Reach) -> Self {
        Self { reach, look_up }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { reach, look_up } = *self;
        Box::pin(async move {
            let allowed = reach.checked(look_up(name.as_str().to_owned(), 0)).await?;
            if allowed.is_empty() {
                return Err(REFUSED.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is on the public internet, by the special-purpose registries of IANA (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match a {
        0 | 10 | 127 => true,
        100 => (64..128).contains(&b), // shared by carriers, RFC 6598
        169 => b == 254,               // link-local, cloud metadata
        172 => (16..32).contains(&b),  // private, RFC 1918
        192 => (b == 168) || (b == 0 && (c == 0 || c == 2)) || (b == 88 && c == 99), // private, protocol, 6to4
        198 => (18..20).contains(&b) || (b == 51 && c == 100), // benchmarks, documentation
        203 => b == 0 && c == 113,     // documentation
        224.. => true,                 // multicast, reserved, broadcast
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_public_v4(inner);
    }
    let [first, second, ..] = address.segments();
    // Only 2000::/3 is given out; of that, documentation, Teredo and other protocol assignments are not.
    (0x2000..0x4000).contains(&first) && !(first == 0x2001 && (second < 0x200 || second == 0xdb8)) && first != 0x3fff
}

/// The IPv4 address that a v4-mapped, v4-compatible, NAT64 or 6to4 address stands for.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0 | 0xffff) | (0, 0, 0, 0, 0xffff, 0) | (0x64, 0xff9b, 0, 0, 0, 0) => Some(join(g, h)),
        (0x64, 0xff9b, 1, ..) => Some(Ipv4Addr::UNSPECIFIED), // NAT64 of local use: wherever it leads, not public
        (0x2002, ..) => Some(join(b, c)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn allowed(reach: Reach, uri: &str) -> bool {
        reach.allows_uri(&uri.parse().expect("a URI")).is_ok()
    }

    #[tokio::test]
    async fn the_client_gets_the_addresses_that_were_checked_and_no_later_ones() {
        static LOOKED_UP: AtomicUsize = AtomicUsize::new(0);
        // A name whose second look-up leads inside (DNS rebinding).
        fn rebinding(_: String, port: u16) -> LookingUp {
            let address = if LOOKED_UP.fetch_add(1, Ordering::Relaxed) == 0 { [8, 8, 8, 8] } else { [127, 0, 0, 1] };
            Box::pin(async move { Ok(vec![SocketAddr::from((address, port))]) })
        }
        let resolver = GuardedResolver { reach: Reach::Public, look_up: rebinding };
        let resolved = resolver.resolve("app.example".parse().expect("a name")).await.expect("an address");
        assert_eq!(resolved.collect::<Vec<_>>(), [SocketAddr::from(([8, 8, 8, 8], 0))]);
        assert!(resolver.resolve("app.example".parse().expect("a name")).await.is_err());
    }

    #[test]
    fn private_and_special_addresses_are_refused_however_they_are_written() {
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
            assert!(!allowed(Reach::Public, &format!("https://{host}/")), "{host}");
        }
        for host in ["8.8.8.8", "example.com", "[2606:4700::1111]", "[64:ff9b::8.8.8.8]", "172.32.0.1", "100.128.0.1"] {
            assert!(allowed(Reach::Public, &format!("https://{host}/")), "{host}");
        }
    }

    #[test]
    fn http_is_for_this_machine_in_local_mode_only() {
        assert!(!allowed(Reach::Public, "http://example.com/"));
        assert!(!allowed(Reach::Public, "http://127.0.0.1/"));
        assert!(!allowed(Reach::PublicAndLoopback, "http://example.com/"));
        assert!(!allowed(Reach::PublicAndLoopback, "http://192.168.1.1/"));
        for host in ["127.0.0.1:9000", "[::1]:9000", "localhost:9000"] {
            assert!(allowed(Reach::PublicAndLoopback, &format!("http://{host}/")), "{host}");
        }
    }

    #[test]
    fn a_rerouted_request_goes_to_this_machine_with_its_origin_in_a_header() {
        let request = Request::get("https://api.example.com:8443/v1/me?a=b").body(Vec::new()).expect("a request");
        let request = Reach::Rerouted(9000).reroute(request);
        assert_eq!(request.uri(), "http://127.0.0.1:9000/v1/me?a=b");
        assert_eq!(request.headers()[ORIGIN], "https://api.example.com:8443");
        assert!(allowed(Reach::Rerouted(9000), "https://api.example.com/"));
        assert!(!allowed(Reach::Rerouted(9000), "https://8.8.8.8/"));
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_is_refused() {
        let name: Name = "localhost".parse().expect("a name");
        assert!(GuardedResolver::new(Reach::Public).resolve(name).await.is_err());
        let name: Name = "localhost".parse().expect("a name");
        assert!(GuardedResolver::new(Reach::PublicAndLoopback).resolve(name).await.is_ok());
    }
}
