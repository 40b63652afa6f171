//! Commands that read and change what is stored.

use linkgate_client::{DeleteOptions, EventQuery, PackageQuery, PinRequest, UrlRequest};
use linkgate_contract::{
    CleanupPlan, EventDocument, PackageDocument, PinDocument, SourcePackage, SumsDocument, UsageDocument,
};
use serde_json::json;

use super::args::{Cleanup, Events, List, MakeUrl, Pin, Restore, Rm, Show, Unpin};
use super::failure::Failure;
use super::output::{bytes, or_dash};
use super::session::Session;

/// The largest page.
const PAGE: u64 = 1000;

/// `linkgate list`
pub async fn list(session: &Session, command: &List) -> Result<(), Failure> {
    let wanted = if command.limit == 0 { u64::MAX } else { command.limit };
    let query = PackageQuery {
        limit: u32::try_from(wanted.min(PAGE)).ok(),
        order_by: command.order_by.clone(),
        search_term: command.search.clone(),
        version: command.version.clone(),
        package_name: command.name.clone(),
        sha256_signature: command.sha256,
        operator: command.operator.clone(),
        is_deleted: command.deleted.then(|| "true".to_owned()),
        pinned: command.pinned.then_some(true),
        ..PackageQuery::default()
    };
    let mut page = session.client.list_packages(&session.module, &query).await?;
    let count = page.count;
    let mut rows = std::mem::take(&mut page.results);
    while (rows.len() as u64) < wanted {
        let Some(mut next) = session.client.next_packages(&session.module, &page).await? else { break };
        rows.append(&mut next.results);
        page = next;
    }
    rows.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
    let cells: Vec<_> = rows.iter().map(to_row).collect();
    let head = ["ID", "VERSION", "NAME", "SIZE", "CREATED", "BY", "SHA256"];
    session.output.print_table(&json!({"count": count, "results": rows}), &head, &cells)?;
    let rest = count.saturating_sub(rows.len() as u64);
    if rest > 0 && !session.output.json && !session.output.quiet {
        session.progress.note(&format!("{rest} more; --limit 0 shows all"));
    }
    Ok(())
}

fn to_row(package: &SourcePackage) -> Vec<String> {
    vec![
        package.id.to_string(),
        package.version.to_string(),
        package.package_name.clone(),
        bytes(&package.package_size),
        package.created.clone(),
        package.operator.to_string(),
        package.sha256_signature.to_string()[..12].to_owned(),
    ]
}

/// What a package's row says, line by line.
pub fn describe_package(package: &SourcePackage) -> Vec<(&'static str, String)> {
    vec![
        ("id", package.id.to_string()),
        ("version", package.version.to_string()),
        ("name", package.package_name.clone()),
        ("size", format!("{} ({} bytes)", bytes(&package.package_size), package.package_size)),
        ("sha256", package.sha256_signature.to_string()),
        ("created", package.created.clone()),
        ("updated", package.updated.clone()),
        ("by", package.operator.to_string()),
    ]
}

fn print_document(session: &Session, document: &PackageDocument) -> Result<(), Failure> {
    let mut rows = describe_package(&document.package);
    rows.extend([
        ("format", or_dash(document.format.as_ref())),
        ("folder", document.relative_path.clone()),
        ("entries", or_dash(document.entries.as_ref())),
        ("unpacked", or_dash(document.unpacked_bytes.map(|size| bytes(&size.to_string())).as_ref())),
        ("source", or_dash(document.source.as_ref())),
        ("state", format!("{}.{}", document.package.id, document.revision)),
    ]);
    rows.extend(document.pins.iter().map(|pin| ("pin", describe_pin(pin))));
    let deleted = document.deleted.as_ref().map(|deleted| ("deleted", deleted.clone()));
    let purge = document.purge_after.as_ref().map(|until| ("restorable until", until.clone()));
    let purged = document.purged.as_ref().map(|purged| ("purged", purged.clone()));
    rows.extend([deleted, purge, purged].into_iter().flatten());
    session.output.print(document, &rows)
}

fn describe_pin(pin: &PinDocument) -> String {
    let until = pin.until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default();
    let protected = if pin.protect_bytes { ", may not be overwritten" } else { "" };
    format!("{} by {}{until}{protected}", pin.name, pin.by)
}

/// `linkgate show`
pub async fn show(session: &Session, command: &Show) -> Result<(), Failure> {
    let id = session.find_package(&command.package).await?;
    print_document(session, &session.client.get_package(&session.module, id).await?)
}

/// `linkgate rm`
pub async fn rm(session: &Session, command: &Rm) -> Result<(), Failure> {
    let id = session.find_package(&command.package).await?;
    let if_match = command.if_match.as_ref().map(|state| format!("\"{}\"", state.trim_matches('"')));
    let options = DeleteOptions { force: command.force, if_match };
    print_document(session, &session.client.delete_package(&session.module, id, &options).await?)
}

/// `linkgate restore`
pub async fn restore(session: &Session, command: &Restore) -> Result<(), Failure> {
    let version = command.as_version.as_ref();
    print_document(session, &session.client.restore_package(&session.module, command.id, version).await?)
}

