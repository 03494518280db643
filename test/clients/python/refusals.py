"""What boto3 is refused, and how: idempotency, unique names, pages, and each exception as the SDK's own class."""

import os
import unittest
from concurrent.futures import ThreadPoolExecutor

from network import VPC, new_client

# The server under test was started with this quota.
TARGET_GROUPS_PER_REGION = int(os.environ["TRELLIS_TARGET_GROUPS"])


class Refusals(unittest.TestCase):
    def setUp(self):
        self.client = new_client()
        self.exceptions = self.client.exceptions
        self.addCleanup(self.delete_target_groups)

    def delete_target_groups(self):
        for page in self.client.get_paginator("list_target_groups").paginate():
            for group in page["items"]:
                self.client.delete_target_group(targetGroupIdentifier=group["id"])

    def create(self, name, **parameters):
        config = {"port": 80, "protocol": "HTTP", "vpcIdentifier": VPC}
        return self.client.create_target_group(**{"name": name, "type": "IP", "config": config, **parameters})

    def names(self):
        return [group["name"] for group in self.client.list_target_groups()["items"]]

    def test_the_same_client_token_twice_creates_once(self):
        first = self.create("once", clientToken="token-of-once")
        second = self.create("once", clientToken="token-of-once")
        self.assertEqual(first["arn"], second["arn"])
        self.assertEqual(self.names(), ["once"])

    def test_a_client_token_with_other_parameters_is_a_conflict(self):
        self.create("first", clientToken="token-of-first")
        with self.assertRaises(self.exceptions.ConflictException):
            self.create("other", clientToken="token-of-first")
        self.assertEqual(self.names(), ["first"])

    def test_a_name_is_taken_once(self):
        self.create("taken")
        with self.assertRaises(self.exceptions.ConflictException) as refusal:
            self.create("taken")
        answer = refusal.exception.response
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 409)
        self.assertEqual(answer["resourceType"], "TARGET_GROUP")
        self.assertTrue(answer["resourceId"])

    def test_of_two_clients_that_create_one_name_at_once_exactly_one_succeeds(self):
        clients = [new_client(), new_client()]

        def create(client, name):
            try:
                client.create_target_group(name=name, type="LAMBDA")
            except client.exceptions.ConflictException:
                return "conflict"
            return "created"

        with ThreadPoolExecutor(2) as pool:
            for i in range(20):
                outcomes = pool.map(create, clients, [f"race-{i}"] * 2)
                self.assertEqual(sorted(outcomes), ["conflict", "created"])

    def test_pages_hold_every_item_once_in_order_of_creation(self):
        created = [f"paged-{i}" for i in range(25)]
        for name in created:
            self.create(name)
        pages = list(self.client.get_paginator("list_target_groups").paginate(PaginationConfig={"PageSize": 10}))
        self.assertEqual([len(page["items"]) for page in pages], [10, 10, 5])
        self.assertEqual([group["name"] for page in pages for group in page["items"]], created)
        self.assertNotIn("nextToken", pages[-1])

    def test_targets_come_in_pages_too(self):
        group = self.create("many-targets")
        targets = [{"id": "127.0.0.1", "port": port} for port in range(9001, 9026)]
        self.client.register_targets(targetGroupIdentifier=group["id"], targets=targets)
        pages = self.client.get_paginator("list_targets").paginate(
            targetGroupIdentifier=group["id"], PaginationConfig={"PageSize": 10}
        )
        listed = [{"id": t["id"], "port": t["port"]} for page in pages for t in page["items"]]
        self.assertCountEqual(listed, targets)
        self.client.deregister_targets(targetGroupIdentifier=group["id"], targets=targets)

    def test_a_foreign_next_token_is_refused(self):
        with self.assertRaises(self.exceptions.ValidationException):
            self.client.list_target_groups(nextToken="made-up")

    def test_a_wrong_parameter_is_named(self):
        with self.assertRaises(self.exceptions.ValidationException) as refusal:
            self.create("Not_A_Name")
        answer = refusal.exception.response
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 400)
        self.assertEqual(answer["reason"], "fieldValidationFailed")
        self.assertEqual([field["name"] for field in answer["fieldList"]], ["name"])

    def test_what_does_not_exist_is_not_found(self):
        unknown = "tg-0123456789abcdef0"
        with self.assertRaises(self.exceptions.ResourceNotFoundException) as refusal:
            self.client.get_target_group(targetGroupIdentifier=unknown)
        answer = refusal.exception.response
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 404)
        self.assertEqual((answer["resourceType"], answer["resourceId"]), ("TARGET_GROUP", unknown))

    def test_a_used_up_quota_is_named(self):
        for i in range(TARGET_GROUPS_PER_REGION):
            self.create(f"quota-{i}")
        with self.assertRaises(self.exceptions.ServiceQuotaExceededException) as refusal:
            self.create("one-too-many")
        answer = refusal.exception.response
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 402)
        self.assertEqual(answer["serviceCode"], "vpc-lattice")
        self.assertRegex(answer["quotaCode"], "^L-[0-9A-F]{8}$")

    def test_status_codes_are_those_of_the_model(self):
        def status(answer):
            return answer["ResponseMetadata"]["HTTPStatusCode"]

        network = self.client.create_service_network(name="codes")
        service = self.client.create_service(name="codes")
        association = self.client.create_service_network_service_association(
            serviceNetworkIdentifier=network["id"], serviceIdentifier=service["id"]
        )
        self.assertEqual((status(network), status(service), status(association)), (201, 201, 200))
        deleted = self.client.delete_service_network_service_association(
            serviceNetworkServiceAssociationIdentifier=association["id"]
        )
        self.assertEqual((status(deleted), deleted["status"]), (200, "DELETE_IN_PROGRESS"))

    def test_tags_are_kept_by_arn(self):
        arn = self.create("tagged", tags={"team": "shop", "stage": "test"})["arn"]
        self.client.tag_resource(resourceArn=arn, tags={"stage": "live", "cost": "1"})
        self.client.untag_resource(resourceArn=arn, tagKeys=["team", "cost"])
        self.assertEqual(self.client.list_tags_for_resource(resourceArn=arn)["tags"], {"stage": "live"})


if __name__ == "__main__":
    unittest.main(verbosity=2)
