//! The binary `execution-ledger`.

fn main() {}
