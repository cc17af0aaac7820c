//! Makes Rust of the protocol's definition, with a compiler that is a crate: nothing else is needed.

use std::error::Error;

/// The services; what they share is found by them.
const FILES: [&str; 4] = ["streams.proto", "gossip.proto", "features.proto", "persistent.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let set = protox::compile(FILES, ["proto"])?;
    println!("cargo::rerun-if-changed=proto");
    tonic_prost_build::configure()
        .build_client(false)
        .bytes(".")
        .include_file("wire.rs")
        .compile_fds(set)?;
    Ok(())
}
