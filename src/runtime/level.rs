//! Which vector instructions this process uses. Found once; the same for the interpreter and for machine code.

use std::sync::OnceLock;

/// Instruction sets, ascending. All but `Base` have fused multiply-add and agree bit for bit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    Base,
    Avx2,
    Avx512,
}

impl Level {
    /// Whether this processor can run code of the level.
    pub fn supported(self) -> bool {
        self <= level()
    }
}

/// The highest level this processor supports.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(detect)
}

#[cfg(target_arch = "x86_64")]
fn detect() -> Level {
    let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (avx2, avx512) {
        (true, true) => Level::Avx512,
        (true, false) => Level::Avx2,
        _ => Level::Base,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn detect() -> Level {
    Level::Base
}

/// Defines `fn NAME(args) -> result` that runs the body with the widest instructions of the process. In the body,
/// `FUSED` is a constant: whether fused multiply-add is used. The body must give the same bits at every width.
macro_rules! leveled {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$doc])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<const FUSED: bool>($($arg: $ty),*) $(-> $ret)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? { body::<true>($($arg),*) }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? { body::<true>($($arg),*) }
            match $crate::runtime::level::level() {
                $crate::runtime::level::Level::Base => body::<false>($($arg),*),
                // SAFETY: the level says that the processor has these features.
                #[cfg(target_arch = "x86_64")]
                $crate::runtime::level::Level::Avx2 => unsafe { avx2($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::runtime::level::Level::Avx512 => unsafe { avx512($($arg),*) },
                #[cfg(not(target_arch = "x86_64"))]
                _ => body::<false>($($arg),*),
            }
        }
    };
}
pub(crate) use leveled;
