"""Holds manifests of Kubernetes, YAML on standard input, against its own schemas and those in a folder.

Prints a line for each fault, and ends with 1 if there is one. A field that no schema knows is a fault: a cluster would
drop it without a word.
"""

import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

VERSION = "1.37"


def closed(schema):
    """The schema with every object closed whose fields are listed."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(part) for key, part in schema.items()}
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object" and not is_open:
        schema["additionalProperties"] = False
    return schema


def own_schemas(folder):
    """The schemas of a folder by what documents say that they are."""
    found = {}
    for path in pathlib.Path(folder).glob("*.json"):
        kept = json.loads(path.read_text())
        schema = closed(kept["schema"])
        # Those of the cluster itself are left to it.
        for name in ("apiVersion", "kind", "metadata"):
            schema["properties"][name] = {}
        found[f"{kept['group']}/{kept['version']}", kept["kind"]] = schema
    return found


def faults(document, schemas):
    """What is wrong with a document."""
    schema = schemas.get((document.get("apiVersion"), document.get("kind")))
    if schema is not None:
        return [f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(schema).iter_errors(document)]
    try:
        kubernetes_validate.validate(document, VERSION, strict=True)
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return [str(error.message)]
    return []


def main():
    schemas = own_schemas(sys.argv[1])
    wrong = 0
    documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
    for document in documents:
        for fault in faults(document, schemas):
            wrong += 1
            print(f"{document.get('kind')} {document.get('metadata', {}).get('name')}: {fault[:500]}")
    print(f"{len(documents)} documents")
    return 1 if wrong or not documents else 0


if __name__ == "__main__":
    sys.exit(main())
