//! Settings of the export of traces. Their names and meanings are those of the OpenTelemetry specification, so that what a
//! platform gives to all its services counts here too.

use std::fmt;
use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;
use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderName, HeaderValue};
use url::Url;

use super::vars::{Reader, Vars};

pub(super) const DISABLED: &str = "OTEL_SDK_DISABLED";
pub(super) const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
pub(super) const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
pub(super) const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
pub(super) const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
pub(super) const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
pub(super) const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
pub(super) const TRACES_TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
pub(super) const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
pub(super) const TRACES_PROTOCOL: &str = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL";
pub(super) const COMPRESSION: &str = "OTEL_EXPORTER_OTLP_COMPRESSION";
pub(super) const TRACES_COMPRESSION: &str = "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION";
pub(super) const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
pub(super) const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";
pub(super) const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
pub(super) const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Where traces go, and which.
#[derive(Clone)]
pub struct TraceConfig {
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` as it is, or `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/traces` behind it. Without
    /// one of them there are no traces.
    pub endpoint: Url,
    /// `OTEL_EXPORTER_OTLP_TRACES_HEADERS`, or `OTEL_EXPORTER_OTLP_HEADERS`: sent with every export. Secret.
    pub headers: Vec<(String, String)>,
    /// `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT`, or `OTEL_EXPORTER_OTLP_TIMEOUT`: milliseconds for an export. Default 10000.
    pub timeout: Duration,
    /// `OTEL_SERVICE_NAME`, or `service.name` of the next. Default `linkgate-store`.
    pub service_name: String,
    /// What else is said of this service.
    pub attributes: Vec<(String, String)>,
    /// `OTEL_TRACES_SAMPLER` and its `_ARG`. Default `parentbased_always_on`.
    pub sampler: Sampler,
}

impl fmt::Debug for TraceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoint, headers: _, timeout, service_name, attributes, sampler } = self;
        f.debug_struct("TraceConfig")
            .field("endpoint", &endpoint.as_str())
            .field("timeout", timeout)
            .field("service_name", service_name)
            .field("attributes", attributes)
            .field("sampler", sampler)
            .finish_non_exhaustive()
    }
}

impl TraceConfig {
    /// `None` unless there is somewhere to send traces to; the other variables are not looked at then, for they may be meant
    /// for somebody else.
    ///
    /// - `OTEL_EXPORTER_OTLP_ENDPOINT`: the collector, to which `/v1/traces` is added; switches traces on. No
    ///   credentials in it. `http://…` or `https://…`. Default none.
    /// - `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`: the same, taken as it is. Default none.
    /// - `OTEL_SDK_DISABLED`: `true` switches traces off again. Default `false`.
    /// - `OTEL_TRACES_EXPORTER`: `none` switches traces off again; besides only `otlp`. Default `otlp`.
    /// - `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TRACES_HEADERS`: headers for the collector, such as
    ///   `authorization=Bearer%20…`; treated as secret. `name=value,…`, percent-encoded. Default none.
    /// - `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT`: time for an export, with its attempts.
    ///   Milliseconds, 1–60000. Default `10000`.
    /// - `OTEL_EXPORTER_OTLP_PROTOCOL`, `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL`: only `http/protobuf`. Default
    ///   `http/protobuf`.
    /// - `OTEL_EXPORTER_OTLP_COMPRESSION`, `OTEL_EXPORTER_OTLP_TRACES_COMPRESSION`: only `none`. Default `none`.
    /// - `OTEL_SERVICE_NAME`: the store's name; wins over `service.name` in the next. Default `linkgate-store`.
    /// - `OTEL_RESOURCE_ATTRIBUTES`: more attributes of it, such as `deployment.environment.name=prod`.
    ///   `name=value,…`, percent-encoded. Default none.
    /// - `OTEL_TRACES_SAMPLER`: which traces are exported: `always_on`, `always_off`, `traceidratio`, or these behind
    ///   `parentbased_`, for requests that do not say. Default `parentbased_always_on`.
    /// - `OTEL_TRACES_SAMPLER_ARG`: the part that `traceidratio` exports. 0–1. Default `1`.
    pub(super) fn read_settings(reader: &mut Reader<'_, impl Vars>) -> Option<Self> {
        let is_off = reader.read_text(DISABLED).is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || reader.read_text(EXPORTER).as_deref() == Some("none");
        let (variable, endpoint) = given(reader).filter(|_| !is_off)?;
        only(reader, &[EXPORTER], "otlp");
        only(reader, &[TRACES_PROTOCOL, PROTOCOL], "http/protobuf");
        only(reader, &[TRACES_COMPRESSION, COMPRESSION], "none");
        let timeout_name = if reader.read_text(TRACES_TIMEOUT).is_some() { TRACES_TIMEOUT } else { TIMEOUT };
        let mut attributes = pairs(reader, RESOURCE);
        let named = attributes.iter().rposition(|(name, _)| name == "service.name").map(|at| attributes.remove(at).1);
        Some(Self {
            headers: headers(reader),
            timeout: Duration::from_millis(reader.number(timeout_name, 10_000, 1..=60_000)),
            service_name: reader.read_text(SERVICE_NAME).or(named).unwrap_or_else(|| "linkgate-store".to_owned()),
            attributes,
            sampler: sampler(reader),
            // Last, for without it there is nothing, and the faults of the others show all the same.
            endpoint: read_endpoint(reader, variable, &endpoint)?,
        })
    }
}

