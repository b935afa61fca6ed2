//! The thread and its runtime: connections in, answers out.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::runtime;
use tokio::sync::{Semaphore, oneshot};

use super::answers::Answers;

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// A request's head has to come within this, also on a connection that is kept open.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// No connection lasts longer, so that those who do not read give way.
const CONNECTION_LIFE: Duration = Duration::from_secs(300);
/// Before the next attempt when none can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The thread; it ends when this is dropped.
pub(super) struct Serving {
    pub(super) address: SocketAddr,
    _stop: oneshot::Sender<Infallible>,
}

impl Serving {
    /// Starts it.
    pub(super) fn start(listener: TcpListener, answers: Arc<Answers>) -> Result<Serving> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            runtime.spawn(accept(listener, answers));
            // Nothing is ever sent: it ends because the sender is gone.
            let _gone = runtime.block_on(stopped);
        };
        thread::Builder::new()
            .name("http".into())
            .spawn(run)
            .context("the thread for HTTP can't be started")?;
        Ok(Serving { address, _stop: stop })
    }
}

async fn accept(listener: TcpListener, answers: Arc<Answers>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return eprintln!("trefoil: HTTP can't be answered: {error}"),
    };
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = Arc::clone(&permits).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let answers = Arc::clone(&answers);
                tokio::spawn(async move {
                    // Who is gone or too slow is gone.
                    let _ended =
                        tokio::time::timeout(CONNECTION_LIFE, serve(stream, answers)).await;
                    drop(permit);
                });
            }
            // Out of descriptors, or it was gone before it was accepted.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve(stream: TcpStream, answers: Arc<Answers>) -> hyper::Result<()> {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let answer = answers.answer(request.method(), request.uri().path(), now_ms());
        async move { Ok::<_, Infallible>(answer) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
