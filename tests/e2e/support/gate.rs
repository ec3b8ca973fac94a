//! A gate before a server: while it is shut, what is sent through it waits, as before an API server that is frozen; and a
//! far one takes its time for everything.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections; ends with the test's runtime.
pub struct Gate {
    pub address: SocketAddr,
    open: watch::Sender<bool>,
    away: watch::Sender<Duration>,
    held: watch::Sender<bool>,
}

impl Gate {
    /// An open gate before `behind`.
    pub async fn before(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, is_open) = watch::channel(true);
        let (away, is_away) = watch::channel(Duration::ZERO);
        let held = watch::Sender::new(false);
        let holds = held.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(forward(near, behind, is_open.clone(), is_away.clone(), holds.clone()));
            }
        });
        Self { address, open, away, held }
    }

    pub fn shut(&self) {
        self.held.send_replace(false);
        self.open.send_replace(false);
    }

    /// When something waits before the gate that was shut: it has left its sender.
    pub async fn something_waits(&self) {
        self.held.subscribe().wait_for(|held| *held).await.unwrap();
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    /// Each thing said takes so long from now on.
    pub fn is_far(&self, away: Duration) {
        self.away.send_replace(away);
    }
}

async fn forward(
    near: TcpStream,
    behind: SocketAddr,
    mut is_open: watch::Receiver<bool>,
    is_away: watch::Receiver<Duration>,
    held: watch::Sender<bool>,
) {
    let Ok(far) = TcpStream::connect(behind).await else { return };
    let (mut near_read, mut near_write) = near.into_split();
    let (mut far_read, mut far_write) = far.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut far_read, &mut near_write).await });
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = near_read.read(&mut buffer).await {
        let away = *is_away.borrow();
        tokio::time::sleep(away).await;
        if !*is_open.borrow() {
            held.send_replace(true);
        }
        if is_open.wait_for(|open| *open).await.is_err() || far_write.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
