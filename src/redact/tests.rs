//! What is redacted, and what must not be.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// (text, secret): the secret must be gone, a placeholder must stand there.
const SECRETS: &[(&str, &str)] = &[
    ("token eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl end", "c2lnbmF0dXJl"),
    ("eyJhbGciOiJSUzI1NiIsImtpZ", "eyJhbGciOiJSUzI1NiIsImtpZ"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc=\n-----END RSA PRIVATE KEY-----", "MIIEpAIBAAKCAQEA"),
    ("-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBg\\n", "MIIEvQIBADANBg"),
    ("client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQo=", "LS0tLS1CRUdJTiBSU0Eg"),
    ("client-key-data: b3BhcXVlIGtleQ==", "b3BhcXVlIGtleQ"),
    ("    token: k8s-aws-v1.aHR0cHM6Ly9zdHMu", "aHR0cHM6Ly9zdHMu"),
    ("Authorization: Bearer abcdef", "abcdef"),
    ("\"authorization\":\"Basic dXNlcjpwYXNz\"", "dXNlcjpwYXNz"),
    ("-H 'Authorization: token 0123456789abcdef'", "0123456789abcdef"),
    ("Authorization: AWS4-HMAC-SHA256 Credential=x/y, Signature=fe5f80f77d", "fe5f80f77d"),
    ("curl -s -u admin:hunter2 https://x", "hunter2"),
    ("X-Api-Key: 5f3a9c0011", "5f3a9c0011"),
    ("Cookie: session=abc123; theme=dark", "abc123"),
    ("postgres://shop:hunter2@db.prod:5432/shop", "hunter2"),
    ("redis://:p@ss@redis:6379/0", "p@ss"),
    ("mongodb+srv://u:hunter2@h1,h2/db", "hunter2"),
    ("dial root:hunter2@tcp(mysql:3306)/app", "hunter2"),
    ("jdbc:mysql://db/app?user=a&password=hunter2&useSSL=false", "hunter2"),
    ("Server=db;User Id=sa;Password=Hunter2!;Encrypt=true", "Hunter2!"),
    ("host=db user=a password=hunter2 sslmode=disable", "hunter2"),
    ("https://0a1b2c3d4e5f6a7b8c9d0e@git.example.com/x.git", "0a1b2c3d4e5f6a7b8c9d0e"),
    ("DB_PASSWORD=hunter2", "hunter2"),
    ("  DB_PASSWORD:                 hunter2", "hunter2"),
    ("  DB_PASSWORD:  correct horse battery", "correct horse"),
    ("password: hunter2", "hunter2"),
    ("password: 'correct horse'", "correct horse"),
    ("{\"password\":\"hunter2\"}", "hunter2"),
    ("{\\\"password\\\":\\\"hunter2\\\"}", "hunter2"),
    ("{\"db\":{\"dbPassword\" : \"hunter2\"}}", "hunter2"),
    ("connected with password: hunter2 to db", "hunter2"),
    ("spring.datasource.password=hunter2", "hunter2"),
    ("clientSecret: my-client-secret", "my-client-secret"),
    ("secret=hunter2", "hunter2"),
    ("密码：hunter2，请勿外传", "hunter2"),
    ("--password hunter2 --user root", "hunter2"),
    ("[\"--redis-password\",\"hunter2\"]", "hunter2"),
    ("- --token\n- abc123def\n", "abc123def"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
    ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    ("id LTAI5tQnKxAbCdEfGhIjKlMn", "LTAI5tQnKxAbCdEfGhIjKlMn"),
    ("accessKeySecret: \"Zx8CvB6nM4qW2eR0tY\"", "Zx8CvB6nM4qW2eR0tY"),
    ("AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", "AKIDz8krbsJ5"),
    ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "AIzaSyA1234567890"),
    ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "ghp_0123456789"),
    ("github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz", "11ABCDEFG0"),
    ("glpat-abcDEF123456_7890xyz", "abcDEF123456"),
    ("https://hooks.slack.com/services/T0000/B0000/XXXXabcd1234", "XXXXabcd1234"),
    ("https://open.feishu.cn/open-apis/bot/v2/hook/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0", "0f1e2d3c"),
    ("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa", "693a91f6"),
    ("https://oapi.dingtalk.com/robot/send?access_token=0a1b2c3d4e5f", "0a1b2c3d4e5f"),
    ("sk-abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv", "sk-abcdefghij"),
    ("sk-ant-api03-AbC123-def456_ghi789-xyz", "AbC123"),
    ("hf_abcdefghijklmnopqrstuvwxyzABCDEFGH", "hf_abcdefgh"),
    ("0123456789abcdef0123456789abcdef.AbCdEf1234567890", "AbCdEf1234567890"),
    ("hvs.CAESIAbCdEfGhIjKlMnOpQrStUv", "CAESIAbCdEf"),
    ("glsa_abcdefghijklmnopqrstuvwxyzABCDEF_0a1b2c3d", "abcdefghij"),
    ("{\"auths\":{\"r.io\":{\"auth\":\"dXNlcjpIdW50ZXIyMTIz\"}}}", "dXNlcjpIdW50ZXIyMTIz"),
    ("env:\n- name: DB_PASSWORD\n  value: hunter2\n", "hunter2"),
    ("env:\n- name: DB_PASSWORD\n  value: \"correct horse\"\n", "correct horse"),
    ("{\"name\":\"API_TOKEN\",\"value\":\"abcdefgh\"}", "abcdefgh"),
    ("{\n  \"name\": \"API_TOKEN\",\n  \"value\": \"abcdefgh\"\n}", "abcdefgh"),
    ("apiVersion: v1\ndata:\n  user: YWRtaW4=\nkind: Secret\nmetadata:\n  name: db\n", "YWRtaW4="),
    ("kind: Secret\nstringData:\n  note: |\n    first line\n    second line\ntype: Opaque\n", "second line"),
    ("items:\n- apiVersion: v1\n  data:\n    user: YWRtaW4=\n  kind: Secret\n", "YWRtaW4="),
    ("{\n  \"kind\": \"Secret\",\n  \"data\": {\n    \"user\": \"YWRtaW4=\"\n  }\n}", "YWRtaW4="),
    ("last-applied: |\n  {\"apiVersion\":\"v1\",\"data\":{\"user\":\"YWRtaW4=\"},\"kind\":\"Secret\"}\n", "YWRtaW4="),
    (
        "kubectl.kubernetes.io/last-applied-configuration: |\n  {\"spec\":{\"env\":[{\"name\":\"DB_PASSWORD\",\"value\":\"hunter2\"}]}}\n",
        "hunter2",
    ),
    (
        "\"last-applied\": \"{\\\"env\\\":[{\\\"name\\\":\\\"DB_PASSWORD\\\",\\\"value\\\":\\\"hunter2\\\"}]}\"",
        "hunter2",
    ),
    ("x: \"{\\\"kind\\\":\\\"Secret\\\",\\\"stringData\\\":{\\\"user\\\":\\\"admin-user\\\"}}\"", "admin-user"),
];

