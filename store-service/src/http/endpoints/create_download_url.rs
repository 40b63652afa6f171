//! Makes a link by which whoever has it downloads a package, for a while. Nothing is stored for it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use linkgate_contract::{
    CallerApp, DownloadUrl, Field, Fields, MAX_CLIENT_IPS, MediaType, Problem, SIGNED_URL_PARAMETER, SignedUrlClaims,
    TenantId, Text, headers, parse_body_fields,
};
use linkgate_store_core::download::Wanted;
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::Services;
use serde_json::{Value, json};
use tracing::info;
use warp::http::HeaderValue;
use warp::http::header::CACHE_CONTROL;

use crate::http::Api;
use crate::http::body::BodyError;
use crate::http::reply::{self, Reply};
use crate::http::request::{Request, module_of};

/// In seconds: long enough for a job that waits in a queue, and no longer than a day.
const LIFETIMES: std::ops::RangeInclusive<i64> = 60..=86_400;
const USUAL_LIFETIME: i64 = 3_600;

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let id = request.package_id()?;
    let target = module_of(request.route)?;
    let Request { head, caller, body, .. } = request;
    let mut share = api.shares.body(caller.owner()).map_err(BodyError::from)?;
    let body = body.read_whole(api.max_body_bytes, api.body_timeout, &mut share).await?;
    let media_type = MediaType::from_header(head.headers.get(headers::CONTENT_TYPE).map(|v| v.as_bytes()));
    let fields = if body.is_empty() { Fields::default() } else { parse_body_fields(&media_type, &body)? };
    let Terms { expires_in, client_ips } = Terms::read_fields(&fields)?;
    let wanted = Wanted { target, id, expected: None };
    let file = api.downloads.find(wanted).await.map_err(|e| reply::download_problem(&e))?;
    let (path, now) = (target.path_to(&format!("{id}/download/")), now_ms() / 1_000);
    let expires = now + expires_in;
    let claims = SignedUrlClaims {
        iat: now,
        exp: expires,
        sha256: file.sha256,
        app: caller.app.as_ref().map_or("", CallerApp::as_str).to_owned(),
        user: if caller.is_user { caller.operator.to_string() } else { String::new() },
        tenant: caller.tenant.as_ref().map(TenantId::to_string),
        client_ips,
        path,
    };
    info!(
        request.id = head.request_id(),
        caller.user = %caller.operator,
        package.id = %id,
        url.expires_in_s = expires_in,
        "Signed a URL for `{}`", caller.operator
    );
    // Relative to the URL of this request, whatever prefix the gateway knows.
    let place = match &api.public_url {
        Some(gateway) => format!("{gateway}{}", claims.path),
        None => "../download/".to_owned(),
    };
    let download_url = format!("{place}?{SIGNED_URL_PARAMETER}={}", api.url_signer.sign(&claims));
    let expires = reply::format_time(expires.saturating_mul(1_000), &api.time_zone);
    let mut reply = reply::json(json!(DownloadUrl { download_url, expires }).to_string());
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(reply)
}

/// For how long and for whom.
#[derive(Debug, PartialEq, Eq)]
struct Terms {
    expires_in: i64,
    client_ips: Vec<String>,
}

impl Terms {
    /// Every wrong field is named at once.
    fn read_fields(fields: &Fields<'_>) -> Result<Self, Problem> {
        let (expires_in, client_ips) =
            (read_lifetime(fields.get("expires_in")), read_networks(fields.get("client_ips")));
        match (expires_in, client_ips) {
            (Ok(expires_in), Ok(client_ips)) => Ok(Self { expires_in, client_ips }),
            (expires_in, client_ips) => {
                let faults = [("expires_in", expires_in.err()), ("client_ips", client_ips.err())];
                let named = faults.into_iter().filter_map(|(name, fault)| Some((name, vec![fault?])));
                Err(Problem::fields(BTreeMap::from_iter(named)))
            }
        }
    }
}

