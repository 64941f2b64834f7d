//! Every kind of mistake in a description is one line that names its place and what to do.

use highwater_core::ErrorKind;
use highwater_provider_file::{parse, read};
use proptest::prelude::*;

/// A description without mistakes, to which a test adds one. Four lines.
const SOUND: &str = "name: acme\nbase_url: https://{site}.acme.example\nconfig:\n  site: {help: the site}\n";

/// What is wrong with `SOUND` and these lines behind it.
fn with(lines: &str) -> String {
    told(&format!("{SOUND}{lines}"))
}

fn told(text: &str) -> String {
    let error = parse(text).expect_err(text);
    assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
    let told = error.to_string();
    assert!(!told.contains('\n'), "{text}: {told}");
    told
}

#[test]
fn mistakes_behind_a_sound_beginning() {
    parse(SOUND).unwrap();
    let cases = [
        // Keys.
        ("heders: {}", "line 5: unknown key `heders`: did you mean `headers`?"),
        (
            "colour: red",
            "line 5: unknown key `colour`: the file has auth, base_url, config, docs, expired_token_texts, headers, limits, \
             name, origins, paging, verification",
        ),
        ("name: other", "line 5: the key `name` stands here a second time, after line 1: remove one"),
        (
            "auth:\n  - kind: oauth2\n    token_url: https://a.example/t\n    athorize_url: https://a.example/a",
            "line 8: unknown key `athorize_url`: did you mean `authorize_url`?",
        ),
        (
            "auth:\n  - kind: oauth2\n    token_url: https://a.example/t\n    base_url_lookup: {site: /url, id: /id}",
            "line 8: `base_url_lookup` lacks `url`: add it",
        ),
        (
            "auth:\n  - kind: oauth2\n    token_url: https://a.example/t\n    base_url_lookup:\n      url: https://a.example/s\n      \
             base_url: https://a.example/x",
            "line 10: `base_url` of `base_url_lookup` lacks `{id}`, which stands for the site's id: write it where the id is",
        ),
        (
            "auth:\n  - kind: oauth2\n    token_url: https://a.example/t\n    base_url_lookup: {url: 'https://a.example/s', \
             base_url: 'https://a.example/{id}', site: url, id: /id}",
            "line 8: `site` is not a JSON pointer: write `/url`",
        ),
        (
            "auth:\n  - kind: oauth2\n    token_url: https://a.example/t\n    token_base_url: {path: /v1}",
            "line 8: `token_base_url` lacks `member`: add it",
        ),
        (
            "auth:\n  - kind: oauth2\n    token_url: https://a.example/t\n    token_base_url:\n      member: api_domain\n      path: v1",
            "line 10: `path` of `token_base_url` is what follows the URL that the API tells: write it as `/v1`",
        ),
        (
            "auth:\n  - kind: oauth2\n    token_url: https://a.example/t\n    base_url_lookup: {url: 'https://a.example/s', \
             base_url: 'https://a.example/{id}', site: /url, id: /id}\n    token_base_url: {member: api_domain}",
            "line 9: `token_base_url` and `base_url_lookup` both say where the tokens are valid: remove one",
        ),
        (
            "limits: {first_backof_seconds: 3}",
            "line 5: unknown key `first_backof_seconds`: did you mean `first_backoff_seconds`?",
        ),
        (
            "limits:\n  rate: {requests: 3, second: 1}",
            "line 6: `rate` lacks `seconds`: write how many requests in how many seconds",
        ),
        // Types.
        ("headers: [accept]", "line 5: `headers` is a list: give a mapping of names to texts"),
        ("auth: bearer", "line 5: `auth` is a text: give a list"),
        ("auth: [bearer]", "line 5: an entry of `auth` is a text: give a mapping of keys to values"),
        ("docs: {a: b}", "line 5: `docs` is a mapping: give a text"),
        ("docs:", "line 5: `docs` is empty: give a value"),
        ("docs: ~", "line 5: `docs` is empty: give a value"),
        ("docs: ''", "line 5: `docs` is empty: give a value"),
        ("headers: {a: \"x\\ny\"}", "line 5: `a` has a line break or another control character: write it in one line"),
        ("limits:\n  rate: {requests: many, seconds: 1}", "line 6: `requests` is not a whole number: \"many\""),
        (
            "limits: {first_backoff_seconds: -1}",
            "line 5: `first_backoff_seconds` is not a number of seconds between 0 and 86400: \"-1\"",
        ),
        (
            "limits: {first_backoff_seconds: nan}",
            "line 5: `first_backoff_seconds` is not a number of seconds between 0 and 86400: \"nan\"",
        ),
        (
            "limits:\n  statuses:\n    - {status: 1000}",
            "line 7: an entry of `statuses` lacks `status`: give a number from 100 to 599",
        ),
        (
            "limits:\n  texts:\n    - {pointer: error.code, value: slow}",
            "line 7: `pointer` is not a JSON pointer: write `/error/code`",
        ),
        ("headers: {'a b': c}", "line 5: \"a b\" is not the name of a header: use letters, digits and `-`"),
        // What is missing.
        (
            "auth:\n  - help: a token",
            "line 6: an entry of `auth` lacks `kind`: use one of bearer, header, query, basic, oauth2, service_account, github_app",
        ),
        ("auth:\n  - {kind: header, help: a key}", "line 6: an entry of `auth` lacks `name`: add it"),
        (
            "auth:\n  - {kind: oauth2, authorize_url: 'https://a.example/a'}",
            "line 6: the `oauth2` entry of `auth` lacks `token_url`: add it",
        ),
        (
            "auth:\n  - {kind: oauth2, token_url: 'https://a.example/t', desktop: pkce_public}",
            "line 6: a sign-in of users needs `authorize_url`: add it, or leave `desktop` out where only applications sign in",
        ),
        (
            "auth:\n  - {kind: oauth2, authorize_url: 'https://a.example/a', token_url: 'https://a.example/t', desktop: device}",
            "line 6: `desktop: device` needs `device_url`: add it",
        ),
        (
            "paging: {at: /next}",
            "line 5: `paging` lacks `kind`: use one of link, header_url, body_url, cursor, number, offset, last_id",
        ),
        ("paging: {kind: cursor, at: /next}", "line 5: `paging` lacks `to`: add it"),
        (
            "verification: {names: [/login]}",
            "line 5: `verification` lacks `path`: add the path behind the base URL, such as `/me`",
        ),
        ("config2: {}", "line 5: unknown key `config2`: did you mean `config`?"),
        // Words.
        ("auth:\n  - {kind: beerer}", "line 6: unknown `kind` \"beerer\": did you mean `bearer`?"),
        (
            "auth:\n  - {kind: oauth2, token_url: 'https://a.example/t', client: header}",
            "line 6: unknown `client` \"header\": use one of body, basic, basic_with_json",
        ),
        (
            "verification: {path: /me, method: DELETE}",
            "line 5: unknown `method` \"DELETE\": use one of GET, HEAD, POST, PROPFIND",
        ),
        ("verification: {path: me}", "line 5: `path` does not begin with a slash: write it behind the base URL"),
        // URLs.
        ("docs: docs.acme.example", "line 5: `docs` is not a URL: write it whole, beginning with https://"),
        ("docs: ftp://docs.acme.example", "line 5: `docs` is not a URL: write it whole, beginning with https://"),
        (
            "origins: ['https://me:secret@acme.example']",
            "line 5: `origins` has a name or a password: credentials do not belong into this file",
        ),
        (
            "origins: ['http://files.acme.example']",
            "line 5: `origins` begins with http://: secrets would be readable on their way; use https://",
        ),
        (
            "auth:\n  - kind: oauth2\n    token_url: http://a.example/t",
            "line 7: `token_url` begins with http://: secrets would be readable on their way; use https://",
        ),
        (
            "origins: ['https://{siet}.example']",
            "line 5: `origins` names a setting `{siet}` that there is none of: did you mean `{site}`?",
        ),
        (
            "origins: ['https://{region}.example']",
            "line 5: `origins` names a setting `{region}` that there is none of: describe it under `config`, as `region: {help: ...}`",
        ),
        (
            "origins: ['https://{site.example']",
            "line 5: `origins` has an open brace: close it behind the setting's name",
        ),
        // YAML.
        ("---\nname: other", "line 5: a second document begins: one file describes one provider"),
        ("docs: &d https://a.example", "line 5: anchors and aliases are not supported here: write the value out"),
        ("headers: {<<: {a: b}, c: d}\nx: 1", "line 5: merging with `<<` is not supported here: write the members out"),
        ("docs: !!str https://a.example", "line 5: tags are not supported here: remove it"),
        ("docs: !secret https://a.example", "line 5: tags are not supported here: remove it"),
        ("? [a]\n: b", "line 5: a key is a list or a mapping: give a text"),
        ("headers:\n\taccept: x", "line 6: a tab in the indentation: use spaces"),
        ("headers:\n  a: b\n c: d", "line 7: not valid YAML: "),
        ("docs: [", "line "),
        ("docs: \"https", "line "),
    ];
    for (lines, expected) in cases {
        let told = with(lines);
        assert!(told.starts_with(expected), "{lines}\n told: {told}\n want: {expected}");
    }
}

