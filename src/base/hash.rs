//! Maps with a fast hash, for keys that no one chooses to collide. Their order is fixed, but means nothing.

use rustc_hash::FxBuildHasher;

pub type HashMap<K, V> = std::collections::HashMap<K, V, FxBuildHasher>;
pub type HashSet<K> = std::collections::HashSet<K, FxBuildHasher>;
