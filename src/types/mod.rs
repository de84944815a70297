//! Checking: names, types and sizes, smoothness, trace types, strategy validity. Collects many errors, never stops at
//! one. The room's result is [`program::Checked`].

pub mod program;
