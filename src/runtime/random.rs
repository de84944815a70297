//! Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
//! 1, 2, 3", SC 2011). A draw is a function of (seed, step, site, index).
//!
//! Key = seed. Counter = (index low 32; index high 16 | attempt 16; site 32; step 32). One block of 128 bits holds two
//! numbers: normals and uniforms of index `i` are member `i & 1` of block `i >> 1`. Normals are Box–Muller's pair;
//! uniforms are odd multiples of 2^-53, so never 0 or 1 and symmetric about 1/2; exponentials are -log of a uniform.
//! What rejects ([`rejection`]) takes one block per attempt, block index = index.
//!
//! Strips give bit for bit what the scalar functions give. A site is drawn from by one kind of noise only.

mod rejection;

use super::executable::Stream;
use super::kernel::elementary::{log, polynomial};
use super::level::leveled;

const MULTIPLIER_0: u64 = 0xD251_1F53;
const MULTIPLIER_1: u64 = 0xCD9E_8D57;
const WEYL_0: u32 = 0x9E37_79B9;
const WEYL_1: u32 = 0xBB67_AE85;
const LOW: u64 = 0xFFFF_FFFF;

/// One round of Philox4x32 on words that stand in the low halves.
#[inline(always)]
fn round(c: [u64; 4], key: [u32; 2]) -> [u64; 4] {
    let p0 = (c[0] & LOW) * MULTIPLIER_0;
    let p1 = (c[2] & LOW) * MULTIPLIER_1;
    [(p1 >> 32) ^ c[1] ^ u64::from(key[0]), p1 & LOW, (p0 >> 32) ^ c[3] ^ u64::from(key[1]), p0 & LOW]
}

/// Ten rounds of Philox4x32. Written out: a loop would stand in the way of vectorising the loop around.
#[inline(always)]
fn philox(c: [u64; 4], k: [u32; 2]) -> [u64; 4] {
    #[inline(always)]
    fn key(k: [u32; 2], n: u32) -> [u32; 2] {
        [k[0].wrapping_add(WEYL_0.wrapping_mul(n)), k[1].wrapping_add(WEYL_1.wrapping_mul(n))]
    }
    let c = round(c, key(k, 0));
    let c = round(c, key(k, 1));
    let c = round(c, key(k, 2));
    let c = round(c, key(k, 3));
    let c = round(c, key(k, 4));
    let c = round(c, key(k, 5));
    let c = round(c, key(k, 6));
    let c = round(c, key(k, 7));
    let c = round(c, key(k, 8));
    round(c, key(k, 9))
}

/// Two words of 64 bits.
#[inline(always)]
fn block(stream: Stream, site: u32, index: u64, attempt: u64) -> (u64, u64) {
    let key = [stream.seed as u32, (stream.seed >> 32) as u32];
    let counter = [index & LOW, ((index >> 32) & 0xFFFF) | (attempt << 16), u64::from(site), u64::from(stream.step)];
    let [a, b, c, d] = philox(counter, key);
    (a | (b << 32), c | (d << 32))
}

/// An odd multiple of 2^-53 in (0, 1).
#[inline(always)]
fn unit(word: u64) -> f64 {
    const BELOW_ONE: f64 = 1.0 - f64::EPSILON / 2.0;
    f64::from_bits(0x3ff0_0000_0000_0000 | (word >> 12)) - BELOW_ONE
}

/// Both uniforms of a block.
#[inline(always)]
fn units(stream: Stream, site: u32, index: u64) -> (f64, f64) {
    let (a, b) = block(stream, site, index, 0);
    (unit(a), unit(b))
}

/// `sin(π r / 2) / r` in `r^2` on |r| <= 1/2.
const SIN_QUARTER: [f64; 8] = [
    std::f64::consts::FRAC_PI_2,
    -0.6459640975062463,
    0.07969262624616692,
    -0.004681754135314827,
    0.0001604411847266723,
    -3.598842717144858e-06,
    5.691927850489633e-08,
    -6.627624938992472e-10,
];
/// `cos(π r / 2)` in `r^2` on |r| <= 1/2.
const COS_QUARTER: [f64; 8] = [
    1.0,
    -1.2337005501361697,
    0.2536695079010467,
    -0.02086348076331121,
    0.0009192602741831558,
    -2.520203677046026e-05,
    4.710609726757823e-07,
    -6.321256869628588e-09,
];

