//! Small pictures of large ones.
//!
//! What is decoded comes from strangers: how much memory it takes is known before, only one is decoded at a time, and
//! nothing of the original is carried over but its pixels.

use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use object_store::ObjectStoreExt;
use object_store::path::Path;

use super::name::of_thumbnail;
use super::sniff::FileType;
use super::{FileStore, failure};
use crate::error::{Error, Result};
use crate::model::FileRecord;

/// How good a JPEG is, of 100.
const QUALITY: u8 = 80;

/// How long one may wait to be.
const DRAWN_WITHIN: Duration = Duration::from_secs(10);

/// Largest file that a thumbnail is made of, in bytes.
const DRAWN_BYTES: u64 = 20 * 1024 * 1024;

/// Pictures that are decoded at once: each takes its memory.
pub(super) const AT_ONCE: usize = 1;

/// What a thumbnail may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Its longer side, in pixels.
    pub(crate) side: u32,
    /// The original in memory, in bytes.
    pub(crate) bytes: u64,
}

impl FileStore {
    /// A small picture of a picture and its media type; made when it is asked for first, and kept.
    ///
    /// # Errors
    ///
    /// - [`Error::NotFound`] when there is none: of what is no picture, or a broken one, or one too large to look at.
    /// - [`Error::Overloaded`] when too many others are being made.
    /// - [`Error::Unavailable`] when the store is away.
    pub(crate) async fn thumbnail(
        &self,
        record: &FileRecord,
        bounds: Bounds,
    ) -> Result<(Bytes, &'static str)> {
        let none = Error::NotFound("Thumbnail not found");
        let file_type = FileType::from_content_type(&record.content_type);
        let Some(format) = file_type.and_then(format) else { return Err(none) };
        // A pixel takes a byte at least: what is sure to be too large need not be fetched.
        let pixels = record.dimensions.map_or(0, |of| u64::from(of.width) * u64::from(of.height));
        if record.size > DRAWN_BYTES || pixels > bounds.bytes {
            return Err(none);
        }
        let path = self.path(&of_thumbnail(&record.stored_name));
        if let Some(known) = self.whole(&path).await? {
            return Ok(described(known));
        }
        let waited = tokio::time::timeout(DRAWN_WITHIN, self.drawing.clone().acquire_owned()).await;
        let permit = waited.map_err(|_| Error::Overloaded)?.map_err(Error::internal)?;
        // Another one may have waited for the same.
        if let Some(known) = self.whole(&path).await? {
            return Ok(described(known));
        }
        let original = self.whole(&self.path(&record.stored_name)).await?;
        let original = original.ok_or(Error::NotFound("File not found"))?;
        let drawing = tokio::task::spawn_blocking(move || {
            // The work goes on when its request is gone, so it is the work that holds the place.
            let _permit = permit;
            draw(&original, format, bounds)
        });
        // A decoder that panics has met a broken picture.
        let Some(drawn) = drawing.await.ok().flatten() else { return Err(none) };
        self.store.put(&path, drawn.clone().into()).await.map_err(failure)?;
        Ok(described(drawn))
    }

    /// All of an object, if it is there.
    async fn whole(&self, path: &Path) -> Result<Option<Bytes>> {
        match self.store.get(path).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(failure)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }
}

/// A thumbnail and its media type, which its bytes say.
fn described(thumbnail: Bytes) -> (Bytes, &'static str) {
    let content_type = FileType::of(&thumbnail).map_or("application/octet-stream", FileType::content_type);
    (thumbnail, content_type)
}

/// The format of a type that thumbnails are made of.
fn format(file_type: FileType) -> Option<ImageFormat> {
    match file_type {
        FileType::Png => Some(ImageFormat::Png),
        FileType::Jpeg => Some(ImageFormat::Jpeg),
        FileType::Gif => Some(ImageFormat::Gif),
        FileType::Webp => Some(ImageFormat::WebP),
        _ => None,
    }
}

