//! `/api/upload` and `/uploads`.

use serde_json::{Value, json};

use super::super::operation::Described;
use super::super::schema::{constant, object, reference};
use crate::error::ErrorCode;
use crate::limits::Limits;

pub(super) const GROUP: &str = "Files";

pub(super) fn upload(limits: &Limits) -> Described {
    let max = limits.upload_bytes;
    let file = json!({
        "type": "string",
        "contentMediaType": "application/octet-stream",
        "description": format!("The file: at most {max} bytes."),
    });
    let answer = object([("message", constant("File uploaded successfully")), ("file", reference("Upload"))]);
    Described::new("uploadFile", GROUP, "Upload a file")
        .says(
            "Taken are png, jpeg, gif, webp, pdf, doc, docx, txt, mp4, mp3 and wav. The bytes decide on the type; \
             the name's extension and the declared type must not contradict them. Until a message carries the file \
             only its uploader can read it. One that no message carries is removed after 24 hours. The answer may \
             come before the file is read to its end, and then says `Connection: close`.",
        )
        .form(object([("file", file)]))
        .answers(200, "The file is stored.", answer)
        .fails(ErrorCode::ValidationFailed, "There is no file, more than one, or the form is broken.")
        .fails(
            ErrorCode::PayloadTooLarge,
            "The file is too large; `maxSize` says how many bytes are taken. The rest of it is not read.",
        )
        .fails(
            ErrorCode::QuotaExceeded,
            "The user's files would be too large together; `maxSize` says how many bytes they may have.",
        )
        .fails(ErrorCode::UnsupportedMediaType, "Files of this type are not taken.")
}

pub(super) fn download(id: &'static str, summary: &'static str) -> Described {
    Described::new(id, GROUP, summary)
        .says(
            "For the uploader and, once a message carries the file, for the participants. The addresses that the \
             server gives out are signed: whoever has one needs no token until `exp`, an hour later at most. Where \
             the signature is missing or no longer good the token decides. Images, audio and video are sent \
             `inline`, everything else as an attachment.",
        )
        .for_anyone_or_users()
        .segment("filename", "The file's stored name.")
        .query("exp", "Until when the address is good, in seconds since 1970.", json!({ "type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_992_u64 }))
        .query("sig", "The signature of the address.", json!({ "type": "string" }))
        .query(
            "size",
            "`thumb` gives a small picture of a picture, as `image/jpeg` or `image/png`: of what moves, its \
             beginning. `404` where there is none.",
            json!({ "type": "string", "enum": ["thumb"] }),
        )
        .header("Range", "One range of bytes, such as `bytes=0-1023`. Anything else gets the whole file.")
        .header("If-Range", "An `ETag`: the range counts only if the file is still that one.")
        .header("If-None-Match", "`ETag`s that the client has.")
        .answers_with(200, bytes("The whole file.", false))
        .answers_with(206, bytes("The part that was asked for.", true))
        .answers_with(304, json!({ "description": "The client has it already.", "headers": file_headers() }))
        .fails(ErrorCode::NotFound, "There is no such file, or none that the caller may read.")
        .fails_with(416, out_of_range())
}

fn bytes(description: &str, part: bool) -> Value {
    let mut headers = file_headers();
    headers["Content-Length"] = header("How many bytes follow.");
    if part {
        headers["Content-Range"] = header("Which part it is: `bytes <first>-<last>/<size>`.");
    }
    json!({ "description": description, "headers": headers, "content": { "*/*": {} } })
}

fn file_headers() -> Value {
    json!({
        "ETag": header("Names the file's bytes, which never change."),
        "Accept-Ranges": header("Always `bytes`."),
        "Content-Disposition": header("`inline` or `attachment`, and the file's original name."),
        "Cache-Control": header(
            "`private, no-store`, since who may read a file can change; for a signed address `private, max-age`, \
             as long as it is good.",
        ),
        // The one header that may be missing: by a token an answer has it only from a program around, as the server is.
        "Cross-Origin-Resource-Policy": {
            "description": "`cross-origin` for a signed address; for any other what the program around it says.",
            "schema": { "type": "string" },
        },
    })
}

fn out_of_range() -> Value {
    json!({
        "description": "`validation_failed`: the file does not have that part.",
        "headers": { "Content-Range": header("How large the file is: `bytes */<size>`.") },
        "content": { "application/json": { "schema": reference("Error") } },
    })
}

fn header(description: &str) -> Value {
    json!({ "description": description, "required": true, "schema": { "type": "string" } })
}
