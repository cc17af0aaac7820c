//! A receiver that answers as it is told and remembers what came.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With that status and no body.
    Status(u16),
    /// With a redirect to that address.
    Redirect(String),
    /// With 200 and a body of many megabytes.
    Giant,
    /// Never.
    Silence,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Came {
    pub head: String,
    pub body: String,
}

impl Came {
    pub fn header(&self, name: &str) -> String {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    }
}

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    otherwise: Option<Answer>,
    came: Vec<Came>,
}

/// Listens on a loopback port.
#[derive(Clone)]
pub struct Receiver {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Receiver {
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let receiver = Self { port, state: Arc::clone(&state) };
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
        });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?a=b", self.port)
    }

    /// The next answers; 204 after them.
    pub fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state.lock().expect("unpoisoned").answers.extend(answers);
    }

    /// What is answered once nothing else is said.
    pub fn answer_always(&self, answer: Answer) {
        self.state.lock().expect("unpoisoned").otherwise = Some(answer);
    }

    pub fn came(&self) -> Vec<Came> {
        self.state.lock().expect("unpoisoned").came.clone()
    }

    pub fn ids(&self) -> Vec<String> {
        self.came().iter().map(|came| came.header("webhook-id")).collect()
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut bytes = Vec::new();
    let came = loop {
        if let Some(came) = whole(&bytes) {
            break came;
        }
        match stream.read_buf(&mut bytes).await {
            Ok(read) if read > 0 => {}
            _ => return,
        }
    };
    let answer = {
        let mut state = state.lock().expect("unpoisoned");
        state.came.push(came);
        let otherwise = state.otherwise.clone().unwrap_or(Answer::Status(204));
        state.answers.pop_front().unwrap_or(otherwise)
    };
    let head = match answer {
        Answer::Status(status) => format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n"),
        Answer::Redirect(to) => {
            format!("HTTP/1.1 307 X\r\nLocation: {to}\r\nContent-Length: 0\r\n")
        }
        Answer::Giant => "HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n".to_owned(),
        Answer::Silence => std::future::pending().await,
    };
    let giant = head.contains("67108864");
    // Whoever sent the message may have left.
    let told = stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await;
    if told.is_ok() && giant {
        let chunk = vec![b'x'; 65_536];
        while stream.write_all(&chunk).await.is_ok() {}
    }
}

fn whole(bytes: &[u8]) -> Option<Came> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let came = Came { head: head.to_owned(), body: body.to_owned() };
    let length: usize = came.header("content-length").parse().ok()?;
    (body.len() >= length).then_some(came)
}
