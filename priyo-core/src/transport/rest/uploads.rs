//! `POST /api/upload`: one file, in a multipart form.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, future, stream};
use multer::{Field, Multipart};
use serde_json::json;

use super::extract::{declared_length, is_limit};
use super::percent;
use super::portions::{FileBytes, Portions};
use crate::auth::Caller;
use crate::engine::ChatEngine;
use crate::error::{Error, Result};
use crate::files::NewFile;
use crate::transport::wire::UploadView;

/// The field that the file is in.
const FIELD: &str = "file";

/// Most parts of a form; more than the file and a few words beside it nobody needs.
const PARTS: usize = 16;

/// What a form may have beside its file, in bytes: boundaries, headers of parts, short fields, and a portion that was not
/// looked at yet.
const OVERHEAD: u64 = 64 * 1024;

/// Most bytes in the headers of one part.
const PART_HEADERS: usize = 8 * 1024;

/// Longest boundary, in characters (RFC 2046, section 5.1.1).
const BOUNDARY: usize = 70;

const NO_FILE: Error = Error::Refused("No file uploaded");
const ONE_FILE: Error = Error::Refused("Only one file can be uploaded at a time");
const MALFORMED: Error = Error::Refused("Malformed multipart body");

pub(super) async fn upload(
    State(engine): State<ChatEngine>,
    caller: Caller,
    request: Request,
) -> Result<Response> {
    let mut form = Form::new(request, engine.limits().upload_bytes)?;
    let (file, field) = form.file().await?;
    let record = engine.upload(&caller, file, form.bytes_of(field)).await?;
    let file = UploadView::new(&engine, &record);
    Ok(Json(json!({ "message": "File uploaded successfully", "file": file })).into_response())
}

/// A form that is being received.
struct Form {
    parts: Multipart<'static>,
    /// Parts that may still come.
    left: usize,
    max_bytes: u64,
    file: FileBytes,
}

impl Form {
    fn new(request: Request, max_bytes: u64) -> Result<Self> {
        let boundary = boundary(request.headers())?;
        let max_form = max_bytes.saturating_add(OVERHEAD);
        // Said to be so large that no part of it could be small enough: nothing of it is read.
        if declared_length(request.headers()).is_some_and(|length| length > max_form) {
            return Err(too_large(max_bytes));
        }
        let file = FileBytes::default();
        let portions = Portions::of(request.into_body().into_data_stream(), file.clone(), OVERHEAD);
        Ok(Self { parts: Multipart::new(portions, boundary), left: PARTS, max_bytes, file })
    }

    /// The file of the form; what comes before it is passed over.
    async fn file(&mut self) -> Result<(NewFile, Field<'static>)> {
        let mut others = false;
        // A file in another field may be more than a form may have beside its own.
        while let Some(field) = self.next().await.map_err(|error| if others { NO_FILE } else { error })? {
            let Some(name) = file_name(&field) else { continue };
            if field.name() != Some(FIELD) {
                others = true;
            } else if others {
                return Err(ONE_FILE);
            } else {
                let content_type = field.headers().get(header::CONTENT_TYPE);
                let content_type =
                    content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
                return Ok((NewFile { name, content_type }, field));
            }
        }
        Err(NO_FILE)
    }

    /// The bytes of the file, and an error at their end if the form then goes on with another file, or breaks off.
    fn bytes_of(mut self, field: Field<'static>) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
        let (max_bytes, file) = (self.max_bytes, self.file.clone());
        let bytes = field.map_err(move |error| refusal(&error, max_bytes));
        let bytes = bytes.inspect_ok(move |piece| file.add(piece));
        let end = stream::once(async move { self.has_no_more_files().await });
        bytes.chain(end.try_filter_map(|()| future::ok(None)))
    }

    async fn has_no_more_files(&mut self) -> Result<()> {
        while let Some(field) = self.next().await? {
            if file_name(&field).is_some() {
                return Err(ONE_FILE);
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Field<'static>>> {
        let Some(field) = self.parts.next_field().await.map_err(|error| refusal(&error, self.max_bytes))?
        else {
            return Ok(None);
        };
        let headers: usize =
            field.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        self.left = self.left.checked_sub(1).filter(|_| headers <= PART_HEADERS).ok_or(MALFORMED)?;
        Ok(Some(field))
    }
}

/// What separates the parts of a form.
fn boundary(headers: &HeaderMap) -> Result<String> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match multer::parse_boundary(content_type.unwrap_or_default()) {
        Ok(boundary) if (1..=BOUNDARY).contains(&boundary.len()) => Ok(boundary),
        // Not a form at all, so there is no file in it.
        Err(multer::Error::NoMultipart | multer::Error::DecodeContentType(_)) => Err(NO_FILE),
        _ => Err(MALFORMED),
    }
}

/// What the client calls the file; `None` for a part that is no file.
fn file_name(field: &Field<'_>) -> Option<String> {
    let disposition = field.headers().get(header::CONTENT_DISPOSITION)?.as_bytes();
    let extended = std::str::from_utf8(disposition).ok().and_then(percent::extended_file_name);
    extended.or_else(|| field.file_name().map(percent::decode_form))
}

fn too_large(max_bytes: u64) -> Error {
    Error::TooLarge { what: "File", max_bytes }
}

fn refusal(error: &multer::Error, max_bytes: u64) -> Error {
    match error {
        // Of a host program's around the router.
        multer::Error::StreamReadFailed(cause) if is_limit(cause.as_ref()) => too_large(max_bytes),
        _ => MALFORMED,
    }
}
