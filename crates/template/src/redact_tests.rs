//! Secrets in every form.

use proptest::prelude::*;

use super::*;

fn of(secrets: &[&str]) -> Redactor {
    Redactor::new(&secrets.iter().map(|secret| Secret::new(*secret)).collect::<Vec<_>>())
}

#[test]
fn a_secret_is_found_in_every_form() {
    let redactor = of(&["pa\"ss/wörd 9+x"]);
    for form in [
        "pa\"ss/wörd 9+x",
        r#"pa\"ss\/w\u00f6rd 9\u002Bx"#,
        r#"pa\\\"ss\\/w\\u00F6rd 9+x"#,
        "pa%22ss%2Fw%C3%B6rd%209%2Bx",
        "pa%22ss%2fw%c3%b6rd+9%2bx",
        "pa%2522ss%252Fw%25C3%25B6rd%25209%252Bx",
        "pa&quot;ss/w&#246;rd 9&#x2b;x",
        "pa\"ss/w\n  örd 9+x",
        r"pa\u{22}ss/w\u{f6}rd 9+x",
        "cGEic3Mvd8O2cmQgOSt4",
        "cGEic3Mvd8O2cmQg\r\nOSt4",
        "7061227373 2f77c3b67264 20392b78",
        "7061227373 2F77C3B67264 20392B78",
    ] {
        assert_eq!(redactor.redact(&format!("a {form}.")), "a [secret].", "{form}");
    }
}

#[test]
fn base64_of_a_longer_text_gives_nothing_away() {
    // user:sesame-8Kp, auser:sesame-8Kp, aauser:sesame-8Kp
    let redactor = of(&["sesame-8Kp"]);
    for (encoded, left) in [
        ("dXNlcjpzZXNhbWUtOEtw", "dXNlcjp"),
        ("YXVzZXI6c2VzYW1lLThLcA==", "YXVzZXI6"),
        ("YWF1c2VyOnNlc2FtZS04S3A=", "YWF1c2VyO"),
    ] {
        let redacted = redactor.redact(encoded);
        assert!(redacted.starts_with(left) && redacted.ends_with("[secret]"), "{redacted}");
        assert!(redacted.len() <= left.len() + 1 + REDACTED.len(), "{redacted}");
    }
    let url = of(&["??>>??>>a"]);
    assert_eq!(url.redact("Pz8-Pj8_Pj5h Pz8+Pj8/Pj5h Pz8%2BPj8%2FPj5h"), "[secret] [secret] [secret]");
}

#[test]
fn encoders_that_escape_more_or_less_hide_nothing() {
    let redactor = of(&["a*b~c!d'e(f)g h"]);
    for form in ["a*b~c!d'e(f)g h", "a%2Ab%7Ec%21d%27e%28f%29g%20h", "a*b~c!d'e(f)g%20h", "a%2ab~c!d%27e(f)g+h"] {
        assert_eq!(redactor.redact(form), REDACTED, "{form}");
    }
}

#[test]
fn the_longest_secret_wins() {
    let redactor = of(&["tenant42", "tenant42-LONG"]);
    assert_eq!(redactor.redact("tenant42-LONG tenant42 tenant42-x"), "[secret] [secret] [secret]-x");
    assert_eq!(of(&["abc", ""]).redact("abcabc ab"), "[secret][secret] ab");
}

#[test]
fn a_cut_leaves_nothing_worth_having() {
    let redactor = of(&["ghp_abcdefghijklmnop"]);
    for (text, left) in [
        ("bad token ghp_abcdefgh and more", "bad token [secret] and more"),
        ("bad token ghp_abcd", "bad token [secret]"),
        ("bad token ghp_abc", "bad token ghp_abc"),
        ("\"bad token ghp_abcde\"", "\"bad token [secret]\""),
        ("bad token ghp_abcd and more", "bad token ghp_abcd and more"),
        ("bad token ghp_abcd...", "bad token [secret]..."),
    ] {
        assert_eq!(redactor.redact(text), left);
    }
}

#[test]
fn what_is_no_secret_stays() {
    let redactor = of(&["ab", "hunter2!"]);
    for text in ["ab hunter3 %zz \\ \\u12 &no; 100% größer +", "", "%", "\\", "&#x;", "\\u{zz}", "%C3%28"] {
        assert_eq!(redactor.redact(text), text);
    }
    assert_eq!(Redactor::default().redact("anything"), "anything");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_of_a_secret_is_left(secret in "[ -~äß🦀]{10,40}", before in "[a-z ]{0,12}", behind in "[a-z ]{0,12}") {
        let secret = secret.trim();
        prop_assume!(secret.chars().count() >= ENCODED);
        let redactor = of(&[secret]);
        let json = serde_json::to_string(secret).unwrap();
        let percent = crate::http::escape(secret);
        let ascii: String = secret.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
        for form in [secret, &json[1..json.len() - 1], &percent, &percent.to_lowercase(), &percent.replace("%20", "+"), &ascii] {
            // Lower case changes letters too; that is another secret.
            if form == percent.to_lowercase() && secret.bytes().any(|byte| byte.is_ascii_uppercase()) {
                continue;
            }
            let redacted = redactor.redact(&format!("{before}<{form}>{behind}"));
            prop_assert_eq!(&redacted, &format!("{before}<{REDACTED}>{behind}"), "{}", form);
        }
        let whole = format!("{before}{secret}{behind}");
        let encoded: String = base64_within(whole.as_bytes(), 0).into_iter().collect();
        prop_assert!(redactor.redact(&encoded).contains(REDACTED), "{}", encoded);
    }
}

#[test]
fn the_lines_of_a_key_are_found_alone_and_joined() {
    let lines = ["MIIEvQIBADANBgkqhkiG9w0BAQEF", "AASCBKcwggSjAgEAAoIBAQCvCnuw", "68lpteeX7iyWHzhP5dDic/uq5QY5"];
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    for secret in [key.clone(), key.replace('\n', "\r\n"), key.replace('\n', "\\n")] {
        let redactor = Redactor::new([&Secret::new(secret)]);
        for text in [lines.join(""), lines.join("\\n"), lines.join(" | "), lines[2].to_owned() + lines[0]] {
            let redacted = redactor.redact(&text);
            assert!(lines.iter().all(|line| !redacted.contains(&line[4..16])), "{text}: {redacted}");
        }
        assert_eq!(redactor.redact("a line of its own"), "a line of its own");
    }
}
