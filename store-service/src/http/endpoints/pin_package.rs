//! Pins a package, or takes a pin away, and shows the pin.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use linkgate_contract::{ErrorCode, Field, Fields, PinName, Problem, Text, read_flag_field};
use linkgate_store_core::ingest::now_ms;
use linkgate_store_core::ingest::ports::{NewPin, Services};

use crate::http::Api;
use crate::http::reply::{self, Reply};
use crate::http::request::Request;

pub(super) async fn answer<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let (change, name, by) = (request.change()?, pin_name(&request)?, request.caller.operator.clone());
    let (body, _share) = request.read_small_body(api).await?;
    let fields = body.fields()?;
    let until_ms = read_until(&fields, &api.time_zone, now_ms())?;
    let pin = NewPin { name, until_ms, protect_bytes: read_flag_field(&fields, "protect_bytes")?, by };
    let pinned = api.lifecycle.pin(&change, pin).await;
    let (detail, pin) = pinned.map_err(|e| reply::change_problem(&e, &api.time_zone))?;
    reply::pin(&detail, &pin, &api.time_zone)
}

pub(super) async fn take_away<V: Services>(api: &Api<V>, request: Request<'_>) -> Result<Reply, Problem> {
    let unpinned = api.lifecycle.unpin(&request.change()?, &pin_name(&request)?).await;
    let (detail, pin) = unpinned.map_err(|e| reply::change_problem(&e, &api.time_zone))?;
    reply::pin(&detail, &pin, &api.time_zone)
}

fn pin_name(request: &Request<'_>) -> Result<PinName, Problem> {
    request.route.params.pin_name.clone().ok_or_else(|| Problem::new(ErrorCode::NotFound))
}

/// A moment that is yet to come, in the form of RFC 3339 or of the replies; for good if nobody says.
fn read_until(fields: &Fields<'_>, zone: &TimeZone, now_ms: i64) -> Result<Option<i64>, Problem> {
    let text = match fields.get("until") {
        None | Some(Field::Null) => return Ok(None),
        Some(Field::Text(text)) => text.trim(),
        Some(_) => "",
    };
    let Some(ms) = parse_moment(text, zone) else {
        let text = Text::fixed(
            "请输入形如 2026-12-31 23:59:59 或 2026-12-31T23:59:59+08:00 的时间。",
            "Give a time such as 2026-12-31 23:59:59 or 2026-12-31T23:59:59+08:00.",
        );
        return Err(Problem::field("until", text));
    };
    if ms <= now_ms {
        return Err(Problem::field("until", Text::fixed("该时间已过。", "This time is over.")));
    }
    Ok(Some(ms))
}

fn parse_moment(text: &str, zone: &TimeZone) -> Option<i64> {
    let in_zone = || text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp());
    text.parse::<Timestamp>().ok().or_else(in_zone).map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_replies_write_it_and_as_the_standard_does() {
        let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
        for same in ["2026-12-31 20:00:00", "2026-12-31T20:00:00+08:00", "2026-12-31T12:00:00Z", "2026-12-31T20:00:00"]
        {
            assert_eq!(parse_moment(same, &shanghai), Some(1_798_718_400_000), "{same}");
        }
        for bad in ["", "tomorrow", "2026-13-01 00:00:00", "1798718400"] {
            assert_eq!(parse_moment(bad, &shanghai), None, "{bad}");
        }
    }
}
