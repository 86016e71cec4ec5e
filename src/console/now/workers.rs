//! Asks the workers for what they have counted, over HTTP on the deployment's own network. Must not know what it means.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cognito_user_sync_triggers::timestamp::Timestamp;
use futures::future::join_all;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use url::Url;

use crate::console::now::hour::Hour;
use crate::console::now::scrape::{PAGE_MAX_BYTES, Totals, Workers};
use crate::console::now::source::Refusal;

/// How long one of them has to answer: one that hangs must not take the others' time.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Most workers.
pub const WORKERS_MAX: usize = 64;

/// Where a worker serves what it counts.
///
/// # Errors
/// When it is no such URL, with a sentence that says what one is.
pub fn metrics_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}: http://HOST:9464/metrics"))?;
    if url.scheme() != "http" || url.host_str().is_none() {
        return Err("a worker serves plain HTTP on its own network: http://HOST:9464/metrics".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a worker asks for no password: http://HOST:9464/metrics".to_owned());
    }
    Ok(url)
}

/// Which workers answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::console::now) struct Heard {
    /// How many there are.
    pub(in crate::console::now) of: usize,
    /// Those that did not, and why.
    pub(in crate::console::now) failed: Vec<(String, String)>,
}

/// Asks them.
#[derive(Debug)]
pub(in crate::console::now) struct Scraper {
    urls: Vec<Url>,
    client: Client<HttpConnector, Empty<Bytes>>,
    read: Mutex<Workers>,
}

impl Scraper {
    pub(in crate::console::now) fn new(urls: Vec<Url>) -> Self {
        Self { urls, client: Client::builder(TokioExecutor::new()).build_http(), read: Mutex::default() }
    }

    /// Asks all of them at once, and adds to the hour what they have counted since.
    pub(in crate::console::now) async fn ask(
        self: Arc<Self>,
        hour: Arc<Mutex<Hour>>,
    ) -> Result<Heard, Refusal> {
        let at = Timestamp::now();
        let pages = join_all(self.urls.iter().map(|url| self.page(url))).await;
        let (mut read, mut failed) = (Vec::new(), Vec::new());
        for (url, page) in self.urls.iter().zip(pages) {
            match page {
                Ok(totals) => read.push((url.to_string(), totals)),
                Err(why) => failed.push((url.to_string(), why)),
            }
        }
        let is_none = read.is_empty();
        let mut hour = hour.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        known.note(at, read, failed.is_empty(), &mut hour);
        match failed.first() {
            Some((url, why)) if is_none => Err(Refusal::silent(format!("{url}: {why}"))),
            Some(_) | None => Ok(Heard { of: self.urls.len(), failed }),
        }
    }

    async fn page(&self, url: &Url) -> Result<Totals, String> {
        let asked = tokio::time::timeout(TIMEOUT, self.body(url)).await;
        let body = asked.map_err(|_| format!("no answer within {} s", TIMEOUT.as_secs()))??;
        Totals::read(&String::from_utf8_lossy(&body)).map_err(|_| "this is no worker's page".to_owned())
    }

    async fn body(&self, url: &Url) -> Result<Bytes, String> {
        let uri = url.as_str().parse().map_err(|_| "it is no URL".to_owned())?;
        let answer = self.client.get(uri).await.map_err(|_| "no worker answers there".to_owned())?;
        match answer.status().as_u16() {
            200 => {}
            404 => return Err("404: its metrics go to CloudWatch, or the path is another".to_owned()),
            status => return Err(format!("it answers {status}")),
        }
        let body = Limited::new(answer.into_body(), PAGE_MAX_BYTES).collect().await;
        body.map(|body| body.to_bytes()).map_err(|_| "its page is broken off, or too long".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_is_a_workers_own_and_holds_no_password() {
        assert_eq!(
            metrics_url("http://10.0.0.7:9464/metrics").unwrap().as_str(),
            "http://10.0.0.7:9464/metrics"
        );
        for wrong in
            ["10.0.0.7:9464", "https://worker/metrics", "http://u:p@worker/metrics", "file:///etc/passwd", ""]
        {
            assert!(metrics_url(wrong).is_err(), "{wrong}");
        }
    }
}
