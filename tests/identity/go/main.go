// MinIO's Go SDK with each of its credential providers: it logs in, puts, gets and lists. What to do comes as JSON on standard input;
// the keys it got go to standard output, so that the test can look for them where they must not be.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

type task struct {
	Kind, STS, Endpoint, Bucket string
	AccessKey, SecretKey        string
	Token, TokenFile            string
	ExpiresIn                   int
	User, Password              string
	Certificate, Key            string
	Role, Policy                string
	Duration                    int
}

func must(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func provider(t task) (*credentials.Credentials, error) {
	duration := time.Duration(t.Duration) * time.Second
	switch t.Kind {
	case "AssumeRole":
		return credentials.NewSTSAssumeRole(t.STS, credentials.STSAssumeRoleOptions{AccessKey: t.AccessKey, SecretKey: t.SecretKey,
			RoleARN: t.Role, RoleSessionName: "go", Policy: t.Policy, DurationSeconds: t.Duration})
	case "WebIdentity":
		return credentials.NewSTSWebIdentity(t.STS, func() (*credentials.WebIdentityToken, error) {
			return &credentials.WebIdentityToken{Token: t.Token, Expiry: t.Duration}, nil
		}, credentials.WithPolicy(t.Policy), func(i *credentials.STSWebIdentity) { i.RoleARN = t.Role })
	case "WebIdentityFile":
		unused := func() (*credentials.WebIdentityToken, error) { return nil, fmt.Errorf("the token comes from the file") }
		return credentials.NewSTSWebIdentity(t.STS, unused, credentials.WithWebIdentityTokenFile(t.TokenFile), credentials.WithPolicy(t.Policy),
			func(i *credentials.STSWebIdentity) { i.RoleARN = t.Role })
	case "ClientGrants":
		return credentials.NewSTSClientGrants(t.STS, func() (*credentials.ClientGrantsToken, error) {
			return &credentials.ClientGrantsToken{Token: t.Token, Expiry: t.ExpiresIn}, nil
		})
	case "LDAPIdentity":
		return credentials.NewLDAPIdentity(t.STS, t.User, t.Password, credentials.LDAPIdentityPolicyOpt(t.Policy), credentials.LDAPIdentityExpiryOpt(duration))
	case "Certificate":
		certificate, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
		if err != nil {
			return nil, err
		}
		return credentials.NewSTSCertificateIdentity(t.STS, certificate)
	case "CustomToken":
		return credentials.NewCustomTokenCredentials(t.STS, t.Token, t.Role, credentials.CustomTokenValidityOpt(duration))
	}
	return nil, fmt.Errorf("no provider %q", t.Kind)
}

func main() {
	var t task
	must(json.NewDecoder(os.Stdin).Decode(&t), "standard input")
	keys, err := provider(t)
	must(err, t.Kind)
	place, err := url.Parse(t.Endpoint)
	must(err, t.Endpoint)
	client, err := minio.New(place.Host, &minio.Options{Creds: keys, Secure: place.Scheme == "https", Region: "us-east-1"})
	must(err, "client")
	given, err := keys.GetWithContext(client.CredContext())
	must(err, "login")

	ctx := context.Background()
	key, body := "go-"+t.Kind+"/a é+", []byte("from minio-go")
	_, err = client.PutObject(ctx, t.Bucket, key, bytes.NewReader(body), int64(len(body)), minio.PutObjectOptions{})
	must(err, "put")
	object, err := client.GetObject(ctx, t.Bucket, key, minio.GetObjectOptions{})
	must(err, "get")
	found, err := io.ReadAll(object)
	must(err, "get")
	if !bytes.Equal(found, body) {
		must(fmt.Errorf("other bytes came back"), "get")
	}
	count := 0
	for item := range client.ListObjects(ctx, t.Bucket, minio.ListObjectsOptions{Prefix: "go-" + t.Kind + "/", Recursive: true}) {
		must(item.Err, "list")
		if !strings.HasPrefix(item.Key, "go-"+t.Kind) {
			must(fmt.Errorf("%q", item.Key), "list")
		}
		count++
	}
	if count != 1 {
		must(fmt.Errorf("%d objects", count), "list")
	}
	must(json.NewEncoder(os.Stdout).Encode([]string{given.AccessKeyID, given.SecretAccessKey, given.SessionToken}), "standard output")
}
