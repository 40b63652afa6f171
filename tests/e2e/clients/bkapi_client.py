"""Uploads by link and follows the job with BlueKing's own SDK; prints what came back as JSON."""

import json
import sys

from bkapi_client_core.apigateway import APIGatewayClient, Operation, OperationGroup, bind_property

PACKAGES = "/bkapps/applications/{app_code}/modules/{module}/source_package/"


class Packages(OperationGroup):
    upload_source_package_via_link = bind_property(
        Operation, name="upload_source_package_via_link", method="POST", path=PACKAGES + "link/"
    )
    get_source_package_job = bind_property(
        Operation, name="get_source_package_job", method="GET", path=PACKAGES + "link/{job_id}/"
    )


class Client(APIGatewayClient):
    _api_name = "bkpaas3"

    api = bind_property(Packages, name="api")


def main() -> None:
    task = json.load(sys.stdin)
    client = Client(stage="prod", endpoint=task["gateway"] + "/api/{api_name}")
    client.update_bkapi_authorization(**task["credentials"])
    module = {"app_code": "app_code", "module": "default"}
    link = {"package_url": task["link"], "version": "1.0.0"}
    package = client.api.upload_source_package_via_link(data=link, path_params=module)
    again = {**link, "version": "1.0.1"}
    headers = {"Prefer": "respond-async"}
    job = client.api.upload_source_package_via_link(data=again, path_params=module, headers=headers)
    job = client.api.get_source_package_job(path_params={**module, "job_id": job["job_id"]})
    json.dump({"package": package, "job": job}, sys.stdout)


main()
