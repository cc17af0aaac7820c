use proptest::prelude::*;

use super::*;

fn redacted(text: &str) -> String {
    Redactor::global().redact(text).0.into_owned()
}

#[test]
fn keys_and_tokens_are_known_by_their_shape() {
    for secret in [
        "sk-ant-api03-abcDEF_123-xyz",
        "sk-proj-abcdefghijklmnop0123456789",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "gho_16C7e42F292c6912E7710c838347Ae178B4a",
        "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuv",
        "glpat-abcdefghij0123456789",
        "xoxb-123456789012-abcdefABCDEF",
        "AIzaSyA-abcdefghijklmnopqrstuvwxyz01234",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        "elk_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_abcde",
        "elr_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_abcde",
    ] {
        assert_eq!(redacted(&format!("use {secret} here")), "use [redacted] here");
        assert_eq!(redacted(&format!(r#"{{"a":"x\n{secret}\n"}}"#)), r#"{"a":"x\n[redacted]\n"}"#);
    }
}

#[test]
fn credentials_are_known_by_their_place() {
    for (text, clean) in [
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("authorization: Basic dXNlcjpwYXNz", "authorization: Basic [redacted]"),
        ("Authorization: tok123", "Authorization: [redacted]"),
        ("-H 'Authorization: token abcdef'", "-H 'Authorization: token [redacted]'"),
        (r#""Authorization":"Bearer abcdef""#, r#""Authorization":"Bearer [redacted]""#),
        ("sent Bearer a1b2c3d4e5", "sent Bearer [redacted]"),
        ("sent Basic dXNlcjpwYXNz", "sent Basic [redacted]"),
        ("postgres://me:hunter2@db:5432/x", "postgres://me:[redacted]@db:5432/x"),
        ("https://me:p@ss:w@host/", "https://me:[redacted]@host/"),
        ("redis://:secretpw@h", "redis://:[redacted]@h"),
    ] {
        assert_eq!(redacted(text), clean);
    }
}

#[test]
fn values_are_known_by_their_names() {
    for (text, clean) in [
        ("API_KEY=abc", "API_KEY=[redacted]"),
        ("export AWS_SECRET_ACCESS_KEY=wJalr/K7+x", "export AWS_SECRET_ACCESS_KEY=[redacted]"),
        ("PASSWORD: x", "PASSWORD: [redacted]"),
        ("password: hunter2", "password: [redacted]"),
        ("password: swordfish", "password: [redacted]"),
        ("  db_password = swordfish", "  db_password = [redacted]"),
        ("password=swordfish next", "password=[redacted] next"),
        (r#"{"password": "two words", "a": 1}"#, r#"{"password": "[redacted]", "a": 1}"#),
        (r#"{"password":"a\"b","c":"d"}"#, r#"{"password":"[redacted]","c":"d"}"#),
        (r#""text":"{\"token\": \"abc d\"}""#, r#""text":"{\"token\": \"[redacted]\"}""#),
        (r#""text":"API_KEY=abc\nNEXT=1""#, r#""text":"API_KEY=[redacted]\nNEXT=1""#),
        ("client_secret='it is'", "client_secret='[redacted]'"),
        ("{password: abc1}", "{password: [redacted]}"),
        ("--token x", "--token [redacted]"),
        ("--token=x", "--token=[redacted]"),
        ("run --db-password hunter2 --fast", "run --db-password [redacted] --fast"),
        (r#"["--api-key", "x"]"#, r#"["--api-key", "[redacted]"]"#),
        ("/cb?access_token=abc&state=1", "/cb?access_token=[redacted]&state=1"),
        ("x-api-key: a1b2c3", "x-api-key: [redacted]"),
        ("PGPASSWORD=ab(cd", "PGPASSWORD=[redacted](cd"),
    ] {
        assert_eq!(redacted(text), clean);
    }
}

#[test]
fn a_private_key_is_taken_out_in_one_line_and_over_many() {
    let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/=\nabc\n-----END RSA PRIVATE KEY-----";
    assert_eq!(redacted(&format!("a {key} b")), "a [redacted] b");
    let escaped = key.replace('\n', "\\n");
    assert_eq!(redacted(&format!(r#"{{"k":"{escaped}","v":1}}"#)), r#"{"k":"[redacted]","v":1}"#);

    let mut state = LineState::default();
    let lines: Vec<_> = format!("before\n{key}\nafter it")
        .lines()
        .map(|line| Redactor::global().redact_line(&mut state, line).0.into_owned())
        .collect();
    assert_eq!(lines, ["before", MARK, MARK, MARK, MARK, "after it"]);
}

#[test]
fn a_secret_that_a_run_was_given_is_known_wherever_it_stands() {
    let redactor = Redactor::with_secrets(&["correct horse".to_owned(), "abc".to_owned()]);
    assert_eq!(redactor.redact("xcorrect horsex abc"), ("x[redacted]x abc".into(), 1));
}

#[test]
fn ordinary_text_is_left_alone() {
    for text in [
        "The token is invalid, and the password must be changed.",
        "A secret: the treasure lies elsewhere. Basic understanding of bearer authentication.",
        "Enter password: ",
        "error: token: expired",
        "use --token to give one, or --password for the other",
        "018f4e2a-7c1b-7d3e-9a4b-2f5c6d7e8f90",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "commit 5f1170e4c627110a06dc2bf9b1d8a7e6c5f4d3e2",
        "someone@example.com wrote to a.b+c@example.org at 10:30",
        "https://example.com:8080/path?x=1 and http://user@example.com/",
        r#"{"usage":{"input_tokens":12,"output_tokens":34},"max_tokens":4096,"token":17}"#,
        r#"{"type":"token","text":"a"}"#,
        "let token = next_token(); password=self.password, token: String, api_key: &str",
        "curl -H \"Authorization: Bearer $TOKEN\" --password \"${PW}\" password=<password>",
        "task-force-members-of-the-long-hyphenated-name sk-learn-compatible-estimators-api",
        "-----BEGIN CERTIFICATE-----",
    ] {
        assert_eq!(redacted(text), text);
    }
}

#[test]
fn a_line_is_split_where_no_secret_is() {
    let redactor = Redactor::global();
    let text = format!("{} password=hunter2abc {}", "a".repeat(50), "b".repeat(50));
    let inside = text.find("hunter2").expect("there") + 3;
    let split = redactor.split_near(&text, inside);
    assert_eq!(&text[..split.at], format!("{} password=hunter2abc", "a".repeat(50)));

    let endless = format!("sk-ant-{}", "x1".repeat(500));
    let split = redactor.split_near(&endless, 100);
    assert_eq!(split, Split { at: endless.len(), inside: true });
    let mut state = LineState::default();
    state.set_inside(true);
    assert_eq!(redactor.redact_line(&mut state, "x1x1x1 rest").0, "[redacted] rest");
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("password".to_owned()),
        Just("TOKEN".to_owned()),
        Just("--api-key ".to_owned()),
        Just("Authorization: ".to_owned()),
        Just("Bearer ".to_owned()),
        Just("://u:p@".to_owned()),
        Just("sk-ant-".to_owned()),
        Just("AKIAABCDEFGHIJKLMNOP".to_owned()),
        Just("-----BEGIN PRIVATE KEY-----".to_owned()),
        Just("[redacted]".to_owned()),
        "[=:\"'\\\\ \n(){}\\[\\]<>$&@/.,;-]{1,3}",
        "[a-zA-Z0-9_]{1,24}",
        "\\PC{0,4}",
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn doing_it_again_changes_nothing(text in pieces()) {
        let once = redacted(&text);
        let (twice, found) = Redactor::global().redact(&once);
        prop_assert_eq!((twice.as_ref(), found), (once.as_str(), 0));
    }

    #[test]
    fn a_split_is_a_border_of_characters_and_loses_no_secret(text in pieces(), part in 0.0..1.0) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the text")]
        let at = text.floor_char_boundary((text.len() as f64 * part) as usize);
        let split = Redactor::global().split_near(&text, at);
        prop_assert!(text.is_char_boundary(split.at));
    }
}

#[test]
fn of_many_secrets_in_one_query_none_is_left() {
    let query = |value: &str| {
        let parts: Vec<_> = (0..40).map(|n| format!("part_{n}_token={value}")).collect();
        format!("GET /x?{} HTTP/1.1", parts.join("&"))
    };
    assert_eq!(redacted(&query("abc1def2")), query(MARK));
}

#[test]
fn a_text_that_hides_secrets_behind_secrets_is_cut_off_and_stays_so() {
    // Found by fuzzing.
    let text = "\u{5}ua\u{5}u a&token=l&tokeN=a-&token=l&token=n=l&token=seen=l&tokeN=a-&token=l\
        &token=n=l&token=searer thorizatioAn:\0Bearer thorizatioAn:\0Bearn: Bearer ak";
    for text in [text.to_owned(), format!("Bearer a1b2c3d4{}", "=Bearer a1b2c3d4".repeat(40))] {
        let once = redacted(&text);
        assert_eq!(redacted(&once), once);
    }
}

#[test]
fn the_time_is_linear_in_hostile_text() {
    const BYTES: usize = 2 * 1024 * 1024;
    for piece in [
        "token=",
        "password:",
        "--token ",
        "://a:b@",
        "-----BEGIN PRIVATE KEY-----",
        "sk-",
        "eyJ",
        "Bearer ",
        "Authorization:",
        "secret=\"",
        "a",
        "token=f(",
        "&token=a",
        "?a&token=",
        "'",
        "\\\"password\\\":\\\"",
    ] {
        let text = piece.repeat(BYTES / piece.len());
        let began = std::time::Instant::now();
        Redactor::global().redact(&text);
        // Quadratic time would be hours.
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{piece}");
    }
}

#[test]
fn a_known_secret_is_found_as_it_stands_in_json_and_in_json_within_json() {
    let secret = r#"al"pha\beta	gamma"#;
    let redactor = Redactor::with_secrets(&[secret.to_owned()]);
    let once = serde_json::to_string(secret).expect("json");
    let twice = serde_json::to_string(&once).expect("json");
    for text in [secret.to_owned(), once, twice] {
        let (clean, found) = redactor.redact(&text);
        assert!(found >= 1 && !clean.contains("pha") && !clean.contains("beta"), "{clean}");
        assert!(!clean.contains("gamma"), "{clean}");
    }
}
