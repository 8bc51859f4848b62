package org.daypass;

import java.io.ByteArrayInputStream;
import java.net.URI;
import java.util.Arrays;
import java.util.List;
import software.amazon.awssdk.core.sync.RequestBody;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;
import software.amazon.awssdk.services.s3.model.ChecksumAlgorithm;
import software.amazon.awssdk.services.s3.model.CompletedPart;
import software.amazon.awssdk.services.s3.model.ObjectIdentifier;

/** The AWS SDK for Java v2 with whatever keys the environment holds: each step checks what it got back. */
public final class Client {
    private static S3Client s3;
    private static String bucket;

    public static void main(String[] arguments) {
        bucket = System.getenv("BUCKET");
        s3 = S3Client.builder()
                .endpointOverride(URI.create(System.getenv("ENDPOINT")))
                .region(Region.US_EAST_1)
                .forcePathStyle(true)
                .httpClientBuilder(UrlConnectionHttpClient.builder())
                .build();

        byte[] small = "hello from Java".getBytes();
        put("java/plain.txt", small, null);
        put("java/odd key+é.txt", small, null);
        put("java/empty", new byte[0], null);
        for (ChecksumAlgorithm algorithm : List.of(ChecksumAlgorithm.CRC32, ChecksumAlgorithm.SHA1, ChecksumAlgorithm.SHA256)) {
            put("java/" + algorithm, small, algorithm);
        }
        // A body from a stream goes out in chunks, signed over plain HTTP.
        byte[] chunks = new byte[500_000];
        Arrays.fill(chunks, (byte) 'c');
        s3.putObject(r -> r.bucket(bucket).key("java/chunks"), RequestBody.fromInputStream(new ByteArrayInputStream(chunks), chunks.length));
        expect(Arrays.equals(get("java/chunks"), chunks), "java/chunks");

        multipart();
        s3.copyObject(r -> r.sourceBucket(bucket).sourceKey("java/plain.txt").destinationBucket(bucket).destinationKey("java/copy"));
        expect(Arrays.equals(get("java/copy"), small), "java/copy");

        List<ObjectIdentifier> listed = s3.listObjectsV2(r -> r.bucket(bucket).prefix("java/")).contents().stream()
                .map(object -> ObjectIdentifier.builder().key(object.key()).build())
                .toList();
        expect(listed.size() == 9, "listed " + listed);
        var deleted = s3.deleteObjects(r -> r.bucket(bucket).delete(d -> d.objects(listed)));
        expect(deleted.errors().isEmpty(), "deleted " + deleted);
        expect(s3.listObjectsV2(r -> r.bucket(bucket).prefix("java/")).contents().isEmpty(), "something is left");
        System.out.println("ok");
    }

    private static void multipart() {
        byte[] part = new byte[5 * 1024 * 1024];
        Arrays.fill(part, (byte) 'p');
        String upload = s3.createMultipartUpload(r -> r.bucket(bucket).key("java/parts").checksumAlgorithm(ChecksumAlgorithm.CRC32)).uploadId();
        List<CompletedPart> parts = new java.util.ArrayList<>();
        for (int number = 1; number <= 2; number++) {
            int n = number;
            var done = s3.uploadPart(r -> r.bucket(bucket).key("java/parts").uploadId(upload).partNumber(n), RequestBody.fromBytes(part));
            parts.add(CompletedPart.builder().partNumber(n).eTag(done.eTag()).checksumCRC32(done.checksumCRC32()).build());
        }
        s3.completeMultipartUpload(r -> r.bucket(bucket).key("java/parts").uploadId(upload).multipartUpload(m -> m.parts(parts)));
        expect(get("java/parts").length == 2 * part.length, "java/parts");
    }

    private static void put(String key, byte[] body, ChecksumAlgorithm algorithm) {
        s3.putObject(r -> {
            r.bucket(bucket).key(key);
            if (algorithm != null) {
                r.checksumAlgorithm(algorithm);
            }
        }, RequestBody.fromBytes(body));
        expect(Arrays.equals(get(key), body), key);
    }

    private static byte[] get(String key) {
        return s3.getObjectAsBytes(r -> r.bucket(bucket).key(key)).asByteArray();
    }

    private static void expect(boolean condition, String what) {
        if (!condition) {
            throw new AssertionError(what);
        }
    }
}
