//! JSON Schemas of the types that are one text or number on the wire. Those of objects are derived where they stand.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{AppCode, FileName, JobId, ModuleName, Operator, PackageId, PackageVersion, PinName, Sha256};

macro_rules! schemas {
    ($($name:ident => $schema:tt;)*) => {
        $(impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        })*
    };
}

schemas! {
    AppCode => {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"};
    FileName => {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"};
    JobId => {"type": "string", "format": "uuid"};
    ModuleName => {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$"};
    Operator => {"type": "string", "minLength": 1};
    PackageId => {"type": "integer", "format": "int64", "minimum": 1};
    PackageVersion => {"type": "string", "minLength": 1, "maxLength": PackageVersion::MAX_CHARS};
    PinName => {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"};
    Sha256 => {"type": "string", "pattern": "^[0-9a-f]{64}$"};
}
