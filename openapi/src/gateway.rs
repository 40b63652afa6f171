//! The API for BlueKing's own gateway: `resources.yaml` and `definition.yaml`, as its `sync_apigw_*` commands read them, for
//! platforms that put their gateway before this one.

use linkgate_contract::{BodyKind, Endpoint, Operation, ReplyKind};
use serde_json::{Map, Value, json};

use crate::yaml;

/// How long a transfer may take, in seconds.
const TRANSFER_TIMEOUT_S: u32 = 600;

/// `resources.yaml`: every endpoint as a resource, under its operation id.
#[must_use]
pub fn resources() -> String {
    let mut paths = Map::new();
    for endpoint in Endpoint::ALL {
        let path = paths.entry(endpoint.route).or_insert_with(|| json!({}));
        path[endpoint.method.name().to_ascii_lowercase()] = resource(endpoint);
    }
    yaml::write(&json!({
        "openapi": "3.0.1",
        "info": {"title": "API Gateway Resources", "version": env!("CARGO_PKG_VERSION"), "description": ""},
        "paths": paths,
    }))
}

fn resource(endpoint: &Endpoint) -> Value {
    let summary = endpoint.operation.summary().trim_end_matches('.');
    json!({
        "operationId": endpoint.operation.id(),
        "description": summary,
        "tags": ["source_package"],
        "responses": {"default": {"description": ""}},
        "x-bk-apigateway-resource": {
            "isPublic": true,
            "allowApplyPermission": true,
            "matchSubpath": false,
            "enableWebsocket": false,
            "descriptionEn": summary,
            "backend": {
                "name": "default",
                "method": endpoint.method.name().to_ascii_lowercase(),
                "path": endpoint.route,
                "matchSubpath": false,
                "timeout": if is_transfer(endpoint) { TRANSFER_TIMEOUT_S } else { 0 },
            },
            "pluginConfigs": [],
            "authConfig": {
                "userVerifiedRequired": true,
                "appVerifiedRequired": true,
                "resourcePermissionRequired": true,
            },
        },
    })
}

/// Whether a package goes through it, or is waited for.
fn is_transfer(endpoint: &Endpoint) -> bool {
    endpoint.body == BodyKind::Stream
        || endpoint.reply == ReplyKind::Bytes
        || endpoint.operation == Operation::UploadSourcePackageViaLink
}

/// `definition.yaml`: a gateway with one stage. The command that reads it fills in the braces.
#[must_use]
pub fn definition() -> String {
    yaml::write(&json!({
        "spec_version": 2,
        "release": {
            "version": env!("CARGO_PKG_VERSION"),
            "title": "Linkgate",
            "comment": "Source packages, taken in by link or by file",
        },
        "apigateway": {
            "description": "源码包：上传、查询、下载、删除与清理",
            "description_en": "Source packages: uploaded, read, downloaded, deleted and cleaned up",
            "is_public": true,
            "maintainers": ["{{ settings.LINKGATE_APIGW_MAINTAINER }}"],
        },
        "stages": [{
            "name": "prod",
            "description": "生产环境",
            "description_en": "Production",
            "vars": {},
            "backends": [{
                "name": "default",
                "config": {
                    "timeout": 60,
                    "loadbalance": "roundrobin",
                    "hosts": [{"host": "{{ settings.LINKGATE_URL }}", "weight": 100}],
                },
            }],
        }],
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_a_resource_of_its_name() {
        let resources = resources();
        for endpoint in Endpoint::ALL {
            let id = format!("\n      operationId: {}\n", json!(endpoint.operation.id()));
            assert_eq!(resources.matches(&id).count(), 1, "{id}");
        }
    }

    #[test]
    fn transfers_may_take_long_and_nothing_else() {
        let long =
            Endpoint::ALL.iter().filter(|endpoint| is_transfer(endpoint)).map(|endpoint| endpoint.operation.id());
        assert_eq!(
            long.collect::<Vec<_>>(),
            [
                "upload_source_package_via_link",
                "download_source_package",
                "upload_source_package",
                "put_source_package"
            ]
        );
        assert_eq!(resources().matches("timeout: 600\n").count(), 4);
    }
}
