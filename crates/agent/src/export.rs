//! Writing what is kept here to a file, one JSON record a line (contract, section 4). The file is for its owner
//! alone, and never over another one unless that is asked for; it is whole or not there.

use heyho_buffer::{Buffer, BufferError};
use heyho_local::vocabulary::{Fault, FaultCode};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

/// What is exported.
#[derive(Debug, Clone, Copy, Default)]
pub struct What<'a> {
    /// Only what failed.
    pub failed: bool,
    /// Only this account's: its e-mail address or ref.
    pub account: Option<&'a str>,
}

/// Writes to a file, and says how many records it was.
pub async fn to_file(
    buffer: &Buffer,
    path: &Path,
    what: &What<'_>,
    force: bool,
    step: &(dyn Fn() + Sync),
) -> Result<u64, Fault> {
    let unwritable = |e: std::io::Error| {
        let why = match e.kind() {
            ErrorKind::NotFound => "there is no such folder".to_owned(),
            ErrorKind::PermissionDenied => "this user may not write there".to_owned(),
            ErrorKind::IsADirectory => "it is a folder".to_owned(),
            _ => e.to_string(),
        };
        Fault::new(FaultCode::Failed, format!("{} cannot be written: {why}", path.display()))
    };
    let there = || {
        let text = format!(
            "{} is there already; choose another name, or write over it with --force",
            path.display()
        );
        Fault::new(FaultCode::Failed, text)
    };
    if !force && path.exists() {
        return Err(there());
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or_else(|| unwritable(ErrorKind::IsADirectory.into()))?;
    let beside =
        folder.join(format!(".{}.{}", name.to_string_lossy(), heyho_local::clock::new_id().simple()));
    let written = async {
        let mut out = BufWriter::new(platform::create_private(&beside).map_err(unwritable)?);
        let count = to(buffer, &mut out, what, &unwritable, step).await?;
        let file = out.into_inner().map_err(|e| unwritable(e.into_error()))?;
        file.sync_all().map_err(unwritable)?;
        match force {
            true => std::fs::rename(&beside, path).map_err(unwritable)?,
            // Fails where somebody was quicker, rather than writing over their file.
            false => std::fs::hard_link(&beside, path).map_err(|e| match e.kind() {
                ErrorKind::AlreadyExists => there(),
                _ => unwritable(e),
            })?,
        }
        Ok(count)
    }
    .await;
    let _ = std::fs::remove_file(&beside);
    written
}

/// Writes the lines; `unwritable` says what a failure to write means, `step` is told of each line.
pub async fn to(
    buffer: &Buffer,
    out: &mut (dyn Write + Send),
    what: &What<'_>,
    unwritable: &(dyn Fn(std::io::Error) -> Fault + Sync),
    step: &(dyn Fn() + Sync),
) -> Result<u64, Fault> {
    let unreadable = |e: BufferError| Fault::new(FaultCode::Failed, format!("{e}."));
    let mut reader = buffer.export(what.account, what.failed);
    let mut count = 0;
    loop {
        let lines = reader.next().await.map_err(unreadable)?;
        if lines.is_empty() {
            break;
        }
        for line in lines {
            let mut json =
                serde_json::to_vec(&line).map_err(|e| Fault::new(FaultCode::Failed, e.to_string()))?;
            json.push(b'\n');
            out.write_all(&json).map_err(unwritable)?;
            count += 1;
            step();
        }
    }
    out.flush().map_err(unwritable)?;
    Ok(count)
}

mod platform {
    use std::fs::File;
    use std::path::Path;

    /// For this user alone; on Windows a profile is private already.
    pub fn create_private(path: &Path) -> std::io::Result<File> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            options.mode(0o600);
        }
        options.open(path)
    }
}