/// Texts of ordinary days, which must pass unchanged.
const HARMLESS: &[&str] = &[
    "missing env PAYMENT_GATEWAY_URL",
    "panic: required key API_TOKEN is not set",
    "secretName: db-credentials",
    "volumes:\n- name: token-abcde\n  secret:\n    secretName: default-token-abcde\n",
    "        secretKeyRef:\n          key: password\n          name: db-credentials\n",
    "- name: DB_PASSWORD\n  valueFrom:\n    secretKeyRef:\n      key: password\n",
    "      DB_PASSWORD:  <set to the key 'password' in secret 'db'>  Optional: false",
    "Tokens:              default-token-x7k2p",
    "existingSecret: redis-auth",
    "secret: web-tls-7f9c4",
    "imagePullSecrets:\n- name: regcred\n",
    "automountServiceAccountToken: true\nexpirationSeconds: 3607",
    "TokenExpirationSeconds:  3607",
    "max_tokens=4096 prompt_tokens: 118234",
    "MountVolume.SetUp failed for volume \"token\": secret \"db-credentials\" not found",
    "Error: couldn't find key password in Secret shop/db-credentials",
    "invalid token: expired",
    "failed to refresh token: invalid_grant",
    "unable to fetch token: x509: certificate signed by unknown authority",
    "could not get token: 401 Unauthorized",
    "failed to get token: Post \"https://sts.example.com/token\": EOF",
    "Access denied for user 'root'@'10.0.0.1' (using password: YES)",
    "pq: password authentication failed for user \"shop\"",
    "password:  16 bytes",
    "PGPASSWORD=$(DB_PASSWORD)",
    "password: ${DB_PASSWORD}",
    "REDIS_PASSWORD_FILE=/run/secrets/redis",
    "token: /var/run/secrets/kubernetes.io/serviceaccount/token",
    "PWD=/app",
    "image: registry.k8s.io/pause@sha256:7031c1b283388d2c2e09b57badb803c05ebed362dc88d84b480cc47f72a21097",
    "uid: 9c067a95-bac8-41e1-bd70-3c263e4bc80a",
    "pod-template-hash: 67cfcb4f88",
    "resourceVersion: \"48211\"\ncontinue: eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MTAwMH0",
    "http://prometheus-k8s-0:9090/graph?g0.expr=up%3D%3D0&g0.tab=1",
    "http://web.shop.svc:8080/login?mail=a@b.example",
    "Failed to pull image \"registry.example.com:5000/web@sha256:abc\"",
    "authorization.k8s.io/v1 authorization: request denied by policy",
    "kind: ConfigMap\ndata:\n  mode: production\n",
    "certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUM=",
    "sk-checkout-worker-6f9f595fcb-dhlxp",
    "task-scheduler-7d9f8b6c5d-abcde Back-off restarting failed container",
    "Liveness probe failed: Get \"http://10.244.0.12:8080/healthz\": context deadline exceeded",
];

