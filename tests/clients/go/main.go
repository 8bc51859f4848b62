// minio-go with whatever keys the environment holds: each step checks what it got back.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func must(err error, step string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", step, err)
		os.Exit(1)
	}
}

func main() {
	ctx, bucket := context.Background(), os.Getenv("BUCKET")
	endpoint, err := url.Parse(os.Getenv("ENDPOINT"))
	must(err, "endpoint")
	transport := http.DefaultTransport.(*http.Transport).Clone()
	// The certificate of the test is made for the run.
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds:     credentials.NewStaticV4(os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_SESSION_TOKEN")),
		Secure:    endpoint.Scheme == "https",
		Transport: transport,
	})
	must(err, "client")

	get := func(key string) []byte {
		object, err := client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
		must(err, "get "+key)
		body, err := io.ReadAll(object)
		must(err, "read "+key)
		return body
	}
	put := func(key string, body []byte, size int64, options minio.PutObjectOptions) {
		_, err := client.PutObject(ctx, bucket, key, bytes.NewReader(body), size, options)
		must(err, "put "+key)
		if !bytes.Equal(get(key), body) {
			must(fmt.Errorf("other bytes came back"), key)
		}
	}

	small := []byte("hello from minio-go")
	put("go/plain.txt", small, int64(len(small)), minio.PutObjectOptions{ContentType: "text/plain", UserMetadata: map[string]string{"Who": "go"}})
	put("go/odd key+é.txt", small, int64(len(small)), minio.PutObjectOptions{})
	put("go/empty", nil, 0, minio.PutObjectOptions{})
	put("go/md5", small, int64(len(small)), minio.PutObjectOptions{SendContentMd5: true})
	put("go/sha256", small, int64(len(small)), minio.PutObjectOptions{DisableContentSha256: false})
	chunked := bytes.Repeat([]byte("c"), 300_000)
	put("go/chunks", chunked, int64(len(chunked)), minio.PutObjectOptions{})
	large := bytes.Repeat([]byte("L"), 17<<20)
	put("go/large", large, int64(len(large)), minio.PutObjectOptions{PartSize: 5 << 20})
	put("go/unknown-size", large[:6<<20], -1, minio.PutObjectOptions{PartSize: 5 << 20})

	info, err := client.StatObject(ctx, bucket, "go/plain.txt", minio.StatObjectOptions{})
	must(err, "stat")
	if info.UserMetadata["Who"] != "go" {
		must(fmt.Errorf("metadata: %v", info.UserMetadata), "stat")
	}
	_, err = client.CopyObject(ctx, minio.CopyDestOptions{Bucket: bucket, Object: "go/copy"}, minio.CopySrcOptions{Bucket: bucket, Object: "go/plain.txt"})
	must(err, "copy")
	link, err := client.PresignedGetObject(ctx, bucket, "go/plain.txt", time.Minute, nil)
	must(err, "presign")
	reply, err := (&http.Client{Transport: transport}).Get(link.String())
	must(err, "follow the link")
	body, _ := io.ReadAll(reply.Body)
	if reply.StatusCode != 200 || !bytes.Equal(body, small) {
		must(fmt.Errorf("%s: %s", reply.Status, body), "presigned get")
	}

	count := 0
	keys := make(chan minio.ObjectInfo)
	go func() {
		defer close(keys)
		for object := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: "go/", Recursive: true}) {
			must(object.Err, "list")
			count++
			keys <- object
		}
	}()
	for failed := range client.RemoveObjects(ctx, bucket, keys, minio.RemoveObjectsOptions{}) {
		must(failed.Err, "remove "+failed.ObjectName)
	}
	if count != 9 {
		must(fmt.Errorf("%d objects", count), "list")
	}
	for object := range client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: "go/", Recursive: true}) {
		must(fmt.Errorf("%s is still there", object.Key), "after removal")
	}
	fmt.Println("ok")
}
