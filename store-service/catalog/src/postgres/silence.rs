//! Ends connections to a server whose machine is gone.
//!
//! A server that ends says so. A machine that vanishes, as at a failover, says nothing, and whoever waits for it waits for as long
//! as the kernel tries to reach it: a quarter of an hour, or for ever where all that was sent had arrived. The kernel gives up
//! sooner if it is told to, by two options of a socket. The driver has no setting for them and shows no socket, so sockets are
//! found among the open files of this process.
//!
//! Promises: only connections to the server's port are touched. A server that is slow is none that is gone: its machine answers for
//! it, but for one that takes none of what it is sent. What stands between, such as a pooler, has a machine of its own.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::time::Duration;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{getpeername, sockopt};

/// How long nobody may answer for what was sent.
const SILENCE: Duration = Duration::from_secs(20);
/// After how long without a word the other machine is asked whether it is there, and how often until it answers.
const ASK_AFTER: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Has connections to this port end once the other machine has been silent for a while.
pub(super) fn end_if_silent(port: u16) -> io::Result<()> {
    for number in open_files()? {
        // SAFETY: another thread may close it meanwhile, and open another file under its number. It is only asked who is at its
        // other end, and copied; whatever is changed is changed by the copy, once that has told the same.
        #[allow(unsafe_code, reason = "nothing that is safe makes a handle of the number of an open file")]
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        // What is no socket must not even be copied: closing the copy would end its locks.
        if is_connected_to(file, port) {
            let copy = fcntl_dupfd_cloexec(file, 0)?;
            if is_connected_to(&copy, port) {
                give_up_soon(copy.as_fd())?;
            }
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
fn is_connected_to(file: impl AsFd, port: u16) -> bool {
    let other = getpeername(file).ok().flatten().and_then(|other| SocketAddr::try_from(other).ok());
    other.is_some_and(|other| other.port() == port)
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
        end_if_silent(address.port()).unwrap();
        assert!(sockopt::socket_keepalive(&to_server).unwrap());
        assert_eq!(sockopt::tcp_user_timeout(&to_server).unwrap(), 20_000);
        assert_eq!(sockopt::tcp_keepidle(&to_server).unwrap(), ASK_AFTER);
        for other in [sockopt::socket_keepalive(&from_client), sockopt::socket_keepalive(&server)] {
            assert!(!other.unwrap());
        }
    }
}
