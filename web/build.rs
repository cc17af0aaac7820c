//! Puts the pages' styles and scripts into the binary: ours, and what `npm ci` fetched by the lock file.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

const SCRIPT: &str = "text/javascript; charset=utf-8";
/// The one script that is not ours.
const IDIOMORPH: &str = "node_modules/idiomorph/dist/idiomorph.esm.js";

/// What is served: its name, its type, its bytes.
type Asset = (String, &'static str, Vec<u8>);

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let mut assets = vec![styles()];
    for path in files("assets/js") {
        assets.push((name(&path), SCRIPT, read(&path)));
    }
    assets.push(("idiomorph.js".to_owned(), SCRIPT, read(Path::new(IDIOMORPH))));

    let mut digest = Sha256::new();
    let mut table = String::new();
    for (name, kind, bytes) in &assets {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
        write_out(&out.join(name), bytes);
        write_out(&out.join(format!("{name}.gz")), &packed(bytes));
        write!(
            table,
            "Asset {{ name: {name:?}, kind: {kind:?}, \
             plain: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\")), \
             packed: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.gz\")) }},"
        )
        .expect("a string");
    }
    let version: String = digest.finalize().iter().take(6).fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string");
        hex
    });
    let code = format!(
        "/// Changes with any of the assets: part of their addresses.\n\
         pub(crate) const VERSION: &str = {version:?};\n\
         const ASSETS: &[Asset] = &[{table}];\n"
    );
    write_out(&out.join("assets.rs"), code.as_bytes());
}

/// All styles as one, those of the shell first, then a file for each part.
fn styles() -> Asset {
    let mut bytes = Vec::new();
    for path in files("assets/css") {
        bytes.extend(read(&path));
    }
    ("app.css".to_owned(), "text/css; charset=utf-8", bytes)
}

/// The files of a folder, by name.
fn files(folder: &str) -> Vec<PathBuf> {
    println!("cargo::rerun-if-changed={folder}");
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("an entry of a folder").path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().and_then(|name| name.to_str()).expect("a plain name").to_owned()
}

fn read(path: &Path) -> Vec<u8> {
    println!("cargo::rerun-if-changed={}", path.display());
    fs::read(path).unwrap_or_else(|error| {
        panic!(
            "{} can't be read ({error}): `make run` and `make test` fetch what the pages need, \
             as `npm ci` in the folder web/ does",
            path.display()
        )
    })
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(bytes).and_then(|()| packer.finish()).expect("memory takes what is written")
}

fn write_out(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
