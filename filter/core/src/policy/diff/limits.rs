//! Sizes, rates, uploads at the same time, and how many share them.

use super::Difference;
use crate::policy::document::{Limits, Mode, Rate, UploadRates, Uploads};

pub(super) fn compare(old: &Limits, new: &Limits, found: &mut Difference) {
    size("bodies", old.body_bytes, new.body_bytes, found);
    size("paths with their query", old.uri_bytes, new.uri_bytes, found);
    let rates = [
        ("requests of all callers", &old.requests, &new.requests),
        ("requests of each stage", &old.requests_per_stage, &new.requests_per_stage),
        ("requests of each app", &old.requests_per_app, &new.requests_per_app),
    ];
    for (what, old, new) in rates {
        limit(what, old.as_ref().map(Limit::rate).as_ref(), new.as_ref().map(Limit::rate).as_ref(), found);
    }
    if old.instances != new.instances {
        let share = |count: u64| if count == 1 { "all".to_owned() } else { format!("1/{count}") };
        let (now, before) = (share(new.instances), share(old.instances));
        found.change(format!("each Envoy lets {now} of every limit through instead of {before}"));
    }
    match (old.upload_rates, new.upload_rates) {
        (UploadRates::Gate, UploadRates::Service) => {
            found.change("rates of new uploads are counted by the service, no longer by each Envoy".to_owned());
        }
        (UploadRates::Service, UploadRates::Gate) => {
            found.change("rates of new uploads are counted by each Envoy, no longer by the service".to_owned());
        }
        _ => {}
    }
    let [was, is] = [old, new].map(|limits| limits.uploads_per_app.as_ref().map(Limit::uploads));
    limit("uploads of each app", was.as_ref(), is.as_ref(), found);
}

fn size(what: &str, old: u64, new: u64, found: &mut Difference) {
    let sentence = format!("{what} may have {new} bytes instead of {old}");
    match new.cmp(&old) {
        std::cmp::Ordering::Greater => found.gain(sentence),
        std::cmp::Ordering::Less => found.lose(sentence),
        std::cmp::Ordering::Equal => {}
    }
}

/// How much, in words and in numbers of which a larger one admits more.
struct Limit {
    words: String,
    amounts: [f64; 2],
    reports: bool,
}

impl Limit {
    fn rate(part: &Rate) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "a burst is at most a million")]
        let burst = part.burst() as f64;
        let words = format!("{} a second and {burst} at once", part.per_second);
        Self { words, amounts: [part.per_second, burst], reports: part.mode == Mode::Report }
    }

    fn uploads(part: &Uploads) -> Self {
        #[allow(clippy::cast_precision_loss, reason = "at most 256")]
        let amount = part.concurrent as f64;
        let words = format!("{} at the same time", part.concurrent);
        Self { words, amounts: [amount, amount], reports: part.mode == Mode::Report }
    }
}

fn limit(what: &str, old: Option<&Limit>, new: Option<&Limit>, found: &mut Difference) {
    match (old, new) {
        (None, None) => {}
        (None, Some(new)) if new.reports => found.change(format!("{what} over {} are reported", new.words)),
        (None, Some(new)) => found.lose(format!("{what} are limited to {}", new.words)),
        (Some(old), None) if old.reports => {
            found.change(format!("{what} over {} are not reported any more", old.words))
        }
        (Some(_), None) => found.gain(format!("{what} are not limited any more")),
        (Some(old), Some(new)) => {
            match (old.reports, new.reports) {
                (false, true) => found.gain(format!("{what} over the limit are only reported")),
                (true, false) => found.lose(format!("{what} over the limit are refused, not only reported")),
                _ => {}
            }
            amount(what, old, new, found);
        }
    }
}

fn amount(what: &str, old: &Limit, new: &Limit, found: &mut Difference) {
    if old.words == new.words {
        return;
    }
    let sentence = format!("{what}: {} instead of {}", new.words, old.words);
    let refuses = !old.reports && !new.reports;
    let all =
        |compare: fn(&f64, &f64) -> bool| new.amounts.iter().zip(&old.amounts).all(|(new, old)| compare(new, old));
    if refuses && all(f64::ge) {
        found.gain(sentence);
    } else if refuses && all(f64::le) {
        found.lose(sentence);
    } else {
        found.change(sentence);
    }
}
