//! Optimisers as a file writes them: their names and the settings each takes. The checker reads the names, training the
//! values; both from this table, so that neither knows one that the other does not.

/// Values that a setting may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Range {
    Positive,
    NonNegative,
    /// At least 0 and below 1.
    Fraction,
    /// `true` or `false`.
    Flag,
}

impl Range {
    /// In words, after "must be".
    pub fn words(self) -> &'static str {
        match self {
            Range::Positive => "positive",
            Range::NonNegative => "at least 0",
            Range::Fraction => "at least 0 and below 1",
            Range::Flag => "`true` or `false`",
        }
    }

    pub fn holds(self, value: f64) -> bool {
        match self {
            Range::Positive => value > 0.0 && value.is_finite(),
            Range::NonNegative => value >= 0.0 && value.is_finite(),
            Range::Fraction => (0.0..1.0).contains(&value),
            Range::Flag => value == 0.0 || value == 1.0,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub name: &'static str,
    pub range: Range,
    pub default: f64,
}

#[derive(Clone, Copy, Debug)]
pub struct Signature {
    pub name: &'static str,
    /// In the order in which they may be written without names; the step size is first.
    pub settings: &'static [Setting],
}

const fn setting(name: &'static str, range: Range, default: f64) -> Setting {
    Setting { name, range, default }
}

const BETA1: Setting = setting("beta1", Range::Fraction, 0.9);
const BETA2: Setting = setting("beta2", Range::Fraction, 0.999);
const EPSILON: Setting = setting("epsilon", Range::NonNegative, 1e-10);

const fn rate(default: f64) -> Setting {
    setting("rate", Range::Positive, default)
}

pub const SIGNATURES: [Signature; 10] = [
    Signature { name: "adam", settings: &[rate(0.05), BETA1, BETA2, EPSILON] },
    Signature { name: "constant", settings: &[rate(0.01), BETA1, BETA2, EPSILON] },
    Signature {
        name: "adamw",
        settings: &[rate(0.05), setting("decay", Range::Fraction, 0.01), BETA1, BETA2, EPSILON],
    },
    Signature { name: "sgd", settings: &[rate(0.01), setting("momentum", Range::Fraction, 0.0)] },
    Signature { name: "adagrad", settings: &[rate(0.1), EPSILON] },
    Signature { name: "rmsprop", settings: &[rate(0.01), setting("keep", Range::Fraction, 0.99), EPSILON] },
    Signature { name: "adabelief", settings: &[rate(0.05), BETA1, BETA2, EPSILON] },
    Signature {
        name: "lion",
        settings: &[
            rate(0.003),
            BETA1,
            setting("beta2", Range::Fraction, 0.99),
            setting("decay", Range::NonNegative, 0.0),
        ],
    },
    Signature { name: "dowg", settings: &[rate(1.0)] },
    Signature { name: "cocob", settings: &[rate(1.0)] },
];

/// Settings that every optimiser takes, by name only. A number that is not written is NaN.
pub const COMMON: [Setting; 5] = [
    setting("constant", Range::Flag, 0.0),
    setting("clip", Range::Positive, f64::NAN),
    setting("warmup", Range::NonNegative, f64::NAN),
    setting("half_life", Range::Positive, f64::NAN),
    setting("cosine", Range::Positive, f64::NAN),
];

pub fn signature(name: &str) -> Option<&'static Signature> {
    SIGNATURES.iter().find(|s| s.name == name)
}

/// For messages.
pub fn names() -> String {
    SIGNATURES.map(|s| s.name).join(", ")
}

impl Signature {
    pub fn setting(&self, name: &str) -> Option<&'static Setting> {
        self.settings.iter().chain(&COMMON).find(|s| s.name == name)
    }

    /// For messages.
    pub fn setting_names(&self) -> String {
        self.settings.iter().chain(&COMMON).map(|s| s.name).collect::<Vec<_>>().join(", ")
    }
}
