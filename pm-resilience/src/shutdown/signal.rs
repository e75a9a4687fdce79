/// What asks a process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGINT: somebody pressed Ctrl-C.
    Interrupt,
    /// SIGTERM: an orchestrator wants the process to end.
    Terminate,
}

impl Signal {
    /// The name in logs.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

#[cfg(feature = "signals")]
pub use self::listen::Signals;

#[cfg(feature = "signals")]
mod listen {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures_core::Stream;
    #[cfg(unix)]
    use tokio::signal::unix;
    #[cfg(windows)]
    use tokio::signal::windows;

    use super::Signal;

    /// SIGTERM and SIGINT, one after the other as they come; on Windows Ctrl-C. Never ends.
    #[derive(Debug)]
    pub struct Signals {
        #[cfg(unix)]
        terminate: unix::Signal,
        #[cfg(unix)]
        interrupt: unix::Signal,
        #[cfg(windows)]
        interrupt: windows::CtrlC,
    }

    impl Signals {
        /// From now on they do not end the process by themselves, as long as it lives.
        ///
        /// # Errors
        ///
        /// The operating system does not tell of them.
        ///
        /// # Panics
        ///
        /// Outside a tokio runtime with its I/O on.
        pub fn listen() -> io::Result<Self> {
            Ok(Self {
                #[cfg(unix)]
                terminate: unix::signal(unix::SignalKind::terminate())?,
                #[cfg(unix)]
                interrupt: unix::signal(unix::SignalKind::interrupt())?,
                #[cfg(windows)]
                interrupt: windows::ctrl_c()?,
            })
        }

        /// Waits for the next one. Cancel-safe.
        pub async fn next(&mut self) -> Signal {
            std::future::poll_fn(|cx| self.poll_signal(cx)).await
        }

        fn poll_signal(&mut self, cx: &mut Context<'_>) -> Poll<Signal> {
            #[cfg(unix)]
            if let Poll::Ready(Some(())) = self.terminate.poll_recv(cx) {
                return Poll::Ready(Signal::Terminate);
            }
            if let Poll::Ready(Some(())) = self.interrupt.poll_recv(cx) {
                return Poll::Ready(Signal::Interrupt);
            }
            Poll::Pending
        }
    }

    impl Stream for Signals {
        type Item = Signal;

        fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
            self.get_mut().poll_signal(cx).map(Some)
        }
    }
}
