//! The AWS SDK for Rust with whatever keys the environment holds: each step checks what it got back.
#![expect(clippy::print_stdout, reason = "a program answers on standard output")]
#![expect(clippy::disallowed_methods, reason = "the keys and the place come from the environment")]

use std::time::Duration;

use anyhow::{Context, ensure};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::{
    Client,
    config::Builder,
    presigning::PresigningConfig,
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier},
};

const PART: usize = 5 * 1024 * 1024;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let bucket = std::env::var("BUCKET").context("BUCKET")?;
    let endpoint = std::env::var("ENDPOINT").context("ENDPOINT")?;
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .load()
        .await;
    let s3 = Client::from_conf(Builder::from(&config).force_path_style(true).build());

    for (key, body) in [("rust/plain", &b"hello"[..]), ("rust/odd key+é%", b"odd"), ("rust/empty", b"")] {
        s3.put_object().bucket(&bucket).key(key).body(ByteStream::from(body.to_vec())).send().await?;
        ensure!(read(&s3, &bucket, key).await? == body, "{key}");
    }
    let mut algorithms = vec![
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ];
    if std::env::var("WITH_CRC64NVME").is_ok() {
        algorithms.push(ChecksumAlgorithm::Crc64Nvme);
    }
    for algorithm in algorithms {
        let key = format!("rust/{algorithm}");
        let put = s3.put_object().bucket(&bucket).key(&key).checksum_algorithm(algorithm);
        put.body(ByteStream::from_static(b"checked")).send().await?;
        ensure!(read(&s3, &bucket, &key).await? == b"checked", "{key}");
    }
    // A body from a file goes out in chunks, signed over plain HTTP, with a trailer.
    let file = std::env::temp_dir().join(format!("client-rust-{}", std::process::id()));
    tokio::fs::write(&file, vec![b'f'; 300_000]).await?;
    let body = ByteStream::from_path(&file).await?;
    s3.put_object().bucket(&bucket).key("rust/file").body(body).send().await?;
    ensure!(read(&s3, &bucket, "rust/file").await?.len() == 300_000, "rust/file");
    tokio::fs::remove_file(&file).await?;

    multipart(&s3, &bucket).await?;
    s3.copy_object()
        .bucket(&bucket)
        .key("rust/copy")
        .copy_source(format!("{bucket}/rust/plain"))
        .send()
        .await?;
    ensure!(read(&s3, &bucket, "rust/copy").await? == b"hello", "rust/copy");
    let presigning = PresigningConfig::expires_in(Duration::from_mins(1))?;
    let link = s3.get_object().bucket(&bucket).key("rust/copy").presigned(presigning).await?;
    ensure!(link.uri().contains("X-Amz-Signature="), "no presigned URL");

    let listed = s3.list_objects_v2().bucket(&bucket).prefix("rust/").send().await?;
    let keys = listed.contents().iter().filter_map(|object| object.key());
    let objects =
        keys.map(|key| ObjectIdentifier::builder().key(key).build()).collect::<Result<Vec<_>, _>>()?;
    ensure!(objects.len() >= 10, "only {} objects", objects.len());
    let delete = Delete::builder().set_objects(Some(objects)).build()?;
    let deleted = s3.delete_objects().bucket(&bucket).delete(delete).send().await?;
    ensure!(deleted.errors().is_empty(), "{:?}", deleted.errors());
    println!("ok");
    Ok(())
}

async fn multipart(s3: &Client, bucket: &str) -> anyhow::Result<()> {
    let upload = s3
        .create_multipart_upload()
        .bucket(bucket)
        .key("rust/parts")
        .checksum_algorithm(ChecksumAlgorithm::Crc32)
        .send()
        .await?;
    let id = upload.upload_id().context("no upload id")?;
    let mut parts = CompletedMultipartUpload::builder();
    for number in 1..=2 {
        let part = s3.upload_part().bucket(bucket).key("rust/parts").upload_id(id).part_number(number);
        let done = part.body(ByteStream::from(vec![b'p'; PART])).send().await?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(done.e_tag)
            .set_checksum_crc32(done.checksum_crc32);
        parts = parts.parts(part.build());
    }
    let complete = s3.complete_multipart_upload().bucket(bucket).key("rust/parts").upload_id(id);
    complete.multipart_upload(parts.build()).send().await?;
    ensure!(read(s3, bucket, "rust/parts").await?.len() == 2 * PART, "rust/parts");
    Ok(())
}

async fn read(s3: &Client, bucket: &str, key: &str) -> anyhow::Result<Vec<u8>> {
    let object =
        s3.get_object().bucket(bucket).key(key).send().await.with_context(|| format!("get {key}"))?;
    Ok(object.body.collect().await?.to_vec())
}
