//! A line to a server that fails as lines do: cut, reset, slow, or answered by something else in between.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of one connection.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    /// Closed before a word is passed on.
    Refused,
    /// What is asked is passed on; of the answer only so many bytes come back, then the line is cut.
    Half(usize),
    /// Answered by somebody else, with these bytes; nothing is passed on.
    Other(&'static str),
    /// The answer comes so much later.
    Slow(Duration),
}

/// The line. Ends with the test's runtime.
#[derive(Clone)]
pub struct Faulty {
    pub address: SocketAddr,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    met: Arc<Mutex<Vec<Fate>>>,
}

impl Faulty {
    /// A line to `behind` whose first connections have these fates; those after them are good.
    pub async fn before(behind: &str, fates: impl IntoIterator<Item = Fate>) -> Self {
        let behind: SocketAddr = behind.parse().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fates = Arc::new(Mutex::new(fates.into_iter().collect()));
        let line = Self { address: listener.local_addr().unwrap(), fates, met: Arc::default() };
        let served = line.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let fate = served.fates.lock().unwrap().pop_front();
                served.met.lock().unwrap().extend(fate);
                tokio::spawn(pass(near, behind, fate));
            }
        });
        line
    }

    /// The fates that connections met so far.
    pub fn met(&self) -> usize {
        self.met.lock().unwrap().len()
    }
}

async fn pass(mut near: TcpStream, behind: SocketAddr, fate: Option<Fate>) {
    match fate {
        Some(Fate::Refused) => return,
        Some(Fate::Other(answer)) => {
            let mut asked = [0; 4096];
            // A mail server speaks first, and so does whoever poses as one.
            let _ = tokio::time::timeout(Duration::from_millis(300), near.read(&mut asked)).await;
            let _ = near.write_all(answer.as_bytes()).await;
            return;
        }
        _ => {}
    }
    let Ok(far) = TcpStream::connect(behind).await else { return };
    let (mut far_read, mut far_write) = far.into_split();
    let (mut near_read, mut near_write) = near.into_split();
    let asking = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut near_read, &mut far_write).await;
        let _ = far_write.shutdown().await;
    });
    let mut left = if let Some(Fate::Half(bytes)) = fate { bytes } else { usize::MAX };
    let mut buffer = vec![0; 16 * 1024];
    let mut first = true;
    while let Ok(read @ 1..) = far_read.read(&mut buffer).await {
        if let (Some(Fate::Slow(wait)), true) = (fate, std::mem::take(&mut first)) {
            tokio::time::sleep(wait).await;
        }
        let passed = read.min(left);
        left -= passed;
        if near_write.write_all(&buffer[..passed]).await.is_err() || left == 0 {
            break;
        }
    }
    // Both halves are dropped: the line is cut.
    asking.abort();
}
