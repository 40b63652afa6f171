//! What containers may do, and what is in their images.

use std::collections::BTreeSet;
use std::io::Read;
use std::process::Stdio;

use serde_json::Value;

use super::deployment::{Deployment, TAG};
use super::project::Project;
use crate::docker::Docker;
use crate::error::{Failure, Outcome, Trying};
use crate::images;
use crate::run::capture;

/// Services, and the networks that each is in.
const SERVICES: [(&str, &[&str]); 8] = [
    ("gateway", &["back", "front"]),
    ("gateway-2", &["back", "front"]),
    ("store", &["back", "sources"]),
    ("sample", &["sources"]),
    ("keys", &[]),
    ("policy", &[]),
    ("demo", &[]),
    ("demo-policy", &[]),
];
/// Who may hold the private keys.
const HOLD_PRIVATE_KEYS: [&str; 5] = ["gateway", "gateway-2", "gateway-r1", "gateway-r2", "keys"];
/// Who has a port on the machine.
const PUBLISHED: [&str; 3] = ["balancer", "gateway", "gateway-2"];
/// Everything that is in an image, file by file: no shell, no package manager, no library.
const CONTENTS: [(&str, &[&str]); 3] = [
    (
        "store",
        &[
            "etc/ssl/certs/ca-certificates.crt",
            "usr/local/bin/linkgate-store",
            "usr/local/share/linkgate/sbom.cdx.json",
        ],
    ),
    (
        "cli",
        &[
            "etc/ssl/certs/ca-certificates.crt",
            "usr/local/bin/linkgate",
            "usr/local/share/linkgate/envoy.yaml",
            "usr/local/share/linkgate/linkgate_filter.wasm",
            "usr/local/share/linkgate/policy.yaml",
            "usr/local/share/linkgate/sbom.cdx.json",
        ],
    ),
    (
        "sample",
        &["usr/local/bin/xtask", "usr/local/share/linkgate/example.tar.gz", "usr/local/share/linkgate/policy.yaml"],
    ),
];
/// What an engine puts into every container.
const ENGINES_OWN: [&str; 6] =
    [".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"];
const PROBE: [&str; 3] = ["/usr/local/bin/xtask", "demo", "get"];

/// Looks at every container and at the images.
pub fn check_confinement(deployment: &Deployment) -> Outcome<()> {
    check_services(&deployment.project, &SERVICES)?;
    check_reachability(deployment)?;
    CONTENTS.iter().try_for_each(|(image, want)| check_contents(deployment.project.docker(), image, want))
}

/// Looks at the containers of services that must be in these networks and no others.
pub fn check_services(project: &Project, services: &[(&str, &[&str])]) -> Outcome<()> {
    for (service, networks) in services {
        let text = capture(&mut project.docker().command(["inspect", &project.container(service)?]))?;
        let inspected: Value =
            serde_json::from_str(&text).trying(|| format!("read what the engine reports of {service}"))?;
        let excess = find_excess(service, networks, project.name(), &inspected[0]);
        if !excess.is_empty() {
            return Err(Failure::new(format!("{service} may do too much: {}", excess.join(", "))));
        }
    }
    Ok(())
}

fn find_excess(service: &str, networks: &[&str], project: &str, inspected: &Value) -> Vec<String> {
    let (config, host) = (&inspected["Config"], &inspected["HostConfig"]);
    let is_number = |value: &Value| value.as_i64().is_some_and(|number| number > 0);
    let names =
        |value: &Value| value.as_object().map(|map| map.keys().cloned().collect::<BTreeSet<_>>()).unwrap_or_default();
    let wanted: BTreeSet<_> = networks.iter().map(|network| format!("{project}_{network}")).collect();
    let found: BTreeSet<_> =
        names(&inspected["NetworkSettings"]["Networks"]).into_iter().filter(|n| n != "none").collect();
    let once = networks.is_empty();
    let restarts = if once { "on-failure" } else { "unless-stopped" };
    let mounts = inspected["Mounts"].as_array().map(Vec::as_slice).unwrap_or_default();
    let holds = |volume: &str| mounts.iter().any(|mount| mount["Name"] == format!("{project}_{volume}"));
    let writes = |mount: &&Value| mount["RW"] == true && (mount["Type"] == "bind" || service.starts_with("gateway"));
    let published = host["PortBindings"].as_object().into_iter().flat_map(|ports| ports.values());
    let published: Vec<_> = published.flat_map(|bound| bound.as_array().cloned().unwrap_or_default()).collect();
    let on_loopback = published.iter().all(|bound| bound["HostIp"] == "127.0.0.1");
    let rules = [
        (config["User"] == "65532:65532", "its user"),
        (host["ReadonlyRootfs"] == true, "a root file system that can be written to"),
        (host["CapDrop"] == serde_json::json!(["ALL"]), "capabilities that it does not drop"),
        (host["CapAdd"].as_array().is_none_or(Vec::is_empty), "capabilities that it is given"),
        (host["Privileged"] == false, "being privileged"),
        (host["SecurityOpt"].to_string().contains("no-new-privileges:true"), "new privileges"),
        (is_number(&host["Memory"]), "memory without a limit"),
        (is_number(&host["PidsLimit"]), "processes without a limit"),
        (host["LogConfig"]["Config"]["max-size"].is_string(), "a log without a limit"),
        (host["RestartPolicy"]["Name"] == restarts, "its policy of restarts"),
        (once || inspected["State"]["Health"]["Status"] == "healthy", "no good health"),
        (found == wanted, "its networks"),
        (published.is_empty() != PUBLISHED.contains(&service) && on_loopback, "its ports"),
        (!holds("private-keys") || HOLD_PRIVATE_KEYS.contains(&service), "the private keys"),
        (!mounts.iter().any(|mount| writes(&mount)), "mounts that it can write to"),
    ];
    rules.iter().filter(|(good, _)| !good).map(|(_, what)| (*what).to_owned()).collect()
}