/// A thumbnail of a picture: of what moves, its beginning. `None` when the picture is broken, or too large.
fn draw(original: &[u8], format: ImageFormat, bounds: Bounds) -> Option<Bytes> {
    let mut reader = ImageReader::with_format(Cursor::new(original), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(bounds.bytes);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().ok()?;
    // Not every decoder looks at the limits.
    if decoder.total_bytes() > bounds.bytes {
        return None;
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).ok()?;
    let fits = picture.width().max(picture.height()) <= bounds.side;
    let mut small = if fits { picture } else { picture.thumbnail(bounds.side, bounds.side) };
    small.apply_orientation(orientation);
    encode(&small)
}

/// What can be seen through stays so, in a PNG; all else is a JPEG, which is smaller.
fn encode(picture: &DynamicImage) -> Option<Bytes> {
    let mut bytes = Vec::new();
    let colours = picture.to_rgba8();
    if colours.pixels().any(|pixel| pixel.0[3] < u8::MAX) {
        colours.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).ok()?;
    } else {
        picture.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY)).ok()?;
    }
    Some(bytes.into())
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage, Rgba, RgbaImage};

    use super::*;

    const BOUNDS: Bounds = Bounds { side: 32, bytes: 4 * 1024 * 1024 };

    fn drawn(original: &[u8], format: ImageFormat) -> Option<DynamicImage> {
        let bytes = draw(original, format, BOUNDS)?;
        Some(image::load_from_memory(&bytes).unwrap())
    }

    fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Vec::new();
        picture.write_to(&mut Cursor::new(&mut bytes), format).unwrap();
        bytes
    }

    /// Red on its left, blue on its right.
    fn flag(width: u32, height: u32) -> DynamicImage {
        let colour = |x, _| if x < width / 2 { Rgb([220, 0, 0]) } else { Rgb([0, 0, 220]) };
        RgbImage::from_fn(width, height, colour).into()
    }

    #[test]
    fn a_thumbnail_is_the_picture_made_small() {
        let flag = flag(128, 64);
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
            let small = drawn(&encoded(&flag, format), format).unwrap().to_rgb8();
            assert_eq!(small.dimensions(), (32, 16), "{format:?}");
            let (left, right) = (small.get_pixel(4, 8).0, small.get_pixel(28, 8).0);
            assert!(left[0] > 150 && left[2] < 80 && right[2] > 150 && right[0] < 80, "{left:?} {right:?}");
        }
        let tiny = drawn(&encoded(&self::flag(8, 4), ImageFormat::Png), ImageFormat::Png).unwrap();
        assert_eq!((tiny.width(), tiny.height()), (8, 4), "nothing is made larger");
    }

    #[test]
    fn what_can_be_seen_through_stays_so() {
        let glass = RgbaImage::from_pixel(64, 64, Rgba([0, 200, 0, 100]));
        let small = drawn(&encoded(&glass.into(), ImageFormat::Png), ImageFormat::Png).unwrap();
        assert_eq!(small.to_rgba8().get_pixel(3, 3).0, [0, 200, 0, 100]);
    }

    #[test]
    fn a_thumbnail_is_turned_and_carries_nothing_else() {
        let jpeg = encoded(&flag(128, 64), ImageFormat::Jpeg);
        let exif = b"\xff\xe1\0\x2eExif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0SECRET HOUSE";
        let held_upright = [&jpeg[..2], &exif[..], &jpeg[2..]].concat();

        let bytes = draw(&held_upright, ImageFormat::Jpeg, BOUNDS).unwrap();

        let small = image::load_from_memory(&bytes).unwrap().to_rgb8();
        assert_eq!(small.dimensions(), (16, 32));
        let (above, below) = (small.get_pixel(8, 4).0, small.get_pixel(8, 28).0);
        assert!(above[0] > 150 && below[2] > 150, "{above:?} {below:?}");
        for word in [&b"Exif"[..], b"SECRET"] {
            assert!(!bytes.windows(word.len()).any(|part| part == word));
        }
    }

    #[test]
    fn what_is_broken_or_too_large_has_no_thumbnail() {
        let whole = encoded(&flag(64, 64), ImageFormat::Png);
        assert!(drawn(&whole[..whole.len() / 2], ImageFormat::Png).is_none());
        assert!(drawn(b"\xff\xd8\xff\xe0", ImageFormat::Jpeg).is_none());
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
            let large = encoded(&flag(2_000, 1_000), format);
            assert!(drawn(&large, format).is_none(), "{format:?}");
        }
    }
}
