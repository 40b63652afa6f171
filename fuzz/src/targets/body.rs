//! A content type, a line break, a body: at a gate that reads packages, at one that wants checksums, and where
//! credentials may stand in the body.
//!
//! Holds: the gate takes what the contract takes and refuses the rest with the contract's words; what goes on is the
//! request that was judged, to the letter, and holds no credential field.

use crate::drive::{End, Way, drive};
use crate::request::Pairs;
use crate::who::body_fields;
use crate::world::{APP_SECRET, BK_TICKET, BK_TOKEN, BODY_BYTES, CREDENTIALS, PATH, document, gate_of};
use crate::{forwarded, refused};
use linkgate_contract::{
    AllowList, Field, Fields, HostRule, Language, MediaType, Origin, Problem, SourceRules, UploadByLinkRequest,
};
use linkgate_gate::Gate;
use serde_json::{Value, json};

/// The rules of the policy, in the contract's terms.
struct Rules {
    hosts: AllowList,
    checksum: bool,
}

impl SourceRules for Rules {
    fn allows(&self, origin: &Origin) -> bool {
        self.hosts.allows(origin)
    }

    fn allows_nothing(&self) -> bool {
        false
    }

    fn requires_sha256(&self, _origin: &Origin) -> bool {
        self.checksum
    }
}

fn world(checksum: bool) -> (Gate, Rules) {
    let mut document = document();
    document["packages"]["sha256"] = json!(if checksum { "required" } else { "optional" });
    let hosts = ["example.com", "10.0.0.1:8080"].iter().map(|host| HostRule::new(host).unwrap()).collect();
    (gate_of(&document), Rules { hosts: AllowList::new(hosts), checksum })
}

thread_local!(static WORLDS: [(Gate, Rules); 2] = [world(false), world(true)]);

/// Takes one input, and panics if something does not hold.
pub fn check_input(data: &[u8]) {
    let at = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (content_type, body) = (&data[..at], data.get(at + 1..).unwrap_or_default());
    WORLDS.with(|worlds| {
        for (gate, rules) in worlds {
            presented_in_the_header(gate, rules, content_type, body);
            presented_in_the_body(gate, rules, content_type, body);
        }
    });
}

fn presented_in_the_header(gate: &Gate, rules: &Rules, content_type: &[u8], body: &[u8]) {
    let pairs: Pairs<'_> = vec![
        (b":method", b"POST"),
        (b":path", PATH.as_bytes()),
        (b"content-type", content_type),
        (b"x-bkapi-authorization", CREDENTIALS.as_bytes()),
    ];
    let judged = UploadByLinkRequest::parse_body(&MediaType::from_header(Some(content_type)), body, rules);
    match (drive(gate, &pairs, Way::with(body), &[]).0, judged) {
        (End::Forward(forward), Ok(request)) => {
            forwarded::check_headers(&pairs, &forward);
            forwarded::check_body(&pairs, body, &forward);
            let sent = forward.body.as_deref().unwrap_or(body);
            assert_eq!(UploadByLinkRequest::parse_body(&MediaType::Json, sent, rules), Ok(request));
        }
        (End::Refuse(refusal), judged) => {
            refused::check(&refusal, [APP_SECRET, BK_TICKET]);
            let said = (refusal.reply.status, refusal.reply.body.clone());
            let want = |problem: &Problem| (problem.code().status(), problem.body(Language::Chinese));
            let too_large = refusal.reply.status == 413 && body.len() > BODY_BYTES;
            assert!(too_large || judged.is_err_and(|problem| want(&problem) == said), "{}", refusal.reply.body);
        }
        (End::Forward(_), Err(problem)) => panic!("the contract refuses: {problem:?}"),
    }
}

fn presented_in_the_body(gate: &Gate, rules: &Rules, content_type: &[u8], body: &[u8]) {
    let path = format!("/body/v1.0{PATH}");
    let pairs: Pairs<'_> = vec![(b":method", b"POST"), (b":path", path.as_bytes()), (b"content-type", content_type)];
    match drive(gate, &pairs, Way::with(body), &[]).0 {
        End::Refuse(refusal) => refused::check(&refusal, []),
        End::Forward(forward) => {
            forwarded::check_headers(&pairs, &forward);
            forwarded::check_body(&pairs, body, &forward);
            let sent = forward.body.as_deref().expect("credentials are taken out");
            let request = UploadByLinkRequest::parse_body(&MediaType::Json, sent, rules).unwrap();
            let text = Value::Object(body_fields(&pairs, body)).to_string();
            let fields = Fields::from_json(text.as_bytes()).unwrap();
            assert_eq!(UploadByLinkRequest::from_fields(&fields, rules), Ok(request));
            let is = |name: &str, want: &str| fields.get(name) == Some(&Field::Text(want.into()));
            assert!(is("bk_app_secret", APP_SECRET) || is("app_secret", APP_SECRET));
            assert!(is("bk_token", BK_TOKEN) || is("bk_ticket", BK_TICKET));
        }
    }
}
