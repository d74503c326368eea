//! How large a picture is, by its first bytes: nothing is decoded for that.

use image::metadata::Orientation;

use super::sniff::FileType;
use crate::model::Dimensions;

/// How much of the start of a picture is looked at. A JPEG may say its size behind a preview, a colour profile and
/// remarks of the camera, each of up to 64 kB or several of these.
const START: usize = 256 * 1024;

/// Keeps the start of a picture, given piece by piece, to look at.
#[derive(Debug)]
pub(super) struct Measure {
    file_type: FileType,
    start: Vec<u8>,
}

impl Measure {
    pub(super) fn new(file_type: FileType) -> Self {
        Self { file_type, start: Vec::new() }
    }

    /// Takes the next piece, the head first.
    pub(super) fn see(&mut self, piece: &[u8]) {
        // Of the others the head has it all.
        let wanted = match self.file_type {
            FileType::Jpeg => START,
            FileType::Png | FileType::Gif | FileType::Webp => 64,
            _ => 0,
        };
        let room = wanted.saturating_sub(self.start.len());
        self.start.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// How large the picture is, if it says so.
    pub(super) fn dimensions(&self) -> Option<Dimensions> {
        let start = &self.start;
        let (width, height) = match self.file_type {
            FileType::Png => (big_endian(start.get(16..20)?), big_endian(start.get(20..24)?)),
            FileType::Gif => (little_endian(start.get(6..8)?), little_endian(start.get(8..10)?)),
            FileType::Webp => webp(start)?,
            FileType::Jpeg => jpeg(start)?,
            _ => return None,
        };
        (width > 0 && height > 0).then_some(Dimensions { width, height })
    }
}

fn big_endian(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The three kinds of WebP (RFC 9649): extended, lossless and lossy.
fn webp(start: &[u8]) -> Option<(u32, u32)> {
    const SIDE: u32 = 0x3fff;
    match start.get(12..16)? {
        b"VP8X" => Some((little_endian(start.get(24..27)?) + 1, little_endian(start.get(27..30)?) + 1)),
        b"VP8L" if start.get(20) == Some(&0x2f) => {
            let bits = little_endian(start.get(21..25)?);
            Some(((bits & SIDE) + 1, (bits >> 14 & SIDE) + 1))
        }
        b"VP8 " if start.get(23..26)? == b"\x9d\x01\x2a" => {
            Some((little_endian(start.get(26..28)?) & SIDE, little_endian(start.get(28..30)?) & SIDE))
        }
        _ => None,
    }
}

/// The frame of a JPEG (ITU T.81, annex B), turned as its camera says that it was held.
fn jpeg(start: &[u8]) -> Option<(u32, u32)> {
    let mut rest = start.strip_prefix(b"\xff\xd8")?;
    let mut lies_on_its_side = false;
    loop {
        let [0xff, marker, after @ ..] = rest else { return None };
        rest = match marker {
            // Filling, and markers that stand alone.
            0xff => &rest[1..],
            0x01 | 0xd0..=0xd7 => after,
            // The picture begins, or ends, without a frame.
            0xd8..=0xda => return None,
            _ => {
                let length = usize::try_from(big_endian(after.get(..2)?)).ok()?;
                let frame = matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc);
                if frame {
                    let (height, width) = (big_endian(after.get(3..5)?), big_endian(after.get(5..7)?));
                    return Some(if lies_on_its_side { (height, width) } else { (width, height) });
                }
                let segment = after.get(2..length)?;
                if let (0xe1, Some(exif)) = (marker, segment.strip_prefix(b"Exif\0\0")) {
                    lies_on_its_side = Orientation::from_exif_chunk(exif).is_some_and(turns);
                }
                after.get(length..)?
            }
        };
    }
}

/// Whether width and height change places.
fn turns(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(file_type: FileType, bytes: &[u8]) -> Option<(u32, u32)> {
        let mut measure = Measure::new(file_type);
        bytes.chunks(7).for_each(|piece| measure.see(piece));
        measure.dimensions().map(|found| (found.width, found.height))
    }

    /// A JPEG that says only how large it is, behind so much else, and how it was held.
    fn jpeg_of(before: usize, orientation: Option<u8>) -> Vec<u8> {
        let mut bytes = b"\xff\xd8".to_vec();
        if let Some(orientation) = orientation {
            bytes.extend(b"\xff\xe1\0\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0");
            bytes.extend([orientation, 0, 0, 0, 0, 0, 0]);
        }
        for left in (0..before).step_by(60_000) {
            let length = u16::try_from((before - left).min(60_000)).unwrap() + 2;
            bytes.extend([0xff, 0xff, 0xe2]);
            bytes.extend(length.to_be_bytes());
            bytes.resize(bytes.len() + usize::from(length) - 2, 0);
        }
        bytes.extend(b"\xff\xc2\0\x11\x08\x02\x58\x03\x20\x03\x01\x22\0");
        bytes
    }

    #[test]
    fn a_picture_says_how_large_it_is() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x03\x20\0\0\x02\x58\x08\x06\0\0\0";
        let lossy = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x20\x03\x58\x02";
        let extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x1f\x03\0\x57\x02\0";
        let mut lossless = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f".to_vec();
        lossless.extend((799_u32 | 599 << 14).to_le_bytes());
        for (file_type, bytes) in [
            (FileType::Png, &png[..]),
            (FileType::Gif, b"GIF89a\x20\x03\x58\x02"),
            (FileType::Webp, lossy),
            (FileType::Webp, extended),
            (FileType::Webp, &lossless),
            (FileType::Jpeg, &jpeg_of(0, None)),
            (FileType::Jpeg, &jpeg_of(200_000, None)),
        ] {
            assert_eq!(measured(file_type, bytes), Some((800, 600)), "{file_type:?}");
            for cut in 0..bytes.len().min(40) {
                // No more than a guess can be wrong, and nothing may panic.
                measured(file_type, &bytes[..cut]);
            }
        }
    }

    #[test]
    fn a_picture_is_as_large_as_it_is_shown() {
        for (orientation, expected) in [(1, (800, 600)), (3, (800, 600)), (6, (600, 800)), (8, (600, 800))] {
            let found = measured(FileType::Jpeg, &jpeg_of(10, Some(orientation)));
            assert_eq!(found, Some(expected), "{orientation}");
        }
    }

    #[test]
    fn what_does_not_say_it_has_no_size() {
        for (file_type, bytes) in [
            (FileType::Jpeg, &jpeg_of(300_000, None)[..]),
            (FileType::Jpeg, b"\xff\xd8\xff\xda\0\x02"),
            (FileType::Jpeg, b"\xff\xd8\xff\xe0\0\0\xff"),
            (FileType::Jpeg, b"\xff\xd8"),
            (FileType::Gif, b"GIF89a\0\0\x01\0"),
            (FileType::Webp, b"RIFF\0\0\0\0WEBPXXXX"),
            (FileType::Pdf, b"%PDF-1.7 and more than sixty-four bytes of it, if one goes on to count them"),
        ] {
            assert_eq!(measured(file_type, bytes), None, "{file_type:?}");
        }
    }
}
