//! The API as documents: OpenAPI 3.1 and the resources of BlueKing's gateway for other programs, and a reference for people.
//!
//! Promises: all are made of the table of endpoints and the types of replies, so that an endpoint without a description does
//! not compile, and no description outlives its endpoint. What a reply may be stands once, in `operations`.

mod bodies;
mod gateway;
mod markdown;
mod operations;
mod parameters;
mod responses;
mod security;
mod yaml;

use linkgate_contract::{Endpoint, Method};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::responses::Refusals;

pub use gateway::{definition, resources};
pub use markdown::reference;

/// The version of OpenAPI that the document is written in.
const OPENAPI: &str = "3.1.0";

/// The API in OpenAPI 3.1.
#[must_use]
pub fn document() -> Value {
    let mut schemas = SchemaSettings::draft2020_12().with(place_in_components).for_serialize().into_generator();
    let (mut paths, mut refusals) = (Map::new(), Refusals::default());
    for endpoint in Endpoint::ALL {
        let described = describe_operation(endpoint, &mut schemas, &mut refusals);
        let path = paths.entry(endpoint.route).or_insert_with(|| json!({}));
        if endpoint.method == Method::Get {
            path["head"] = without_bodies(described.clone());
        }
        path[endpoint.method.name().to_ascii_lowercase()] = described;
    }
    responses::add_error_schemas(&mut schemas);
    json!({
        "openapi": OPENAPI,
        "info": {
            "title": "Linkgate",
            "summary": "Source packages of a platform: taken in by link or by file, and kept for their whole life",
            "description": INTRODUCTION,
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{
            "url": "{prefix}",
            "description": "Below a prefix of the gateway",
            "variables": {"prefix": {"default": "", "description": "As the operator's policy has it, such as /api/bkpaas3/prod"}},
        }],
        "security": security::usual(),
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "headers": responses::common_headers(),
            "responses": refusals.describe(),
            "securitySchemes": security::schemes(),
        },
    })
}

const INTRODUCTION: &str = "Every path lies below one of the gateway's prefixes. Errors have one of two forms: `Problem` for faults of the \
    request, `GatewayProblem` for those of the caller or of the gateway. `detail` is Chinese unless `blueking-language` or \
    `Accept-Language` ask for English. Fields and parameters that are not described here are ignored.";

fn place_in_components(settings: &mut SchemaSettings) {
    settings.definitions_path = "/components/schemas".into();
    settings.meta_schema = None;
}

fn describe_operation(endpoint: &Endpoint, schemas: &mut SchemaGenerator, refusals: &mut Refusals) -> Value {
    let described = operations::describe(endpoint.operation, schemas);
    let mut operation = json!({
        "operationId": endpoint.operation.id(),
        "summary": endpoint.operation.summary().trim_end_matches('.'),
        "description": described.description,
        "parameters": parameters::describe(endpoint, described.headers),
        "responses": responses::describe(endpoint, &described, refusals),
        "x-linkgate-action": endpoint.action.name(),
    });
    if let Some(body) = described.body {
        operation["requestBody"] = body;
    }
    if let Some(security) = security::of(endpoint.operation) {
        operation["security"] = security;
    }
    operation
}

/// The same as its HEAD: the headers alone.
fn without_bodies(mut operation: Value) -> Value {
    if let Some(id) = operation["operationId"].as_str().map(|id| format!("head_{id}")) {
        operation["operationId"] = id.into();
    }
    let responses = operation["responses"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for response in responses.filter_map(Value::as_object_mut) {
        response.remove("content");
        if let Some(Value::String(reference)) = response.get_mut("$ref") {
            reference.push_str(Refusals::HEAD);
        }
    }
    operation
}

#[cfg(test)]
mod tests;
