//! The port of one service: open, or closed but kept.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::wire::serve;
use super::{Service, ServiceBehaviour, Shared};

/// The port of a service.
pub struct ServicePort {
    service: Service,
    address: SocketAddr,
    behaviour: watch::Sender<ServiceBehaviour>,
    state: Mutex<State>,
    shared: Arc<Shared>,
}

enum State {
    /// Listening until the sender is used or dropped.
    Open(oneshot::Sender<()>, JoinHandle<()>),
    /// Bound and not listening: the system refuses connections, and nobody else can take the port.
    Closed(TcpSocket),
}

impl ServicePort {
    pub async fn open(service: Service, shared: Arc<Shared>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let behaviour = watch::Sender::new(ServiceBehaviour::Well);
        let state = listen(service, listener, &behaviour, &shared);
        Self { service, address, behaviour, state: Mutex::new(state), shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn set(&self, behaviour: ServiceBehaviour) {
        let mut state = self.state.lock().await;
        self.behaviour.send_replace(behaviour);
        let next = match (behaviour, &mut *state) {
            (ServiceBehaviour::Down, State::Open(close, task)) => {
                let (unused, _) = oneshot::channel();
                // Fails if the task has ended, which is what is wanted.
                let _sent = std::mem::replace(close, unused).send(());
                task.await.unwrap();
                State::Closed(keep(self.address))
            }
            (ServiceBehaviour::Down, State::Closed(_)) | (_, State::Open(..)) => return,
            (_, State::Closed(kept)) => {
                let socket = std::mem::replace(kept, TcpSocket::new_v4().unwrap());
                listen(self.service, socket.listen(1_024).unwrap(), &self.behaviour, &self.shared)
            }
        };
        *state = next;
    }
}

fn keep(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

fn listen(
    service: Service,
    listener: TcpListener,
    behaviour: &watch::Sender<ServiceBehaviour>,
    shared: &Arc<Shared>,
) -> State {
    let (close, closing) = oneshot::channel();
    let (behaviour, shared) = (behaviour.subscribe(), Arc::clone(shared));
    State::Open(close, tokio::spawn(accept(service, listener, behaviour, shared, closing)))
}

async fn accept(
    service: Service,
    listener: TcpListener,
    behaviour: watch::Receiver<ServiceBehaviour>,
    shared: Arc<Shared>,
    mut closing: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut closing => break,
            Some(_ended) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (behaviour, shared) = (behaviour.clone(), Arc::clone(&shared));
                // The gate may go away at any time; that is its right.
                connections.spawn(async move { drop(serve(service, stream, &behaviour, &shared).await) });
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}