#[test]
fn secrets_are_taken_out() {
    for (text, secret) in SECRETS {
        let clean = redact(text);
        assert!(!clean.contains(secret), "{secret:?} stayed in {clean:?}");
        assert!(clean.contains("[REDACTED:"), "nothing stands in for {secret:?} in {clean:?}");
        assert_eq!(redact(&clean), clean, "redacting twice changes nothing");
    }
}

#[test]
fn ordinary_texts_pass_unchanged() {
    for text in HARMLESS {
        assert_eq!(redact(text), *text);
    }
}

#[test]
fn what_is_around_a_secret_stays() {
    assert_eq!(
        redact("dial postgres://shop:hunter2@db.prod:5432/shop: refused"),
        "dial postgres://shop:[REDACTED:url_password:1]@db.prod:5432/shop: refused"
    );
    assert_eq!(
        redact(
            "kind: ConfigMap\ndata:\n  a: b\n---\nkind: Secret\ndata:\n  user: YWRtaW4=\n  pass: eA==\ntype: Opaque\n"
        ),
        "kind: ConfigMap\ndata:\n  a: b\n---\nkind: Secret\ndata:\n  user: [REDACTED:kubernetes_secret:1]\n  pass: [REDACTED:kubernetes_secret:2]\ntype: Opaque\n"
    );
}

#[test]
fn the_same_secret_reads_the_same_in_one_run() {
    let run = Redactor::default();
    assert_eq!(run.redact("password=hunter2 token=abc123"), "password=[REDACTED:value:1] token=[REDACTED:value:2]");
    assert_eq!(run.redact("{\"pwd\":\"hunter2\"}"), "{\"pwd\":\"[REDACTED:value:1]\"}");
    assert_eq!(redact("token=abc123"), "token=[REDACTED:value:1]", "another run counts anew");
}

