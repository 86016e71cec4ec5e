//! The console as a browser without script sees it: the real program on a port of its own, asked by plain HTTP, with the
//! cookies that it set.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cognito_user_sync::dev::local::Deployment;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::{binaries, eventually};

/// A console; killed when dropped.
pub struct Console {
    process: Child,
    /// Its host and port.
    pub address: String,
    /// Where it said to go: the one-time URL.
    pub url: String,
    cookies: Mutex<Vec<(String, String)>>,
    stdout: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<Vec<String>>>,
    is_demo: bool,
}

/// What it answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// The first header of this name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn location(&self) -> &str {
        self.header("location").unwrap_or_else(|| panic!("no location: {self:?}"))
    }

    /// Asserts that the page has this text.
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.body.contains(text), "no {text:?} in {}", self.body);
        self
    }

    /// Asserts that the page has it nowhere.
    pub fn never_says(&self, text: &str) -> &Self {
        assert!(!self.body.contains(text), "{text:?} in {}", self.body);
        self
    }
}

/// Variables under which a console works on this deployment, by a login of its own.
pub fn environment(deployment: &Deployment) -> Vec<(&'static str, &str)> {
    let mut environment = deployment.environment();
    environment.retain(|(name, _)| *name != "DATABASE_URL");
    environment.push(("DATABASE_URL", &deployment.console_url));
    environment
}

impl Console {
    /// Starts the release program beside this deployment, and opens the URL that it prints.
    pub async fn start(deployment: &Deployment, arguments: &[&str]) -> Self {
        let console = Self::start_signed_out(&environment(deployment), arguments).await;
        console.sign_in().await;
        console
    }

    /// The same, with variables that take the place of the deployment's.
    pub async fn start_with(deployment: &Deployment, more: &[(&str, &str)], arguments: &[&str]) -> Self {
        let all: Vec<(&str, &str)> =
            environment(deployment).into_iter().chain(more.iter().copied()).collect();
        let console = Self::start_signed_out(&all, arguments).await;
        console.sign_in().await;
        console
    }

    /// Asks it to end, in order.
    pub fn ask_to_end(&self) {
        let asked = Command::new("kill").args(["-s", "TERM", &self.process.id().to_string()]).status();
        assert!(asked.unwrap().success());
    }

    /// Starts it by variables of the test's own, and opens nothing.
    pub async fn start_signed_out(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        Self::run(binaries::user_sync().as_os_str().into(), environment, arguments).await
    }

    /// `user-sync console-demo` on a port of its own, signed in. It ends in order, since it started servers.
    pub async fn demo(arguments: &[&str]) -> Self {
        let mut command = Command::new(binaries::user_sync_dev());
        command.args(["console-demo", "--listen", "127.0.0.1:0"]).args(arguments);
        let mut console = Self::of(command, Duration::from_secs(300), "http").await;
        console.is_demo = true;
        let address = console.url.split('/').nth(2).expect("a host");
        console.address = address.to_owned();
        console.sign_in().await;
        console
    }

    async fn run(program: std::ffi::OsString, environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(["console", "--listen", "127.0.0.1:0"]).args(arguments);
        command.env_clear().envs(environment.iter().copied());
        let mut console = Self::of(command, Duration::from_secs(20), "console.addr").await;
        // Behind TLS the URL is of another host.
        let log = console.stderr();
        let address = log.split("\"console.addr\":\"").nth(1).expect("the log has the address");
        console.address = address.split('"').next().unwrap().to_owned();
        console
    }