/// The origin shares a network with the store, and cannot reach it there either.
fn check_reachability(deployment: &Deployment) -> Outcome<()> {
    let probe = |host: &str, path: &str| {
        let mut command =
            deployment.project.command(["exec", "--no-TTY", "sample"].iter().chain(&PROBE).chain(&[host, path]));
        command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    if !probe("sample:8090", "/generic/example.tar.gz") {
        return Err(Failure::new("the probe in the origin's container does not work"));
    }
    match ["store:8081", "store.back:8081", "gateway:8080"].iter().find(|host| probe(host, "/readyz")) {
        None => Ok(()),
        Some(host) => Err(Failure::new(format!("{host} can be reached from where packages come from"))),
    }
}

fn check_contents(docker: &Docker, image: &str, want: &[&str]) -> Outcome<()> {
    let name = images::image_name(image, TAG);
    let container = capture(&mut docker.command(["create", &name]))?;
    let mut export = docker.command(["export", container.trim()]);
    let exported = export.output().trying(|| format!("look into {name}"))?;
    docker.succeeds(["rm", container.trim()]);
    let files = list_files(exported.stdout.as_slice()).trying(|| format!("look into {name}"))?;
    let want: BTreeSet<_> = want.iter().map(|path| (*path).to_owned()).collect();
    if files == want {
        println!("{name}: {} files, as they should be", files.len());
        return Ok(());
    }
    let differs: Vec<_> = files.symmetric_difference(&want).cloned().collect();
    Err(Failure::new(format!("{name} holds too much or too little: {}", differs.join(", "))))
}

/// Everything but folders, without what the engine put there.
fn list_files(archive: impl Read) -> std::io::Result<BTreeSet<String>> {
    let mut files = BTreeSet::new();
    for entry in tar::Archive::new(archive).entries()? {
        let entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        if !entry.header().entry_type().is_dir() && !ENGINES_OWN.contains(&path.as_str()) {
            files.insert(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({
            "Config": {"User": "65532:65532"},
            "HostConfig": {
                "ReadonlyRootfs": true, "CapDrop": ["ALL"], "CapAdd": null, "Privileged": false,
                "SecurityOpt": ["no-new-privileges:true"], "Memory": 1, "PidsLimit": 1,
                "LogConfig": {"Config": {"max-size": "10m"}}, "RestartPolicy": {"Name": "unless-stopped"},
                "PortBindings": {},
            },
            "State": {"Health": {"Status": "healthy"}},
            "NetworkSettings": {"Networks": {"p_back": {}, "p_sources": {}}},
            "Mounts": [{"Type": "volume", "Name": "p_data", "RW": true}],
        })
    }

    #[test]
    fn whatever_a_store_may_do_too_much_is_found() {
        let judge = |value: &Value| find_excess("store", &["back", "sources"], "p", value);
        assert_eq!(judge(&good()), Vec::<String>::new());
        let changes = [
            ("/Config/User", json!("")),
            ("/HostConfig/ReadonlyRootfs", json!(false)),
            ("/HostConfig/CapDrop", json!(null)),
            ("/HostConfig/CapAdd", json!(["NET_ADMIN"])),
            ("/HostConfig/Privileged", json!(true)),
            ("/HostConfig/SecurityOpt", json!([])),
            ("/HostConfig/Memory", json!(0)),
            ("/HostConfig/PidsLimit", json!(null)),
            ("/HostConfig/LogConfig/Config", json!({})),
            ("/HostConfig/RestartPolicy/Name", json!("no")),
            ("/HostConfig/PortBindings", json!({"8081/tcp": [{"HostIp": "127.0.0.1"}]})),
            ("/State/Health/Status", json!("unhealthy")),
            ("/NetworkSettings/Networks", json!({"p_back": {}, "p_front": {}})),
            ("/Mounts/0/Name", json!("p_private-keys")),
            ("/Mounts/0/Type", json!("bind")),
        ];
        for (at, value) in changes {
            let mut changed = good();
            *changed.pointer_mut(at).unwrap() = value;
            assert_eq!(judge(&changed).len(), 1, "{at}");
        }
    }

    #[test]
    fn a_gateway_listens_on_the_loopback_address_only() {
        let mut gateway = good();
        gateway["NetworkSettings"]["Networks"] = json!({"p_back": {}, "p_front": {}});
        gateway["Mounts"] = json!([{"Type": "volume", "Name": "p_private-keys", "RW": false}]);
        let mut judge = |address: &str| {
            gateway["HostConfig"]["PortBindings"] = json!({"8080/tcp": [{"HostIp": address, "HostPort": "1"}]});
            find_excess("gateway", &["back", "front"], "p", &gateway)
        };
        assert_eq!(judge("127.0.0.1"), Vec::<String>::new());
        assert_eq!(judge("0.0.0.0"), ["its ports"]);
    }

    #[test]
    fn folders_and_what_the_engine_adds_are_no_content() {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, kind) in [
            ("bin/", tar::EntryType::Directory),
            ("bin/sh", tar::EntryType::Regular),
            (".dockerenv", tar::EntryType::Regular),
        ] {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_size(0);
            archive.append_data(&mut header, path, std::io::empty()).unwrap();
        }
        let files = list_files(archive.into_inner().unwrap().as_slice()).unwrap();
        assert_eq!(files, BTreeSet::from(["bin/sh".to_owned()]));
    }
}
