//! What a file is, by its bytes; and whether what its sender says of it can be true.

use super::name::extension_of;

/// The types of file that are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileType {
    Png,
    Jpeg,
    Gif,
    Webp,
    Pdf,
    Doc,
    Docx,
    Txt,
    Mp4,
    Mp3,
    Wav,
}

/// How many bytes of the start of a file [`FileType::of`] wants to see, if there are so many. A word processor's
/// archive names its parts in there.
pub(super) const HEAD: usize = 16 * 1024;

impl FileType {
    const ALL: [Self; 11] = [
        Self::Png,
        Self::Jpeg,
        Self::Gif,
        Self::Webp,
        Self::Pdf,
        Self::Doc,
        Self::Docx,
        Self::Txt,
        Self::Mp4,
        Self::Mp3,
        Self::Wav,
    ];

    /// The type of the file that starts with these bytes.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|file_type| file_type.starts(head))
    }

    /// The type with this media type.
    pub(crate) fn from_content_type(content_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|file_type| file_type.content_type() == content_type)
    }

    /// The media type.
    pub(crate) fn content_type(self) -> &'static str {
        self.content_types()[0]
    }

    /// The extension of stored files.
    pub(super) fn extension(self) -> &'static str {
        self.extensions()[0]
    }

    /// Whether a browser may show it in the page's own site: nothing in it runs.
    pub(crate) fn is_inline(self) -> bool {
        match self {
            Self::Png | Self::Jpeg | Self::Gif | Self::Webp | Self::Mp4 | Self::Mp3 | Self::Wav => true,
            Self::Pdf | Self::Doc | Self::Docx | Self::Txt => false,
        }
    }

    /// Whether what the sender says can be true. Saying nothing is fine.
    pub(super) fn agrees(self, declared: Option<&str>, name: &str) -> bool {
        let declared = declared.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let vague = ["", "application/octet-stream", "binary/octet-stream"];
        let same = |known: &&str| known.eq_ignore_ascii_case(declared);
        let type_agrees = vague.iter().any(same) || self.content_types().iter().any(same);
        let extension_agrees = extension_of(name)
            .is_none_or(|said| self.extensions().iter().any(|known| known.eq_ignore_ascii_case(said)));
        type_agrees && extension_agrees
    }

    fn starts(self, head: &[u8]) -> bool {
        match self {
            Self::Png => head.starts_with(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
            Self::Jpeg => infer::image::is_jpeg(head),
            Self::Gif => head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a"),
            Self::Webp => head.starts_with(b"RIFF") && infer::image::is_webp(head),
            Self::Pdf => head.starts_with(b"%PDF-"),
            Self::Doc => head.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
            Self::Docx => is_docx(head),
            Self::Txt => Text::default().see(head),
            Self::Mp4 => infer::video::is_mp4(head) || infer::video::is_m4v(head),
            Self::Mp3 => head.starts_with(b"ID3") || is_mp3_frame(head),
            Self::Wav => head.starts_with(b"RIFF") && infer::audio::is_wav(head),
        }
    }

    /// The media types that senders use for it, the right one first.
    fn content_types(self) -> &'static [&'static str] {
        match self {
            Self::Png => &["image/png", "image/x-png"],
            Self::Jpeg => &["image/jpeg", "image/jpg", "image/pjpeg"],
            Self::Gif => &["image/gif"],
            Self::Webp => &["image/webp"],
            Self::Pdf => &["application/pdf", "application/x-pdf"],
            Self::Doc => &["application/msword"],
            Self::Docx => &["application/vnd.openxmlformats-officedocument.wordprocessingml.document"],
            Self::Txt => &["text/plain"],
            Self::Mp4 => &["video/mp4", "video/x-m4v"],
            Self::Mp3 => &["audio/mpeg", "audio/mp3", "audio/mpeg3", "audio/x-mpeg", "audio/x-mp3"],
            Self::Wav => &["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"],
        }
    }

    /// The extensions that it has, the one of stored files first.
    fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Png => &["png"],
            Self::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Self::Gif => &["gif"],
            Self::Webp => &["webp"],
            Self::Pdf => &["pdf"],
            Self::Doc => &["doc"],
            Self::Docx => &["docx"],
            Self::Txt => &["txt"],
            Self::Mp4 => &["mp4", "m4v"],
            Self::Mp3 => &["mp3"],
            Self::Wav => &["wav", "wave"],
        }
    }
}

