//! A line to a server that breaks once: the first connection fails as networks fail, those after it are carried.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How the first connection fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// It is closed before anything is read.
    Reset,
    /// Nothing is ever answered.
    Silence,
    /// What is said arrives, and of the answer only the beginning comes back.
    HalfAnAnswer,
}

/// Bytes of half an answer: less than any status line of HTTP, and less than a greeting of SMTP.
const HALF: usize = 10;
/// Longer than anybody waits for an answer.
const SILENCE: Duration = Duration::from_secs(60);

/// Carries connections to `behind` (`http://host:port` or `host:port`) and returns the same address at this end of the
/// line. Ends with the test's runtime.
pub async fn line(behind: &str, broken: Break) -> String {
    let (scheme, far) = behind.split_once("://").map_or(("", behind), |(scheme, far)| (scheme, far));
    let far: SocketAddr = far.parse().expect("an address with a port");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let near = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut next = Some(broken);
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(carry(stream, far, next.take()));
        }
    });
    if scheme.is_empty() { near.to_string() } else { format!("{scheme}://{near}") }
}

async fn carry(mut near: TcpStream, far: SocketAddr, broken: Option<Break>) {
    match broken {
        Some(Break::Reset) => {}
        Some(Break::Silence) => tokio::time::sleep(SILENCE).await,
        Some(Break::HalfAnAnswer) => {
            let Ok(far) = TcpStream::connect(far).await else { return };
            let (mut near_read, mut near_write) = near.split();
            let (mut far_read, mut far_write) = far.into_split();
            let mut half = [0; HALF];
            tokio::select! {
                _ = tokio::io::copy(&mut near_read, &mut far_write) => {}
                _ = far_read.read_exact(&mut half) => drop(near_write.write_all(&half).await),
            }
        }
        None => {
            if let Ok(mut far) = TcpStream::connect(far).await {
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        }
    }
}
