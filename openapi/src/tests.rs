use std::collections::BTreeSet;

use linkgate_contract::{ErrorCode, Operation};

use super::*;

#[test]
fn every_endpoint_stands_in_the_document_once_and_its_head_beside_it() {
    let document = document();
    let mut ids = BTreeSet::new();
    for endpoint in Endpoint::ALL {
        let path = &document["paths"][endpoint.route];
        let operation = &path[endpoint.method.name().to_ascii_lowercase()];
        assert_eq!(operation["operationId"], endpoint.operation.id());
        assert_eq!(path["head"].is_object(), endpoint.method == Method::Get || path["get"].is_object(), "{path}");
    }
    let operations =
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values());
    for operation in operations {
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{operation}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = document();
    let text = document.to_string();
    let references = text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next());
    let mut found = 0;
    for reference in references {
        assert!(document.pointer(reference).is_some(), "{reference}");
        found += 1;
    }
    assert!(found > 0);
}

#[test]
fn every_error_of_the_api_may_come_from_somewhere() {
    /// Of paths and methods that no operation has: the gateway refuses those itself.
    const NOWHERE: [ErrorCode; 1] = [ErrorCode::MethodNotAllowed];
    let text = document()["components"]["responses"].to_string();
    for code in ErrorCode::ALL.iter().filter(|code| !NOWHERE.contains(code)) {
        assert!(text.contains(code.name()), "{code:?} is refused by no operation");
    }
}

#[test]
fn an_operation_is_described_for_those_who_call_it() {
    let document = document();
    for endpoint in Endpoint::ALL.iter().filter(|endpoint| !endpoint.path.starts_with("test/")) {
        let operation = &document["paths"][endpoint.route][endpoint.method.name().to_ascii_lowercase()];
        assert!(operation["description"].as_str().unwrap().ends_with('.'), "{operation}");
        let replies = operation["responses"].as_object().unwrap();
        assert!(replies.keys().any(|status| status.starts_with('2')), "{operation}");
    }
    let upload = Operation::UploadSourcePackageViaLink.id();
    assert!(document.to_string().contains(upload));
}

#[test]
fn only_a_download_may_show_a_signed_url_in_place_of_credentials() {
    let document = document();
    assert_eq!(document["security"], json!([{"bkapi": []}]));
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.values().flat_map(|path| path.as_object().unwrap().values());
    let others = operations.filter(|operation| operation["security"].is_array());
    let others: Vec<_> = others.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    assert_eq!(others, ["download_source_package", "head_download_source_package"]);
    let path = paths.values().find(|path| path["get"]["operationId"] == others[0]).unwrap();
    assert_eq!(path["get"]["security"], json!([{"bkapi": []}, {"signed_url": []}]));
    let scheme = &document["components"]["securitySchemes"]["signed_url"];
    assert_eq!((&scheme["in"], &scheme["name"]), (&json!("query"), &json!("lg_token")));
}

/// It stands in the repository, so that a change of the API is seen by whoever reads the change.
#[test]
fn the_document_in_the_repository_is_this_one() {
    let written = include_str!("../openapi.json");
    let document = format!("{:#}\n", document());
    assert!(document == written, "write it anew: cargo run -p linkgate-cli -- openapi > openapi/openapi.json");
}
