/** The rights to stand in a VPC, which are Lambda's and not the code's. */
import { Validations } from 'aws-cdk-lib';
import * as iam from 'aws-cdk-lib/aws-iam';
import * as lambda from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';

/**
 * What Lambda needs to reach a VPC: AWSLambdaVPCAccessExecutionRole without its logs. EC2 takes no narrower
 * resource for it ("Giving Lambda functions access to resources in an Amazon VPC", AWS Lambda Developer Guide).
 */
export function permitNetworkInterfaces(role: iam.Role): void {
  role.addToPolicy(
    new iam.PolicyStatement({
      sid: 'NetworkInterfaces',
      actions: [
        'ec2:CreateNetworkInterface',
        'ec2:DescribeNetworkInterfaces',
        'ec2:DescribeSubnets',
        'ec2:DeleteNetworkInterface',
        'ec2:AssignPrivateIpAddresses',
        'ec2:UnassignPrivateIpAddresses',
      ],
      resources: ['*'],
    }),
  );
  Validations.of(role).acknowledge({
    id: 'AwsSolutions-IAM5[Resource::*]',
    reason:
      "Lambda makes network interfaces in the VPC, which EC2 grants on * only; the function's own code is denied them.",
  });
}

/**
 * The rights above are Lambda's, not the code's: the same page's example. A policy of its own, since it names the
 * function, which waits for the policies of its role.
 */
export function denyNetworkInterfacesToCode(scope: Construct, role: iam.Role, target: lambda.Function): void {
  const policy = new iam.Policy(scope, 'NoNetworkInterfaces', {
    statements: [
      new iam.PolicyStatement({
        sid: 'NotByTheCode',
        effect: iam.Effect.DENY,
        actions: [
          'ec2:CreateNetworkInterface',
          'ec2:DeleteNetworkInterface',
          'ec2:DescribeNetworkInterfaces',
          'ec2:DescribeSubnets',
          'ec2:DetachNetworkInterface',
          'ec2:AssignPrivateIpAddresses',
          'ec2:UnassignPrivateIpAddresses',
        ],
        resources: ['*'],
        conditions: { ArnEquals: { 'lambda:SourceFunctionArn': target.functionArn } },
      }),
    ],
  });
  policy.attachToRole(role);
  Validations.of(policy).acknowledge({
    id: 'AwsSolutions-IAM5[Resource::*]',
    reason: 'A denial: the wider, the safer.',
  });
}