/// A whole number, in a form as text.
fn read_lifetime(field: Option<&Field<'_>>) -> Result<i64, Text> {
    let seconds = match field {
        None | Some(Field::Null) => Some(USUAL_LIFETIME),
        Some(Field::Number(number)) => number.as_i64(),
        Some(Field::Text(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    seconds.filter(|seconds| LIFETIMES.contains(seconds)).ok_or_else(|| {
        let (least, most) = (LIFETIMES.start(), LIFETIMES.end());
        Text::made(
            format!("请提供 {least} 至 {most} 之间的整数（秒）。"),
            format!("Give a whole number of seconds from {least} to {most}."),
        )
    })
}

/// A list of addresses and networks, in a form as one text with commas.
fn read_networks(field: Option<&Field<'_>>) -> Result<Vec<String>, Text> {
    let entries: Option<Vec<&str>> = match field {
        None | Some(Field::Null) => Some(Vec::new()),
        Some(Field::Nested(Value::Array(list))) => list.iter().map(Value::as_str).collect(),
        Some(Field::Text(text)) => Some(text.split(',').collect()),
        Some(_) => None,
    };
    let networks = entries.filter(|list| list.len() <= MAX_CLIENT_IPS);
    let networks = networks.and_then(|list| list.into_iter().map(network).collect::<Option<Vec<_>>>());
    networks.ok_or_else(|| {
        Text::made(
            format!("请提供最多 {MAX_CLIENT_IPS} 个 IP 地址或网段（如 10.0.0.0/8）。"),
            format!("Give at most {MAX_CLIENT_IPS} addresses and networks, such as 10.0.0.0/8."),
        )
    })
}

/// In its shortest form: an address, or a network without bits beyond its prefix. IPv4 in the form of IPv6 is IPv4.
fn network(text: &str) -> Option<String> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical().to_string());
    }
    let network: IpNet = text.parse().ok()?;
    let is_mapped = matches!(network, IpNet::V6(v6) if v6.network().to_ipv4_mapped().is_some());
    (!is_mapped).then(|| network.trunc().to_string())
}

#[cfg(test)]
mod tests {
    use linkgate_contract::Language;

    use super::*;

    fn read(json: &str) -> Result<Terms, String> {
        Terms::read_fields(&Fields::from_json(json.as_bytes()).unwrap()).map_err(|p| p.body(Language::English))
    }

    #[test]
    fn what_is_left_out_is_an_hour_from_anywhere() {
        for json in ["{}", r#"{"expires_in": null, "client_ips": null}"#, r#"{"client_ips": [], "other": 1}"#] {
            assert_eq!(read(json).unwrap(), Terms { expires_in: 3_600, client_ips: Vec::new() }, "{json}");
        }
    }

    #[test]
    fn lifetimes_and_networks_are_read_from_json_and_from_forms() {
        let terms =
            read(r#"{"expires_in": 60, "client_ips": ["10.1.2.3", "10.9.9.9/8", "::ffff:10.0.0.1", "fd00::/8"]}"#);
        let networks = ["10.1.2.3", "10.0.0.0/8", "10.0.0.1", "fd00::/8"].map(str::to_owned).to_vec();
        assert_eq!(terms.unwrap(), Terms { expires_in: 60, client_ips: networks });
        let terms = read(r#"{"expires_in": " 86400 ", "client_ips": "10.1.2.3, fd00::1"}"#).unwrap();
        let networks = ["10.1.2.3", "fd00::1"].map(str::to_owned).to_vec();
        assert_eq!(terms, Terms { expires_in: 86_400, client_ips: networks });
    }

    #[test]
    fn what_is_neither_is_named_field_by_field() {
        for bad in ["59", "86401", "-1", "60.5", "1e3", "true", "\"\"", "\"1h\"", "[60]", "1e400"] {
            let fault = read(&format!(r#"{{"expires_in": {bad}}}"#)).unwrap_err();
            assert!(fault.contains("expires_in: Give a whole number of seconds from 60 to 86400"), "{bad}: {fault}");
        }
        let many = format!("[{}]", vec!["\"10.0.0.1\""; MAX_CLIENT_IPS + 1].join(","));
        for bad in
            ["7", "\"\"", "[\"\"]", "[7]", "[\"example.com\"]", "[\"10.0.0.0/33\"]", "[\"::ffff:0.0.0.0/96\"]", &many]
        {
            let fault = read(&format!(r#"{{"client_ips": {bad}}}"#)).unwrap_err();
            assert!(fault.contains("client_ips: Give at most 16 addresses"), "{bad}: {fault}");
        }
        let both = read(r#"{"expires_in": 1, "client_ips": 1}"#).unwrap_err();
        assert!(both.contains("\"expires_in\":[") && both.contains("\"client_ips\":["), "{both}");
    }
}