/// The endpoint that counts, and its variable.
fn given(reader: &mut Reader<'_, impl Vars>) -> Option<(&'static str, String)> {
    [TRACES_ENDPOINT, ENDPOINT].into_iter().find_map(|name| Some((name, reader.read_text(name)?)))
}

fn read_endpoint(reader: &mut Reader<'_, impl Vars>, name: &str, text: &str) -> Option<Url> {
    let is_usable =
        |url: &Url| matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none();
    let Some(mut url) = Url::parse(text).ok().filter(is_usable) else {
        // Not shown: what is wrong with it may be that it holds a password.
        reader.fault(name, format!("is no URL like `http://collector:4318`; credentials belong into {HEADERS}"));
        return None;
    };
    if name == ENDPOINT {
        url.set_path(&format!("{}/v1/traces", url.path().trim_end_matches('/')));
    }
    Some(url)
}

/// Refuses what is not spoken here, in the first variable that is given.
fn only(reader: &mut Reader<'_, impl Vars>, names: &[&str], spoken: &str) {
    for name in names {
        if let Some(value) = reader.read_text(name) {
            if value != spoken {
                reader.fault(name, format!("is `{value}`, the store knows only `{spoken}`"));
            }
            return;
        }
    }
}

fn headers(reader: &mut Reader<'_, impl Vars>) -> Vec<(String, String)> {
    let name = if reader.read_text(TRACES_HEADERS).is_some() { TRACES_HEADERS } else { HEADERS };
    let headers = pairs(reader, name);
    if !headers.iter().all(|(name, value)| {
        HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_bytes(value.as_bytes()).is_ok()
    }) {
        reader.fault(name, "holds what cannot be a header");
    }
    headers
}

/// `name=value,name=value`, the values percent-encoded where need be. Faults do not show it, for it may be secret.
fn pairs(reader: &mut Reader<'_, impl Vars>, variable: &str) -> Vec<(String, String)> {
    let text = reader.read_text(variable).unwrap_or_default();
    let read = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        Some((name.trim().to_owned(), value.into_owned())).filter(|(name, _)| !name.is_empty())
    };
    let pairs: Option<Vec<_>> = text.split(',').map(str::trim).filter(|pair| !pair.is_empty()).map(read).collect();
    pairs.unwrap_or_else(|| {
        reader.fault(variable, "must be `name=value`, comma, `name=value`, with other bytes as `%20`");
        Vec::new()
    })
}