/// Box–Muller: radius from the first uniform, angle from the second.
#[inline(always)]
fn normal_pair<const F: bool>(u: f64, v: f64) -> (f64, f64) {
    let radius = (-2.0 * log::<F>(u)).sqrt();
    const SHIFT: f64 = 6755399441055744.0;
    let t = 4.0 * v;
    let shifted = t + SHIFT;
    let quadrant = shifted.to_bits();
    let r = t - (shifted - SHIFT);
    let z = r * r;
    let s = r * polynomial::<F, 8>(z, &SIN_QUARTER);
    let c = polynomial::<F, 8>(z, &COS_QUARTER);
    let odd = quadrant & 1 != 0;
    let (cos, sin) = (if odd { s } else { c }, if odd { c } else { s });
    let cos_sign = ((quadrant.wrapping_add(1)) & 2) << 62;
    let sin_sign = (quadrant & 2) << 62;
    (radius * f64::from_bits(cos.to_bits() ^ cos_sign), radius * f64::from_bits(sin.to_bits() ^ sin_sign))
}

#[inline(always)]
fn normal_at<const F: bool>(stream: Stream, site: u32, index: u64) -> f64 {
    let (u, v) = units(stream, site, index >> 1);
    let (a, b) = normal_pair::<F>(u, v);
    if index & 1 == 0 { a } else { b }
}

#[inline(always)]
fn uniform_at(stream: Stream, site: u32, index: u64) -> f64 {
    let (a, b) = units(stream, site, index >> 1);
    if index & 1 == 0 { a } else { b }
}

#[inline(always)]
fn exponential_at<const F: bool>(stream: Stream, site: u32, index: u64) -> f64 {
    -log::<F>(uniform_at(stream, site, index))
}

leveled! {
    /// A standard normal.
    pub fn normal(stream: Stream, site: u32, index: u64) -> f64 {
        normal_at::<FUSED>(stream, site, index)
    }
}

/// A uniform in (0, 1): an odd multiple of 2^-53.
pub fn uniform(stream: Stream, site: u32, index: u64) -> f64 {
    uniform_at(stream, site, index)
}

leveled! {
    /// A standard exponential.
    pub fn exponential(stream: Stream, site: u32, index: u64) -> f64 {
        exponential_at::<FUSED>(stream, site, index)
    }
}

pub use rejection::{binomial, log_gamma, poisson};

/// Blocks computed at a time in a strip, and in the last or only part of a strip that is short.
const BATCH: usize = 32;
const SHORT: usize = 8;

/// Both members of `N` consecutive blocks, in order. Each stage is a loop of its own and of fixed length, so that both
/// vectorise.
#[inline(always)]
fn pairs<const N: usize>(
    (stream, site): (Stream, u32),
    from: u64,
    transform: &impl Fn(f64, f64) -> (f64, f64),
) -> [[f64; 2]; N] {
    let (mut first, mut second) = ([0.0; N], [0.0; N]);
    for (i, (a, b)) in first.iter_mut().zip(&mut second).enumerate() {
        (*a, *b) = units(stream, site, from + i as u64);
    }
    for (a, b) in first.iter_mut().zip(&mut second) {
        (*a, *b) = transform(*a, *b);
    }
    let mut numbers = [[0.0; 2]; N];
    for (v, (a, b)) in numbers.iter_mut().zip(first.iter().zip(&second)) {
        *v = [*a, *b];
    }
    numbers
}

/// Writes both members of consecutive blocks; `first_index` is even or not. What a batch has too much is dropped.
#[inline(always)]
fn strip_of_pairs(
    source: (Stream, u32),
    first_index: u64,
    out: &mut [f64],
    transform: impl Fn(f64, f64) -> (f64, f64),
) {
    let mut from = first_index >> 1;
    let mut skip = (first_index & 1) as usize;
    let mut rest = out;
    while !rest.is_empty() {
        let needed = rest.len() + skip;
        let (count, made) = if needed <= 2 * SHORT {
            let numbers = pairs::<SHORT>(source, from, &transform);
            let count = rest.len();
            rest.copy_from_slice(&numbers.as_flattened()[skip..needed]);
            (count, SHORT)
        } else {
            let numbers = pairs::<BATCH>(source, from, &transform);
            let count = rest.len().min(2 * BATCH - skip);
            rest[..count].copy_from_slice(&numbers.as_flattened()[skip..skip + count]);
            (count, BATCH)
        };
        rest = &mut rest[count..];
        from += made as u64;
        skip = 0;
    }
}

/// Writes a number per element, member `i & 1` of block `i >> 1` for the element's index `i`.
#[inline(always)]
fn strip_of_singles(
    (stream, site): (Stream, u32),
    out: &mut [f64],
    index: impl Fn(usize) -> u64,
    transform: impl Fn(f64, f64) -> (f64, f64),
) {
    let mut from = 0;
    let (mut first, mut second) = ([0.0; BATCH], [0.0; BATCH]);
    let mut indices = [0u64; BATCH];
    for part in out.chunks_mut(BATCH) {
        let count = part.len().next_multiple_of(8);
        for (i, v) in indices[..part.len()].iter_mut().enumerate() {
            *v = index(from + i);
        }
        for ((a, b), &i) in first[..count].iter_mut().zip(&mut second[..count]).zip(&indices) {
            (*a, *b) = units(stream, site, i >> 1);
        }
        for ((a, b), &i) in first[..count].iter_mut().zip(&second[..count]).zip(&indices) {
            let (x, y) = transform(*a, *b);
            *a = if i & 1 == 0 { x } else { y };
        }
        part.copy_from_slice(&first[..part.len()]);
        from += part.len();
    }
}

