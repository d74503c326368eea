//! The smallest files of each kind that may be uploaded.

/// A whole PNG of one pixel.
pub(crate) const PNG: &[u8] = &[
    0x89, b'P', b'N', b'G', 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, b'I', b'H', b'D', b'R', 0, 0, 0, 1, 0, 0, 0,
    1, 8, 6, 0, 0, 0, 0x1f, 0x15, 0xc4, 0x89, 0, 0, 0, 13, b'I', b'D', b'A', b'T', 0x78, 0x9c, 0x63, 0xf8,
    0xcf, 0xc0, 0xf0, 0x1f, 0, 5, 0, 1, 0xff, 0x89, 0x99, 0x3d, 0x1d, 0, 0, 0, 0, b'I', b'E', b'N', b'D',
    0xae, 0x42, 0x60, 0x82,
];

/// A GIF of one pixel.
pub(crate) fn gif() -> Vec<u8> {
    b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;".to_vec()
}

/// One file of each kind that is allowed: ending, media type, bytes.
pub(crate) fn allowed() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let word = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    let mut mp3 = b"ID3\x04\0\0\0\0\0\0".to_vec();
    mp3.extend([0xff, 0xfb, 0x90, 0x00]);
    mp3.resize(500, 0);
    let mut mp4 = b"\0\0\0\x18ftypisom\0\0\x02\0isommp42".to_vec();
    mp4.extend(b"\0\0\0\x08mdat");
    let mut doc = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".to_vec();
    doc.resize(512, 0);
    // Byte order FE FF, sectors of 512 bytes, the directory in the second: its root entry is Word's.
    doc[24..34].copy_from_slice(&[0x3e, 0, 3, 0, 0xfe, 0xff, 9, 0, 6, 0]);
    doc[48] = 1;
    doc.resize(512 * 3, 0);
    let clsid = [0x06, 0x09, 0x02, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46];
    doc[1024 + 80..1024 + 96].copy_from_slice(&clsid);
    let stream: Vec<u8> = "WordDocument".encode_utf16().flat_map(u16::to_le_bytes).collect();
    doc[1024 + 128..][..stream.len()].copy_from_slice(&stream);
    // The length of the name with its end, and that the entry is a stream.
    doc[1024 + 128 + 64..][..3].copy_from_slice(&[26, 0, 2]);
    vec![
        ("png", "image/png", PNG.to_vec()),
        ("jpg", "image/jpeg", b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0\xff\xd9".to_vec()),
        ("gif", "image/gif", gif()),
        (
            "webp",
            "image/webp",
            b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0/\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0".to_vec(),
        ),
        ("pdf", "application/pdf", b"%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n".to_vec()),
        ("doc", "application/msword", doc),
        ("docx", word, docx()),
        ("txt", "text/plain", "plain text, 日本語\n".as_bytes().to_vec()),
        ("mp4", "video/mp4", mp4),
        ("mp3", "audio/mpeg", mp3),
        (
            "wav",
            "audio/wav",
            b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\0\0\0\0"
                .to_vec(),
        ),
    ]
}

/// A ZIP that holds, stored and empty, what Word writes first.
fn docx() -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    let names = ["[Content_Types].xml", "_rels/.rels", "word/document.xml"];
    for name in names {
        let at = u32::try_from(zip.len()).unwrap();
        let length = u16::try_from(name.len()).unwrap();
        zip.extend(b"PK\x03\x04\x14\0\0\0\0\0\0\0\x21\0");
        zip.extend([0; 12]);
        zip.extend(length.to_le_bytes());
        zip.extend([0; 2]);
        zip.extend(name.as_bytes());
        directory.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\x21\0");
        directory.extend([0; 12]);
        directory.extend(length.to_le_bytes());
        directory.extend([0; 12]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, length) = (u32::try_from(zip.len()).unwrap(), u32::try_from(directory.len()).unwrap());
    let count = u16::try_from(names.len()).unwrap();
    zip.extend(directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend(count.to_le_bytes());
    zip.extend(count.to_le_bytes());
    zip.extend(length.to_le_bytes());
    zip.extend(at.to_le_bytes());
    zip.extend([0; 2]);
    zip
}
