// A function that reads its events with AWS's own schemas and tells what they say.
import { VpcLatticeSchema, VpcLatticeV2Schema } from '@aws-lambda-powertools/parser/schemas';
import { z } from 'zod';

// The schema of V2 has texts where AWS sends lists (docs.aws.amazon.com/vpc-lattice/latest/ug/lambda-functions.html).
const lists = z.record(z.string(), z.array(z.string()));
const V2 = VpcLatticeV2Schema.extend({ headers: lists, queryStringParameters: lists.optional() });

export async function handler(event) {
  const isV2 = event.version === '2.0';
  const e = isV2 ? V2.parse(event) : VpcLatticeSchema.parse(event);
  const encoded = Boolean(isV2 ? e.isBase64Encoded : e.is_base64_encoded);
  const data = Buffer.from(e.body ?? '', encoded ? 'base64' : 'utf8');
  const first = (header) => (Array.isArray(header) ? header[0] : header);
  const c = e.requestContext;
  return {
    statusCode: 200,
    headers: { 'Content-Type': 'application/json', 'x-function': process.env.AWS_LAMBDA_FUNCTION_NAME },
    body: JSON.stringify({
      method: e.method, path: isV2 ? e.path : e.raw_path, query: (isV2 ? e.queryStringParameters : e.query_string_parameters) ?? {},
      many: e.headers['x-many'] ?? null, forwardedFor: first(e.headers['x-forwarded-for']), body: data.toString('base64'), encoded,
      json: data.length > 0 && data[0] === 0x7b ? JSON.parse(data) : null,
      context: c ? {
        serviceArn: c.serviceArn, targetGroupArn: c.targetGroupArn, serviceNetworkArn: c.serviceNetworkArn, region: c.region,
        vpc: c.identity.sourceVpcArn,
      } : null,
    }),
  };
}
