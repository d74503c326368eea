//! The way a request takes: straight into a router, or through a port.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::Answer;

/// Where requests go.
#[derive(Debug, Clone)]
pub enum Wire {
    /// Into a router in this process, without a port.
    Router(Router),
    /// To a server at this base address.
    Http(reqwest::Client, String),
}

impl Wire {
    /// To a server at `base`, such as `http://127.0.0.1:4000`.
    pub fn http(base: &str) -> Self {
        // What is not used is soon closed, so that a server can be seen at rest.
        let client = reqwest::Client::builder().no_proxy().timeout(crate::PATIENCE * 3);
        Self::Http(client.pool_idle_timeout(Duration::from_secs(1)).build().unwrap(), base.to_owned())
    }

    /// Sends a request exactly as given.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// Sends a request to a server that may be gone.
    ///
    /// # Errors
    ///
    /// When no answer came: what became of the request is then unknown.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, reqwest::Error> {
        match self {
            Self::Router(router) => {
                let mut request = Request::builder().method(method).uri(path);
                for (name, value) in headers {
                    request = request.header(*name, *value);
                }
                let response = router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
                let (head, body) = response.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
            }
            Self::Http(client, base) => {
                let mut request = client.request(method.parse().unwrap(), format!("{base}{path}")).body(body);
                for (name, value) in headers {
                    request = request.header(*name, *value);
                }
                let response = request.send().await?;
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                Ok(Answer { status, headers, body: response.bytes().await? })
            }
        }
    }
}
