//! The host's form of a header map, read by the shell's own reader and judged by the gate as the shell would.
//!
//! Holds: what is read lies in the map, in its order and without a gap, and nothing that is cut short is read; what the
//! shell writes it reads back; names and values of any bytes neither trap the gate nor let a stranger in.

use crate::drive::{End, Way, drive};
use crate::request::{route, text};
use crate::who::{Proofs, Shown};
use crate::world::{BODY, NOW_S, document, gate_of};
use crate::{forwarded, refused, tokens};
use linkgate_gate::Gate;

#[path = "../../../filter/src/host/pairs.rs"]
mod header_map;

thread_local!(static GATE: Gate = gate_of(&document()));

/// Takes one input, and panics if something does not hold.
pub fn check_input(data: &[u8]) {
    let Some(read) = header_map::parse(data) else { return };
    if !data.is_empty() {
        lies_in(data, &read);
    }
    let as_text: Option<Vec<_>> = read.iter().map(|(n, v)| Some((str_of(n)?, str_of(v)?))).collect();
    if let Some(texts) = as_text {
        let written = header_map::serialize(&texts);
        assert_eq!(header_map::parse(&written).as_ref(), Some(&read));
        let cut_short = |cut| header_map::parse(&written[..cut]).is_none();
        assert!(written.len() > 512 || (1..written.len()).all(cut_short));
    }
    let (end, asked) = GATE.with(|gate| drive(gate, &read, Way::with(BODY.as_bytes()), &[]));
    assert!(asked.is_empty());
    let route = route(text(&read, ":method"), text(&read, ":path"));
    let shown = route.as_ref().and_then(|(stage, ..)| Shown::read(stage, &read, BODY.as_bytes()));
    match end {
        End::Refuse(refusal) => {
            refused::check(&refusal, shown.iter().flat_map(|shown| shown.secrets(&read, &[])));
        }
        End::Forward(forward) => {
            let ((stage, path, _), shown) = (route.expect("a route"), shown.expect("credentials"));
            assert_eq!(forward.set[0], (":path", path));
            forwarded::check_headers(&read, &forward);
            let proofs = Proofs { shown: &shown, asked: &[], pairs: &read, body: BODY.as_bytes(), now: NOW_S };
            proofs.check(&stage, &tokens::claims(&forward));
        }
    }
}

fn str_of(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// Every text stands where the lengths before it say.
fn lies_in(data: &[u8], read: &[(&[u8], &[u8])]) {
    let number = |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(number(0), read.len());
    let mut at = 4 + 8 * read.len();
    for (n, (name, value)) in read.iter().enumerate() {
        for (place, part) in [(4 + 8 * n, name), (8 + 8 * n, value)] {
            assert_eq!(number(place), part.len());
            assert_eq!(&data[at..at + part.len()], *part);
            at += part.len() + 1;
        }
    }
    assert!(at <= data.len());
    if at > 4 {
        assert!(header_map::parse(&data[..at - 1]).is_none());
    }
}