/// A zip archive with a part in `word/`. The parts come in any order, so all that are named in the head count.
fn is_docx(head: &[u8]) -> bool {
    const ENTRY: &[u8] = b"PK\x03\x04";
    const NAME_AT: usize = 30;
    head.starts_with(ENTRY)
        && head.windows(NAME_AT + 5).any(|entry| entry.starts_with(ENTRY) && entry.ends_with(b"word/"))
}

/// A frame of MPEG-1, 2 or 2.5 audio, layer III. Other layers, and AAC, which begins much the same, are not MP3.
fn is_mp3_frame(head: &[u8]) -> bool {
    let [0xff, second, third, ..] = *head else { return false };
    let (sync, version, layer) = (second >> 5, second >> 3 & 3, second >> 1 & 3);
    let (bitrate, sample_rate) = (third >> 4, third >> 2 & 3);
    sync == 0b111 && version != 1 && layer == 1 && !matches!(bitrate, 0 | 15) && sample_rate != 3
}

/// What only the whole of a file can show, given piece by piece.
#[derive(Debug)]
pub(super) enum Watch {
    /// The head has said it all.
    Nothing,
    /// That all of it is text.
    Text(Text),
    /// That a compound file holds a Word document.
    Word(Word),
}

impl Watch {
    pub(super) fn new(file_type: FileType) -> Self {
        match file_type {
            FileType::Txt => Self::Text(Text::default()),
            FileType::Doc => Self::Word(Word::default()),
            _ => Self::Nothing,
        }
    }

    /// Takes the next piece, the head first. `false` when it cannot be of the type.
    pub(super) fn see(&mut self, piece: &[u8]) -> bool {
        match self {
            Self::Nothing => true,
            Self::Text(text) => text.see(piece),
            Self::Word(word) => {
                word.see(piece);
                true
            }
        }
    }

    /// Whether all that was seen is of the type.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Text(text) => text.cut.is_empty(),
            Self::Word(word) => word.found,
        }
    }
}

/// UTF-8 without control characters but those that text has.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The start of a character whose end is in the next piece.
    cut: Vec<u8>,
}

impl Text {
    fn see(&mut self, piece: &[u8]) -> bool {
        let mut bytes = std::mem::take(&mut self.cut);
        bytes.extend_from_slice(piece);
        let whole = match std::str::from_utf8(&bytes) {
            Ok(_) => bytes.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => return false,
        };
        self.cut = bytes.split_off(whole);
        let is_text = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r' | '\u{c}');
        std::str::from_utf8(&bytes).is_ok_and(|text| text.chars().all(is_text))
    }
}

/// A compound file lists its streams in blocks of 128 bytes that begin with a name; Word's is `WordDocument`.
/// Spreadsheets and installers are compound files too.
#[derive(Debug, Default)]
pub(super) struct Word {
    /// The start of a block whose end is in the next piece.
    cut: Vec<u8>,
    found: bool,
}