#[test]
fn values_are_redacted_by_key_and_by_neighbour() {
    let mut value = json!({
        "kind": "List",
        "items": [
            {"kind": "Secret", "metadata": {"name": "db"}, "data": {"user": "YWRtaW4="}, "type": "Opaque"},
            {"kind": "ConfigMap", "data": {"mode": "production", "url": "redis://:hunter2@redis:6379"}},
            {"kind": "Pod", "spec": {"containers": [{"name": "token-proxy", "env": [
                {"name": "DB_PASSWORD", "value": "correct horse"},
                {"name": "LOG_LEVEL", "value": "debug"},
                {"name": "API_TOKEN", "valueFrom": {"secretKeyRef": {"name": "api", "key": "token"}}}
            ]}]}},
            {"auths": {"r.io": {"auth": "dXNlcjpwYXNz"}}, "retries": 3}
        ]
    });
    redact_value(&mut value);
    insta::assert_json_snapshot!(value);
}

#[test]
fn documented_limits() {
    // A secret cut in two before it came here: the first half is known by its beginning, the second is not.
    let halves = ["eyJhbGciOiJSUzI1NiIsImtpZCI6", "IiJ9.bm8gYmVnaW5uaW5nIGhlcmU.c2ln"];
    assert!(redact(halves[0]).starts_with("[REDACTED:jwt"));
    assert_eq!(redact(halves[1]), halves[1]);
    // A value on the lines below its name is known only inside a Secret.
    assert_eq!(redact("password: |\n  hunter2\n"), "password: |\n  hunter2\n");
    // Base64 outside a Secret, and hex, are not decoded.
    assert_eq!(redact("blob: cGFzc3dvcmQ9aHVudGVyMg=="), "blob: cGFzc3dvcmQ9aHVudGVyMg==");
}

#[test]
fn every_pattern_compiles() {
    assert_eq!(rules::all().len(), rules::SHAPES.len());
    assert_eq!(rules::present("nothing").shapes().count(), 0, "the set compiles, else every rule would be applied");
}

/// Objects and logs of real clusters hold no secret here: whatever is taken out of them is a false alarm.
#[test]
fn real_objects_and_logs_pass_unchanged() {
    let mut read = 0;
    for scenario in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios")).unwrap() {
        let folder = scenario.unwrap().path();
        let mut files = vec![folder.join("objects.json")];
        files.extend(std::fs::read_dir(folder.join("logs")).into_iter().flatten().map(|entry| entry.unwrap().path()));
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for (before, after) in text.lines().zip(redact(&text).lines()) {
                assert_eq!(before, after, "in {}", file.display());
            }
            if file.ends_with("objects.json") {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                let mut clean = value.clone();
                redact_value(&mut clean);
                assert_eq!(clean, value, "{}", file.display());
            }
            read += 1;
        }
    }
    assert!(read > 0);
}

#[test]
fn time_is_linear_in_the_length() {
    fn seconds(text: &str) -> f64 {
        let start = std::time::Instant::now();
        assert!(matches!(redact(text), Cow::Borrowed(_)));
        start.elapsed().as_secs_f64()
    }
    let text = "a".repeat(5_000_000);
    seconds(&text[..1_000]);
    let (short, long) = (seconds(&text[..500_000]), seconds(&text));
    assert!(long < short * 10.0 * 4.0 + 1.0, "10 times the text took {long:.2} s after {short:.2} s");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn redacting_any_mixture_twice_changes_nothing(parts in prop::collection::vec(prop_oneof![
        "\\PC{0,20}".prop_map(String::from),
        prop::sample::select(SECRETS).prop_map(|(text, _)| text.to_owned()),
        prop::sample::select(HARMLESS).prop_map(str::to_owned),
    ], 0..6)) {
        let text = parts.join("\n");
        let once = redact(&text).into_owned();
        let twice = redact(&once).into_owned();
        prop_assert_eq!(twice, once);
    }
}

#[test]
fn numbers_of_an_earlier_run_are_not_given_again() {
    let before = Redactor::default();
    let text = before.redact("postgres://app:hunter2aaaa@db/a and postgres://app:other9bbbb@db/b").into_owned();
    assert!(text.contains(":1]") && text.contains(":2]"), "{text}");
    let after = Redactor::default();
    after.number_past(&text);
    let next = after.redact("postgres://app:third7cccc@db/c").into_owned();
    assert!(next.contains(":3]"), "{next}");
}
