//! What really goes over the line to a backend: a pipe in front of it that writes down every byte that is sent there, a
//! file for each connection, and changes none.

use anyhow::Result;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

#[derive(Debug)]
pub struct Wire {
    port: u16,
    dir: PathBuf,
    server: JoinHandle<()>,
}

impl Wire {
    /// On a free port, to the backend at that one; what is sent is kept in `dir`.
    pub async fn tap(backend: u16, dir: &Path) -> Result<Wire> {
        std::fs::create_dir_all(dir)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let kept = dir.to_owned();
        let server = tokio::spawn(async move {
            // They end with this.
            let mut open = JoinSet::new();
            for n in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                open.spawn(pass_on(stream, backend, kept.join(n.to_string())));
            }
        });
        Ok(Wire { port, dir: dir.to_owned(), server })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where what was sent lies.
    pub fn sent(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass_on(client: TcpStream, backend: u16, file: PathBuf) -> std::io::Result<()> {
    let mut log = tokio::fs::File::create(file).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_backend, mut to_backend) = TcpStream::connect(("127.0.0.1", backend)).await?.into_split();
    let there = async {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let read = from_client.read(&mut bytes).await?;
            if read == 0 {
                return to_backend.shutdown().await;
            }
            // Written down before it is sent: what the backend has is in the file.
            log.write_all(&bytes[..read]).await?;
            log.flush().await?;
            to_backend.write_all(&bytes[..read]).await?;
        }
    };
    let back = async {
        tokio::io::copy(&mut from_backend, &mut to_client).await?;
        to_client.shutdown().await
    };
    tokio::try_join!(there, back).map(drop)
}
