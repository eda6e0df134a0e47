//! What can go wrong with the buffer, as far as a caller decides by it.

pub type Result<T, E = BufferError> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum BufferError {
    /// Another program holds the write lock for longer than we wait.
    #[error("the buffer is busy: another program is writing")]
    Busy,
    /// The disk, or the file system, takes no more.
    #[error("the disk is full")]
    DiskFull,
    /// As large as the settings allow.
    #[error(
        "the buffer is full: {used} bytes of {cap} allowed; nothing new is taken until records are delivered"
    )]
    Full { used: u64, cap: u64 },
    /// The file was set aside, or taken away, since it was opened. Opening again finds the new one.
    #[error("the buffer's file was replaced; it has to be opened again")]
    Replaced,
    /// Of what was read for a batch something has changed or was erased, or a site is half forgotten: nothing was done.
    /// Read it again, after [`crate::Buffer::finish_erasures`].
    #[error("records changed while they were read")]
    Changed,
    #[error("the buffer was written by a newer version of HeyHo Companion; update this program")]
    SchemaNewer,
    /// Of chosen records some are gone for good; the others are as they were.
    #[error("{erased} of these records are deleted, the others are not: {error}")]
    Partly { erased: u64, error: Box<BufferError> },
    #[error("this program was built with SQLite {found}; 3.51.3 or later is needed")]
    OldSqlite { found: String },
    #[error("the buffer cannot be used: the disk answers with an error, nothing was stored")]
    DiskFails,
    #[error("the buffer cannot be used: {0}")]
    Unavailable(String),
    /// SQLite does not understand a statement: the statement is at fault, or a table is not what it was. Which of the
    /// two, a look at the schema says ([`crate::Buffer::judged`]).
    #[error("the buffer cannot be used: {0}")]
    Refused(String),
    #[error("the buffer holds something unexpected: {0}")]
    Damaged(String),
}

impl BufferError {
    /// So many of the chosen records were gone when it was met.
    pub(crate) fn after(self, gone: u64) -> BufferError {
        match self {
            error if gone == 0 => error,
            BufferError::Partly { erased, error } => BufferError::Partly { erased: erased + gone, error },
            error => BufferError::Partly { erased: gone, error: Box::new(error) },
        }
    }
}

impl From<sqlx::Error> for BufferError {
    fn from(e: sqlx::Error) -> Self {
        // Primary result codes of SQLite, without the extended part.
        let code = e
            .as_database_error()
            .and_then(|d| d.code())
            .and_then(|code| code.parse::<u32>().ok())
            .map(|code| code & 0xff);
        match code {
            Some(5 | 6) => BufferError::Busy,
            Some(13) => BufferError::DiskFull,
            Some(10) => BufferError::DiskFails,
            Some(1) => BufferError::Refused(e.to_string()),
            Some(11 | 26) => BufferError::Damaged(e.to_string()),
            // A column that holds what its table does not allow: flipped bits.
            _ if matches!(e, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => {
                BufferError::Damaged(e.to_string())
            }
            _ if matches!(e, sqlx::Error::PoolTimedOut) => BufferError::Busy,
            _ => BufferError::Unavailable(e.to_string()),
        }
    }
}

impl From<std::io::Error> for BufferError {
    fn from(e: std::io::Error) -> Self {
        match e.kind() {
            std::io::ErrorKind::StorageFull => BufferError::DiskFull,
            _ => BufferError::Unavailable(e.to_string()),
        }
    }
}
