//! The model APIs that real agents speak to in tests, on loopback.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::support::repository;

/// A stand-in for a model's API, which ends when its standard input does.
pub struct ModelApi {
    child: Child,
    input: Option<ChildStdin>,
    /// Its address, without a trailing slash.
    pub url: String,
}

impl ModelApi {
    /// Starts this script of `tests/support`.
    pub fn start(script: &str) -> Self {
        let mut child = Command::new("python3")
            .arg(repository("tests/support").join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed for the model API of the tests");
        let input = child.stdin.take();
        let mut port = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut port).expect("its port");
        Self { child, input, url: format!("http://127.0.0.1:{}", port.trim()) }
    }
}

impl Drop for ModelApi {
    fn drop(&mut self) {
        drop(self.input.take());
        // It ends by itself; an error would only mean that it already has.
        drop(self.child.wait());
    }
}
