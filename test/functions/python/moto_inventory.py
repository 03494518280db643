"""Fills a moto server, whose URL is the argument, with what an inventory knows, and prints it as JSON."""

import io
import json
import sys
import zipfile

import boto3


def client(service):
    return boto3.client(service, endpoint_url=sys.argv[1], region_name="us-west-2", aws_access_key_id="any", aws_secret_access_key="any")


ec2, elbv2, acm, iam, functions = (client(service) for service in ("ec2", "elbv2", "acm", "iam", "lambda"))

# The VPC is on the loopback, where its instance can be reached, and clients are.
vpc = ec2.create_vpc(CidrBlock="127.0.0.0/16")["Vpc"]["VpcId"]
subnets = [
    ec2.create_subnet(VpcId=vpc, CidrBlock=f"127.0.{i}.0/24", AvailabilityZone=f"us-west-2{zone}")["Subnet"]["SubnetId"]
    for i, zone in enumerate("ab")
]
group = ec2.create_security_group(GroupName="web", Description="web", VpcId=vpc)["GroupId"]
ec2.authorize_security_group_ingress(
    GroupId=group,
    IpPermissions=[{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "127.0.0.0/8"}]}],
)
image = ec2.describe_images()["Images"][0]["ImageId"]


def start(address):
    return ec2.run_instances(
        ImageId=image, MinCount=1, MaxCount=1, SubnetId=subnets[0], PrivateIpAddress=address, SecurityGroupIds=[group]
    )["Instances"][0]["InstanceId"]


running, stopped = start("127.0.0.10"), start("127.0.0.11")
ec2.stop_instances(InstanceIds=[stopped])

balancer = elbv2.create_load_balancer(Name="web", Subnets=subnets, SecurityGroups=[group], Scheme="internal")["LoadBalancers"][0]
certificate = acm.request_certificate(DomainName="shop.example.test", SubjectAlternativeNames=["*.example.test"])["CertificateArn"]
acm.describe_certificate(CertificateArn=certificate)

role = iam.create_role(RoleName="function", AssumeRolePolicyDocument="{}", Path="/")["Role"]["Arn"]
code = io.BytesIO()
with zipfile.ZipFile(code, "w") as archive:
    archive.writestr("app.py", "def handler(event, context): pass\n")
function = functions.create_function(
    FunctionName="orders", Runtime="python3.13", Role=role, Handler="app.handler", Code={"ZipFile": code.getvalue()}
)["FunctionArn"]

print(
    json.dumps(
        {
            "VPC": vpc,
            "Running": running,
            "Stopped": stopped,
            "Balancer": balancer["LoadBalancerArn"],
            "BalancerName": balancer["DNSName"],
            "Certificate": certificate,
            "Function": function,
            "Group": group,
        }
    )
)
