//! One connection, from its first byte to its last.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::{CONNECTION, TRANSFER_ENCODING};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use priyo_core::transport::Connection;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use super::body::{Timed, Tracked};
use super::io::{Shared, Watch, Watched};
use super::{Listen, Seat, address};

/// hyper takes no smaller one.
const LEAST_BUFFER: usize = 8 * 1024;

/// Serves `app` on a connection until it is over, an upgraded one too. The seat is free afterwards.
pub(super) async fn drive<S>(
    stream: TcpStream,
    seat: Seat,
    app: S,
    settings: Arc<Listen>,
    stop: CancellationToken,
) where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let connection = &seat.connection;
    let (shared, io) = Shared::new(stream, connection.clone());
    let answering = {
        let (connection, shared, settings) = (connection.clone(), Arc::clone(&shared), Arc::clone(&settings));
        service_fn(move |request| {
            answer(app.clone(), request, connection.clone(), Arc::clone(&shared), Arc::clone(&settings))
        })
    };
    let mut watch = Watch::new(&shared, &settings);
    // In a box, so that after an upgrade its memory is free again.
    let mut http = Box::pin(
        http1::Builder::new()
            // Ours starts with the first byte of a head and not with the end of the request before.
            .header_read_timeout(None)
            .max_header_size(settings.header_bytes)
            .max_headers(settings.headers)
            // A head fits, and no more: of a body that comes fast this is what is read at once, and each piece of it keeps
            // all of it in memory.
            .max_buf_size(settings.header_bytes.max(LEAST_BUFFER))
            .serve_connection(TokioIo::new(io), answering)
            .with_upgrades(),
    );
    let (mut stopping, mut closing) = (false, false);
    loop {
        tokio::select! {
            biased;
            () = connection.ended() => break,
            // An error here is the client's: it went away, or what it sent was not HTTP.
            _ = &mut http => break,
            () = connection.closed(), if !closing => {
                closing = true;
                shared.hang_up();
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                http.as_mut().graceful_shutdown();
            }
            watched = &mut watch => match watched {
                Watched::Idle => {
                    http.as_mut().graceful_shutdown();
                    shared.hurry();
                }
                Watched::Late => connection.end(),
                Watched::Gone => break,
            },
        }
    }
    if connection.is_ended() {
        // Before hyper lets go of it, which would be an orderly close.
        shared.kill();
    }
    drop(http);
    while shared.is_held() && !connection.is_ended() {
        tokio::select! {
            () = connection.ended() => {}
            () = connection.closed(), if !closing => {
                closing = true;
                shared.hang_up();
            }
            _ = &mut watch => connection.end(),
        }
    }
    // Whoever still waits on it, or asks later, learns that it is over.
    connection.end();
    shared.kill();
}

async fn answer<S>(
    app: S,
    mut request: Request<Incoming>,
    connection: Connection,
    shared: Arc<Shared>,
    settings: Arc<Listen>,
) -> Result<Response, Infallible>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    let chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let length = if chunked { None } else { Some(request.body().size_hint().exact().unwrap_or(0)) };
    if shared.begin(length).is_err() {
        return Ok(refusal(StatusCode::BAD_REQUEST));
    }
    if request.uri().path_and_query().map_or(0, |path| path.as_str().len()) > settings.url_bytes {
        shared.last_request();
        return Ok(refusal(StatusCode::URI_TOO_LONG));
    }
    if let Some(client) = address::client(connection.peer(), request.headers(), settings.trusted_proxies) {
        request.extensions_mut().insert(client);
    }
    request.extensions_mut().insert(ConnectInfo(connection.peer()));
    request.extensions_mut().insert(connection);
    let request = request.map(|body| Timed::wrap(body, settings.body_timeout));

    let mut response = match app.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        shared.upgrade();
        return Ok(response);
    }
    if chunked {
        // Where one chunked body ends is what a proxy and hyper are most likely to see differently.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| Tracked::wrap(body, shared)))
}

/// An answer like those that hyper gives to what it refuses itself.
fn refusal(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
