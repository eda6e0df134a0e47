//! Is a secret anywhere it must not be? Every file under a directory is searched, and the command line of
//! every process of a world, for the secret in each form in which programs write it down without meaning to:
//!
//! plain, UTF-16 (both orders), base64 and base64url at each of the three alignments, hexadecimal, and all of
//! these inside gzip and zlib streams wherever in a file one begins.

use crate::process;
use crate::world::World;
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use flate2::read::{GzDecoder, ZlibDecoder};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where a secret was found: the file or process, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub place: String,
    pub form: String,
}

/// What secrets look like when written down: which, in which form, its bytes; by the first of them.
struct Search {
    secrets: usize,
    by_first: Vec<Vec<(usize, &'static str, Vec<u8>)>>,
}

impl Search {
    fn of(secrets: &[&str]) -> Search {
        let mut by_first = vec![Vec::new(); 256];
        for (which, secret) in secrets.iter().enumerate() {
            for (form, needle) in forms(secret) {
                if let Some(first) = needle.first() {
                    by_first[usize::from(*first)].push((which, form, needle));
                }
            }
        }
        Search { secrets: secrets.len(), by_first }
    }

    /// Of each secret the form in which it is there.
    fn in_bytes(&self, bytes: &[u8]) -> Vec<Option<String>> {
        let mut found = vec![None; self.secrets];
        self.in_plain(bytes, "", &mut found);
        for at in 0..bytes.len().saturating_sub(2) {
            let rest = &bytes[at..];
            let mut inside = Vec::new();
            // A stream that breaks off still gives what came before the break.
            if rest.starts_with(&[0x1f, 0x8b, 8]) {
                GzDecoder::new(rest).read_to_end(&mut inside).ok();
            } else if rest[0] == 0x78 && matches!(rest[1], 0x01 | 0x5e | 0x9c | 0xda) {
                ZlibDecoder::new(rest).read_to_end(&mut inside).ok();
            }
            self.in_plain(&inside, ", compressed", &mut found);
        }
        found
    }

