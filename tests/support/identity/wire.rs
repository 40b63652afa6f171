//! HTTP/1.1 by hand: as it should be, and as it should not.

use std::io::{Error, ErrorKind, Result};

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::answers::{Answer, answer, question};
use super::{Asked, HUGE, Service, ServiceBehaviour, Shared};

/// Answers the requests of a connection, one after the other, until somebody closes it.
pub async fn serve(
    service: Service,
    stream: TcpStream,
    now: &watch::Receiver<ServiceBehaviour>,
    shared: &Shared,
) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let asked = read(service, &mut stream).await?;
        let behaviour = *now.borrow();
        shared.asked.push(asked.clone());
        if behaviour == ServiceBehaviour::Hangup {
            return stream.shutdown().await;
        }
        match behaviour {
            ServiceBehaviour::Slow(delay) => tokio::time::sleep(delay).await,
            ServiceBehaviour::Held => wait_for_release(now.clone()).await?,
            _ => {}
        }
        let (status, body) = match behaviour {
            ServiceBehaviour::Echo => echo(&asked),
            _ => answer(&shared.registry.lock().unwrap(), &asked),
        };
        play(stream.get_mut(), behaviour, status, &body.to_string()).await?;
        if behaviour == ServiceBehaviour::CutShort {
            return stream.shutdown().await;
        }
    }
}

async fn wait_for_release(mut now: watch::Receiver<ServiceBehaviour>) -> Result<()> {
    now.wait_for(|now| *now != ServiceBehaviour::Held).await.map(drop).map_err(Error::other)
}

async fn read(service: Service, stream: &mut BufReader<TcpStream>) -> Result<Asked> {
    let line = read_line(stream).await?;
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream).await?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or("0", |(_, value)| value);
    let mut body = vec![0; length.parse().map_err(|_| ErrorKind::InvalidData)?];
    stream.read_exact(&mut body).await?;
    let question = question(service, method, path);
    let [method, path, query] = [method, path, query].map(str::to_owned);
    Ok(Asked { service, question, method, path, query, headers, body })
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line).await? == 0 {
        return Err(Error::from(ErrorKind::UnexpectedEof));
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

async fn play(stream: &mut TcpStream, behaviour: ServiceBehaviour, status: u16, body: &str) -> Result<()> {
    let (whole, half) = (body.len(), &body.as_bytes()[..body.len() / 2]);
    match behaviour {
        ServiceBehaviour::Html => send(stream, 200, "text/html", PAGE.len(), PAGE.as_bytes()).await,
        ServiceBehaviour::Truncated => send(stream, status, JSON, half.len(), half).await,
        ServiceBehaviour::CutShort => send(stream, status, JSON, whole, half).await,
        ServiceBehaviour::Huge => {
            let padded = format!(r#"{{"padding":"{}",{}"#, "x".repeat(HUGE), &body[1..]);
            send(stream, status, JSON, padded.len(), padded.as_bytes()).await
        }
        ServiceBehaviour::Status(status) => {
            let body = json!({"code": status, "message": "something is wrong", "data": null}).to_string();
            send(stream, status, JSON, body.len(), body.as_bytes()).await
        }
        ServiceBehaviour::Well
        | ServiceBehaviour::Slow(_)
        | ServiceBehaviour::Held
        | ServiceBehaviour::Down
        | ServiceBehaviour::Hangup
        | ServiceBehaviour::Echo => send(stream, status, JSON, whole, body.as_bytes()).await,
    }
}

/// A refusal in every service's form at once.
fn echo(asked: &Asked) -> Answer {
    let said = format!("no: {} {} {}", asked.path, asked.query, String::from_utf8_lossy(&asked.body));
    (
        200,
        json!({"code": 1, "message": said, "result": false, "bk_error_msg": said, "ret": 1, "msg": said, "data": null}),
    )
}

const JSON: &str = "application/json; charset=utf-8";
const PAGE: &str = "<!DOCTYPE html><html><body>Please log in</body></html>";

async fn send(stream: &mut TcpStream, status: u16, content_type: &str, length: usize, body: &[u8]) -> Result<()> {
    let head = format!("HTTP/1.1 {status} Any\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\r\n");
    // In one piece: a body that comes later would wait for the client's acknowledgement.
    stream.write_all(&[head.as_bytes(), body].concat()).await
}
