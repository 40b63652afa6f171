//! Clients and users that the policy itself lists.

use linkgate_contract::{AppCode, MAX_NAME_BYTES, is_printable_name};

use crate::directory::{Directory, LoginKind};
use crate::policy::document::{Client, User};
use crate::policy::fault::Faults;
use crate::secret::Digest;

pub(super) fn directory(clients: &[Client], users: &[User], faults: &mut Faults) -> Directory {
    let mut directory = Directory::default();
    for (n, client) in clients.iter().enumerate() {
        list_client(&format!("clients[{n}]"), client, &mut directory, faults);
    }
    for (n, user) in users.iter().enumerate() {
        list_user(&format!("users[{n}]"), user, &mut directory, faults);
    }
    directory
}

fn digests(path: &str, texts: &[String], faults: &mut Faults) -> Vec<(String, Digest)> {
    let texts = texts.iter().enumerate().map(|(n, text)| (format!("{path}[{n}]"), text));
    texts.filter_map(|(at, text)| Some((at.clone(), faults.take_ok(at, Digest::from_hex(text))?))).collect()
}

fn list_client(path: &str, client: &Client, directory: &mut Directory, faults: &mut Faults) {
    faults.take_ok(format!("{path}.app_code"), AppCode::new(client.app_code.as_str()));
    let secrets_path = format!("{path}.secret_sha256");
    let secrets = digests(&secrets_path, &client.secret_sha256, faults);
    if !directory.add_client(&client.app_code, secrets.into_iter().map(|(_, digest)| digest).collect()) {
        faults.add(format!("{path}.app_code"), "is listed twice; one client may have several secrets");
    }
    if client.secret_sha256.is_empty() {
        faults.add(secrets_path, "lists no secret, so the client could never call; remove it or add a digest");
    }
}

fn list_user(path: &str, user: &User, directory: &mut Directory, faults: &mut Faults) {
    if !is_printable_name(&user.username) {
        let rule = format!("must be 1 to {MAX_NAME_BYTES} bytes, not blank, no control characters");
        faults.add(format!("{path}.username"), rule);
    }
    if user.bk_token_sha256.is_empty() && user.bk_ticket_sha256.is_empty() {
        faults.add(path, "lists neither bk_token_sha256 nor bk_ticket_sha256, so the user could never log in");
    }
    let kinds = [
        (LoginKind::Token, "bk_token_sha256", &user.bk_token_sha256),
        (LoginKind::Ticket, "bk_ticket_sha256", &user.bk_ticket_sha256),
    ];
    for (kind, key, texts) in kinds {
        for (at, digest) in digests(&format!("{path}.{key}"), texts, faults) {
            if !directory.add_login(kind, digest, &user.username) {
                faults.add(at, "is listed already, and one login belongs to one user");
            }
        }
    }
}