    fn in_plain(&self, bytes: &[u8], how: &str, found: &mut [Option<String>]) {
        for (at, first) in bytes.iter().enumerate() {
            for (which, form, needle) in &self.by_first[usize::from(*first)] {
                if found[*which].is_none() && bytes[at..].starts_with(needle) {
                    found[*which] = Some(format!("{form}{how}"));
                }
            }
        }
    }
}

fn forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = secret.as_bytes();
    let mut forms = vec![
        ("plain", bytes.to_vec()),
        ("UTF-16LE", secret.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("UTF-16BE", secret.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("hexadecimal", bytes.iter().flat_map(|b| format!("{b:02x}").into_bytes()).collect()),
    ];
    for shift in 0..3 {
        forms.push(("base64", aligned(&STANDARD_NO_PAD, bytes, shift)));
        forms.push(("base64url", aligned(&URL_SAFE_NO_PAD, bytes, shift)));
    }
    forms
}

/// The characters of `bytes` in base64 when `shift` other bytes stand before them: those that depend on a
/// neighbour are left out at both ends.
fn aligned(engine: &impl Engine, bytes: &[u8], shift: usize) -> Vec<u8> {
    let padded = [vec![0; shift], bytes.to_vec()].concat();
    let text = engine.encode(&padded).into_bytes();
    let first = (shift * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    text[first..last].to_vec()
}

/// Every place under `dir` that holds the secret.
pub fn in_files(dir: &Path, secret: &str) -> Result<Vec<Finding>> {
    Ok(all_in_files(dir, &[secret])?.pop().unwrap_or_default())
}

/// The same of several, of each its own places.
pub fn all_in_files(dir: &Path, secrets: &[&str]) -> Result<Vec<Vec<Finding>>> {
    let short = secrets.iter().any(|secret| secret.len() < 16);
    anyhow::ensure!(!short, "a secret this short is found by chance");
    let search = Search::of(secrets);
    let mut findings = vec![Vec::new(); secrets.len()];
    for path in files(dir)? {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            // A program that still runs removed it meanwhile.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).context(path.display().to_string()),
        };
        for (findings, form) in findings.iter_mut().zip(search.in_bytes(&bytes)) {
            findings.extend(form.map(|form| Finding { place: path.display().to_string(), form }));
        }
    }
    Ok(findings)
}

/// Which of these texts hold one of the secrets, under this name.
pub fn in_texts(name: &str, texts: &[String], secrets: &[&str]) -> Vec<Finding> {
    let search = Search::of(secrets);
    let found = texts.iter().flat_map(|text| search.in_bytes(text.as_bytes()).into_iter().flatten());
    found.map(|form| Finding { place: name.to_owned(), form }).collect()
}

/// The tokens in what a keyring holds, however they are wrapped: every run of their characters that is too
/// long to be a word, an identifier or a date.
pub fn tokens_in(secrets: &[Vec<u8>]) -> Vec<String> {
    let texts = secrets.iter().map(|secret| String::from_utf8_lossy(secret).into_owned());
    let of_token = |c: char| c.is_ascii_alphanumeric() || "-_.~+/=".contains(c);
    texts
        .flat_map(|text| text.split(|c| !of_token(c)).map(str::to_owned).collect::<Vec<_>>())
        .filter(|run| run.len() >= 40)
        .collect()
}

/// Every process of the world with the secret on its command line.
pub fn in_command_lines(world: &World, secret: &str) -> Result<Vec<Finding>> {
    let search = Search::of(&[secret]);
    let lines = process::command_lines(world.dir())?;
    let found = lines.into_iter().filter_map(|(pid, line)| {
        let form = search.in_bytes(&line).pop().flatten()?;
        Some(Finding { place: format!("the command line of process {pid}"), form })
    });
    Ok(found.collect())
}

/// The regular files below a directory; links, sockets and pipes are not followed.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::{GzEncoder, ZlibEncoder};
    use std::io::Write;

    const SECRET: &str = "eyJhbGciOiJIUzI1NiJ9.a-token_of-this-test.Zm9v";

    fn found_as(bytes: &[u8]) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("deep")).unwrap();
        std::fs::write(dir.path().join("deep/file"), bytes).unwrap();
        let findings = in_files(dir.path(), SECRET).unwrap();
        findings.into_iter().next().map(|f| f.form)
    }

    #[test]
    fn a_planted_secret_is_found_in_every_form() {
        assert_eq!(found_as(format!("token: {SECRET}\n").as_bytes()).as_deref(), Some("plain"));
        let utf16: Vec<u8> = format!("x{SECRET}y").encode_utf16().flat_map(u16::to_le_bytes).collect();
        // Which of the two orders it is said to be does not matter: but for the ends both fit.
        assert!(found_as(&utf16).is_some_and(|form| form.starts_with("UTF-16")));
        for before in ["", "a", "ab", "abc"] {
            let text = format!("{before}{SECRET}, and more");
            let standard = STANDARD_NO_PAD.encode(&text);
            assert!(found_as(standard.as_bytes()).is_some(), "base64 after {before:?}");
            let url_safe = URL_SAFE_NO_PAD.encode(&text);
            assert!(found_as(url_safe.as_bytes()).is_some(), "base64url after {before:?}");
        }
    }

    #[test]
    fn a_planted_secret_is_found_inside_compressed_streams() {
        // Long enough to be really compressed, and not stored as it is.
        let text = format!("a log line with {SECRET} in it\n").repeat(20);
        let mut gzip = GzEncoder::new(b"bytes before ".to_vec(), flate2::Compression::default());
        gzip.write_all(text.as_bytes()).unwrap();
        assert_eq!(found_as(&gzip.finish().unwrap()).as_deref(), Some("plain, compressed"));
        let mut zlib = ZlibEncoder::new(b"bytes before ".to_vec(), flate2::Compression::default());
        zlib.write_all(text.as_bytes()).unwrap();
        assert_eq!(found_as(&zlib.finish().unwrap()).as_deref(), Some("plain, compressed"));
    }

    #[test]
    fn a_secret_is_found_in_what_a_page_says() {
        let encoded = STANDARD_NO_PAD.encode(format!("Bearer {SECRET}"));
        let texts = ["<p>nothing</p>".to_owned(), format!("<p data-x={SECRET}>"), format!("[\"{encoded}\"]")];
        let found = in_texts("a page", &texts, &["another secret, as long", SECRET]);
        assert_eq!(found.iter().map(|f| f.form.as_str()).collect::<Vec<_>>(), ["plain", "base64"]);
    }

    #[test]
    fn another_token_is_not_found() {
        assert_eq!(found_as(SECRET.replace("this", "that").as_bytes()), None);
    }
}