impl Word {
    fn see(&mut self, piece: &[u8]) {
        const BLOCK: usize = 128;
        if self.found {
            return;
        }
        let name: Vec<u8> = "WordDocument\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        self.cut.extend_from_slice(piece);
        let mut blocks = self.cut.chunks_exact(BLOCK);
        self.found = blocks.any(|block| block.starts_with(&name));
        self.cut.drain(..self.cut.len() / BLOCK * BLOCK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docx(first: &str) -> Vec<u8> {
        let mut zip = Vec::new();
        for name in [first, "word/document.xml"] {
            zip.extend_from_slice(b"PK\x03\x04");
            zip.extend_from_slice(&[0; 22]);
            zip.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
            zip.extend_from_slice(&[0; 2]);
            zip.extend_from_slice(name.as_bytes());
            zip.extend_from_slice(&[7; 300]);
        }
        zip
    }

    fn compound(stream: &str) -> Vec<u8> {
        let mut file = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
        file.resize(512 + 3 * 128, 0);
        file.extend(stream.encode_utf16().flat_map(u16::to_le_bytes));
        file.resize(2048, 0);
        file
    }

    #[test]
    fn a_type_is_known_by_its_bytes() {
        let samples: [(&[u8], FileType); 14] = [
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", FileType::Png),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", FileType::Jpeg),
            (b"GIF89a\x01\0\x01\0", FileType::Gif),
            (b"RIFF\x24\0\0\0WEBPVP8 ", FileType::Webp),
            (b"%PDF-1.7\n", FileType::Pdf),
            (&compound("WordDocument"), FileType::Doc),
            (&docx("[Content_Types].xml"), FileType::Docx),
            ("Grüße\r\n\t".as_bytes(), FileType::Txt),
            (b"<html><script>", FileType::Txt),
            (b"", FileType::Txt),
            (b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2", FileType::Mp4),
            (b"ID3\x04\0\0\0\0\0\0", FileType::Mp3),
            (b"\xff\xfb\x90\x64\0", FileType::Mp3),
            (b"RIFF\x24\0\0\0WAVEfmt \x10", FileType::Wav),
        ];
        for (bytes, file_type) in samples {
            assert_eq!(FileType::of(bytes), Some(file_type), "{:?}", &bytes[..bytes.len().min(16)]);
        }
    }

    #[test]
    fn what_is_not_taken_is_no_type() {
        let samples: [&[u8]; 9] = [
            b"\x7fELF\x02\x01\x01\0",
            b"MZ\x90\0\x03",
            b"\x89PNG\r\n\x1a\n<html>",
            b"PK\x03\x04\x14\0\0\0\x08\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
            b"\xff\xf1\x50\x80\0",
            b"a\0b",
            b"\xff\xfeh\0i\0",
            b"caf\xe9 au lait",
        ];
        for bytes in samples {
            assert_eq!(FileType::of(bytes), None, "{bytes:?}");
        }
        assert_eq!(FileType::of(&docx("xl/workbook.xml")[..340]), None);
    }

    #[test]
    fn what_the_sender_says_must_not_contradict_the_bytes() {
        for (file_type, declared, name) in [
            (FileType::Png, Some("image/png"), "a.PNG"),
            (FileType::Png, None, "a"),
            (FileType::Jpeg, Some("application/octet-stream"), "a.jpeg"),
            (FileType::Txt, Some("text/plain; charset=utf-8"), "a.txt"),
            (FileType::Mp3, Some("audio/mpeg"), "a.mp3"),
            (FileType::Png, Some(""), "a.html.png"),
        ] {
            assert!(file_type.agrees(declared, name), "{declared:?} {name}");
        }
        for (file_type, declared, name) in [
            (FileType::Png, Some("image/png"), "a.png.html"),
            (FileType::Jpeg, Some("image/jpeg"), "x.htmljpg"),
            (FileType::Jpeg, Some("text/html;png"), "a.jpg"),
            (FileType::Txt, Some("text/html"), "a.txt"),
            (FileType::Txt, Some("image/svg+xml"), "a.svg"),
            (FileType::Txt, None, "a.php"),
            (FileType::Png, None, "a.png."),
            (FileType::Png, Some("image/jpeg"), "a.png"),
        ] {
            assert!(!file_type.agrees(declared, name), "{declared:?} {name}");
        }
    }

    #[test]
    fn a_text_is_read_to_its_end_however_it_is_cut() {
        let text = "aж😀\n".repeat(3);
        for at in 0..text.len() {
            let mut watch = Watch::new(FileType::Txt);
            let (start, end) = text.as_bytes().split_at(at);
            assert!(watch.see(start) && watch.see(end) && watch.is_whole(), "{at}");
        }
        let mut watch = Watch::new(FileType::Txt);
        assert!(watch.see(b"a") && watch.see(b"\xf0\x9f") && !watch.is_whole());
        assert!(!watch.see(b"a"));
        assert!(!Watch::new(FileType::Txt).see(b"a\x1b[2J"));
    }

    #[test]
    fn only_a_compound_file_with_a_word_document_is_one() {
        for (stream, expected) in [("WordDocument", true), ("Workbook", false), ("WordDocuments", false)] {
            let file = compound(stream);
            for at in [0, 1, 900, 2048] {
                let mut watch = Watch::new(FileType::Doc);
                let (start, end) = file.split_at(at);
                watch.see(start);
                watch.see(end);
                assert_eq!(watch.is_whole(), expected, "{stream} {at}");
            }
        }
    }
}