    /// Waits for its URL, and for this word in what it says.
    async fn of(mut command: Command, limit: Duration, word: &str) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let read = |pipe: Box<dyn std::io::Read + Send>| {
            let lines = Arc::new(Mutex::new(Vec::new()));
            let kept = Arc::clone(&lines);
            std::thread::spawn(move || {
                let all = BufReader::new(pipe).lines().map_while(Result::ok);
                all.for_each(|line| kept.lock().unwrap().push(line));
            });
            lines
        };
        let stdout = read(Box::new(process.stdout.take().unwrap()));
        let stderr = read(Box::new(process.stderr.take().unwrap()));
        let printed = Arc::clone(&stdout);
        let url = || {
            let lines = printed.lock().unwrap();
            lines.iter().find(|line| line.starts_with("http")).map(|line| line.trim().to_owned())
        };
        let mut console = Self {
            process,
            address: String::new(),
            url: String::new(),
            cookies: Mutex::default(),
            stdout,
            stderr,
            is_demo: false,
        };
        eventually("the console prints its URL", limit, async || {
            let ended = url().is_none() && console.stderr().contains("Error:");
            assert!(!ended, "{}", console.stderr());
            url().is_some() && (console.stderr().contains(word) || console.stdout().contains(word))
        })
        .await;
        console.url = url().unwrap();
        console
    }

    /// Opens the URL that it printed, and keeps the cookies.
    pub async fn sign_in(&self) {
        let path = self.url.splitn(4, '/').nth(3).unwrap();
        let answer = self.get(&format!("/{path}")).await;
        assert!(matches!(answer.status, 200 | 303), "{answer:?}");
    }

    /// What it printed.
    pub fn stdout(&self) -> String {
        self.stdout.lock().unwrap().join("\n")
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The value of a cookie of access, such as `session`.
    pub fn cookie(&self, what: &str) -> String {
        let cookies = self.cookies.lock().unwrap();
        let found = cookies.iter().find(|(name, _)| name.contains(&format!("user_sync_{what}")));
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// What it wrote to its log.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().join("\n")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    /// Sends a form as a browser does that has this console's page open.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{}", self.address);
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let headers = [
            ("origin", origin.as_str()),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/x-www-form-urlencoded"),
        ];
        self.ask("POST", path, &headers, &body).await
    }

    /// Sends what no browser would. A header that is given takes the place of this one's own.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let cookies: Vec<_> = self.cookies.lock().unwrap().iter().map(|(n, v)| format!("{n}={v}")).collect();
        let mut all = vec![("host", self.address.clone()), ("connection", "close".to_owned())];
        if !cookies.is_empty() {
            all.push(("cookie", cookies.join("; ")));
        }
        if !body.is_empty() || method != "GET" {
            all.push(("content-length", body.len().to_string()));
        }
        all.retain(|(name, _)| headers.iter().all(|(own, _)| own != name));
        all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
        let head: String = all.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("{method} {path} HTTP/1.1\r\n{head}\r\n{body}");
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        // What is too large is refused before it is read to its end.
        let sent = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await;
        let read = read.expect("an answer within a minute");
        assert!(!answer.is_empty(), "{sent:?}, {read:?}");
        let answer = parse(&answer);
        self.keep_cookies(&answer);
        answer
    }

    fn keep_cookies(&self, answer: &Answer) {
        let mut cookies = self.cookies.lock().unwrap();
        for (_, value) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = value.split(';').next().unwrap().split_once('=').unwrap();
            cookies.retain(|(own, _)| own != name);
            if !value.is_empty() {
                cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// Forgets the session, as another browser.
    pub fn forget_cookies(&self) {
        self.cookies.lock().unwrap().clear();
    }
}

fn parse(answer: &[u8]) -> Answer {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let is_chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if is_chunked { joined(&answer[end + 4..]) } else { answer[end + 4..].to_vec() };
    Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() }
}

/// The chunks of a body (RFC 9112, 7.1).
fn joined(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        if size == 0 {
            break;
        }
        rest = &rest[end + 2 + size + 2..];
    }
    body
}

impl Drop for Console {
    fn drop(&mut self) {
        if self.is_demo {
            self.ask_to_end();
        } else {
            self.process.kill().unwrap();
        }
        self.process.wait().unwrap();
    }
}
