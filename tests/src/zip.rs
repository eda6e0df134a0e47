//! An archive without compression, as browsers take an extension. Format: for each file a local header and its
//! bytes, then the central directory, then its end (PKWARE APPNOTE, version 2.0 of the format).

use anyhow::Result;
use flate2::Crc;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;

pub fn stored(files: &[(String, Vec<u8>)]) -> Result<Vec<u8>> {
    let (mut body, mut directory) = (Vec::new(), Vec::new());
    for (name, bytes) in files {
        let offset = u32::try_from(body.len())?;
        let common = common(name, bytes)?;
        body.extend(LOCAL.to_le_bytes());
        body.extend(&common);
        body.extend(name.as_bytes());
        body.extend(bytes);
        directory.extend(CENTRAL.to_le_bytes());
        directory.extend(20_u16.to_le_bytes());
        directory.extend(&common);
        // Comment, disk, attributes: none.
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = u16::try_from(files.len())?.to_le_bytes();
    let (at, size) = (u32::try_from(body.len())?, u32::try_from(directory.len())?);
    body.extend(directory);
    body.extend(END.to_le_bytes());
    body.extend([0; 4]);
    body.extend(count);
    body.extend(count);
    body.extend(size.to_le_bytes());
    body.extend(at.to_le_bytes());
    body.extend([0; 2]);
    Ok(body)
}

/// What local header and directory say alike, from "version needed" to "extra field length".
fn common(name: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut crc = Crc::new();
    crc.update(bytes);
    let size = u32::try_from(bytes.len())?.to_le_bytes();
    let mut header = Vec::new();
    header.extend(20_u16.to_le_bytes());
    // Names in UTF-8; stored; 1980-01-01.
    header.extend(0x0800_u16.to_le_bytes());
    header.extend([0; 4]);
    header.extend(0x0021_u16.to_le_bytes());
    header.extend(crc.sum().to_le_bytes());
    header.extend(size);
    header.extend(size);
    header.extend(u16::try_from(name.len())?.to_le_bytes());
    header.extend([0; 2]);
    Ok(header)
}
