//! Ends connections to a server whose machine is gone.
//!
//! A server that ends says so. A machine that vanishes, as at a failover, says nothing, and whoever waits for it waits for as long
//! as the kernel tries to reach it: a quarter of an hour, or for ever where all that was sent had arrived. The kernel gives up
//! sooner if it is told to, by two options of a socket. The driver has no setting for them and shows no socket, so sockets are
//! found among the open files of this process.
//!
//! Promises: only what is connected to the server is touched. A server that is slow is none that is gone: its machine answers for
//! it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use rustix::net::{getpeername, sockopt};
use tokio::net::lookup_host;

/// How long nobody may answer for what was sent.
const SILENCE: Duration = Duration::from_secs(20);
/// After how long without a word the other machine is asked whether it is there, and how often until it answers.
const ASK_AFTER: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Has connections to this server end once its machine has been silent for a while. One on a socket of files has no other machine.
pub(super) async fn end_if_silent(host: &str, port: u16) -> io::Result<()> {
    if host.starts_with('/') {
        return Ok(());
    }
    let servers: Vec<SocketAddr> = lookup_host((host, port)).await?.collect();
    for number in open_files()? {
        // SAFETY: it may be closed meanwhile, by another thread; then the calls below fail, or ask who is at the other end of
        // another file. Nothing is read, written or closed by it.
        #[allow(unsafe_code, reason = "nothing that is safe makes a handle of the number of an open file")]
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        if is_connected_to(file, &servers) {
            give_up_soon(file)?;
        }
    }
    Ok(())
}

fn open_files() -> io::Result<Vec<RawFd>> {
    let numbers = std::fs::read_dir("/proc/self/fd")?.map(|entry| Ok(entry?.file_name()));
    let numbers = numbers.collect::<io::Result<Vec<_>>>()?;
    Ok(numbers.iter().filter_map(|number| number.to_str()?.parse().ok()).collect())
}

/// What is no socket, and what is closed by now, is connected to nobody.
fn is_connected_to(file: BorrowedFd<'_>, servers: &[SocketAddr]) -> bool {
    let other = getpeername(file).ok().flatten().and_then(|other| SocketAddr::try_from(other).ok());
    other.is_some_and(|other| servers.contains(&other))
}

fn give_up_soon(socket: BorrowedFd<'_>) -> io::Result<()> {
    let silence = u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(socket, silence)?;
    sockopt::set_tcp_keepidle(socket, ASK_AFTER)?;
    sockopt::set_tcp_keepintvl(socket, ASK_EVERY)?;
    sockopt::set_socket_keepalive(socket, true)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn connections_to_the_server_alone_are_touched() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let to_server = TcpStream::connect(address).await.unwrap();
        let (from_client, _) = server.accept().await.unwrap();
        end_if_silent("localhost", address.port()).await.unwrap();
        assert!(sockopt::socket_keepalive(&to_server).unwrap());
        assert_eq!(sockopt::tcp_user_timeout(&to_server).unwrap(), 20_000);
        assert_eq!(sockopt::tcp_keepidle(&to_server).unwrap(), ASK_AFTER);
        for other in [sockopt::socket_keepalive(&from_client), sockopt::socket_keepalive(&server)] {
            assert!(!other.unwrap());
        }
    }

    #[tokio::test]
    async fn a_server_that_is_reached_through_a_file_has_no_other_machine() {
        end_if_silent("/nowhere", 1).await.unwrap();
    }
}
