"""Makes requests of which the document cannot say that they succeed: a package, a link that leads to one, no conditions, the number
of a package that is there.

What is generated against the document stays as it is, and so does a part of what fits it.
"""

import gzip
import hashlib
import io
import os
import tarfile

import schemathesis

LINK = os.environ["LINKGATE_PACKAGE_URL"]
DRAWN = ("fuzzing", "stateful")
CHANGES = ("delete_source_package", "pin_source_package", "restore_source_package", "unpin_source_package")
READS = (
    "get_source_package",
    "download_source_package",
    "get_source_package_attestation",
    "list_source_package_members",
)
# A package that is there from the beginning.
THERE = {"app_code": "app_code", "module": "default", "id": int(os.environ["LINKGATE_PACKAGE_ID"])}
# The beginning of the id of a case that was made here.
MADE = "made-"


def make_package() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("main.py"))
    return gzip.compress(packed.getvalue(), mtime=0)


PACKAGE = make_package()


def make(case, operation: str, version: str) -> bool:
    if operation == "put_source_package":
        case.query, case.headers, case.body = {"version": version}, {}, PACKAGE
    elif operation == "upload_source_package_via_link" and case.media_type == "application/json":
        case.headers, case.body = {}, {"package_url": LINK, "version": version, "allow_overwrite": True}
    elif operation in CHANGES:
        case.query, case.headers = {}, {}
    elif operation in READS:
        case.path_parameters, case.query, case.headers = dict(THERE), {}, {}
    else:
        return False
    return True


@schemathesis.hook
def map_case(context, case):
    # What is wrong, or at a boundary, on purpose stays so.
    if case.meta is None or case.meta.phase.name not in DRAWN or case.meta.generation.mode.is_negative:
        return case
    # The same case must be the same each time that it is made.
    drawn = hashlib.sha256(repr((case.path_parameters, case.query, case.body)).encode()).hexdigest()
    if case.meta.phase.name == "stateful" or drawn[0] < "8":
        if make(case, case.operation.definition.raw["operationId"], drawn[:8]):
            case.id = MADE + case.id
    return case


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """What was made here counts as a breach of the schema, for its bytes and for what it leaves out."""
    return not (failure.title == "Schema-violating request accepted" and case.id.startswith(MADE))
