//! Random numbers of the starts: which points a search begins at and which noise scores a candidate. Programs draw
//! through `runtime/`; this stream never meets theirs. SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) and Box–Muller.

pub(crate) struct Noise {
    state: u64,
    spare: Option<f64>,
}

impl Noise {
    /// A stream that depends on the seed and on what it is for.
    pub(crate) fn new(seed: u64, purpose: u64) -> Noise {
        let mut noise = Noise { state: seed ^ purpose.wrapping_mul(0xA076_1D64_78BD_642F), spare: None };
        noise.state = noise.bits();
        noise
    }

    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform on (0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * self.uniform()).sin_cos();
        self.spare = Some(radius * sine);
        radius * cosine
    }
}
