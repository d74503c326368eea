//! The names of files: the one a file is stored under, and the one its uploader gave it.

use crate::error::{Error, Result};

/// Longest original name, in bytes: the longest that common file systems take.
const NAME_BYTES: usize = 255;

/// A name that nobody can guess: 128 random bits and the extension of the type.
pub(super) fn stored_name(extension: &str) -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::internal(error.to_string()))?;
    Ok(format!("{:032x}.{extension}", u128::from_be_bytes(random)))
}

/// The name of the small picture of a file.
pub(super) fn of_thumbnail(stored_name: &str) -> String {
    let (random, _) = stored_name.split_once('.').unwrap_or((stored_name, ""));
    format!("{random}.thumb")
}

/// Whether this could be the name of a stored file. Whatever is not has no business near a file store.
pub(crate) fn is_stored_name(name: &str) -> bool {
    name.split_once('.').is_some_and(|(random, extension)| {
        random.len() == 32
            && random.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
            && (2..=5).contains(&extension.len())
            && extension.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
    })
}

/// The last part of a path, without what could mislead an eye, a shell or a header. May be empty.
pub(super) fn clean(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String = last.chars().filter(|c| !is_misleading(*c)).collect();
    plain.trim().to_owned()
}

/// A name to show: `name`, cut to what file systems take, or one made up when there is nothing in it.
pub(super) fn shown(name: &str, extension: &str) -> String {
    if name.trim_matches('.').is_empty() {
        return format!("file.{extension}");
    }
    if name.len() <= NAME_BYTES {
        return name.to_owned();
    }
    // The extension says what to open the file with: better cut in the middle.
    let end = match extension_of(name) {
        Some(extension) if extension.len() < 16 => &name[name.len() - extension.len() - 1..],
        _ => "",
    };
    let start = name.floor_char_boundary(NAME_BYTES - end.len());
    format!("{}{end}", &name[..start])
}

/// What follows the last dot, if there is a dot.
pub(super) fn extension_of(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, extension)| extension)
}

/// Control characters, and those that turn the direction of a text or break its line.
fn is_misleading(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_name_is_random_and_knows_itself() {
        let name = stored_name("png").unwrap();
        assert!(is_stored_name(&name), "{name}");
        assert_ne!(name, stored_name("png").unwrap());
        let dots = format!("../{}", &name[3..]);
        let upper = name.to_uppercase();
        for other in ["", ".png", "a.png", &name[..32], &name[1..], &dots, &upper, &format!("{name}#1")] {
            assert!(!is_stored_name(other), "{other}");
        }
    }

    #[test]
    fn paths_and_misleading_characters_are_cleaned_away() {
        for (name, cleaned) in [
            ("a.png", "a.png"),
            ("../../x.png", "x.png"),
            ("..\\x.png", "x.png"),
            ("C:\\a/b.png", "b.png"),
            ("a\r\nSet-Cookie: x=1.png", "aSet-Cookie: x=1.png"),
            ("exe\u{202e}gnp.txt", "exegnp.txt"),
            ("  ж 😀.png ", "ж 😀.png"),
            ("a/", ""),
            ("\0", ""),
        ] {
            assert_eq!(clean(name), cleaned, "{name:?}");
        }
    }

    #[test]
    fn a_shown_name_is_never_empty_nor_too_long() {
        for nothing in ["", ".", ".."] {
            assert_eq!(shown(nothing, "png"), "file.png");
        }
        assert_eq!(shown("-x.png", "png"), "-x.png");
        let long = shown(&format!("{}.png", "ж".repeat(5_000)), "png");
        assert!(long.len() <= 255 && long.len() > 250 && long.ends_with("ж.png"), "{long}");
        assert!(shown(&"ж".repeat(5_000), "png").len() <= 255);
        assert_eq!(shown(&format!("a.{}", "b".repeat(400)), "png").len(), 255);
    }
}
