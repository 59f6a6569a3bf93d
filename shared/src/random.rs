//! Randomness as a parameter, so that a test can repeat a run byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A source of random bytes.
pub trait Rng: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator, accessed through AWS-LC.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::disallowed_methods, reason = "the only place that reads the system's randomness")]
        aws_lc_rs::rand::fill(bytes).expect("the operating system provides random bytes");
    }
}

/// Returns `N` random bytes as URL-safe base64 without padding.
pub fn token<const N: usize>(rng: &dyn Rng) -> String {
    let mut bytes = [0; N];
    rng.fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns a number in `0.0..1.0`, for jitter.
pub fn fraction(rng: &dyn Rng) -> f64 {
    let mut bytes = [0; 4];
    rng.fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}
