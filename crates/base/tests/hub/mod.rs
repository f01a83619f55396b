//! A hub on this machine: a thread that answers one request per connection, as a closure says, and keeps a log.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The commit every model of this hub is at.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a client asked for.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

impl Request {
    /// The first byte of the range asked for, 0 without one.
    pub fn start(&self) -> usize {
        let range = self
            .headers
            .get("range")
            .and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok());
        range.unwrap_or(0)
    }
}

/// What the client gets. The body is cut to what `HEAD` and `Range` leave of it, unless `deaf` to ranges.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The connection closes after this many bytes of the body.
    pub cut: Option<usize>,
    pub deaf: bool,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn body(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            ..Self::default()
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A running server; it ends with the test process.
pub struct Server {
    pub url: String,
    log: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (answer, kept) = (Arc::new(answer), log.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (answer.clone(), kept.clone());
                // A client that hangs up early is part of the game.
                thread::spawn(move || serve(stream, &*answer, &log));
            }
        });
        Self { url, log }
    }

    /// Requests so far whose path ends so.
    pub fn asked(&self, end: &str) -> Vec<Request> {
        let log = self.log.lock().expect("no panic in the server");
        log.iter()
            .filter(|request| request.path.ends_with(end))
            .cloned()
            .collect()
    }

    /// `GET`s so far whose path ends so.
    pub fn fetched(&self, end: &str) -> Vec<Request> {
        self.asked(end)
            .into_iter()
            .filter(|request| request.method == "GET")
            .collect()
    }
}

fn serve(stream: TcpStream, answer: &dyn Fn(&Request) -> Reply, log: &Mutex<Vec<Request>>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?)
        .lines()
        .map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    });
    let request = Request {
        method,
        path,
        headers: headers.collect(),
    };
    log.lock().ok()?.push(request.clone());
    let mut reply = answer(&request);
    let total = reply.body.len();
    if reply.status == 200 && request.start() > 0 && !reply.deaf {
        let start = request.start();
        if start >= total {
            reply = Reply::status(416);
        } else {
            reply.status = 206;
            reply.body.drain(..start);
            reply = reply.header("content-range", format!("bytes {start}-{}/{total}", total - 1));
        }
    }
    let mut head = format!(
        "HTTP/1.1 {} Status\r\nconnection: close\r\ncontent-length: {}\r\n",
        reply.status,
        reply.body.len()
    );
    reply
        .headers
        .iter()
        .for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
    let mut stream = stream;
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    if request.method != "HEAD" {
        let end = reply.cut.unwrap_or(usize::MAX).min(reply.body.len());
        stream.write_all(&reply.body[..end]).ok()?;
    }
    Some(())
}

/// A hub that holds one model, `org/tiny`, and answers as the real one does.
pub fn model(files: &[(&str, Vec<u8>)]) -> impl Fn(&Request) -> Reply + Send + Sync + 'static {
    let files: BTreeMap<String, Vec<u8>> = files
        .iter()
        .map(|(name, body)| ((*name).to_owned(), body.clone()))
        .collect();
    move |request| {
        if request.path == "/api/models/org/tiny/revision/main" {
            let siblings: Vec<String> = files
                .keys()
                .map(|name| format!("{{\"rfilename\":\"{name}\"}}"))
                .collect();
            return Reply::body(format!(
                "{{\"sha\":\"{COMMIT}\",\"siblings\":[{}]}}",
                siblings.join(",")
            ));
        }
        let name = request.path.strip_prefix(&format!("/org/tiny/resolve/{COMMIT}/"));
        match name.and_then(|name| files.get(name)) {
            Some(body) => {
                let reply = Reply::body(body.clone());
                if body.len() > 1_000 {
                    reply.header("x-linked-etag", format!("\"{}\"", sha256(body)))
                } else {
                    reply
                }
            }
            None => Reply::status(404),
        }
    }
}

pub fn sha256(data: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(data)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
