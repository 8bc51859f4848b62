// Answers the cases of the policy test by MinIO's own policy package: one JSON a line on standard input, one word a line on
// standard output: "allow", "no", or "refused" where MinIO does not take the policy.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/minio/pkg/v3/policy"
)

type testCase struct {
	Policy   json.RawMessage     `json:"policy"`
	Session  json.RawMessage     `json:"session"`
	Action   string              `json:"action"`
	Resource string              `json:"resource"`
	Context  map[string][]string `json:"context"`
}

func decide(document json.RawMessage, args policy.Args) (string, bool) {
	parsed, err := policy.ParseConfig(bytes.NewReader(document))
	if err != nil {
		return "refused", false
	}
	return "", parsed.IsAllowed(args)
}

func answer(c testCase) string {
	path := strings.TrimPrefix(c.Resource, "arn:aws:s3:::")
	bucket, object, _ := strings.Cut(path, "/")
	values := map[string][]string{}
	for key, list := range c.Context {
		_, name, _ := strings.Cut(key, ":")
		values[name] = list
	}
	args := policy.Args{
		AccountName: "bob", Action: policy.Action(c.Action), BucketName: bucket, ObjectName: object, ConditionValues: values,
	}
	problem, allowed := decide(c.Policy, args)
	if problem != "" {
		return problem
	}
	if len(c.Session) > 0 && string(c.Session) != "null" {
		problem, narrowed := decide(c.Session, args)
		if problem != "" {
			return problem
		}
		allowed = allowed && narrowed
	}
	if allowed {
		return "allow"
	}
	return "no"
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<20)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for lines.Scan() {
		var c testCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Fprintln(out, answer(c))
	}
}
