//! What stands in the place of the store: it answers at once, and says whom the token names.
//!
//! Promises: a request whose token it does not believe, or that still carries credentials, gets status 599 and the reason.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use linkgate_tests::http1::Message;
use linkgate_tests::token::now_s;

/// The length of an Ed25519 key, which ends its PEM.
const KEY: usize = 32;

/// A running one; stops when dropped.
pub(super) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    key: UnparsedPublicKey<Vec<u8>>,
    taken: AtomicU32,
}

impl Upstream {
    /// One that believes the key in this file.
    pub(super) async fn start(public_key: &Path) -> Self {
        let pem = std::fs::read_to_string(public_key).unwrap();
        let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(text).unwrap();
        let key = UnparsedPublicKey::new(&ED25519, der[der.len() - KEY..].to_vec());
        let shared = Arc::new(Shared { key, taken: AtomicU32::new(0) });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, task }
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests came.
    pub(super) fn taken(&self) -> u32 {
        self.shared.taken.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // Envoy closes what it does not need.
        tokio::spawn(async move { drop(serve(stream, &shared).await) });
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while let Some(request) = Message::read(&mut stream).await? {
        shared.taken.fetch_add(1, Ordering::Relaxed);
        let (status, body) = match account(&shared.key, &request) {
            Ok(account) => (200, account.to_string()),
            Err(reason) => (599, reason),
        };
        // Named as the store does it.
        let id = request.headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        let head =
            format!("HTTP/1.1 {status} Any\r\nx-bkapi-request-id: {id}\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.get_mut().write_all((head + &body).as_bytes()).await?;
    }
    Ok(())
}

/// Who asks for what, by the token and the request.
fn account(key: &UnparsedPublicKey<Vec<u8>>, request: &Message) -> Result<Value, String> {
    let only = |name: &str| match request.headers.get_all(name).iter().collect::<Vec<_>>().as_slice() {
        [value] => Ok(value.to_str().unwrap_or_default()),
        values => Err(format!("{} headers {name}", values.len())),
    };
    if request.headers.contains_key("x-bkapi-authorization") {
        return Err("credentials came through".to_owned());
    }
    let claims = claims(key, only("x-bkapi-jwt")?).ok_or("the token is not to be believed")?;
    let body: Value = serde_json::from_slice(&request.body).map_err(|e| e.to_string())?;
    Ok(json!({
        "app": claims["app"]["app_code"],
        "user": claims["user"]["username"],
        "request": request.first,
        "id": only("x-request-id")?,
        "version": body["version"],
    }))
}

fn claims(key: &UnparsedPublicKey<Vec<u8>>, token: &str) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.')?.1).ok()?).ok()?;
    let valid = claims["nbf"].as_i64()? <= now_s() && now_s() < claims["exp"].as_i64()?;
    (valid && claims["app"]["verified"] == true && claims["user"]["verified"] == true).then_some(claims)
}