/// Both exponentials of a block.
#[inline(always)]
fn exponential_pair<const F: bool>(u: f64, v: f64) -> (f64, f64) {
    (-log::<F>(u), -log::<F>(v))
}

leveled! {
    /// Normals of the indices `first_index..`.
    pub fn normal_strip(stream: Stream, site: u32, first_index: u64, out: &mut [f64]) {
        strip_of_pairs((stream, site), first_index, out, normal_pair::<FUSED>);
    }
}

leveled! {
    /// Uniforms of the indices `first_index..`.
    pub fn uniform_strip(stream: Stream, site: u32, first_index: u64, out: &mut [f64]) {
        strip_of_pairs((stream, site), first_index, out, |u, v| (u, v));
    }
}

leveled! {
    /// Exponentials of the indices `first_index..`.
    pub fn exponential_strip(stream: Stream, site: u32, first_index: u64, out: &mut [f64]) {
        strip_of_pairs((stream, site), first_index, out, exponential_pair::<FUSED>);
    }
}

leveled! {
    /// Normals of the given indices.
    pub fn normal_gather(stream: Stream, site: u32, indices: &[u64], out: &mut [f64]) {
        let n = out.len().min(indices.len());
        strip_of_singles((stream, site), &mut out[..n], |k| indices[k], normal_pair::<FUSED>);
    }
}

leveled! {
    /// Normals of the indices `first_index`, `first_index + stride`, ….
    pub fn normal_strided(stream: Stream, site: u32, first_index: u64, stride: u64, out: &mut [f64]) {
        let index = |k: usize| first_index.wrapping_add(stride.wrapping_mul(k as u64));
        strip_of_singles((stream, site), out, index, normal_pair::<FUSED>);
    }
}

leveled! {
    /// Uniforms of the given indices.
    pub fn uniform_gather(stream: Stream, site: u32, indices: &[u64], out: &mut [f64]) {
        let n = out.len().min(indices.len());
        strip_of_singles((stream, site), &mut out[..n], |k| indices[k], |u, v| (u, v));
    }
}

leveled! {
    /// Uniforms of the indices `first_index`, `first_index + stride`, ….
    pub fn uniform_strided(stream: Stream, site: u32, first_index: u64, stride: u64, out: &mut [f64]) {
        let index = |k: usize| first_index.wrapping_add(stride.wrapping_mul(k as u64));
        strip_of_singles((stream, site), out, index, |u, v| (u, v));
    }
}

leveled! {
    /// Exponentials of the given indices.
    pub fn exponential_gather(stream: Stream, site: u32, indices: &[u64], out: &mut [f64]) {
        let n = out.len().min(indices.len());
        strip_of_singles((stream, site), &mut out[..n], |k| indices[k], exponential_pair::<FUSED>);
    }
}

leveled! {
    /// Exponentials of the indices `first_index`, `first_index + stride`, ….
    pub fn exponential_strided(stream: Stream, site: u32, first_index: u64, stride: u64, out: &mut [f64]) {
        let index = |k: usize| first_index.wrapping_add(stride.wrapping_mul(k as u64));
        strip_of_singles((stream, site), out, index, exponential_pair::<FUSED>);
    }
}

/// Two uniforms in (0, 1) for use outside programs (starts of optimisers, permutations): block `index` of a site.
pub fn uniform_pair(stream: Stream, site: u32, index: u64) -> (f64, f64) {
    units(stream, site, index)
}

/// The functions above for machine code: (seed, step, site, first index, stride, out, n). A stride of 1 takes the
/// strip functions.
pub mod entry {
    use super::Stream;

    pub type Strided = unsafe extern "C" fn(u64, u32, u32, u64, u64, *mut f64, usize);

    macro_rules! strided {
        ($name:ident, $strip:ident, $strided:ident) => {
            /// # Safety
            /// `out` has `n` elements.
            pub unsafe extern "C" fn $name(
                seed: u64,
                step: u32,
                site: u32,
                first: u64,
                stride: u64,
                out: *mut f64,
                n: usize,
            ) {
                // SAFETY: given.
                let out = unsafe { std::slice::from_raw_parts_mut(out, n) };
                let stream = Stream { seed, step };
                if stride == 1 {
                    super::$strip(stream, site, first, out);
                } else {
                    super::$strided(stream, site, first, stride, out);
                }
            }
        };
    }
    strided!(normal, normal_strip, normal_strided);
    strided!(uniform, uniform_strip, uniform_strided);
    strided!(exponential, exponential_strip, exponential_strided);
}

#[cfg(test)]
mod tests;