/// `linkgate pin`
pub async fn pin(session: &Session, command: &Pin) -> Result<(), Failure> {
    let id = session.find_package(&command.package).await?;
    let request = PinRequest { until: command.until.clone(), protect_bytes: command.protect_bytes };
    let pin = session.client.pin_package(&session.module, id, &command.name, &request).await?;
    session.output.print(&pin, &[("pinned", describe_pin(&pin))])
}

/// `linkgate unpin`
pub async fn unpin(session: &Session, command: &Unpin) -> Result<(), Failure> {
    let id = session.find_package(&command.package).await?;
    let pin = session.client.unpin_package(&session.module, id, &command.name).await?;
    session.output.print(&pin, &[("unpinned", describe_pin(&pin))])
}

/// `linkgate url`: the link alone, so that it can be handed on as it is.
pub async fn make_url(session: &Session, command: &MakeUrl) -> Result<(), Failure> {
    let seconds = u32::try_from(command.expires_in.as_secs()).unwrap_or(u32::MAX);
    let id = session.find_package(&command.package).await?;
    let request = UrlRequest { expires_in: Some(seconds), client_ips: command.client_ips.clone() };
    let made = session.client.create_download_url(&session.module, id, &request).await?;
    if session.output.json {
        return super::output::print_json(&made);
    }
    session.progress.note(&format!("good until {}; whoever has it can download the package", made.expires));
    super::output::print_text(&format!("{}\n", made.download_url))
}

/// `linkgate cleanup …`
pub async fn cleanup(session: &Session, command: &Cleanup) -> Result<(), Failure> {
    let plan = match command {
        Cleanup::Plan { .. } => session.client.explain_cleanup(&session.module).await?,
        Cleanup::Run { plan, .. } => session.client.run_cleanup(&session.module, plan).await?,
    };
    print_plan(session, &plan)
}

fn print_plan(session: &Session, plan: &CleanupPlan) -> Result<(), Failure> {
    let verb = if plan.is_done { "deleted" } else { "would delete" };
    let doomed = plan.would_delete.iter().map(|entry| {
        let size = entry.bytes.map(|size| bytes(&size.to_string()));
        vec![
            verb.to_owned(),
            entry.id.to_string(),
            entry.version.to_string(),
            or_dash(size.as_ref()),
            entry.reason.clone(),
        ]
    });
    let kept = plan.kept.iter().map(|entry| {
        vec!["stays".to_owned(), entry.id.to_string(), entry.version.to_string(), "-".to_owned(), entry.reason.clone()]
    });
    let rows: Vec<_> = doomed.chain(kept).collect();
    session.output.print_table(plan, &["", "ID", "VERSION", "SIZE", "WHY"], &rows)?;
    if session.output.json {
        return Ok(());
    }
    let rule = or_dash(plan.rule.as_ref());
    let (count, size) = (plan.would_delete_count, bytes(&plan.bytes.to_string()));
    super::output::print_text(&format!("rule: {rule}\nplan: {}\n{verb}: {count} packages, {size}\n", plan.plan))
}

/// `linkgate usage`
pub async fn usage(session: &Session) -> Result<(), Failure> {
    let usage: UsageDocument = session.client.get_usage(&session.module).await?;
    let row = |whose: &str, sums: &SumsDocument| {
        let size = |number: u64| bytes(&number.to_string());
        vec![
            whose.to_owned(),
            sums.packages.to_string(),
            or_dash(sums.max_packages.as_ref()),
            size(sums.bytes),
            size(sums.deleted_bytes),
            or_dash(sums.max_bytes.map(size).as_ref()),
        ]
    };
    let head = ["OF", "PACKAGES", "AT MOST", "BYTES", "OF DELETED ONES", "AT MOST"];
    let app = usage.application.clone();
    let rows = [row(&session.module.to_string(), &usage.module), row(session.module.app.as_str(), &app)];
    session.output.print_table(&usage, &head, &rows)
}

/// `linkgate events`
pub async fn events(session: &Session, command: &Events) -> Result<(), Failure> {
    let wanted = if command.limit == 0 { u64::MAX } else { command.limit };
    let query = EventQuery {
        limit: u32::try_from(wanted.min(PAGE)).ok(),
        action: command.action.clone(),
        package_id: command.package,
        ..EventQuery::default()
    };
    let mut page = session.client.list_events(&session.module, &query).await?;
    let count = page.count;
    let mut rows = std::mem::take(&mut page.results);
    while (rows.len() as u64) < wanted {
        let Some(mut next) = session.client.next_events(&session.module, &page).await? else { break };
        rows.append(&mut next.results);
        page = next;
    }
    rows.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
    let cells: Vec<_> = rows.iter().map(event_row).collect();
    let head = ["ID", "TIME", "ACTION", "PACKAGE", "VERSION", "APP", "USER", "WHY"];
    session.output.print_table(&json!({"count": count, "results": rows}), &head, &cells)
}

fn event_row(event: &EventDocument) -> Vec<String> {
    vec![
        event.id.to_string(),
        event.time.clone(),
        event.action.clone(),
        or_dash(event.package_id.as_ref()),
        or_dash(event.version.as_ref()),
        or_dash(event.app.as_ref()),
        or_dash(event.user.as_ref()),
        event.reason.clone(),
    ]
}