#[test]
fn mistakes_of_whole_files() {
    for (text, expected) in [
        ("", "line 1: the file is empty: describe a provider, beginning with `name: `"),
        ("# nothing\n", "line 1: the file is empty: describe a provider, beginning with `name: `"),
        ("- name: acme", "line 1: the file is a list: give a mapping of keys to values"),
        ("acme", "line 1: the file is a text: give a mapping of keys to values"),
        ("base_url: https://a.example", "line 1: the file lacks `name`: add the provider's name, such as `name: acme`"),
        ("name: acme", "line 1: the file lacks `base_url`: add it"),
        ("name: acme\nbase_ulr: https://a.example", "line 2: unknown key `base_ulr`: did you mean `base_url`?"),
        (
            "name: Acme Corp\nbase_url: https://a.example",
            "line 1: `name` is not a name: use at most 100 lower-case letters, digits, `-` and `_`",
        ),
        (
            "name: acme\nbase_url: https://a.example?x=1",
            "line 2: `base_url` has a query or a fragment, which no request would keep: leave it out",
        ),
        (
            "name: acme\nbase_url: http://a.example",
            "line 2: `base_url` begins with http://: secrets would be readable on their way; use https://",
        ),
        ("name: acme\nbase_url: https://a.example\nconfig:\n  a: {}", "line 4: the setting `a` lacks `help`: add it"),
        (
            "name: acme\nbase_url: https://a.example\nconfig:\n  'a b': {help: x}",
            "line 4: \"a b\" is not the name of a setting: use letters, digits, `-` and `_`",
        ),
    ] {
        let told = told(text);
        assert_eq!(told, expected, "{text}");
    }
    for local in ["http://localhost:8080/x", "http://127.0.0.1:9", "http://[::1]:9"] {
        parse(&format!("name: acme\nbase_url: {local}")).unwrap();
    }
}

