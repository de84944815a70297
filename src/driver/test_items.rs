//! `provi test`: the `test` items of a file.
