//! Percent encoding, as the names of files use it in headers.

use std::fmt::Write as _;

/// The name in `filename*=UTF-8''…` of a `Content-Disposition` (RFC 8187), which goes before the plain one.
pub(super) fn extended_file_name(disposition: &str) -> Option<String> {
    parameters(disposition).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("filename*") {
            return None;
        }
        let mut parts = value.trim().splitn(3, '\'');
        let (charset, text) = (parts.next()?, parts.nth(1)?);
        charset.eq_ignore_ascii_case("utf-8").then(|| decode(text, |_| true))?
    })
}

/// The name that browsers mean in a form: they encode only what would end a header or a quoted text.
pub(super) fn decode_form(name: &str) -> String {
    decode(name, |byte| b"\"\r\n".contains(&byte)).unwrap_or_else(|| name.to_owned())
}

/// A name for a `Content-Disposition`: in ASCII for old clients, and as it is for all others.
pub(super) fn file_name_parameters(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() && !"\"\\%".contains(c) || c == ' ' { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    let mut text = format!("filename=\"{ascii}\"; filename*=UTF-8''");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Decodes those bytes that `which` wants; `None` when the outcome is not UTF-8.
fn decode(text: &str, which: impl Fn(u8) -> bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let encoded = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        match encoded.filter(|byte| which(*byte)) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The parameters of a header, without looking for a semicolon in quoted texts.
fn parameters(header: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    header.split(move |c| {
        let is_escaped = escaped;
        escaped = quoted && c == '\\' && !is_escaped;
        quoted ^= c == '"' && !is_escaped;
        c == ';' && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extended_name_is_found_and_decoded() {
        for (header, name) in [
            ("form-data; name=\"file\"; filename*=UTF-8''%D0%B6%20a.png", Some("ж a.png")),
            ("form-data; filename=\"x\"; FILENAME* = utf-8'en'a%22b.png", Some("a\"b.png")),
            ("form-data; filename=\"a; filename*=UTF-8''b\"", None),
            ("form-data; filename=\"a\\\"; filename*=UTF-8''b\"", None),
            ("form-data; filename=\"a\"", None),
            ("form-data; filename*=UTF-8''%FF", None),
            ("form-data; filename*=iso-8859-1''a", None),
            ("form-data; filename*=x", None),
        ] {
            assert_eq!(extended_file_name(header).as_deref(), name, "{header}");
        }
    }

    #[test]
    fn of_a_name_in_a_form_only_what_browsers_encode_is_decoded() {
        for (name, decoded) in
            [("na%22me;.png", "na\"me;.png"), ("100%25.png", "100%25.png"), ("%", "%"), ("%0d%0a", "\r\n")]
        {
            assert_eq!(decode_form(name), decoded);
        }
    }

    #[test]
    fn a_name_comes_back_as_it_was() {
        for name in ["a.png", "na\"me;.png", "ж 😀.png", "a\\b%22'*.txt", "-x"] {
            let header = format!("attachment; {}", file_name_parameters(name));
            assert!(header.is_ascii() && header.matches('"').count() == 2, "{header}");
            assert_eq!(extended_file_name(&header).as_deref(), Some(name), "{header}");
        }
    }
}
