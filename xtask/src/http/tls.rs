//! The same over TLS, to a server on this machine whose authority is known.
//!
//! Promises: believes that authority and no other. Speaks HTTP/1.0, so that a reply has no framing but its end.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::{READ_TIMEOUT, Response};
use crate::error::{Failure, Outcome, Trying};

/// The name that certificates of a demo have.
const NAME: &str = "localhost";

/// Sends a request and reads until the server ends the connection.
pub fn exchange(port: u16, authority: &str, request: &str) -> Outcome<Response> {
    let failing = || format!("talk to port {port} over TLS");
    let config = configure(authority).trying(|| "set up TLS".to_owned())?;
    let name = ServerName::try_from(NAME).trying(failing)?;
    let connection = ClientConnection::new(Arc::new(config), name).trying(failing)?;
    let socket = TcpStream::connect(("127.0.0.1", port)).trying(failing)?;
    socket.set_read_timeout(Some(READ_TIMEOUT)).trying(failing)?;
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(request.as_bytes()).trying(failing)?;
    let mut reply = Vec::new();
    match stream.read_to_end(&mut reply) {
        // A server may close without saying so; the length below tells whether all came.
        Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error).trying(failing),
        _ => {}
    }
    read_reply(&String::from_utf8_lossy(&reply))
        .ok_or_else(|| Failure::new(format!("port {port} did not answer in HTTP over TLS")))
}

fn configure(authority: &str) -> Result<ClientConfig, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
    Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}

/// A whole reply.
fn read_reply(text: &str) -> Option<Response> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let is_whole = length.is_none_or(|length| length == body.len());
    is_whole.then(|| Response::new(status, body.as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_if_all_of_it_is_there() {
        let reply = read_reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        assert_eq!((reply.status, reply.body.as_str()), (200, "hi"));
        assert_eq!(read_reply("HTTP/1.0 503 No\r\n\r\nuntil the end").unwrap().body, "until the end");
        for broken in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi", "SSH-2.0\r\n\r\n"] {
            assert!(read_reply(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn what_is_no_authority_is_a_failure() {
        let failure = exchange(1, "nothing", "").map(|reply| reply.status).unwrap_err().to_string();
        assert!(failure.starts_with("cannot set up TLS"), "{failure}");
    }
}
