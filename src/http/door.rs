//! The door: connections accepted, bounded in number and in how long they may be silent, so that nobody who only holds
//! them open keeps others out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// The head of a request must be there by then, which also ends connections nobody uses. Longer than the 60 s between
/// two scrapes that many use.
const HEAD: Duration = Duration::from_secs(75);
/// Longest head of a request, in bytes; a bearer token and a traceparent take a few hundred.
const HEAD_BYTES: usize = 64 << 10;
/// How long it waits after the system had no room for another connection.
const BREATH: Duration = Duration::from_millis(200);

/// Accepts connections until told to stop; requests under way are finished. Beyond `most` connections the one that was
/// silent for the longest gives way, and where none is silent the one whose request takes longest.
pub(super) async fn serve(listener: TcpListener, router: Router, most: usize, stop: CancellationToken) {
    let (seats, tasks) = (Arc::new(Seats::new(most)), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                // Answers are small; waiting to fill a packet would only delay them.
                let _ = stream.set_nodelay(true);
                let seat = seats.take();
                tasks.spawn(attend(stream, router.clone(), seat, stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
    // Whoever comes while requests are finished is refused, and not left waiting before a door nobody opens.
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

/// Serves one connection until it ends, gives way, or the service stops.
async fn attend(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    seat: Seat,
    stop: CancellationToken,
) {
    let given_away = seat.given_away.clone();
    let seat = Arc::new(seat);
    let service = service_fn(move |request: Request<Incoming>| {
        let (router, busy) = (router.clone(), Busy::begin(&seat));
        async move {
            let answer = router.oneshot(request).await;
            drop(busy);
            answer
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = given_away.cancelled() => return,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

/// All connections there are.
struct Seats {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Held>,
}

/// A connection as the door sees it.
struct Held {
    /// Whether a request of it is being answered.
    is_busy: bool,
    /// Since when it is what it is.
    since: Instant,
    given_away: CancellationToken,
}

impl Seats {
    fn new(most: usize) -> Self {
        Self { most: most.max(1), taken: Mutex::default() }
    }

    /// A seat for a connection; somebody else's when all are taken.
    fn take(self: &Arc<Self>) -> Seat {
        let mut taken = self.taken();
        if taken.seats.len() >= self.most {
            taken.give_one_away();
        }
        let (id, given_away) = (taken.next, CancellationToken::new());
        taken.next += 1;
        let held = Held { is_busy: false, since: Instant::now(), given_away: given_away.clone() };
        taken.seats.insert(id, held);
        Seat { id, given_away, seats: Arc::clone(self) }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn give_one_away(&mut self) {
        let Some(id) = self.seats.iter().min_by_key(|(_, held)| (held.is_busy, held.since)).map(|(id, _)| *id) else {
            return;
        };
        if let Some(held) = self.seats.remove(&id) {
            tracing::debug!(busy = held.is_busy, "a connection gives way to a new one");
            held.given_away.cancel();
        }
    }
}

/// One connection's place; leaving gives it back.
struct Seat {
    id: u64,
    given_away: CancellationToken,
    seats: Arc<Seats>,
}

impl Seat {
    fn note(&self, is_busy: bool) {
        if let Some(held) = self.seats.taken().seats.get_mut(&self.id) {
            (held.is_busy, held.since) = (is_busy, Instant::now());
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().seats.remove(&self.id);
    }
}

/// A request of a connection under way.
struct Busy(Arc<Seat>);

impl Busy {
    fn begin(seat: &Arc<Seat>) -> Self {
        seat.note(true);
        Self(Arc::clone(seat))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.note(false);
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;

    /// A connection to a door with one route.
    fn connect(seats: &Arc<Seats>) -> DuplexStream {
        let (theirs, ours) = tokio::io::duplex(64 << 10);
        let router = Router::new().route("/", get(|| async { "here" }));
        tokio::spawn(attend(ours, router, seats.take(), CancellationToken::new()));
        theirs
    }

    async fn read_to_end(stream: &mut DuplexStream) -> String {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        text
    }

    #[tokio::test(start_paused = true)]
    async fn a45_a_head_that_never_ends_is_cut_off() {
        let seats = Arc::new(Seats::new(9));
        let started = Instant::now();
        let (mut silent, mut slow) = (connect(&seats), connect(&seats));
        slow.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ").await.unwrap();
        assert_eq!(read_to_end(&mut silent).await, "");
        assert_eq!(read_to_end(&mut slow).await, "");
        assert_eq!(started.elapsed().as_secs(), HEAD.as_secs());
        assert!(seats.taken().seats.is_empty(), "and their seats are free");
    }

    #[tokio::test(start_paused = true)]
    async fn a45_who_holds_connections_open_keeps_nobody_out() {
        let seats = Arc::new(Seats::new(4));
        let mut held: Vec<DuplexStream> = (0..50).map(|_| connect(&seats)).collect();
        for stream in &mut held {
            let _ = stream.write_all(b"POST / HTTP/1.1\r\n").await;
        }
        let mut asking = connect(&seats);
        asking.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        assert!(read_to_end(&mut asking).await.ends_with("here"));
        assert!(seats.taken().seats.len() <= 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_silent_connection_gives_way_and_then_the_longest_request() {
        let second = || tokio::time::advance(Duration::from_secs(1));
        let seats = Arc::new(Seats::new(3));
        let first = Arc::new(seats.take());
        second().await;
        let silent = seats.take();
        second().await;
        let later = Arc::new(seats.take());
        let answering = Busy::begin(&first);
        let fourth = seats.take();
        assert!(silent.given_away.is_cancelled() && !first.given_away.is_cancelled());
        second().await;
        let _answering_too = Busy::begin(&later);
        drop(fourth);
        second().await;
        let _fifth = Busy::begin(&Arc::new(seats.take()));
        let _sixth = seats.take();
        assert!(first.given_away.is_cancelled(), "all were busy, it the longest");
        drop(answering);
        drop(silent);
        assert!(seats.taken().seats.len() <= 3);
    }
}
