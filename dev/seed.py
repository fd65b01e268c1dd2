"""Writes endpoints into the table in LocalStack, as a user would: `python dev/seed.py 20` creates load-0 to load-19.

With --remove, it requests their deletion. The controller deletes each item once the objects are gone.
"""

import argparse
from datetime import UTC, datetime

from localstack_client.session import Session

TABLE = "gco-inference-endpoints"
REGION = "us-east-1"


def item(name: str, image: str) -> dict[str, object]:
    """A small endpoint without a GPU, so that k3s can run it."""
    now = datetime.now(UTC).isoformat()
    return {
        "endpoint_name": name,
        "desired_state": "deploying",
        "target_regions": [REGION],
        "spec": {"image": image, "port": 80, "gpu_count": 0, "health_check_path": "/"},
        "created_at": now,
        "updated_at": now,
        "created_by": "dev/seed.py",
    }


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("count", type=int, help="number of endpoints")
    parser.add_argument("--image", default="nginx:1.29", help="image of the endpoints (default: %(default)s)")
    parser.add_argument("--remove", action="store_true", help="delete the endpoints instead")
    options = parser.parse_args()
    table = Session(region_name=REGION).resource("dynamodb").Table(TABLE)
    for number in range(options.count):
        name = f"load-{number}"
        if options.remove:
            table.update_item(
                Key={"endpoint_name": name},
                UpdateExpression="SET desired_state = :deleted, updated_at = :now",
                ConditionExpression="attribute_exists(endpoint_name)",
                ExpressionAttributeValues={":deleted": "deleted", ":now": datetime.now(UTC).isoformat()},
            )
        else:
            table.put_item(Item=item(name, options.image))
        print(f"{name}: {'marked for deletion' if options.remove else 'written'}")


if __name__ == "__main__":
    main()