fn sampler(reader: &mut Reader<'_, impl Vars>) -> Sampler {
    let name = reader.read_text(SAMPLER).unwrap_or_else(|| "parentbased_always_on".to_owned());
    let (is_parent_based, root) = match name.strip_prefix("parentbased_") {
        Some(root) => (true, root),
        None => (false, name.as_str()),
    };
    let root = match root {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => Sampler::TraceIdRatioBased(reader.number(SAMPLER_ARG, 1.0, 0.0..=1.0)),
        _ => {
            let known = "`always_on`, `always_off` or `traceidratio`, or one of these behind `parentbased_`";
            reader.fault(SAMPLER, format!("is `{name}`, not {known}"));
            Sampler::AlwaysOff
        }
    };
    if is_parent_based { Sampler::ParentBased(Box::new(root)) } else { root }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::BadConfig;

    fn read(vars: &[(&str, &str)]) -> Result<Option<TraceConfig>, BadConfig> {
        let vars: BTreeMap<String, String> =
            vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut reader = Reader::new(&vars);
        let config = TraceConfig::read_settings(&mut reader);
        reader.finish(config)
    }

    fn on(vars: &[(&str, &str)]) -> TraceConfig {
        read(&[&[(ENDPOINT, "http://collector:4318")], vars].concat()).unwrap().unwrap()
    }

    fn fault(vars: &[(&str, &str)]) -> String {
        read(&[&[(TRACES_ENDPOINT, "http://collector:4318")], vars].concat()).unwrap_err().to_string()
    }

    #[test]
    fn without_somewhere_to_send_them_there_are_no_traces_whatever_else_is_said() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[(SAMPLER, "nonsense"), (PROTOCOL, "grpc"), (SERVICE_NAME, "x")]).unwrap().is_none());
        for off in [(DISABLED, "true"), (DISABLED, "TRUE"), (EXPORTER, "none")] {
            assert!(read(&[(ENDPOINT, "http://collector:4318"), off]).unwrap().is_none(), "{off:?}");
        }
    }

    #[test]
    fn the_defaults_are_those_of_the_specification() {
        let config = on(&[]);
        assert_eq!(config.endpoint.as_str(), "http://collector:4318/v1/traces");
        assert_eq!((config.timeout, config.service_name.as_str()), (Duration::from_secs(10), "linkgate-store"));
        assert!(config.headers.is_empty() && config.attributes.is_empty());
        assert_eq!(format!("{:?}", config.sampler), "ParentBased(AlwaysOn)");
    }

    #[test]
    fn what_is_said_of_traces_wins_over_what_is_said_of_all() {
        let own = on(&[
            (TRACES_ENDPOINT, "https://other/path"),
            (TIMEOUT, "1"),
            (TRACES_TIMEOUT, "500"),
            (HEADERS, "a=1"),
            (TRACES_HEADERS, "authorization=Basic%20abc=, b=2"),
            (PROTOCOL, "grpc"),
            (TRACES_PROTOCOL, "http/protobuf"),
        ]);
        assert_eq!(own.endpoint.as_str(), "https://other/path");
        assert_eq!(own.timeout, Duration::from_millis(500));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(own.headers, [pair("authorization", "Basic abc="), pair("b", "2")]);
        assert!(!format!("{own:?}").contains("abc"));
        let based = on(&[(ENDPOINT, "http://collector/otlp/")]);
        assert_eq!(based.endpoint.as_str(), "http://collector/otlp/v1/traces");
    }

    #[test]
    fn a_service_is_named_by_its_own_variable_or_an_attribute() {
        let attributes = (RESOURCE, "service.name=a,deployment.environment.name=test%2C1");
        let config = on(&[attributes]);
        assert_eq!(config.service_name, "a");
        assert_eq!(config.attributes, [("deployment.environment.name".to_owned(), "test,1".to_owned())]);
        assert_eq!(on(&[attributes, (SERVICE_NAME, "b")]).service_name, "b");
    }

    #[test]
    fn samplers_have_their_standard_names() {
        for (name, arg, want) in [
            ("always_on", "", "AlwaysOn"),
            ("always_off", "", "AlwaysOff"),
            ("traceidratio", "0.25", "TraceIdRatioBased(0.25)"),
            ("parentbased_always_off", "", "ParentBased(AlwaysOff)"),
            ("parentbased_traceidratio", "", "ParentBased(TraceIdRatioBased(1.0))"),
        ] {
            assert_eq!(format!("{:?}", on(&[(SAMPLER, name), (SAMPLER_ARG, arg)]).sampler), want);
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_secrets_are_not_shown() {
        for (name, value, want) in [
            (EXPORTER, "zipkin", "is `zipkin`, the store knows only `otlp`"),
            (PROTOCOL, "grpc", "is `grpc`, the store knows only `http/protobuf`"),
            (TRACES_COMPRESSION, "gzip", "is `gzip`, the store knows only `none`"),
            (TIMEOUT, "0", "is `0`"),
            (TRACES_TIMEOUT, "10s", "is `10s`"),
            (SAMPLER, "jaeger_remote", "is `jaeger_remote`, not `always_on`"),
            (RESOURCE, "a", "must be `name=value`"),
            (HEADERS, "authorization", "must be `name=value`"),
            (HEADERS, "author ization=s3cret", "cannot be a header"),
            (HEADERS, "authorization=s3cret%0A", "cannot be a header"),
            (TRACES_ENDPOINT, "http://user:s3cret@collector", "is no URL like"),
            (TRACES_ENDPOINT, "collector:4318", "is no URL like"),
        ] {
            let text = fault(&[(name, value)]);
            assert!(text.contains(name) && text.contains(want) && !text.contains("s3cret"), "{want} in {text}");
        }
        assert!(fault(&[(SAMPLER, "traceidratio"), (SAMPLER_ARG, "2")]).contains(SAMPLER_ARG));
        assert!(fault(&[(TRACES_ENDPOINT, "no"), (PROTOCOL, "grpc"), (TIMEOUT, "no")]).contains("3 settings"));
    }
}
