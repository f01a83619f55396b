//! sha256 over files, as lower-case hex.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// The hex digits of a finished hash.
pub(crate) fn hex(hash: Sha256) -> String {
    hash.finalize()
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Feeds a whole reader to a hash; returns the bytes read.
pub(crate) fn feed(hash: &mut Sha256, mut reader: impl Read) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 18];
    let mut total = 0;
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(total);
        }
        hash.update(&buffer[..read]);
        total += read as u64;
    }
}

/// Size in bytes and sha256 of a file.
pub(crate) fn file(path: &Path) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let size = feed(&mut hash, fs::File::open(path)?)?;
    Ok((size, hex(hash)))
}

/// True for 64 lower-case hex digits.
pub(crate) fn is_sha256(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// sha256 of bytes in memory.
pub(crate) fn bytes(data: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(data);
    hex(hash)
}
