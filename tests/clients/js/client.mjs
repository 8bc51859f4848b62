// The AWS SDK for JavaScript v3 with whatever keys the environment holds: each step checks what it got back.
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import {
  S3Client, PutObjectCommand, GetObjectCommand, HeadObjectCommand, ListObjectsV2Command, DeleteObjectsCommand,
  CopyObjectCommand, ChecksumAlgorithm,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const bucket = process.env.BUCKET;
const s3 = new S3Client({ endpoint: process.env.ENDPOINT, region: "us-east-1", forcePathStyle: true });
const text = async (reply) => reply.Body.transformToString();

const put = (Key, Body, more = {}) => s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body, ...more }));
const get = (Key) => s3.send(new GetObjectCommand({ Bucket: bucket, Key }));

await put("js/plain.txt", "hello", { ContentType: "text/plain", Metadata: { who: "js" } });
const plain = await get("js/plain.txt");
assert.equal(await text(plain), "hello");
assert.equal(plain.Metadata.who, "js");

await put("js/odd key+é%.txt", "odd");
assert.equal(await text(await get("js/odd key+é%.txt")), "odd");

for (const algorithm of [ChecksumAlgorithm.CRC32, ChecksumAlgorithm.CRC32C, ChecksumAlgorithm.SHA1, ChecksumAlgorithm.SHA256]) {
  await put(`js/${algorithm}`, "checked", { ChecksumAlgorithm: algorithm });
  assert.equal(await text(await get(`js/${algorithm}`)), "checked");
}

// A stream of unknown origin goes out as aws-chunked with a trailer.
const bytes = Buffer.alloc(300_000, "s");
await put("js/stream", Readable.from([bytes.subarray(0, 100_000), bytes.subarray(100_000)]), { ContentLength: bytes.length });
assert.equal((await text(await get("js/stream"))).length, bytes.length);

const large = Buffer.alloc(11 * 1024 * 1024, "L");
await new Upload({ client: s3, params: { Bucket: bucket, Key: "js/large", Body: large }, partSize: 5 * 1024 * 1024 }).done();
const head = await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: "js/large" }));
assert.equal(head.ContentLength, large.length);

await s3.send(new CopyObjectCommand({ Bucket: bucket, Key: "js/copy", CopySource: `${bucket}/js/plain.txt` }));
assert.equal(await text(await get("js/copy")), "hello");

const url = await getSignedUrl(s3, new GetObjectCommand({ Bucket: bucket, Key: "js/plain.txt" }), { expiresIn: 60 });
assert.equal(await (await fetch(url)).text(), "hello");

const listed = await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: "js/" }));
const keys = listed.Contents.map(({ Key }) => Key);
assert.ok(keys.includes("js/large") && keys.includes("js/copy"), String(keys));
const deleted = await s3.send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }));
assert.equal((deleted.Errors ?? []).length, 0, JSON.stringify(deleted.Errors));
assert.equal((await s3.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: "js/" }))).KeyCount, 0);
console.log("ok");
