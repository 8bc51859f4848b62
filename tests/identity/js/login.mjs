// The AWS SDK for JavaScript v3 with a web identity; which of its providers is the argument. The keys it got go to standard output.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { S3Client, PutObjectCommand, GetObjectCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { fromTokenFile, fromWebToken } from "@aws-sdk/credential-providers";

const { ENDPOINT: endpoint, BUCKET: bucket, AWS_WEB_IDENTITY_TOKEN_FILE: file, AWS_ROLE_ARN: roleArn } = process.env;
const way = process.argv[2];
const clientConfig = { endpoint, region: "us-east-1" };
const credentials = {
  fromTokenFile: () => fromTokenFile({ clientConfig }),
  fromWebToken: () => fromWebToken({ clientConfig, roleArn, webIdentityToken: readFileSync(file, "utf8"), durationSeconds: 900 }),
  environment: () => undefined,
}[way]();

const s3 = new S3Client({ endpoint, region: "us-east-1", forcePathStyle: true, credentials });
const Key = `js-${way}/a é+`;
await s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body: "from js" }));
assert.equal(await (await s3.send(new GetObjectCommand({ Bucket: bucket, Key }))).Body.transformToString(), "from js");
const listed = await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: `js-${way}/` }));
assert.deepEqual(listed.Contents.map((item) => item.Key), [Key]);
const keys = await s3.config.credentials();
console.log(JSON.stringify([keys.secretAccessKey, keys.sessionToken]));