#[test]
fn small_texts_do_not_become_large_and_large_ones_are_refused() {
    let bomb = "a: &a [x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b]\nname: *c";
    assert_eq!(told(bomb), "line 1: anchors and aliases are not supported here: write the value out");
    let deep = told(&format!("name: {}", "[".repeat(5000)));
    assert!(deep.starts_with("line 1: "), "{deep}");
    let deep = told(&(0..200).map(|depth| format!("{}a:\n", "  ".repeat(depth))).collect::<String>());
    assert!(deep.starts_with("line "), "{deep}");
    let large = told(&format!("name: acme\n# {}", "x".repeat(300_000)));
    assert!(large.starts_with("the file is larger than 256 KiB"), "{large}");
    let long = told(&format!("name: acme\nbase_url: https://a.example\ndocs: https://{}", "x".repeat(5000)));
    assert_eq!(long, "line 3: `docs` is longer than 4096 bytes: shorten it");
}

#[test]
fn files_that_cannot_be_read() {
    let folder = std::env::temp_dir().join(format!("highwater-provider-file-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.join(name), bytes).unwrap();
        read(folder.join(name)).map(|provider| provider.name).map_err(|error| error.to_string())
    };
    let latin = file("latin.yaml", b"name: acme\n# caf\xe9\n").unwrap_err();
    assert!(latin.starts_with("line 2: the file is not UTF-8: save it as UTF-8 (file: "), "{latin}");
    let utf16 = file("utf16.yaml", b"\xff\xfen\0a\0").unwrap_err();
    assert!(utf16.starts_with("line 1: the file is not UTF-8"), "{utf16}");
    let large = file("large.yaml", &vec![b'#'; 300_000]).unwrap_err();
    assert!(large.starts_with("the file is larger than 256 KiB"), "{large}");
    let mistake = file("mistake.yaml", b"name: acme\nbase_url: 5\n").unwrap_err();
    assert!(mistake.starts_with("line 2: `base_url` is not a URL") && mistake.contains("mistake.yaml"), "{mistake}");
    let marked = file("marked.yaml", "\u{feff}name: acme\r\nbase_url: https://a.example\r\n".as_bytes());
    assert_eq!(marked.as_deref(), Ok("acme"));
    let json = file("acme.json", b"{\"name\": \"acme\", \"base_url\": \"https://a.example\"}");
    assert_eq!(json.as_deref(), Ok("acme"));
    let missing = read(folder.join("none.yaml")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert_eq!(read(&folder).unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::remove_dir_all(&folder).unwrap();
}

proptest! {
    /// Whatever the text, there is a provider or one line.
    #[test]
    fn any_text_is_a_provider_or_one_line(text in "[ -~\n\t\u{e9}]{0,200}") {
        if let Err(error) = parse(&text) {
            prop_assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    /// A file that lost or gained a character names a line that it has.
    #[test]
    fn a_changed_example_names_a_line_of_its_own(at in 0usize..900, with in "[ -~\n\t]{0,2}") {
        let sound = include_str!("../../../examples/providers/gitlab.yaml");
        let at = at.min(sound.len() - 1);
        let text = format!("{}{with}{}", &sound[..at], &sound[at + 1..]);
        if let Err(error) = parse(&text) {
            let told = error.to_string();
            let line = told.strip_prefix("line ").and_then(|rest| rest.split(':').next()?.parse::<usize>().ok());
            prop_assert!(line.is_some_and(|line| (1..=text.lines().count() + 1).contains(&line)), "{told}");
            prop_assert!(!told.contains('\n'), "{told}");
        }
    }
}
